"""Scratch folders: they go with their process, however it ends, and nobody else's folder goes with them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from helpers.shop import make_dataset

from tratree_data.editing.derive import filter
from tratree_data.system.scratch import LIVES, scratch_folder

HOLDER = """
import sys
from pathlib import Path
from tratree_data.system.scratch import scratch_folder
with scratch_folder("work-", Path(sys.argv[1])) as folder:
    (folder / "half").write_text("done")
    print(folder, flush=True)
    sys.stdin.read()
"""


def hold(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_goes_and_what_others_hold_stays(tmp_path: Path) -> None:
    killed, left = hold(tmp_path)
    living, held = hold(tmp_path)
    foreign = tmp_path / "work-of-mine"
    foreign.mkdir()
    (foreign / ".lock").touch()
    try:
        with scratch_folder("work-", tmp_path) as folder:
            assert {path.name for path in tmp_path.iterdir()} == {folder.name, left.name, held.name, foreign.name}
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert (left / "half").is_file()
        with scratch_folder("work-", tmp_path) as folder:
            assert {path.name for path in tmp_path.iterdir()} == {folder.name, held.name, foreign.name}
        assert sorted(os.listdir(tmp_path)) == sorted([held.name, foreign.name])
    finally:
        for process in (killed, living):
            process.communicate()
    assert os.listdir(tmp_path) == [foreign.name]


def test_half_a_dataset_of_a_killed_verb_is_swept_by_the_same_command(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "shop")
    left = tmp_path / ".out-abc"
    left.mkdir()
    (left / LIVES).touch()
    filter(dataset, tmp_path / "out", "score > 0.5")
    assert not left.exists()
    assert sorted(os.listdir(tmp_path / "out"))[:1] == [".lock"]
