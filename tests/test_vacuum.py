"""Vacuum: what readers of kept versions need stays, whatever was killed, whoever writes; all else goes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from deltalake import DeltaTable
from helpers.commits import append, cut_off, one_rollout, other_writer
from helpers.small import make_store

from tratree_data import vacuum
from tratree_data.errors import BadInputError, NotFoundError, StoreBusyError
from tratree_data.store.reader import open_store
from tratree_data.store.schemas import empty_table
from tratree_data.store.writing.parquet_files import new_file, write_parquet
from tratree_data.store.writing.writer import commit, create_store, writing


def parquet_files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*.parquet")}


def overwrite(directory: Path, number: int) -> int:
    """A commit of both tables that replaces what was there by `number` + 1 rollouts; returns the version of steps."""
    rollouts, steps = one_rollout(f"task {number}")
    with writing(directory):
        store = commit(directory, "test", {"steps": [steps] * (number + 1), "rollouts": [rollouts] * (number + 1)}, settings={}, reads={})
    return store.version("steps")


def age(directory: Path, table: str, version: int, days: float) -> None:
    """The version, and the ones before it, as if committed some days ago."""
    for number in range(version + 1):
        log = directory / table / "_delta_log" / f"{number:020}.json"
        first, *rest = log.read_text().splitlines(keepends=True)
        stamp = first.split('"timestamp":')[1].split(",")[0]
        log.write_text("".join([first.replace(stamp, str(int(stamp) - int(days * 86_400_000))), *rest]))


def test_old_versions_go_and_kept_ones_can_be_read(tmp_path: Path) -> None:
    """Ten versions, the first six of them ten days old: the sixth was current seven days ago, so it stays."""
    create_store(tmp_path)
    versions = [overwrite(tmp_path, number) for number in range(10)]
    for table in ("steps", "rollouts"):
        age(tmp_path, table, versions[5] if table == "steps" else open_store(tmp_path).version("rollouts") - 4, 10)
    before = parquet_files(tmp_path)
    counted = vacuum(tmp_path, dry_run=True)
    assert parquet_files(tmp_path) == before
    report = vacuum(tmp_path)
    assert (report.changed, report.counts) == (True, counted.counts)
    assert report.counts["files"] == len(before) - len(parquet_files(tmp_path)) == 2 * sum(range(1, 6))
    assert report.counts["bytes"] > 0
    for number, version in list(enumerate(versions))[5:]:
        assert open_store(tmp_path, {"steps": version}).count("steps") == 2 * (number + 1)
        assert DeltaTable(tmp_path / "steps", version=version).to_pyarrow_table().num_rows == 2 * (number + 1)
    with pytest.raises(NotFoundError, match="no longer exists"):
        open_store(tmp_path, {"steps": versions[4]})
    assert vacuum(tmp_path).changed is False


def test_without_days_only_the_newest_version_stays_and_it_can_grow(tmp_path: Path) -> None:
    create_store(tmp_path)
    for number in range(3):
        overwrite(tmp_path, number)
    vacuum(tmp_path, keep_days=0)
    assert len(parquet_files(tmp_path)) == 6
    with writing(tmp_path):
        assert append(tmp_path, 1).count("steps") == 8


def test_appended_and_replaced_rows_stay(tmp_path: Path) -> None:
    """Versions that share files, and one whose files Delta rewrote, with the tree that it took out."""
    create_store(tmp_path)
    with writing(tmp_path):
        for number in range(4):
            store = append(tmp_path, number)
        gone = store.read("rollouts")["tree_id"][0].as_py()
        steps, rollouts = empty_table("steps"), empty_table("rollouts")
        commit(tmp_path, "test", {"rollouts": rollouts}, settings={}, reads={}, replace_trees=[gone])
    before = [open_store(tmp_path).read(table).to_pylist() for table in ("rollouts", "steps")]
    assert (len(before[0]), steps.num_rows) == (3, 0)
    assert vacuum(tmp_path, keep_days=1).changed is False
    assert vacuum(tmp_path, keep_days=0).counts["files"] == 1
    assert [open_store(tmp_path).read(table).to_pylist() for table in ("rollouts", "steps")] == before


def test_orphans_go_and_the_files_of_others_stay(tmp_path: Path) -> None:
    make_store(tmp_path, *one_rollout())
    for table in ("steps", "pairs"):  # pairs: files of a table whose first commit never came
        write_parquet(empty_table(table), table, new_file(tmp_path, table))
    write_parquet(empty_table("nodes"), "nodes", new_file(tmp_path / ".building", "nodes"))
    (tmp_path / "steps" / "notes.txt").write_text("mine")
    assert vacuum(tmp_path).counts["files"] == 3
    assert (tmp_path / "steps" / "notes.txt").read_text() == "mine"
    assert len(parquet_files(tmp_path)) == 2


@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_what_a_kill_left_goes_and_what_readers_see_stays(tmp_path: Path, mode: str) -> None:
    """Steps were committed, rollouts were not: Delta's newest version of steps is one that nobody sees."""
    create_store(tmp_path)
    with writing(tmp_path):
        seen = append(tmp_path, 0).read("steps").to_pylist()
    cut_off(tmp_path, 1, append=mode == "append")
    assert vacuum(tmp_path, keep_days=0).counts["files"] == 2  # steps were committed, rollouts only written
    assert open_store(tmp_path).read("steps").to_pylist() == seen
    assert DeltaTable(tmp_path / "steps").to_pyarrow_table().to_pylist() == seen
    with writing(tmp_path):
        assert append(tmp_path, 2).count("steps") == 4


def test_a_first_commit_that_was_cut_off_goes(tmp_path: Path) -> None:
    create_store(tmp_path)
    cut_off(tmp_path, 1)
    assert vacuum(tmp_path).counts["files"] == 2
    with writing(tmp_path):
        assert append(tmp_path, 2).count("steps") == 2


def test_nothing_goes_while_another_process_writes(tmp_path: Path) -> None:
    make_store(tmp_path, *one_rollout())
    written = new_file(tmp_path, "steps")
    with other_writer(tmp_path):
        write_parquet(empty_table("steps"), "steps", written)
        for dry_run in (True, False):
            with pytest.raises(StoreBusyError, match="Another process is writing"):
                vacuum(tmp_path, keep_days=0, dry_run=dry_run)
    assert written.exists()


def test_a_reader_that_was_there_before_reads_on(tmp_path: Path) -> None:
    """Within the kept days, whatever is committed and vacuumed meanwhile."""
    create_store(tmp_path)
    overwrite(tmp_path, 0)
    reader = open_store(tmp_path)
    overwrite(tmp_path, 1)
    assert vacuum(tmp_path).changed is False
    assert reader.count("steps") == 2


@pytest.mark.parametrize("days", [-1, float("nan"), float("inf")])
def test_senseless_days_are_refused(tmp_path: Path, days: float) -> None:
    make_store(tmp_path, *one_rollout())
    with pytest.raises(BadInputError, match="keep-days 7"):
        vacuum(tmp_path, keep_days=days)


def test_the_verb_says_what_went(tmp_path: Path) -> None:
    create_store(tmp_path)
    for number in range(2):
        overwrite(tmp_path, number)
    command = [str(Path(sys.executable).parent / "tratree"), "vacuum", str(tmp_path), "--keep-days", "0"]
    dry = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "100"})
    assert "vacuum: 2 files" in dry.stderr
    assert "dry run" in dry.stderr
    assert len(parquet_files(tmp_path)) == 6
    started = time.time()
    subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(parquet_files(tmp_path)) == 4
    assert time.time() - started < 30
    with pytest.raises(NotFoundError, match="No such folder"):
        vacuum(tmp_path / "none")
