"""Rules of `tratree check` that compare texts: they find what is equal word for word, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from helpers.small import make_store, tables

from tratree_data.preferences.pairs import pairs
from tratree_data.store.checks import check
from tratree_data.store.reader import open_store
from tratree_data.store.writing.writer import commit, writing
from tratree_data.tree_search.search import search
from tratree_data.trees.build import build

Row = dict[str, Any]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    attempts = [(f"t{task}", i, float(i), [("here", "hm", f"go {i}"), ("there", "", "stop")]) for task in range(2) for i in range(2)]
    make_store(tmp_path, *tables(attempts))
    build(tmp_path, embedder="exact")
    search(tmp_path)
    pairs(tmp_path)
    return tmp_path


def offending(folder: Path, rule: str) -> int:
    return next(int(row["offending_rows"]) for row in check(folder).to_pylist() if row["check"] == rule)


def with_copy(folder: Path, table: str, chosen: Callable[[Row], bool], **changes: Any) -> None:
    """Adds a copy of the first chosen row, but for its node_id and these values."""
    rows = open_store(folder).read(table)
    row = next(row for row in rows.to_pylist() if chosen(row))
    more = pa.Table.from_pylist([row | {"node_id": "f" * 16} | changes], schema=rows.schema)
    with writing(folder):
        commit(folder, "break", {table: pa.concat_tables([rows, more])}, settings={}, reads={})


@pytest.mark.parametrize(("changes", "found"), [({}, 1), ({"action": "go elsewhere"}, 0), ({"observation": "not here"}, 0)])
def test_equal_siblings_are_found(dataset: Path, changes: Row, found: int) -> None:
    assert not offending(dataset, "equal_siblings")
    with_copy(dataset, "nodes", lambda row: row["depth"] == 1, **changes)
    assert offending(dataset, "equal_siblings") == found


@pytest.mark.parametrize(("changes", "found"), [({"label": False}, 1), ({"label": True}, 0)])
def test_contradicting_labels_are_found(dataset: Path, changes: Row, found: int) -> None:
    assert not offending(dataset, "contradicting_labels")
    with_copy(dataset, "step_labels", lambda row: bool(row["label"]), **changes)
    assert offending(dataset, "contradicting_labels") == found


def test_a_pair_with_equal_sides_breaks_its_own_rule_only(dataset: Path) -> None:
    rows = open_store(dataset).read("pairs")
    equal = [row | {"rejected": row["chosen"]} for row in rows.to_pylist()]
    with writing(dataset):
        commit(dataset, "break", {"pairs": pa.Table.from_pylist(equal, schema=rows.schema)}, settings={}, reads={})
    assert (offending(dataset, "equal_pair_sides"), offending(dataset, "pair_prompts")) == (len(equal), 0)
