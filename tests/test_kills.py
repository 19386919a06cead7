"""Verbs killed where they change files, and repeated: a few of what `make kills` runs in full."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.file_calls import compiler

pytestmark = pytest.mark.skipif(not (sys.platform == "linux" and compiler()), reason="counts calls of the C library, with a C compiler")


def kill(*words: str) -> None:
    command = [sys.executable, str(Path(__file__).with_name("kills.py")), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 faults" in done.stdout


def test_a_folder_is_made_whole_by_repeating_it_wherever_it_was_killed() -> None:
    kill("--only", "whole folder")


def test_a_build_killed_before_its_first_commit_leaves_a_dataset_that_opens() -> None:
    """Delta writes an entry under a temporary name, then links it: at calls 16 to 18."""
    kill("--only", "build", "--at", "18")


@pytest.mark.slow
def test_every_verb_killed_twice_is_finished_by_the_same_command() -> None:
    kill("--sample", "2")
