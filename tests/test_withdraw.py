"""Taking a version back: what only it had is gone, other versions stay, and its number is never used again."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.small import make_store, tables

from tratree_data import check, open_release, publish, withdraw
from tratree_data.errors import BadInputError, NotFoundError

SECRET = "canary-of-a-secret"
SAFE = [("t", attempt, attempt / 2, [("a", "", f"go {attempt}")]) for attempt in range(3)]
LEAKED = [*SAFE, ("u", 0, 1.0, [(f"the door says {SECRET}", "", "go")])]


def files_with(folder: Path, word: str) -> list[str]:
    import pyarrow.parquet as pq

    def text(path: Path) -> str:
        return str(pq.read_table(path).to_pylist()) if path.suffix == ".parquet" else path.read_bytes().decode("latin-1")

    return [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file() and word in text(path)]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Version 0.1.0 is safe, 0.2.0 is not."""
    make_store(tmp_path / "safe", *tables(SAFE))
    make_store(tmp_path / "leaked", *tables(LEAKED))
    publish(tmp_path / "safe", tmp_path / "release", "0.1.0", title="x")
    publish(tmp_path / "leaked", tmp_path / "release", "0.2.0", title="x")
    return tmp_path / "release"


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".lock" not in path.name
    }


def test_the_latest_version_goes_and_the_one_before_is_shown(release: Path, tmp_path: Path) -> None:
    (release / "NOTES.txt").write_text("mine")
    assert files_with(release, SECRET)
    report = withdraw(release, "0.2.0", reason="a secret")
    assert report.changed
    assert files_with(release, SECRET) == []
    assert (release / "NOTES.txt").read_text() == "mine"
    publish(tmp_path / "safe", tmp_path / "fresh", "0.1.0", title="x")
    marks = {"NOTES.txt", "versions/withdrawn.json"}
    assert {name: content for name, content in snapshot(release).items() if name not in marks} == snapshot(tmp_path / "fresh")
    assert json.loads((release / "versions" / "withdrawn.json").read_text()) == {"0.2.0": {"reason": "a secret", "files": {}}}
    assert not any(row["offending_rows"] for row in check(release).to_pylist())
    with pytest.raises(NotFoundError, match="withdrawn: a secret"):
        open_release(f"{release}@0.2.0")
    assert not withdraw(release, "0.2.0").changed


def test_its_number_is_never_used_again(release: Path, tmp_path: Path) -> None:
    withdraw(release, "0.2.0")
    with pytest.raises(BadInputError, match=r"(?s)was withdrawn \(no reason given\).*--version 0\.2\.1"):
        publish(tmp_path / "leaked", release, "0.2.0", title="x")
    with pytest.raises(BadInputError, match=r"is not above 0\.2\.0"):
        publish(tmp_path / "leaked", release, "0.1.5", title="x")
    publish(tmp_path / "leaked", release, "0.2.1", title="x")
    assert open_release(release).count("rollouts") == 4


def test_an_older_version_goes_and_the_latest_stays(release: Path) -> None:
    before = snapshot(release)
    withdraw(release, "0.1.0")
    kept = {name: content for name, content in before.items() if not name.startswith("versions/0.1.0/")}
    assert {name: content for name, content in snapshot(release).items() if name != "versions/withdrawn.json"} == kept


def test_the_only_version_leaves_an_empty_release(tmp_path: Path) -> None:
    make_store(tmp_path / "leaked", *tables(LEAKED))
    publish(tmp_path / "leaked", tmp_path / "release", "0.1.0", title="x")
    withdraw(tmp_path / "release", "0.1.0")
    assert list(snapshot(tmp_path / "release")) == ["versions/withdrawn.json"]
    with pytest.raises(BadInputError, match="was withdrawn"):
        publish(tmp_path / "leaked", tmp_path / "release", "0.1.0", title="x")
    publish(tmp_path / "leaked", tmp_path / "release", "0.1.1", title="x")


def test_what_is_no_release_is_left_alone(release: Path, tmp_path: Path) -> None:
    (tmp_path / "app" / "versions").mkdir(parents=True)
    (tmp_path / "app" / "models.py").write_text("x")
    for target, version in ((tmp_path / "app", "0.1.0"), (tmp_path / "nowhere", "0.1.0"), (release, "9.9.9"), (tmp_path / "safe", "0.1.0")):
        with pytest.raises((NotFoundError, BadInputError)):
            withdraw(target, version)
    assert (tmp_path / "app" / "models.py").read_text() == "x"
    with pytest.raises(BadInputError, match="not a version"):
        withdraw(release, "../x")


KILLED = """
import os, signal, sys
left = int(sys.argv[2])
def audit(event, arguments):
    global left
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if (writes or event in ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link")) and sys.argv[1] in str(arguments[0]):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
from tratree_data import withdraw
sys.addaudithook(audit)
withdraw(sys.argv[1], "0.2.0", reason="a secret")
print(int(sys.argv[2]) - left)
"""


@pytest.mark.parametrize("removed", range(5))
def test_a_withdrawal_that_ended_after_some_folders_went_is_finished_by_the_same_call(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: int
) -> None:
    whole = Path(shutil.copytree(release, tmp_path / "whole"))
    withdraw(whole, "0.2.0", reason="a secret")
    remove, left = shutil.rmtree, iter(range(removed))

    def killed(folder: Path) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        remove(folder)

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        withdraw(release, "0.2.0", reason="a secret")
    monkeypatch.undo()
    withdraw(release, "0.2.0", reason="a secret")
    assert files_with(release, SECRET) == []
    assert snapshot(release) == snapshot(whole)


@pytest.mark.slow
def test_a_withdrawal_killed_on_the_way_is_finished_by_the_same_call(release: Path, tmp_path: Path) -> None:
    def killed(folder: Path, call: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", KILLED, str(folder), str(call)]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, env=os.environ)

    whole = Path(shutil.copytree(release, tmp_path / "whole"))
    done = killed(whole, 10**6)
    assert done.returncode == 0, done.stderr
    calls = int(done.stdout)
    for call in sorted({1, 2, 3, 5, calls // 2, calls - 2, calls}):
        folder = Path(shutil.copytree(release, tmp_path / f"killed-{call}"))
        assert killed(folder, call).returncode == -signal.SIGKILL, call
        withdraw(folder, "0.2.0", reason="a secret")
        assert snapshot(folder) == snapshot(whole), call
