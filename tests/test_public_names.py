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
"""


def check_types(script: str, folder: Path) -> str:
    path = folder / "script.py"
    path.write_text(script)
    command = [sys.executable, "-m", "mypy", "--strict", str(path)]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    return done.stdout


def test_mypy_resolves_the_public_functions(tmp_path: Path) -> None:
    assert "Success" in check_types(USER_SCRIPT, tmp_path)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('tratree_data.bild("mine")', 'no attribute "bild"; maybe "build"?'),
        ('tratree_data.search("mine", simulations="many")', 'incompatible type "str"; expected "int"'),
        ('tratree_data.search("mine", rollouts=3)', 'Unexpected keyword argument "rollouts"'),
    ],
)
def test_mypy_rejects_what_does_not_exist(tmp_path: Path, line: str, complaint: str) -> None:
    assert complaint in check_types(f"import tratree_data\n\n{line}\n", tmp_path)


def test_importing_the_package_imports_nothing_heavy() -> None:
    loaded = "import sys, tratree_data; print({'numba', 'pyarrow', 'duckdb', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.strip() == "set()"


def test_every_public_function_exists_and_most_are_verbs() -> None:
    verbs = {command.name or (command.callback.__name__ if command.callback else "") for command in app.registered_commands}
    assert all(callable(getattr(tratree_data, name)) for name in tratree_data.__all__)
    assert {name.removesuffix("_log") for name in tratree_data.__all__} >= verbs - {"sql", "mcp", "environments", "score", "withdraw"}
