"""`tratree audit DIR --suggest`: normalisers that the log supports, ranked by the merges they add, and those that it speaks against."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from tratree_data.store.release import open_dataset
from tratree_data.trees.built_with import last_settings
from tratree_data.trees.learned_rules import SAMPLED_TREES, learn_rules

COLUMNS = pa.schema(
    [
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


def suggest(directory: str | Path, *, trees: int = SAMPLED_TREES) -> Suggestions:
    """Rules that would make observations equal that differ in noise only, beside those the trees were built with."""
    store = open_dataset(str(directory))
    store.need("rollouts", "steps")
    given = last_settings(store).normalise
    found = learn_rules(store, given, min(trees, SAMPLED_TREES))
    accepted = sorted((s for s in found if not s.rejected), key=lambda s: (-s.merges, s.rule))
    rows = [
        {
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
    return Suggestions(
        pa.Table.from_pylist(rows, schema=COLUMNS),
        _advise(str(directory), [*given, *(s.rule for s in found if not s.rejected)], len(accepted)),
    )


def _advise(directory: str, rules: list[str], accepted: int) -> str:
    if not accepted:
        return "no difference between siblings passes the tests of noise (docs/trees.md)"
    options = " ".join(f"--normalise {shlex.quote(rule)}" for rule in rules)
    return f"Next: tratree build {shlex.quote(directory)} --normalise auto, or in full:\ntratree build {shlex.quote(directory)} {options}"
