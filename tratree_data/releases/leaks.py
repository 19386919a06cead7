"""Leaks between the splits of a dataset: nobody should train on what they evaluate on.

Three kinds, from worst to mildest: one task in two splits, one instruction in two splits, and instructions of two splits that share
nearly all their words.
"""

from dataclasses import dataclass

from tratree_data.files import read_text
from tratree_data.store.reader import Store

MIN_JACCARD = 0.9
KINDS = {"task": "the same task", "instruction": "the same instruction", "near": "nearly the same instruction"}


@dataclass(frozen=True)
class Leak:
    kind: str
    environment: str
    task_id: str
    split: str
    other_task_id: str
    other_split: str
    similarity: float


def find_leaks(store: Store, min_jaccard: float = MIN_JACCARD) -> list[Leak]:
    """Each pair of splits and instructions once, with one task of each as the example."""
    rows = store.sql(read_text("publish/queries", "leaks.sql"), {"min_jaccard": min_jaccard}).to_pylist()
    return [Leak(**row) for row in rows]
