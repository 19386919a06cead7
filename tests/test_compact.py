"""Small files become large ones: the same rows in the same order, nothing out of date, whoever is killed or writes meanwhile."""

import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from helpers.commits import append, other_writer

from tratree_data import build, search, vacuum
from tratree_data.errors import StoreBusyError
from tratree_data.store.reader import open_store
from tratree_data.store.upkeep import compact
from tratree_data.store.writing.writer import commit, create_store, writing

COUNT = 18


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of many small imports."""
    directory = tmp_path_factory.mktemp("many") / "d"
    create_store(directory)
    with writing(directory):
        for number in range(COUNT):
            append(directory, number)
    return directory


@pytest.fixture
def small(many: Path, tmp_path: Path) -> Path:
    subprocess.run(["cp", "-r", str(many), str(tmp_path / "d")], check=True)
    return tmp_path / "d"


def rows(directory: Path) -> dict[str, list[dict[str, Any]]]:
    return {table: open_store(directory).read(table).to_pylist() for table in ("rollouts", "steps")}


def versions(directory: Path) -> dict[str, int]:
    return {table: source.version for table, source in open_store(directory).sources.items()}


def test_rows_order_and_versions_stay(small: Path) -> None:
    build(small, embedder="exact")
    search(small)
    before, named, reader = rows(small), versions(small), open_store(small)
    counted = vacuum(small, dry_run=True)
    assert f"{2 * COUNT} small files would become 2" in counted.notes
    assert rows(small) == before
    result = vacuum(small)
    assert f"{2 * COUNT} small files became 2" in result.notes
    assert (rows(small), versions(small)) == (before, named)
    assert all(len(open_store(small).sources[table].files) == 1 for table in before)
    assert reader.read("steps").num_rows == 2 * COUNT, "who had opened it reads on"
    for table, expected in before.items():
        assert DeltaTable(small / table).to_pyarrow_table().num_rows == len(expected)
        assert open_store(small, {table: named[table]}).read(table).to_pylist() == expected
        assert open_store(small, {table: named[table] - 1}).count(table) < len(expected)
    assert not build(small, embedder="exact").changed
    assert not search(small).changed
    assert not vacuum(small).changed
    assert vacuum(small, 0).counts["files"] >= 2 * COUNT
    assert open_store(small, {"steps": named["steps"]}).read("steps").to_pylist() == before["steps"], "also when the small files are gone"


def test_a_dataset_grows_on(small: Path) -> None:
    build(small, embedder="exact")
    search(small)
    vacuum(small, 0)
    with writing(small):
        append(small, COUNT)
    assert "1 tree rebuilt, the others unchanged" in build(small, embedder="exact").notes
    assert "1 tree new or changed, the others kept" in search(small).notes
    assert open_store(small).read("rollouts")["task_id"].to_pylist() == [f"task {number}" for number in range(COUNT, -1, -1)]
    tree = open_store(small).read("rollouts")["tree_id"][0].as_py()
    with writing(small):
        commit(small, "test", {"rollouts": open_store(small).read("rollouts").slice(0, 0)}, settings={}, reads={}, replace_trees=[tree])
    assert open_store(small).count("rollouts") == COUNT


@pytest.mark.parametrize("call", ["_put", "os.link", "read_files"])
def test_a_kill_changes_no_row_and_the_same_command_finishes(small: Path, call: str) -> None:
    """Killed after the first table, before its entry has its name, and while rows are copied."""
    before, named = rows(small), versions(small)
    code = f"""
import os, signal
import tratree_data.store.upkeep.compact as compact
from tratree_data import vacuum
real = compact.{call}
def dying(*arguments):
    {"real(*arguments)" if call == "_put" else "pass"}
    os.kill(os.getpid(), signal.SIGKILL)
compact.{call} = dying
vacuum({str(small)!r})
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (rows(small), versions(small)) == (before, named)
    result = vacuum(small, 0)
    assert any("became" in note for note in result.notes)
    assert (rows(small), versions(small)) == (before, named)
    assert all(len(list((small / table).glob("*.parquet"))) == 1 for table in before)


def test_two_writers(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with other_writer(small), pytest.raises(StoreBusyError, match="Another process is writing"):
        vacuum(small)
    before, real = rows(small), compact._put

    def late(log: Path, name: str, data: bytes) -> bool:
        """Another tool, which does not know our lock, commits in between."""
        (log / name).write_bytes((log / f"{int(name[:20]) - 1:020}.json").read_bytes())
        return real(log, name, data)

    monkeypatch.setattr(compact, "_put", late)
    with pytest.raises(StoreBusyError, match="has just written"):
        vacuum(small)
    assert len(before["rollouts"]) == COUNT


def test_rewriting_leaves_a_quarter_of_the_files_and_costs_little_in_the_long_run() -> None:
    chance = random.Random(5)
    sizes: list[int] = []
    rewritten = 0
    for _ in range(2_000):
        sizes.insert(0, chance.choice([10_000, 1_000_000, 5_000_000, 40_000_000]))
        if (count := compact.files_to_rewrite(sizes)) > 0:
            moved = sum(sizes[:count])
            large = [compact.LARGE] * (moved // compact.LARGE) + [moved % compact.LARGE or 1]
            assert len(large) <= count / compact.WORTH + 1
            rewritten, sizes = rewritten + moved, large + sizes[count:]
    assert len(sizes) <= compact.FEW + compact.WORTH * (sum(sizes) // compact.LARGE + 1)
    assert rewritten <= 6 * sum(sizes)
    assert compact.files_to_rewrite([compact.LARGE] * 500) == 0
    assert compact.files_to_rewrite([]) == 0
