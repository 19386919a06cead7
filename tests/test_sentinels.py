"""Nothing outside the folders that a command names is changed, whatever is there: every verb that writes, among sentinels."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.file_calls import compiler
from helpers.writing_verbs import VERBS

pytestmark = pytest.mark.skipif(not (sys.platform == "linux" and compiler()), reason="counts calls of the C library, with a C compiler")


def run(*words: str) -> None:
    command = [sys.executable, str(Path(__file__).with_name("sentinels.py")), *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": 0 faults\n") == (len(words) // 2 or len(VERBS))


def test_what_makes_a_folder_touches_nothing_beside_it() -> None:
    run("--only", "whole folder", "--only", "import")


@pytest.mark.slow
def test_no_verb_touches_what_it_was_not_given() -> None:
    run()
