"""Datasets and releases of strangers, through the command line: plain answers, no traceback, and nothing that a terminal obeys."""

import io
import json
import shutil
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pyarrow as pa
import pytest
from helpers.small import make_store, tables

from tratree_data import build, delete, open_store, publish
from tratree_data.cli import main
from tratree_data.errors import BadInputError, NotFoundError, suggest
from tratree_data.viewing.serve import PageServer

ATTEMPTS = [
    (task, attempt, attempt / 2, [("hall", "", f"go {attempt}"), ("door", "", "end")]) for task in ("a", "b") for attempt in range(3)
]
ESCAPES = "\x1b[31mred\x1b]0;title\x07\x9b31m\u202e"
OBEYED = set("\x1b\x07\x08\x9b\u202e")
VERBS = (
    *(["build"], ["search"], ["states"], ["pairs"], ["demonstrations"], ["check"], ["stats"], ["audit"], ["show"], ["replay"]),
    *(["sql", "SELECT * FROM rollouts", "--format", format] for format in ("table", "json")),
    *(["view", "--out", "page.html", "--no-open"], ["figure", "scores", "--out", "scores.svg"], ["figure", "tree", "--out", "tree.svg"]),
    *(["export", f"as-{format}", "--format", format] for format in ("trl", "credits", "adp", "sts", "atif", "verifiers", "agenttraj")),
    *(["filter", "kept", "--where", "true"], ["publish", "release", "--version", "1.0.0"], ["vacuum"]),
)


def run(*words: str) -> tuple[object, str]:
    """(exit code, everything printed); an error that is not ours is a traceback, and is raised here."""
    printed, before, code = io.StringIO(), sys.argv, None
    sys.argv = ["tratree", *words]
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            main()
    except SystemExit as end:
        code = end.code
    finally:
        sys.argv = before
    return code, printed.getvalue()


def with_texts(change: Callable[[str, str], str | None]) -> tuple[pa.Table, pa.Table]:
    """Every text of rollouts, and of steps what is not compared, replaced by `change(column, text)`."""
    kept = {"rollout_id", "tree_id", "end_reason", "observation", "action"}
    changed = []
    for original in tables(ATTEMPTS):
        table = original
        for place, field in enumerate(table.schema):
            if pa.types.is_string(field.type) and field.name not in kept:
                values = [change(field.name, value) for value in table[field.name].to_pylist()]
                table = table.set_column(place, field, pa.array(values, field.type))
        changed.append(table)
    return changed[0], changed[1]


def hostile(column: str, text: str | None) -> str | None:
    return {"duplicate_of": None, "task_id": f"{text}{ESCAPES}"}.get(column, ESCAPES)


@pytest.mark.parametrize("tools", [ESCAPES, None, "{}", "[" * 50_000])
def test_no_text_of_a_dataset_reaches_the_terminal_as_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tools: str | None) -> None:
    monkeypatch.chdir(tmp_path)
    make_store("d", *with_texts(lambda column, text: tools if column == "tools" else hostile(column, text)))
    verbs = VERBS if tools is None else [verb for verb in VERBS if verb[0] in ("build", "pairs", "demonstrations", "export", "show")]
    for verb, *words in verbs:
        code, printed = run(verb, "d", *words)
        assert code in (0, 1, 2), (verb, printed)
        assert not OBEYED & set(printed), (verb, words, printed)
        assert "Traceback" not in printed


def test_a_dataset_of_nothing_but_duplicates_has_no_trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_store("d", *with_texts(lambda column, text: "elsewhere" if column == "duplicate_of" else text))
    assert build("d", embedder="exact").counts["nodes"] == 0
    for verb, *words in VERBS:
        code, printed = run(verb, "d", *words)
        assert code in (0, 1, 2), (verb, printed)


def test_rules_and_column_names_are_printed_safely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_store("d", *with_texts(lambda column, text: ESCAPES if column == "task_id" else text))
    code, printed = run("check", "d")
    assert (code, OBEYED & set(printed)) == (1, set())
    assert "equal_tasks" in printed
    for format in ("table", "json"):
        code, printed = run("sql", "d", f"SELECT 1 AS \"{ESCAPES}\", '{ESCAPES}' AS b", "--format", format)
        assert (code, OBEYED & set(printed)) == (0, set())
    assert json.loads(printed)["b"] == ESCAPES
    invisible = "\u061c\u00ad\U000e0041\ufff9"
    code, printed = run("sql", "d", f"SELECT '{invisible}' AS b", "--format", "json")
    assert (printed.isascii(), json.loads(printed)["b"]) == (True, invisible)


def test_a_message_quotes_at_most_a_little_of_a_huge_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_store("d", *tables(ATTEMPTS))
    huge = "x" * 1_000_000
    for words in (
        ["show", "d", huge],
        ["delete", "d", "--task", huge],
        ["sql", "d", f"SELECT {huge}"],
        ["filter", "d", "out", "--where", huge],
    ):
        code, printed = run(*words)
        assert code == 2
        assert len(printed) < 5_000, words[0]
    make_store("e", *with_texts(lambda column, text: f"{huge}{text}" if column == "task_id" else text))
    assert len(run("show", "e", "x")[1]) < 5_000
    assert len(run("delete", "e", "--task", "x")[1]) < 5_000


def test_similar_names_are_found_among_very_many() -> None:
    assert suggest("task-7x", [f"task-{number}" for number in range(100_000)]) != ""


@pytest.mark.parametrize("name", ["a\\b", "a\nb", ESCAPES, "a\udcffb", "hub:../x", "ftp://x/y"], ids=ascii)
def test_no_verb_writes_to_a_name_that_misleads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    make_store("d", *tables(ATTEMPTS))
    before = sorted(tmp_path.iterdir())
    for words in (["publish", "d", name, "--version", "1.0.0"], ["export", "d", name, "--format", "atif"], ["view", "d", "--out", name]):
        code, printed = run(*words)
        assert code == 2, words
        assert not OBEYED & set(printed)
    assert run("figure", "d", "scores", "--out", f"{name}.svg")[0] == 2
    assert sorted(tmp_path.iterdir()) == before


def test_a_name_that_is_too_long_is_reported_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_store("d", *tables(ATTEMPTS))
    name = "x" * 300
    for words in (["show", name], ["publish", "d", name, "--version", "1.0.0"], ["filter", "d", name, "--where", "true"], ["build", name]):
        code, printed = run(*words)
        assert (code, "File name too long" in printed) == (2, True), printed


def test_tasks_that_share_their_name_are_deleted_by_the_id_of_their_tree(tmp_path: Path) -> None:
    """Redaction may make names equal."""
    make_store(tmp_path / "d", *with_texts(lambda column, text: "same" if column == "task_id" else text))
    with pytest.raises(BadInputError, match="2 tasks are called 'same'") as refused:
        delete(tmp_path / "d", ["same"])
    named = str(refused.value).partition("--task ")[2].partition(",")[0]
    delete(tmp_path / "d", [named])
    assert open_store(tmp_path / "d").count("rollouts") == 3
    with pytest.raises(NotFoundError):
        delete(tmp_path / "d", ["0123456789abcdef"])


def test_advice_quotes_names_of_the_data_for_the_shell(tmp_path: Path) -> None:
    make_store(tmp_path / "d", *with_texts(lambda column, text: "t" if column == "task_id" else text))
    rollouts, steps = tables([(task, 0, 1.0, [("hall", "", "go")]) for task in ("t", "u")])
    evil = ["$(touch pwned)", "b; touch pwned"]
    rollouts = rollouts.set_column(2, rollouts.schema.field(2), pa.array(evil)).set_column(
        rollouts.schema.get_field_index("task_id"), rollouts.schema.field("task_id"), pa.array(["t", "t"])
    )
    make_store(tmp_path / "e", rollouts, steps)
    with pytest.raises(BadInputError, match=r"--environment '\$\(touch pwned\)'"):
        delete(tmp_path / "e", ["t"])


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    make_store(folder / "d", *tables(ATTEMPTS))
    publish(folder / "d", folder / "release", "1.0.0")
    return folder


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("versions/withdrawn.json", '{"../x": {"reason": "", "files": {}}}'),
        ("versions/withdrawn.json", "[" * 100_000),
        ("versions/1.0.0/SHA256SUMS", "x  " + "x/" * 5_000),
        ("versions/1.0.0/SHA256SUMS", f"x  {ESCAPES}\n"),
        ("lineage.json", "{"),
    ],
)
def test_a_release_with_damaged_texts_is_refused_plainly(released: Path, tmp_path: Path, file: str, text: str) -> None:
    folder = Path(shutil.copytree(released / "release", tmp_path / "release"))
    (folder / file).unlink(missing_ok=True)
    (folder / file).write_text(text, encoding="utf-8")
    target = str(folder)
    for words in (
        ["publish", str(released / "d"), target, "--version", "1.1.0"],
        ["withdraw", target, "--version", "1.0.0"],
        ["check", target],
    ):
        code, printed = run(*words)
        assert code in (0, 1, 2)
        assert not OBEYED & set(printed)
        assert len(printed) < 5_000
    shutil.rmtree(folder / "versions")
    assert run("show", f"{folder}@2.0.0")[0] == 2


def test_a_note_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    make_store(tmp_path / "d", *tables(ATTEMPTS))
    with PageServer(tmp_path / "d", author="me") as server, pytest.raises(BadInputError, match="not JSON"):
        server.annotate(b"[" * 60_000)


def test_a_file_that_vanishes_while_it_is_served_is_reported_as_gone(tmp_path: Path) -> None:
    store = make_store(tmp_path / "d", *tables(ATTEMPTS))
    with PageServer(tmp_path / "d") as server:
        server.search("hall")
        for table in ("rollouts", "steps"):
            for file in store.sources[table].files:
                Path(file).unlink()
        with pytest.raises(BadInputError, match="is gone"):
            server.answer("/api/overview")
