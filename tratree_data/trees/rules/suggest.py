"""`tratree audit DIR --suggest` and `--actions`: normalisers that the log supports, ranked by merges added, and those that it refuses."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from tratree_data.errors import quoted
from tratree_data.store.published.release import open_dataset
from tratree_data.trees.built_with import last_settings
from tratree_data.trees.rules.learning import SAMPLED_TREES, learn_rules
from tratree_data.trees.rules.screening import Suggestion

COLUMNS = pa.schema(
    [
        ("compares", pa.string()),
        ("rule", pa.string()),
        ("accepted", pa.bool_()),
        ("merges", pa.int64()),
        ("pairs", pa.int64()),
        ("decisions", pa.int64()),
        ("one_text", pa.string()),
        ("other_text", pa.string()),
        ("futures", pa.string()),
        ("reason", pa.string()),
    ]
)


@dataclass(frozen=True)
class Suggestions:
    """`rules`: one row per rule, accepted ones first, by merges added; `advice`: what to type."""

    rules: pa.Table
    advice: str


def suggest(directory: str | Path, *, actions: bool = False, observations: bool = True, trees: int = SAMPLED_TREES) -> Suggestions:
    """Rules that would equate observations (or actions) that differ only in noise, in addition to those the trees were built with."""
    store = open_dataset(str(directory))
    store.need("rollouts", "steps")
    built = last_settings(store)
    seen, done = learn_rules(
        store, built.normalise, built.normalise_actions, observations=observations, actions=actions, trees=min(trees, SAMPLED_TREES)
    )
    rows = [*_rows("observations", seen), *_rows("actions", done)]
    options = [("--normalise", built.normalise, seen, observations), ("--normalise-actions", built.normalise_actions, done, actions)]
    return Suggestions(pa.Table.from_pylist(rows, schema=COLUMNS), _advise(str(directory), options))


def _rows(what: str, found: Sequence[Suggestion]) -> list[dict[str, object]]:
    accepted = sorted((s for s in found if not s.rejected), key=lambda s: (-s.merges, s.rule))
    return [
        {
            "compares": what,
            "rule": s.rule,
            "accepted": not s.rejected,
            "merges": s.merges,
            "pairs": s.pairs,
            "decisions": s.decisions,
            "one_text": s.examples[0][0] if s.examples else "",
            "other_text": s.examples[0][1] if s.examples else "",
            "futures": s.futures,
            "reason": s.rejected,
        }
        for s in (*accepted, *(s for s in found if s.rejected))
    ]


def _advise(directory: str, options: Sequence[tuple[str, Sequence[str], Sequence[Suggestion], bool]]) -> str:
    if not any(not s.rejected for _, _, found, _ in options for s in found):
        return "no difference between siblings passes the tests of noise (docs/noise.md)"
    automatic = " ".join(f"{option} auto" for option, _, _, asked in options if asked)
    rules = [(option, rule) for option, built, found, _ in options for rule in (*built, *(s.rule for s in found if not s.rejected))]
    full = " ".join(f"{option} {quoted(rule)}" for option, rule in rules)
    address = quoted(directory)
    return f"Next: tratree build {address} {automatic}, or in full:\ntratree build {address} {full}"
