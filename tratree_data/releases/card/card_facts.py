"""What a reader wants to know before they use or cite a dataset: what acted and where, an example, its limits, and which rows to train on.

Sentences are plain text, for the card, which makes them safe, and for croissant.json.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tratree_data.files import read_text
from tratree_data.messages import row_text
from tratree_data.releases.card.about import About
from tratree_data.releases.card.markdown import preformatted
from tratree_data.results import counted
from tratree_data.store.published.manifest import Manifest
from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import Store
from tratree_data.system.plain_text import NEWLINE_MARK
from tratree_data.trees import stats

VIEWER_BYTES = 1_000_000
"""Most characters that the Hub's viewer shows of a cell; it cuts longer ones."""
NAMES_SHOWN = 5
LONGEST_TEXT, LONGEST_ACTION, LONGEST_PROMPT = 600, 300, 2_000
STEPS_SHOWN = 8
PARTS = (("saw", "observation"), ("thought", "thought"), ("did", "action"))
ACTORS = {
    "scripted": "scripts ({names}), which are not language models",
    "expert": "experts that know the solution",
    "model": "models ({names})",
    "unknown": "agents whose models the logs do not name{names}",
}
UNNAMED = "imported"
"""The agent of rollouts whose log names none."""
WRITTEN_BY_SCRIPTS = "Scripts wrote the thoughts and actions from templates, not language models; environments wrote the observations."
WRITTEN_BY_AGENTS = "Agents wrote the thoughts and actions, and environments the observations; nobody has read them all."


def ask(store: Store, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = store.sql(read_text("publish/queries", f"{name}.sql")).to_pylist()
    return rows


def actors(store: Store) -> tuple[str, str]:
    """(what acted, who wrote the texts)"""
    rows = ask(store, "card_actors")
    parts = [
        f"{counted(row['rollouts'], 'rollouts')} by {ACTORS[row['actor']].format(names=_names(row['names'], row['actor']))}" for row in rows
    ]
    only_scripts = {row["actor"] for row in rows} <= {"scripted", "expert"}
    return "; ".join(parts), WRITTEN_BY_SCRIPTS if only_scripts else WRITTEN_BY_AGENTS


def _names(names: list[str], actor: str) -> str:
    if actor == "unknown":
        own = [name for name in names if name != UNNAMED]
        return f" ({_names(own, 'agent')})" if own else ""
    more = f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more


def judges(store: Store) -> str:
    """Where the scores come from."""
    given = ask(store, "card_judges") if store.has("rollout_scores") else []
    sources = ", ".join(f"{row['source']} ({counted(row['rollouts'], 'rollouts')})" for row in given)
    own = store.sql("SELECT count(*) AS n FROM rollouts WHERE score IS NOT NULL")["n"][0].as_py()
    words = [f"Scores were given afterwards by {sources}"] if given else []
    words += [f"{'Other scores' if given else 'Scores'} come from the environment or log"] if own or not given else []
    return "; ".join([*words, "a mean over few rollouts is uncertain"])


def imported(store: Store) -> str:
    """From which logs the rollouts come; nothing if they were explored."""
    return ", ".join(f"{row['format']} ({counted(row['rollouts'], 'rollouts')})" for row in ask(store, "card_formats"))


def environments(store: Store, about: About) -> list[dict[str, str]]:
    """Each environment with its version, a sentence about it, and the instructions that agents got there."""
    return [
        {
            "name": row["environment"],
            "version": row["environment_version"],
            "text": about.environments.get(row["environment"], ""),
            "prompt": preformatted(row["prompt"], LONGEST_PROMPT) if row["prompt"].strip() else "",
        }
        for row in ask(store, "card_environments")
    ]


def example_pair(store: Store) -> dict[str, Any] | None:
    """The pair that is easiest to read, ready for the card."""
    if not (store.has("pairs") and store.count("pairs")):
        return None
    (pair,) = ask(store, "card_pair")
    return pair | {side: preformatted(row_text(pair[side]), LONGEST_TEXT) for side in ("prompt", "chosen", "rejected")}


def example_trajectory(store: Store) -> dict[str, Any] | None:
    """A short rollout, its steps as one text."""
    steps = ask(store, "card_trajectory")
    if not steps:
        return None
    first = steps[0]
    shown = [
        "\n".join(f"{name:<8}{_one_line(step[column])}" for name, column in PARTS if step[column].strip()) for step in steps[:STEPS_SHOWN]
    ]
    if len(steps) > STEPS_SHOWN:
        shown.append(f"… and {len(steps) - STEPS_SHOWN:,} more steps")
    return {**first, "steps": len(steps), "text": preformatted("\n\n".join(shown), len(shown) * 4 * LONGEST_ACTION)}


def _one_line(text: str) -> str:
    line = f" {NEWLINE_MARK} ".join(part.strip() for part in text.splitlines() if part.strip())
    return line if len(line) <= LONGEST_ACTION else f"{line[: LONGEST_ACTION - 1]}…"


def training_rows(store: Store) -> dict[str, Any]:
    """Which rows plain TRL trains on correctly: pairs whose sides are single answers, and demonstrations that each count once."""
    rows: dict[str, Any] = {"pairs": {}, "demonstrations": []}
    if store.has("pairs"):
        counted = store.sql("SELECT kind, count(*) AS rows FROM pairs GROUP BY kind ORDER BY kind").to_pylist()
        rows["pairs"] = {row["kind"]: row["rows"] for row in counted}
    if store.has("demonstrations"):
        *rows["demonstrations"], every = ask(store, "card_kinds")
        rows["different"] = every["different"]
    return rows


def limits(store: Store, manifest: Manifest) -> list[str]:
    """What a reader must not conclude from these data."""
    said = [f"{text}." for text, _ in stats.limits(store)] if store.has("nodes") else []
    (overview,) = query(store, "overview").to_pylist()
    unscored = overview["rollouts"] - overview["scored"]
    if unscored:
        said.append(f"{unscored:,} of {overview['rollouts']:,} rollouts have no score; search and pairs leave them out.")
    return [*said, *beyond_the_viewer(store, manifest)]


def beyond_the_viewer(store: Store, manifest: Manifest) -> Iterator[str]:
    """What the Hub's viewer cannot show completely. Tables whose shards record how long their rows are need not be read."""
    for name in manifest.tables:
        if any(shard.longest_row is None or shard.longest_row > VIEWER_BYTES for shard in manifest.shards(name)):
            long = f"SELECT count(*) AS n FROM {name} AS t WHERE strlen(to_json(t)::VARCHAR) > $most"
            count = store.sql(long, {"most": VIEWER_BYTES}).to_pylist()[0]["n"]
            if count:
                yield f"{count:,} rows of {name} are longer than 1 MB: the Hub's viewer cuts them, load_dataset does not."
    if store.has("traces"):
        count = store.sql("SELECT count(*) AS n FROM traces WHERE trace IS NULL").to_pylist()[0]["n"]
        if count:
            yield f"{count:,} sessions are too long for a row of traces: messages and trace are NULL, and file_path names the file."


def leaks(report: Mapping[str, Any], splits: Mapping[str, str]) -> str:
    """Nothing if there is only one split, and so no leak."""
    if len(set(splits.values())) < 2:
        return ""
    counts = {"task": 0, "instruction": 0, "near": 0}
    for leak in report["leaks"]:
        counts[leak["kind"]] += 1
    compared = f"All tasks of the splits {', '.join(sorted(set(splits.values())))} were compared"
    if not any(counts.values()):
        return f"{compared}: no task and no instruction is in two of them, nor nearly the same one."
    words = {"task": "tasks", "instruction": "instructions", "near": "pairs of nearly equal instructions"}
    found = ", ".join(f"{count:,} {words[kind]}" for kind, count in counts.items() if count)
    return f"{compared}. In two of them: {found} (reports/release.json lists them)."


def redacted(report: Mapping[str, Any]) -> str:
    kinds: dict[str, int] = {}
    for finding in report["redacted"]:
        kinds[finding["kind"]] = kinds.get(finding["kind"], 0) + finding["count"]
    return ", ".join(f"{count:,} × {kind}" for kind, count in sorted(kinds.items()))


def citation(title: str, version: str, address: str, about: About) -> str:
    """BibTeX of this version, with placeholders for what only the publisher knows."""
    name = bibtex_words(title.replace("/", ""))
    authors = " and ".join(map(bibtex_words, about.authors))
    lines = {
        "title": name,
        "author": authors or f"{{The publisher of {name}}}",
        "version": version,
        **({"year": str(about.published.year)} if about.published else {}),
        "doi": bibtex_words(about.doi) or "to be assigned",
        **({"howpublished": bibtex_words(address)} if address else {}),
        "note": f"Dataset, version {version}",
    }
    key = "".join(c for c in title.lower() if c.isascii() and c.isalnum())[:40] or "dataset"
    return f"@misc{{{key},\n" + ",\n".join(f"  {field:<12} = {{{value}}}" for field, value in lines.items()) + "\n}"


def bibtex_words(text: str) -> str:
    """Without the characters that have a meaning in BibTeX or Markdown."""
    return " ".join(re.sub(r"[^\w\s.,:;'()+&/@-]", "", text).split())
