"""Verbs killed where they change files, and repeated: a few of what `make kills` runs in full."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.file_calls import compiler
from helpers.writing_verbs import VERBS

pytestmark = pytest.mark.skipif(not (sys.platform == "linux" and compiler()), reason="counts calls of the C library, with a C compiler")


def kill(*words: str) -> dict[str, tuple[int, int]]:
    """Kills and faults of each verb."""
    command = [sys.executable, str(Path(__file__).with_name("kills.py")), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(r"^(.+): \d+ calls, (\d+) kills, (\d+) faults", done.stdout, re.MULTILINE)
    return {verb: (int(kills), int(faults)) for verb, kills, faults in found}


def test_a_folder_is_made_whole_by_repeating_it_wherever_it_was_killed() -> None:
    kills, faults = kill("--only", "whole folder")["whole folder"]
    assert kills > 0
    assert faults == 0


def test_a_build_killed_before_its_first_commit_leaves_a_dataset_that_opens() -> None:
    """Delta writes an entry under a temporary name, then links it: at calls 16 to 18."""
    assert kill("--only", "build", "--at", "18") == {"build": (1, 0)}


@pytest.mark.slow
def test_every_verb_killed_twice_is_finished_by_the_same_command() -> None:
    found = kill("--sample", "2")
    assert set(found) == set(VERBS)
    assert sum(kills for kills, _ in found.values()) >= len(VERBS)
    assert {verb: faults for verb, (_, faults) in found.items() if faults} == {}
