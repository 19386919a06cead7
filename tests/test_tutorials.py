"""The tutorials are programs: in a new folder their commands run in order, and print what the page says."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from helpers.claude_sessions import write_scores, write_sessions
from helpers.pages import commands
from helpers.tiny_llama import make_tiny_llama
from typer.testing import CliRunner

from tratree_data.cli import app

ROOT = Path(__file__).parents[1]
LOGS = ROOT / "tests" / "data" / "logs"
TUTORIALS = sorted(path.stem for path in (ROOT / "docs" / "tutorials").glob("*.md"))


def prepare(name: str, folder: Path, demo_run: Path) -> None:
    """What the reader of this page has."""
    if name == "sessions":
        write_sessions(folder / ".claude/projects")
        write_scores(folder / "scores.csv")
    elif name == "evaluations":
        (folder / "logs").mkdir()
        shutil.copy(LOGS / "inspect/arithmetic.eval", folder / "logs")
    elif name == "explore":
        page = (ROOT / "docs/tutorials/explore.md").read_text(encoding="utf-8")
        (folder / "agent.py").write_text(re.findall(r"```python\n(# agent\.py\n.*?)```", page, re.DOTALL)[0])
    else:
        shutil.copytree(demo_run, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".once", "done"))
    if name == "train":
        make_tiny_llama(folder / "MODEL")


@pytest.mark.slow
@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_runs_and_prints_what_it_says(name: str, demo_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(name, tmp_path, demo_run)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    page = (ROOT / "docs/tutorials" / f"{name}.md").read_text(encoding="utf-8")
    ran = 0
    for command, expected in commands(page):
        printed = run(command.replace("~", str(tmp_path)), tmp_path)
        assert not expected.strip() or printed.rstrip() == expected.rstrip(), command
        ran += 1
    assert ran >= 3
    for snippet in re.findall(r"```python\n(?!# agent)(.*?)```", page, re.DOTALL):
        monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
        exec(compile(snippet, f"{name}.md", "exec"), {})


def run(command: str, folder: Path) -> str:
    """The standard output of a command as a shell would give it; `$(tratree …)` and `> file` are understood."""
    inner = re.search(r"\$\((.*?) \| tail -1\)", command)
    if inner:
        command = command.replace(inner[0], shlex.quote(run(inner[1], folder).splitlines()[-1]))
    command, _, target = command.partition(" > ") if re.search(r" > \S+$", command) else (command, "", "")
    words = shlex.split(command)
    if words[0] == "cat":
        return (folder / words[1]).read_text()
    done = CliRunner().invoke(app, words[1:])
    assert done.exit_code == 0, f"{command}\n{done.output}\n{done.exception!r}"
    assert "--param" not in command or len(done.stdout.splitlines()) > 1, f"{command} has no answer"
    if target:
        (folder / target).write_bytes(done.stdout_bytes)
    return done.stdout
