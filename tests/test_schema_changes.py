"""Columns that were added later, and formats that renamed some: what was stored before stays readable."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from helpers.shop import build_all, import_rows, trajectories
from helpers.small import make_store, tables

from tratree_data import files
from tratree_data.editing.derive import delete, filter, merge
from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.releases.publish import publish
from tratree_data.store import schemas
from tratree_data.store.checks import check
from tratree_data.store.chunks.tree_chunks import read_chunks
from tratree_data.store.published.release import open_dataset, open_release
from tratree_data.store.reader import open_store
from tratree_data.store.schemas import arrow_schema
from tratree_data.store.writing.writer import commit, writing
from tratree_data.tree_search.search import search
from tratree_data.trees.build import build

STORES = Path(__file__).parent / "data/stores"
ADDED = {
    "rollouts": ("    attempt ", "    mood VARCHAR CHECK (mood <> ''),\n    attempt "),
    "steps": ("    PRIMARY KEY", "    effort DOUBLE CHECK (effort >= 0),\n    PRIMARY KEY"),
}


@pytest.fixture
def add_columns(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes this process a later version of tratree-data, whose schemas have two columns more."""
    folder = tmp_path_factory.mktemp("later") / "schemas"
    shutil.copytree(files.data_folder("schemas"), folder)
    for table, (before, after) in ADDED.items():
        text = (folder / f"{table}.sql").read_text()
        column = after.split()[0]
        changed = text.replace(before, after, 1) + f"COMMENT ON COLUMN {table}.{column} IS 'Added later.';\n"
        (folder / f"{table}.sql").write_text(changed)
    known = files.data_folder

    def add() -> None:
        monkeypatch.setattr(files, "data_folder", lambda name: folder if name == "schemas" else known(name))
        schemas.table_schema.cache_clear()
        assert all(after.split()[0] in arrow_schema(table).names for table, (_, after) in ADDED.items())

    return add


@pytest.fixture(autouse=True)
def _forget_added_columns() -> object:
    yield
    schemas.table_schema.cache_clear()


def grown(folder: Path) -> None:
    """A rollout of another task, with values in the new columns."""
    rollouts, steps = tables([("new", 0, 0.5, [("here", "", "go")])])
    rollouts = pa.Table.from_pylist([{**rollouts.to_pylist()[0], "rollout_id": "new", "mood": "fine"}], schema=arrow_schema("rollouts"))
    steps = pa.Table.from_pylist([{**steps.to_pylist()[0], "rollout_id": "new", "effort": 2.0}], schema=arrow_schema("steps"))
    with writing(folder):
        commit(folder, "test", {"steps": steps, "rollouts": rollouts}, settings={}, reads={}, append=True)


def broken(folder: Path) -> list[str]:
    return [row["check"] for row in check(folder).to_pylist() if row["offending_rows"]]


def test_a_column_added_later_is_null_in_older_files(tmp_path: Path, add_columns: Callable[[], None]) -> None:
    make_store(tmp_path / "d", *tables([("t", i, 1.0, [("here", "hm", f"go {i}"), ("there", "", "stop")]) for i in range(2)]))
    build(tmp_path / "d", embedder="exact")
    add_columns()
    store = open_store(tmp_path / "d")
    assert store.sql("SELECT DISTINCT mood FROM rollouts")["mood"].to_pylist() == [None]
    assert store.read("steps").schema == arrow_schema("steps")
    assert store.read("steps")["effort"].null_count == 4
    assert store.sql("SELECT comment FROM duckdb_columns() WHERE column_name = 'mood'")["comment"].to_pylist() == ["Added later."]
    chunk = next(read_chunks(store, {"nodes": ["tree_id", "node_id"], "rollouts": ["tree_id", "rollout_id", "mood"]}))
    assert chunk["rollouts"]["mood"].null_count == chunk["rollouts"].num_rows == 2

    grown(tmp_path / "d")
    store = open_store(tmp_path / "d")
    expected = [{"mood": None, "n": 2}, {"mood": "fine", "n": 1}]
    assert store.sql("SELECT mood, count(*) AS n FROM rollouts GROUP BY mood ORDER BY mood NULLS FIRST").to_pylist() == expected
    assert sorted(store.read("steps")["effort"].to_pylist(), key=str) == [2.0, None, None, None, None]
    assert build(tmp_path / "d", embedder="exact").changed
    assert search(tmp_path / "d").changed
    assert broken(tmp_path / "d") == []


def test_other_tools_see_an_added_column_and_keep_its_rule(tmp_path: Path, add_columns: Callable[[], None]) -> None:
    from deltalake import write_deltalake

    make_store(tmp_path, *tables([("t", 0, 1.0, [("here", "", "go")])]))
    add_columns()
    grown(tmp_path)
    delta = DeltaTable(tmp_path / "steps").to_pyarrow_table()
    assert sorted(delta["effort"].to_pylist(), key=str) == [2.0, None]
    bad = delta.to_pylist()[0] | {"effort": -1.0}
    with pytest.raises(Exception, match="effort"):
        write_deltalake(tmp_path / "steps", pa.Table.from_pylist([bad], schema=arrow_schema("steps")), mode="append")
    version = open_store(tmp_path).version("rollouts")
    grown_again = DeltaTable(tmp_path / "rollouts").version()
    assert version == grown_again, "the columns and rules were added once"


@pytest.mark.slow
def test_an_old_release_merges_with_a_dataset_that_has_more_columns(tmp_path: Path, add_columns: Callable[[], None]) -> None:
    import_rows(tmp_path / "old", trajectories([1]))
    publish(build_all(tmp_path / "old"), tmp_path / "release", "1.0.0")
    add_columns()
    store = open_release(tmp_path / "release")
    assert store.sql("SELECT count(*) AS n, count(mood) AS moods FROM rollouts").to_pylist() == [{"n": 4, "moods": 0}]
    assert store.read("steps")["effort"].null_count == store.count("steps")
    make_store(tmp_path / "new", *tables([("t", 0, 1.0, [("here", "", "go")])]))
    grown(tmp_path / "new")
    merge(tmp_path / "release", tmp_path / "new", tmp_path / "both")
    both = open_store(tmp_path / "both")
    assert both.sql("SELECT count(*) AS n, count(mood) AS moods FROM rollouts").to_pylist() == [{"n": 6, "moods": 1}]
    assert build_all(tmp_path / "both")
    assert broken(tmp_path / "both") == []
    assert publish(tmp_path / "both", tmp_path / "release", "2.0.0").changed
    assert open_release(tmp_path / "release").sql("SELECT count(mood) AS n FROM rollouts")["n"].to_pylist() == [1]


@pytest.mark.parametrize("name", ["format-1", "release-format-1"])
def test_an_older_format_keeps_its_rollouts_and_names_what_to_make_again(name: str) -> None:
    store = open_dataset(STORES / name)
    assert {table: store.count(table) for table in ("rollouts", "steps", "nodes", "pairs", "demonstrations")} == {
        "rollouts": 4, "steps": 12, "nodes": 12, "pairs": 2, "demonstrations": 2,
    }  # fmt: skip
    assert sorted(store.outdated) == ["node_values", "paths"]
    assert not store.has("paths")
    message = r"paths of .* is in an older format, in which some columns had other names.\nNext: tratree search .*format-1"
    for read in (lambda: store.need("paths"), lambda: store.read("paths"), lambda: store.sql("SELECT * FROM paths")):
        with pytest.raises(NotFoundError, match=message):
            read()
    assert "paths" not in repr(store)


@pytest.mark.parametrize("name", ["format-2", "release-format-2"])
def test_the_second_format_is_read_whole(name: str) -> None:
    store = open_dataset(STORES / name)
    assert not store.outdated
    counts = {table: store.count(table) for table in ("rollouts", "steps", "nodes", "paths", "pairs", "demonstrations")}
    assert counts == {"rollouts": 4, "steps": 12, "nodes": 12, "paths": 2, "pairs": 2, "demonstrations": 2}
    assert store.sql("SELECT count(best_end_score) AS n FROM node_values")["n"].to_pylist() == [12]


def test_a_dataset_in_an_older_format_is_brought_up_to_date_by_its_stages(tmp_path: Path) -> None:
    folder = shutil.copytree(STORES / "format-1", tmp_path / "format-1")
    assert broken(folder) == []
    with pytest.raises(BadInputError, match=r"Next: tratree search .* && tratree pairs .* && tratree demonstrations"):
        publish(folder, tmp_path / "release", "2.0.0")
    import_rows(folder, trajectories([4]))
    build_all(folder)
    store = open_store(folder)
    assert not store.outdated
    assert store.count("rollouts") == 8
    assert broken(folder) == []
    assert [field.name for field in DeltaTable(folder / "node_values").schema().fields] == arrow_schema("node_values").names
    assert not search(folder, simulations=20).changed
    assert publish(folder, tmp_path / "release", "2.0.0").changed


def test_merging_and_filtering_an_older_format_names_the_stages_to_run(tmp_path: Path) -> None:
    result = filter(STORES / "release-format-1", tmp_path / "copy", "true")
    assert [note for note in result.notes if note.startswith("to be run again: search, pairs, demonstrations, ")]
    assert open_store(tmp_path / "copy").count("nodes") == 12
    assert build_all(tmp_path / "copy")
    assert broken(tmp_path / "copy") == []


def test_deleting_a_task_leaves_nothing_of_it_in_a_table_of_an_older_format(tmp_path: Path) -> None:
    folder = shutil.copytree(STORES / "format-1", tmp_path / "format-1")
    task = open_store(folder).sql("SELECT min(task_id) AS task FROM rollouts")["task"][0].as_py()
    if open_store(folder).sql("SELECT count(DISTINCT task_id) AS n FROM rollouts")["n"][0].as_py() < 2:
        import_rows(folder, trajectories([9]))
    delete(folder, [task], purge=True)
    for table in ("node_values", "paths"):
        assert DeltaTable(folder / table).file_uris() == []
        assert not list((folder / table).glob("*.parquet"))
    build_all(folder)
    assert broken(folder) == []


def test_a_newer_format_is_refused_before_it_is_read(tmp_path: Path) -> None:
    release = shutil.copytree(STORES / "release-format-1", tmp_path / "release")
    manifest = json.loads((release / "lineage.json").read_text())
    (release / "lineage.json").write_text(json.dumps({**manifest, "format": 99, "unheard_of": 1}))
    with pytest.raises(BadInputError, match=r"format 99.*\n?.*pip install --upgrade tratree-data"):
        open_dataset(release)
