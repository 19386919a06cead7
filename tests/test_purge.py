"""`delete --purge`: what it removes is gone from the disk, and one that was killed anywhere is finished by the same command."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from helpers.small import tables

from tratree_data import build, check, delete, open_store, search
from tratree_data.errors import NotFoundError
from tratree_data.store.reader import open_store as open_dataset
from tratree_data.store.upkeep.purges import MARK
from tratree_data.store.writing.writer import commit, create_store, writing

CANARY = "canary7e1"
KILLED = """
import os, signal, sys
from pathlib import Path
import tratree_data.store.writing.delta_tables as delta_tables
import tratree_data.store.writing.writer as writer
from tratree_data import delete

left = int(sys.argv[2])
def count(*_):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

def counted(function):
    def call(*arguments, **options):
        count()
        return function(*arguments, **options)
    return call

def audit(event, arguments):
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes or event in ("os.remove", "os.rename", "os.rmdir", "os.mkdir"):
        if str(arguments[0]).startswith(sys.argv[1]):
            count()

for name in ("create_table", "_commit_files", "write_parquet", "sync"):  # Delta writes without an audit event
    setattr(writer, name, counted(getattr(writer, name)))
delta_tables.undo_leftovers = counted(delta_tables.undo_leftovers)
sys.addaudithook(audit)
delete(sys.argv[1], [sys.argv[3]], purge=True)
sys.stdout.write(str(int(sys.argv[2]) - left))
"""


def add(folder: Path, *tasks: str) -> None:
    attempts = [
        (task, attempt, float(attempt), [(f"{task} hall", f"{task} thought", f"{task} door")]) for task in tasks for attempt in (0, 1)
    ]
    rollouts, steps = tables(attempts)
    names = [f"{task}-{attempt}" for task in tasks for attempt in (0, 1)]
    rollouts = rollouts.set_column(rollouts.schema.get_field_index("rollout_id"), rollouts.schema.field("rollout_id"), [names])
    steps = steps.set_column(steps.schema.get_field_index("rollout_id"), steps.schema.field("rollout_id"), [names])
    create_store(folder)
    with writing(folder):
        commit(folder, "import", {"steps": steps, "rollouts": rollouts}, settings={}, reads={}, append=True)
    build(folder, embedder="exact")
    search(folder)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grown twice, so that Delta itself has rewritten files in which the task is."""
    folder = tmp_path_factory.mktemp("purge") / "d"
    add(folder, "kept", CANARY)
    add(folder, "later")
    add(folder, "last")
    return folder


def places(folder: Path, word: str) -> list[str]:
    """Files in which the word is, decompressed or as it stands, Parquet's own statistics and Delta's log included."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        said = path.name + str(path.read_bytes())
        if path.suffix == ".parquet":
            said += str(pq.read_table(path).to_pylist()) + str(pq.read_metadata(path).to_dict())
        if word in said:
            found.append(str(path.relative_to(folder)))
    return found


def content(folder: Path) -> dict[str, list[str]]:
    store = open_dataset(folder)
    return {table: sorted(map(str, store.read(table).to_pylist())) for table in sorted(store.sources)}


def broken(folder: Path) -> list[str]:
    return [row["check"] for row in check(folder).to_pylist() if row["offending_rows"]]


def killed_purge(folder: Path, call: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", KILLED, str(folder), str(call), CANARY]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, env=os.environ)


def test_no_byte_of_a_purged_task_stays(dataset: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(dataset, tmp_path / "d"))
    assert places(folder, CANARY)
    delete(folder, [CANARY], purge=True)
    assert places(folder, CANARY) == []
    assert broken(folder) == []
    assert not (folder / MARK).exists()
    for table in open_store(folder).sources:
        assert DeltaTable(folder / table).to_pyarrow_table().num_rows == open_store(folder).count(table)
    add(folder, "more")
    assert open_store(folder).count("rollouts") == 8


def check_killed_at(dataset: Path, folder: Path, call: int, undisturbed: dict[str, list[str]]) -> None:
    shutil.copytree(dataset, folder)
    assert killed_purge(folder, call).returncode == -signal.SIGKILL, call
    marked = (folder / MARK).exists()
    assert ("purge" in broken(folder)) == marked, call
    if not marked and not places(folder, CANARY):  # killed after its work was done
        with pytest.raises(NotFoundError):
            delete(folder, [CANARY], purge=True)
    else:
        delete(folder, [CANARY], purge=True)
    assert content(folder) == undisturbed, call
    assert broken(folder) == [], call
    assert places(folder, CANARY) == [], call
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def undisturbed(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[str]], int]:
    """What an undisturbed purge leaves, and how many file-changing calls it makes."""
    folder = Path(shutil.copytree(dataset, tmp_path_factory.mktemp("undisturbed") / "d"))
    done = killed_purge(folder, 1_000_000)
    assert done.returncode == 0, done.stderr
    return content(folder), int(done.stdout)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
def test_a_purge_killed_on_the_way_is_finished_by_the_same_command(dataset, tmp_path, undisturbed, share) -> None:
    content_then, calls = undisturbed
    check_killed_at(dataset, tmp_path / "d", 1 + round(share * (calls - 1)), content_then)


@pytest.mark.slow
def test_a_purge_killed_at_every_call_is_finished_by_the_same_command(dataset, tmp_path, undisturbed) -> None:
    content_then, calls = undisturbed
    for call in range(1, calls + 1):
        check_killed_at(dataset, tmp_path / "d", call, content_then)


def test_another_purge_finishes_one_that_was_killed(dataset: Path, tmp_path: Path, undisturbed: tuple[dict[str, list[str]], int]) -> None:
    folder = Path(shutil.copytree(dataset, tmp_path / "d"))
    assert killed_purge(folder, undisturbed[1] - 3).returncode == -signal.SIGKILL
    assert (folder / MARK).exists()
    delete(folder, ["later"], purge=True)
    assert (places(folder, CANARY), places(folder, "later"), broken(folder)) == ([], [], [])


def test_an_unknown_task_is_reported_also_while_a_purge_is_unfinished(dataset: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(dataset, tmp_path / "d"))
    assert killed_purge(folder, 10).returncode == -signal.SIGKILL
    with pytest.raises(NotFoundError, match="no task 'nobody'"):
        delete(folder, ["nobody"], purge=True)
