"""A command that a message suggests is pasted into a shell: no folder, file or text in it may be more than a word there."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from helpers.command_line import tratree
from helpers.small import make_store, tables

import tratree_data
from tratree_data import build, check, export, figure, import_log, open_store, pairs, publish, search, show, states, stats, view
from tratree_data.errors import TratreeError, quoted
from tratree_data.store.writing.writer import commit

EVIL = "$(touch pwned) ;touch pwned `touch pwned` '"
OURS = re.compile(
    r"[a-z_]*(version|format|history|best_of|option|automatic|full|text)|address|(quote|quoted|_example)\(.*"
    r"|'.*' if scored else '.*'|tag or ''|next\(iter\(found\)\)|fit.*"
)
"""What we chose ourselves, and what a line above has quoted."""


def test_whatever_is_put_into_a_command_is_quoted() -> None:
    unquoted = []
    for file in sorted(Path(tratree_data.__file__).parent.rglob("*.py")):
        for string in (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.JoinedStr)):
            said = ""
            for part in string.values:
                if isinstance(part, ast.FormattedValue) and part.conversion == -1 and re.search(r"\btratree [a-z]+ [^.\n;,:]*$", said):
                    value = ast.unparse(part.value)
                    unquoted += [] if OURS.fullmatch(value) else [f"{file.name}: {value} after {said[-40:]!r}"]
                said += str(part.value) if isinstance(part, ast.Constant) else "x"
    assert not unquoted


def advice(folder: Path) -> Iterator[str]:
    """Commands from messages about a folder of this name."""
    d = folder / EVIL
    for call in (lambda: open_store(d), lambda: publish(folder / "none", d, "1.0.0"), lambda: show(d)):
        yield from _said(call)
    make_store(d, *tables([(task, attempt, None, [("hall", "", f"go {attempt}")]) for task in ("a b", EVIL) for attempt in range(2)]))
    for call in (
        *(
            lambda: figure(d, "tree", folder / "tree.svg"),
            lambda: figure(d, "scores", folder / "scores.svg"),
            lambda: pairs(d),
            lambda: search(d),
            lambda: export(d, folder / "out", "trl"),
        ),
        *(
            lambda: stats(d),
            lambda: show(d),
            lambda: view(d, "none"),
            lambda: check(f"{d}@1.0.0"),
            lambda: publish(d, folder / "r", "1.0.0"),
        ),
        lambda: import_log(d / "rollouts", folder / "new"),
    ):
        yield from _said(call)
    build(d, embedder="exact")
    for call in (
        lambda: stats(d),
        lambda: search(d),
        lambda: states(d),
        lambda: show(d),
        lambda: figure(d, "states", folder / "states.svg"),
        lambda: show(d, "c"),
    ):
        yield from _said(call)


def _said(call) -> Iterator[str]:
    result: object = ""
    try:
        result = call()
    except TratreeError as error:
        result = error
    for line in str(getattr(result, "notes", result)).splitlines():
        yield from re.findall(r"tratree [a-z]+ .*", line)


def test_pasting_advice_about_a_folder_runs_nothing_of_its_name(tmp_path: Path) -> None:
    found = [command for command in advice(tmp_path) if "touch" in command]
    assert len(found) > 8
    shell = tmp_path / "shell"
    shell.mkdir()
    for command in found:
        subprocess.run(["sh", "-c", f"tratree() {{ :; }}; {command}"], cwd=shell, check=False, capture_output=True)
        assert not list(shell.glob("*pwned*")), command


def test_errors_of_code_that_sees_only_rows_name_the_dataset(tmp_path: Path) -> None:
    d = tmp_path / EVIL
    make_store(d, *tables([("a", attempt, 1.0, [("hall", "", f"go {attempt}"), ("yard", "", "stop")]) for attempt in range(2)]))
    nodes = build(d, embedder="exact") and open_store(d).read("nodes")
    roots = pc.is_null(nodes["parent_id"])
    strange = pc.if_else(roots, nodes["parent_id"], pa.scalar("of another tree"))
    commit(d, "build", {"nodes": nodes.set_column(nodes.schema.get_field_index("parent_id"), "parent_id", strange)}, settings={}, reads={})
    said = tratree("search", str(d))
    assert said.returncode == 2
    assert f"is not a node of the same trees.\nNext: tratree build {quoted(d)}" in said.stderr


@pytest.mark.parametrize("text", [EVIL, "a\nb", "", "~", "-x", "é", "*"])
def test_quoted_is_one_word(text: str) -> None:
    assert subprocess.run(["sh", "-c", f"printf %s {quoted(text)}"], check=True, capture_output=True, text=True).stdout == text
