"""README and the cookbook are programs: commands and snippets run, and print what the page says. Other pages name only what exists."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.command_line import tratree
from helpers.pages import commands
from typer.main import get_command
from typer.testing import CliRunner

from tratree_data.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "publish").glob("*.md")])
COOKBOOK = (ROOT / "docs" / "cookbook.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README + COOKBOOK, re.DOTALL)
COOKBOOK_COLUMNS = 120
NOT_RUN = ("pip install",)
NEED_PER_MODEL = ("score", "verify", "train", "evaluate", "compare", "reproduce")


def typed(command: str, folder: Path, columns: int = 80) -> subprocess.CompletedProcess[str]:
    first, *words = shlex.split(command)
    assert first == "tratree", command
    return tratree(*words, folder=folder, columns=columns)


def write_log(path: Path) -> None:
    lines = []
    for task in range(4):
        for attempt in range(3):
            ways = [("a hall with two doors", "I try one.", f"open door {(attempt + task) % 2}"), ("a room", "Done.", "leave")]
            steps = [{"observation": seen, "thought": thought, "action": action} for seen, thought, action in ways]
            named = {"task_id": f"house {task}", "env": "house", "instruction": f"Leave house {task}."}
            lines.append({**named, "reward": (attempt + task) % 2, "steps": steps})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.slow
def test_every_command_runs_and_prints_what_it_says(demo_copy: Path) -> None:
    write_log(demo_copy / "trajectories.jsonl")
    ran = 0
    for command, expected in commands(README):
        if command.startswith(NOT_RUN):
            continue
        done = typed(command, demo_copy)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        if expected.strip():
            assert done.stdout.rstrip() == expected.rstrip(), command
        ran += 1
    assert ran >= 10


@pytest.mark.slow
@pytest.mark.parametrize("page", ["pairs", "search"])
def test_a_page_shows_what_its_stage_reports(demo_copy: Path, page: str) -> None:
    shown = commands((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"))
    assert shown
    for command, expected in shown:
        assert typed(command, demo_copy).stderr.rstrip() == expected.rstrip(), command


@pytest.mark.slow
def test_every_example_of_the_help_runs_on_the_demo(demo_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of --help: later examples live on earlier ones."""
    monkeypatch.chdir(demo_copy)
    write_log(demo_copy / "trajectories.jsonl")
    ran = []
    for verb, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        example = re.search(r"Example: `tratree (.*?)`", command.help)
        assert example, verb
        words = shlex.split(example.group(1))
        assert words[0] == verb, verb
        if verb not in NEED_PER_MODEL:
            done = CliRunner().invoke(app, words)
            assert done.exit_code == 0, f"tratree {example.group(1)}\n{done.output}\n{done.exception}"
            ran.append(verb)
    assert len(ran) >= 20


@pytest.mark.slow
def test_every_question_of_the_cookbook_has_its_real_answer(demo_run: Path) -> None:
    asked = commands(COOKBOOK)
    assert len(asked) >= 10
    for command, expected in asked:
        done = typed(command, demo_run, COOKBOOK_COLUMNS)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        printed = [line.rstrip() for line in done.stdout.splitlines()]
        shown = [line.rstrip() for line in expected.rstrip().splitlines()]
        assert printed[: len(shown) - 1] == shown[:-1] if shown[-1] == "…" else printed == shown, command


@pytest.mark.slow
@pytest.mark.parametrize("snippet", [text for kind, text in BLOCKS if kind == "python"])
def test_every_snippet_runs(demo_run: Path, tmp_path: Path, snippet: str) -> None:
    environment = {**os.environ, "HF_DATASETS_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", snippet]
    done = subprocess.run(command, cwd=demo_run, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("page", ["exploration", "webshop"])
def test_every_snippet_of_pages_that_need_no_dataset_runs(tmp_path: Path, page: str) -> None:
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"), re.DOTALL)
    assert snippets
    for snippet in snippets:
        done = subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", [text for kind, text in BLOCKS if kind == "sql"])
def test_every_query_shown_is_the_file(block: str) -> None:
    first, _, query = block.partition("\n")
    name = first.removeprefix("-- ").split(",")[0]
    assert query.strip() in (ROOT / name).read_text(encoding="utf-8")


def test_links_and_folders_exist() -> None:
    targets = [(page, target) for page in PAGES for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))]
    assert len(targets) >= 20
    for page, target in targets:
        assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name}: {target}"
    for line in re.search(r"## Where things are\n\n(.*?)\n\n##", README, re.DOTALL).group(1).splitlines():  # type: ignore[union-attr]
        for name in re.findall(r"(?<=\s)([\w.]+(?:/|\.py))(?=\s)", f" {line}"):
            assert (ROOT / name).exists() or (ROOT / "tratree_data" / name).exists(), name


def test_every_command_on_every_page_has_that_verb_and_these_options() -> None:
    """Written commands age: a page is read for `tratree VERB … --option …`, in blocks and within sentences."""
    verbs = {command.name or command.callback.__name__: command for command in get_command(app).commands.values()}  # type: ignore[attr-defined]
    seen = 0
    for page in PAGES:
        text = re.sub(r"\\\n\s*", " ", page.read_text(encoding="utf-8"))
        for verb, rest in re.findall(r"(?:^|[`$ ])tratree ([a-z]+)\b([^`\n]*)", text, re.MULTILINE):
            assert verb in verbs, f"{page.name}: tratree {verb}"
            known = {option for parameter in verbs[verb].params for option in (*parameter.opts, *parameter.secondary_opts)}
            for option in re.findall(r"(?<=\s)--[a-z][a-z-]*", re.sub(r"\"[^\"]*\"|'[^']*'|\s# .*", "", rest)):
                assert option in known, f"{page.name}: tratree {verb} {option}"
            seen += 1
    assert seen > 80
