"""Portions and parts: whole trees, each once, however the rows lie; and no file left behind by what fails."""

import random
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from helpers.sample_trees import rollout
from helpers.tree_tables import make_tables

from tratree_data.errors import TratreeError
from tratree_data.messages import answer, answers
from tratree_data.preferences.pair_filters import PairSettings
from tratree_data.preferences.pair_selection import make_pair_chunk
from tratree_data.preferences.pairs import pair_trees
from tratree_data.preferences.rendering import WITH_TEXTS
from tratree_data.store.checks import check
from tratree_data.store.chunks import tree_chunks
from tratree_data.store.chunks.tree_chunks import read_chunks
from tratree_data.store.reader import open_store
from tratree_data.store.writing import staged as parts_module
from tratree_data.store.writing.parquet_files import new_file
from tratree_data.store.writing.staged import StagedFiles
from tratree_data.store.writing.writer import commit, create_store, writing
from tratree_data.tree_search.search import search

SEED = 7


@pytest.fixture
def scattered(tmp_path):
    """Thirty trees; rows of every table shuffled over three files of many small row groups, so that no tree lies together."""
    print(f"seed {SEED}")
    shuffle = random.Random(SEED)
    trees = [[rollout(f"t{t}", i, "abc"[i % 3] + "xyz"[(i + t) % 3] * (i % 4), (i * 7 + t) % 5 / 4) for i in range(7)] for t in range(30)]
    tables = make_tables(trees)
    create_store(tmp_path)
    files: dict[str, list[Path]] = {}
    for name in ("rollouts", "step_nodes", "nodes"):
        order = list(range(tables[name].num_rows))
        shuffle.shuffle(order)
        for part in range(3):
            path = new_file(tmp_path, name)
            pq.write_table(tables[name].take(order[part::3]), path, row_group_size=17)
            files.setdefault(name, []).append(path)
    with writing(tmp_path):
        commit(tmp_path, "build", files, settings={}, reads={})
    return tmp_path, tables


@pytest.mark.parametrize("nodes_per_chunk", [1, 20, 10_000])
def test_chunks_hold_every_tree_once_and_whole(scattered, nodes_per_chunk: int) -> None:
    folder, tables = scattered
    seen: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    found = []
    for chunk in read_chunks(open_store(folder), WITH_TEXTS, nodes_per_chunk):
        names = {name: set(table["tree_id"].to_pylist()) for name, table in chunk.items()}
        assert names["nodes"] == names["step_nodes"] == names["rollouts"]
        seen.update(names["nodes"])
        rows.update({name: table.num_rows for name, table in chunk.items()})
        prepared = make_pair_chunk(chunk["nodes"], chunk["step_nodes"], chunk["rollouts"])
        found += [row for name, table in pair_trees(prepared, PairSettings(), Counter()) if name == "pairs" for row in table.to_pylist()]
    assert len(seen) == 30
    assert set(seen.values()) == {1}
    assert rows == Counter({name: table.num_rows for name, table in tables.items()})
    whole = make_pair_chunk(tables["nodes"], tables["step_nodes"], tables["rollouts"])
    expected = [row for name, table in pair_trees(whole, PairSettings(), Counter()) if name == "pairs" for row in table.to_pylist()]
    assert sorted(found, key=lambda row: row["pair_id"]) == sorted(expected, key=lambda row: row["pair_id"])


def test_trees_beside_one_that_was_rebuilt_are_read_as_before(scattered) -> None:
    """Delta writes their files anew, and texts in them as another type of Arrow's."""
    folder, tables = scattered
    before = pa.concat_tables(chunk["nodes"] for chunk in read_chunks(open_store(folder), WITH_TEXTS, 20))
    tree = tables["nodes"]["tree_id"][0]
    rebuilt = {name: tables[name].filter(pc.equal(tables[name]["tree_id"], tree)) for name in ("nodes", "step_nodes")}
    with writing(folder):
        commit(folder, "build", rebuilt, settings={}, reads={}, replace_trees=[tree.as_py()])
    after = pa.concat_tables(chunk["nodes"] for chunk in read_chunks(open_store(folder), WITH_TEXTS, 20))
    assert after.sort_by("node_id").equals(before.sort_by("node_id"))


def test_worker_processes_give_the_rows_of_one(scattered, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = scattered
    monkeypatch.setattr(tree_chunks, "NODES_PER_CHUNK", 200)
    search(folder)
    store = open_store(folder)
    alone = {name: store.read(name) for name in ("node_values", "paths", "dropped")}
    with writing(folder):
        commit(folder, "search", {name: table.slice(0, 0) for name, table in alone.items()}, settings={}, reads={})
    assert search(folder, workers=2).changed
    store = open_store(folder)
    assert len(store.sources["node_values"].files) > 1, "several chunks"
    assert {name: store.read(name) for name in alone} == alone, "in the same order, too"
    assert check(folder, workers=2).equals(check(folder))


def write_parts(folder: Path, error: Exception | None) -> None:
    tables = make_tables([[rollout("t", 0, "ab", 1.0)]])
    with StagedFiles(folder, bytes_a_file=1) as parts:
        parts.add("nodes", tables["nodes"])
        parts.add("nodes", tables["nodes"])
        assert len(parts.files("nodes")) == 2
        if error is not None:
            raise error


def test_what_fails_leaves_no_file_behind(tmp_path) -> None:
    with pytest.raises(ValueError, match="half-way"):
        write_parts(tmp_path, ValueError("half-way"))
    assert list(tmp_path.rglob("*.parquet")) == []
    write_parts(tmp_path, None)
    assert len(list(tmp_path.rglob("*.parquet"))) == 2


def test_a_full_disk_is_the_users_to_mend(tmp_path, monkeypatch) -> None:
    def full(table: pa.Table, name: str, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parts_module, "write_parquet", full)
    with pytest.raises(TratreeError, match="No space left on device"):
        write_parts(tmp_path, None)
    assert list(tmp_path.rglob("*.parquet")) == []


def test_a_dataset_without_trees(tmp_path) -> None:
    tables = make_tables([[rollout("t", 0, "ab", 1.0)]])
    create_store(tmp_path)
    with writing(tmp_path):
        commit(tmp_path, "build", {name: tables[name].slice(0, 0) for name in ("rollouts", "step_nodes", "nodes")}, settings={}, reads={})
    assert search(tmp_path).counts == {"nodes": 0, "paths": 0, "dropped trees": 0}
    assert open_store(tmp_path).read("paths").num_rows == 0


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_many_answers_are_rendered_as_each_one_is(kind: pa.DataType) -> None:
    thoughts = ["", "so", None, "two\nlines", "Action: no"]
    actions = ["go", "", "stop", "say 'hi'\t", "look"]
    rendered = answers(pa.array(thoughts, kind), pa.array(actions, kind))
    assert rendered.type == kind
    assert rendered.to_pylist() == [
        None if thought is None else answer(thought, action) for thought, action in zip(thoughts, actions, strict=True)
    ]
    assert pc.sum(pc.is_null(rendered)).as_py() == 1
