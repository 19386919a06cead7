"""What merging sees through, and what it must not: precision and recall on logs whose true tree is known because we noised them.

    python -m benchmarks.merging DATASET --out merging.json

The dataset's own rollouts, merged by equal texts, are the truth. Then every observation is shown in other words (a log line with a
changing number, a time stamp, a host name, a polite word), and some are replaced by those of another state in similar words (another
number, another name). A merge is a pair of steps of one task that landed at one node: precision is the share of such pairs that are
true, recall the share of true pairs that were found.
"""

import argparse
import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from tratree_data.store.reader import open_store
from tratree_data.trees.embed import Cache
from tratree_data.trees.embedders import make_embedder
from tratree_data.trees.rules.normalise import parse_rules
from tratree_data.trees.tree import build_tree

FALSE_FRIENDS = 0.1
METHODS: dict[str, tuple[str, tuple[str, ...]]] = {
    "exact": ("exact", ()),
    "normalised": ("exact", ("timestamps", "log-lines", "host-names")),
    "lexical": ("lexical", ()),
    "minilm": ("minilm", ()),
    "normalised + lexical": ("lexical", ("timestamps", "log-lines", "host-names")),
    "normalised + minilm": ("minilm", ("timestamps", "log-lines", "host-names")),
}


def in_other_words(text: str, rng: random.Random) -> str:
    """The same state, as another run of the same software would show it."""
    kind = rng.randrange(5)
    if kind == 0:
        return f"INFO: loaded {rng.randint(3, 40)} tools in {rng.random():.2f} s\n{text}"
    if kind == 1:
        return f"{text} [{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}]"
    if kind == 2:
        return f"root@{rng.getrandbits(48):012x}:/# {text}"
    if kind == 3:
        return rng.choice(["Sure! ", "Sure, ", "OK. "]) + text
    return text


def in_similar_words(text: str, rng: random.Random) -> str:
    """Another state: another number, or one word gone astray."""
    numbers = list(re.finditer(r"\d+", text))
    if numbers:
        place = rng.choice(numbers)
        return f"{text[: place.start()]}{int(place.group()[:9]) + rng.randint(1, 9)}{text[place.end() :]}"
    words = text.split(" ")
    words[rng.randrange(len(words))] = rng.choice(["nothing", "kitchen", "error", "another"])
    return " ".join(words)


def noised(steps: pa.Table, seed: int) -> tuple[pa.Table, pa.Table]:
    """(truth, what is seen): in both some observations are another state's, in the second all may be in other words."""
    rng = random.Random(seed)
    true, seen = [], []
    for text in steps["observation"].to_pylist():
        state = in_similar_words(text, rng) if rng.random() < FALSE_FRIENDS and text.strip() else text
        true.append(state)
        seen.append(in_other_words(state, rng))
    place = steps.schema.get_field_index("observation")
    return tuple(steps.set_column(place, steps.schema.field(place), pa.array(texts)) for texts in (true, seen))  # type: ignore[return-value]


def measure(directory: Path, seed: int) -> dict[str, dict[str, float]]:
    store = open_store(directory)
    rollouts, steps = store.read("rollouts"), store.read("steps")
    truth, seen = noised(steps, seed)
    true_nodes = _nodes(build_tree(rollouts, truth))
    found = {}
    for name, (embedder, rules) in METHODS.items():
        model = make_embedder(embedder)
        cache = Cache(model) if model else None
        threshold = model.default_min_similarity if model else 1.0
        nodes = _nodes(
            build_tree(rollouts, seen, lookup=cache.lookup if cache else None, min_similarity=threshold, rules=parse_rules(rules))
        )
        keys = sorted(true_nodes)
        both = _pairs([(true_nodes[key], nodes[key]) for key in keys])
        ours, theirs = _pairs([nodes[key] for key in keys]), _pairs([true_nodes[key] for key in keys])
        found[name] = {
            "precision": both / ours if ours else 1.0,
            "recall": both / theirs if theirs else 1.0,
            "nodes": len(set(nodes.values())),
            "embedded": len(cache.vectors) if cache else 0,
        }
    found["truth"] = {"precision": 1.0, "recall": 1.0, "nodes": len(set(true_nodes.values())), "embedded": 0}
    return found


def _nodes(trees: Any) -> dict[tuple[str, int], str]:
    rows = trees.step_nodes.select(["rollout_id", "step", "node_id"]).to_pylist()
    return {(row["rollout_id"], row["step"]): row["node_id"] for row in rows}


def _pairs(groups: list[Any]) -> int:
    return sum(count * (count - 1) // 2 for count in Counter(groups).values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    text = json.dumps({"dataset": given.dataset.name, "seed": given.seed, "methods": measure(given.dataset, given.seed)}, indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
