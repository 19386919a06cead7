"""A folder appears whole or not at all, and what could not be written is said the same way everywhere."""

import errno
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tratree_data.errors import BadInputError, TratreeError
from tratree_data.system.whole_folder import whole_folder

PACKAGE = Path(__file__).parents[1] / "tratree_data"


def test_the_folder_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "out"
    with whole_folder(target, "an export") as folder:
        (folder / "rows.jsonl").write_text("{}")
        assert not target.exists()
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["new", "new/out", "new/out/rows.jsonl"]


def test_an_empty_folder_is_filled_and_any_other_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with whole_folder(tmp_path / "empty", "an export") as folder:
        (folder / "a").touch()
    assert (tmp_path / "empty/a").is_file()
    (tmp_path / "file").write_text("mine")
    for taken in ("empty", "file"):
        with (
            pytest.raises(BadInputError, match=r"exists, but an export needs a new folder"),
            whole_folder(tmp_path / taken, "an export"),
        ):
            pytest.fail("the block must not run")
    assert (tmp_path / "file").read_text() == "mine"


def test_an_error_leaves_nothing_behind_and_a_full_disk_is_explained(tmp_path: Path) -> None:
    def fill(error: Exception) -> None:
        with whole_folder(tmp_path / "out", "an export") as folder:
            (folder / "half").write_text("x")
            raise error

    with pytest.raises(TratreeError, match=r"out could not be written: No space left on device\.\nNext: free some space"):
        fill(OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(ZeroDivisionError):
        fill(ZeroDivisionError())
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    code = (
        "import os, signal, pathlib\nfrom tratree_data.system.whole_folder import whole_folder\n"
        f"with whole_folder(pathlib.Path({str(tmp_path / 'out')!r}), 'an export') as folder:\n"
        "    (folder / 'half').write_text('x')\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    assert [path.name.startswith(".out-") for path in tmp_path.iterdir()] == [True]
    with whole_folder(tmp_path / "out", "an export") as folder:
        (folder / "whole").touch()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["out", "whole"]


def test_one_place_says_what_could_not_be_written() -> None:
    places = [path.name for path in PACKAGE.rglob("*.py") if re.search(r"could not be written", path.read_text(encoding="utf-8"))]
    assert places == ["errors.py"]
