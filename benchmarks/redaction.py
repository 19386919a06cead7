"""What publish's redaction finds and leaves alone, per kind, and how fast it looks, against applying every rule to every text.

    python benchmarks/redaction.py [--data FOLDER] [--out FILE]

`accuracy` covers the blind sets: their secrets (found means that no part of six characters is left) and their look-alikes (changed means
redacted by mistake). `speed` covers texts as datasets have them, with their repetitions; sessions, of which there are few, come in COPIES
that differ by a number. `same` says whether both ways agree on SAMPLE of the texts. Times are processor seconds. Prints JSON: seeds,
medians, every measurement.
"""

import argparse
import gzip
import hashlib
import json
import platform
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from held_back_secrets import SETS as HELD_BACK
from held_back_secrets.making import SEED, Case, cases, parts_left
from redaction_reference import apply_every_rule
from webshop import write_scripts

from tratree_data.environments.webshop import WebShop
from tratree_data.releases.redaction.redaction import Redactor
from tratree_data.releases.redaction.redaction_rules import Rule, load_rules

REPEATS = 5
COPIES = 10
SAMPLE = 500
SETS = {name: (module.SECRETS, module.LOOKALIKES) for name, module in HELD_BACK.items()}
DATA = Path(__file__).parents[2] / "shared/data"


def measure_accuracy(examples: list[Case]) -> dict[str, Any]:
    """Secrets found and look-alikes changed, per kind and together."""
    rules = load_rules()
    counts: dict[bool, dict[str, Counter[bool]]] = {True: {}, False: {}}
    for case in examples:
        redacted = Redactor(rules).redact_text(case.text, "here")
        hit = not parts_left(case, redacted) if case.secret else redacted != case.text
        counts[case.secret is not None].setdefault(case.kind, Counter())[hit] += 1
    found, missed = (sum(kind[hit] for kind in counts[True].values()) for hit in (True, False))
    changed = sum(kind[True] for kind in counts[False].values())
    return {
        "recall": round(found / (found + missed), 3),
        "precision": round(found / (found + changed), 3),
        "secrets": {kind: {"found": hits[True], "of": hits.total()} for kind, hits in counts[True].items()},
        "look_alikes": {kind: {"changed": hits[True], "of": hits.total()} for kind, hits in counts[False].items()},
    }


def measure_speed(texts: list[str]) -> dict[str, Any]:
    rows = pa.table({"detail": pa.array(texts, pa.string())})
    rules = load_rules()
    fast, seconds = repeat(look_first, rows, rules)
    sample = sorted(range(len(texts)), key=lambda i: hash_of(texts[i]))[:SAMPLE]
    plain, plain_seconds = repeat(apply_every_rule, [texts[i] for i in sample], times=1)
    again = look_first(rows.take(sample), rules)
    megabytes = size(texts)
    return {
        "megabytes": round(megabytes, 2),
        "texts": len(texts),
        "distinct": len(set(texts)),
        "redacted": sum(new != old for new, old in zip(fast, texts, strict=True)),
        "megabytes_per_second": round(megabytes / statistics.median(seconds), 1),
        "every_rule_on_every_text_megabytes_per_second": round(size(texts[i] for i in sample) / statistics.median(plain_seconds), 2),
        "same": again == plain,
        "processor_seconds": seconds,
        "every_rule_on_every_text_processor_seconds": plain_seconds,
    }


def size(texts: Iterable[str]) -> float:
    return sum(len(text.encode()) for text in texts) / 1e6


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def look_first(rows: pa.Table, rules: list[Rule]) -> list[str]:
    return Redactor(rules).redact_table("dropped", rows)["detail"].to_pylist()


def repeat(action: Callable[..., list[str]], *arguments: Any, times: int = REPEATS) -> tuple[list[str], list[float]]:
    seconds = []
    for _ in range(times):
        start = time.process_time()
        result = action(*arguments)
        seconds.append(round(time.process_time() - start, 4))
    return result, seconds


def load_texts(data: Path) -> dict[str, list[str]]:
    """Texts as they are in datasets: pages of a shop, a household in words, shell and coding sessions."""
    return {
        "webshop": list(shop_pages(WebShop(data=str(data / "webshop")))),
        "alfworld": list(json_texts(data / "trajectories/knowagent_alfworld/normalized_all.jsonl.gz")),
        "shell_sessions": copies(json_texts(data / "trajectories/intercode_bash/normalized.jsonl")),
        "coding_sessions": copies(text for path in sorted((data / "sessions").rglob("*.jsonl")) for text in json_texts(path)),
    }


def shop_pages(shop: WebShop) -> Iterator[str]:
    for task, actions in write_scripts(shop, SEED, 300, 4):
        yield shop.reset(task, 0).observation
        yield from (shop.step(action).observation for action in actions)


def json_texts(path: Path) -> Iterator[str]:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    for line in raw.splitlines():
        yield from leaves(json.loads(line))


def copies(texts: Iterable[str]) -> list[str]:
    texts = list(texts)
    return texts + [f"{text} {number}" for number in range(1, COPIES) for text in texts]


def leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    accuracy = {name: measure_accuracy(list(cases(*tables, repeats=REPEATS))) for name, tables in SETS.items()}
    speed = {name: measure_speed(texts) for name, texts in load_texts(options.data).items()}
    result = {"seed": SEED, "repeats": REPEATS, "machine": platform.platform(), "accuracy": accuracy, "speed": speed}
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
