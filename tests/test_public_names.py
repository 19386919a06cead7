"""The public functions: lazily imported, known to mypy with their settings, and the same verbs as on the command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tratree_data
from tratree_data.cli import app

ROOT = Path(__file__).parents[1]
USER_SCRIPT = """
import tratree_data

result = tratree_data.search("mine", simulations=200, chance="expected")
print(result.counts["paths"])
tratree_data.build("mine", normalise=["numbers"])
tratree_data.bild("mine")
tratree_data.search("mine", simulations="many")
tratree_data.search("mine", rollouts=3)
"""


@pytest.mark.slow
def test_mypy_resolves_the_public_functions_and_rejects_what_does_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(USER_SCRIPT)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"), str(path)]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    complaints = {int(line.split(":")[1]): line for line in done.stdout.splitlines() if ": error:" in line}
    assert sorted(complaints) == [7, 8, 9], done.stdout
    assert 'no attribute "bild"; maybe "build"?' in complaints[7]
    assert 'incompatible type "str"; expected "int"' in complaints[8]
    assert 'Unexpected keyword argument "rollouts"' in complaints[9]


def test_importing_the_package_imports_nothing_heavy() -> None:
    loaded = "import sys, tratree_data; print({'numba', 'pyarrow', 'duckdb', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.strip() == "set()"


def test_every_public_function_exists_and_most_are_verbs() -> None:
    verbs = {command.name or (command.callback.__name__ if command.callback else "") for command in app.registered_commands}
    assert all(callable(getattr(tratree_data, name)) for name in tratree_data.__all__)
    assert {name.removesuffix("_log") for name in tratree_data.__all__} >= verbs - {"sql", "mcp", "environments", "score", "withdraw"}
