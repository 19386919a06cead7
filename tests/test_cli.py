"""The command line: help, exit codes, formats, errors of one to three lines, hostile text, Ctrl-C, closed pipes."""

import csv
import io
import json
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.command_line import tratree
from helpers.small import make_store, tables
from typer.main import get_command
from typer.testing import CliRunner

from tratree_data.cli import VERBS as CLI_MODULES
from tratree_data.cli import app
from tratree_data.cli.query import parse_numbers
from tratree_data.errors import extra_of
from tratree_data.stages import STAGES

VERBS = sorted(command.name or (command.callback.__name__ if command.callback else "") for command in app.registered_commands)


def process(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tratree_data.cli", *words], capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    hostile = "\x1b[31mred\x1b[0m [bold]x[/bold] \u202eabc =cmd|' /C calc'!A0"
    solved, failed = [(hostile, "", "go"), ("there", "", "stop")], [(hostile, "", "sit")]
    make_store(tmp_path / "d", *tables([("t", 0, 1.0, solved), ("t", 1, 0.0, failed)]))
    return tmp_path / "d"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(verb: str) -> None:
    done = tratree(verb, "--help")
    assert done.returncode == 0, done.stderr
    assert "Example" in done.stdout
    assert f"tratree {verb}" in done.stdout.replace("\n", " ")


@pytest.mark.parametrize("module", CLI_MODULES)
def test_a_module_has_the_verbs_for_which_it_is_loaded(module: str) -> None:
    """In a process of its own, since a verb loads its own module only."""
    program = "from tratree_data import cli; from typer.main import get_command; print(*get_command(cli.load([{!r}])).commands)"
    done = subprocess.run([sys.executable, "-c", program.format(module)], capture_output=True, text=True, check=False, timeout=120)
    assert set(done.stdout.split()) == set(CLI_MODULES[module]), done.stderr


def test_help_lists_the_verbs_and_is_quick() -> None:
    done = process("--help")
    assert all(verb in done.stdout for verb in VERBS)
    heavy = {"torch", "trl", "faiss", "numba", "ray", "matplotlib", "datasets"}
    loaded = f"import sys; import tratree_data.cli; print(sorted({heavy!r} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["check", "none"], "No such folder: none"),
        (["build", "none"], "No such folder: none"),
        (["search", "d"], "d has no nodes yet.\nNext: tratree build d"),
        (["pairs", "d"], "tratree build"),
        (["sql", "d", "divergence"], "Did you mean 'divergences'"),
        (["sql", "d", "steps"], "Next: tratree sql d 'SELECT * FROM steps LIMIT 10'"),
        (["sql", "d", "path_to_root"], "Next:"),
        (["sql", "d", "SELECT * FROM pairs"], "d has no pairs yet.\nNext: tratree pairs d"),
        (["sql", "d", "COPY steps TO 'x.csv'"], "single SELECT"),
        (["sql", "d", "SELECT 1 AS x", "--format", "cvs"], "Did you mean 'csv'"),
        (["sql", "d", "SELECT 1 AS x", "--param", "x"], "NAME=VALUE"),
        (["run", "dmo", "x"], "Did you mean 'demo'"),
        (["show", "d", "nothing"], "Next:"),
        (["stats", "d", "--attempts", "many"], "3-10"),
        (["import", "x", "y", "--format", "jsonl"], "Next:"),
        (["explore", "webshp", "x"], "Did you mean 'webshop'"),
        (["publish", "d", "out", "--version", "one"], "X.Y.Z"),
    ],
)
def test_mistakes_get_a_short_answer_and_exit_code_2(dataset: Path, words: list[str], expected: str) -> None:
    done = tratree(*words, folder=dataset.parent)
    assert done.returncode == 2, done.stdout + done.stderr
    assert expected in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3, done.stderr
    assert done.stdout == ""


def test_the_version_can_be_asked() -> None:
    assert process("--version").stdout == f"tratree-data {metadata.version('tratree-data')}\n"


def test_formats_can_be_piped(dataset: Path) -> None:
    query = "SELECT action, observation, [1, 2] AS list, NULL AS nothing FROM steps ORDER BY rollout_id, step"
    lines = tratree("sql", str(dataset), query, "--format", "json").stdout.splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["go", "stop", "sit"]
    rows = list(csv.DictReader(io.StringIO(tratree("sql", str(dataset), query, "--format", "csv").stdout)))
    assert (rows[1]["observation"], rows[1]["list"], rows[1]["nothing"]) == ("there", "[1, 2]", "")
    table = tratree("sql", str(dataset), query).stdout
    assert "\x1b" not in table
    assert "\u202e" not in table
    assert "[bold]x[/bold]" in table


def test_whatever_a_query_gives_can_be_piped(dataset: Path) -> None:
    """Sums are numbers in JSON, what is no number is null, and no type ends in a traceback."""
    odd = "[{'day': date '2026-01-02'}] AS days, INTERVAL 1 day AS span, '\\xFF'::BLOB AS bytes, 1.5::DECIMAL(4, 2) AS price"
    query = f"SELECT sum(step_count) AS steps, 'nan'::DOUBLE AS gap, [1, 'inf'::DOUBLE] AS gaps, {odd} FROM rollouts"
    (row,) = (json.loads(line) for line in tratree("sql", str(dataset), query, "--format", "json").stdout.splitlines())
    assert (row["steps"], row["gap"], row["gaps"], row["days"], row["price"]) == (3, None, [1, None], [{"day": "2026-01-02"}], 1.5)
    (row,) = csv.DictReader(io.StringIO(tratree("sql", str(dataset), query, "--format", "csv").stdout))
    assert (row["steps"], row["days"], row["price"]) == ("3", '[{"day": "2026-01-02"}]', "1.50")
    assert tratree("sql", str(dataset), query).stdout.split()[7:9] == ["3", "nan"]
    refused = tratree("sql", str(dataset), query, "--format", "parquet")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "Next: cast the column" in refused.stderr


def test_parquet_can_be_piped(dataset: Path) -> None:
    command = [sys.executable, "-m", "tratree_data.cli", "sql", str(dataset), "FROM steps ORDER BY rollout_id, step", "--format", "parquet"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    assert pq.read_table(pa.BufferReader(done.stdout))["action"].to_pylist() == ["go", "stop", "sit"]


def test_pivot_is_a_question_too(dataset: Path) -> None:
    done = tratree("sql", str(dataset), "PIVOT rollouts ON attempt USING sum(step_count) GROUP BY task_id", "--format", "json")
    assert json.loads(done.stdout) == {"task_id": "t", "0": 2, "1": 1}, done.stderr


def test_what_columns_mean_can_be_asked(dataset: Path) -> None:
    described = {
        row["column_name"]: row["comment"]
        for row in map(json.loads, tratree("sql", str(dataset), "columns", "--format", "json").stdout.splitlines())
    }
    assert described["observation"] == "What the agent saw before it acted."


def test_every_named_query_says_what_it_answers(dataset: Path) -> None:
    described = {
        row["name"]: row for row in map(json.loads, tratree("sql", str(dataset), "queries", "--format", "json").stdout.splitlines())
    }
    assert described["path_to_root"]["needs"] == "node_id"
    assert "from the root down" in described["path_to_root"]["answers"]
    assert [name for name, row in described.items() if not row["answers"].endswith(".")] == []
    assert "tratree sql" in tratree("sql", str(dataset), "nosuch").stderr


def test_a_query_may_begin_with_a_comment_or_lie_in_a_file(dataset: Path) -> None:
    text = "-- how many\nSELECT count(*) AS n FROM steps WHERE action = $action"
    (dataset.parent / "question.sql").write_text(text)
    for query in (text, "question.sql"):
        done = tratree("sql", "d", query, "--param", "action=go", "--format", "json", folder=dataset.parent)
        assert done.stdout.strip() == '{"n": 1}', done.stderr


def test_check_exits_with_1_when_a_rule_is_broken(dataset: Path) -> None:
    assert process("build", str(dataset), "--embedder", "exact").returncode == 0
    assert tratree("check", str(dataset)).returncode == 0
    from tratree_data.store.reader import open_store
    from tratree_data.store.writing.writer import commit, writing

    with writing(dataset):
        nodes = open_store(dataset).read("nodes")
        commit(dataset, "break", {"nodes": nodes.slice(1)}, settings={}, reads={})
    done = process("check", str(dataset))
    assert done.returncode == 1
    assert "roots" in done.stdout


def test_a_closed_pipe_is_no_error(dataset: Path) -> None:
    command = f"{sys.executable} -m tratree_data.cli sql {dataset} 'SELECT range FROM range(200000)' --format json | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip() == '{"range": 0}'
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_interrupting_is_clean(tmp_path: Path) -> None:
    """Ctrl-C in the middle of a run; the same command goes on and ends where an undisturbed run ends."""
    words = ["explore", "webshop", str(tmp_path / "d"), "--tasks", "150", "--attempts", "3", "--commit-seconds", "0.2"]
    with subprocess.Popen([sys.executable, "-m", "tratree_data.cli", *words], stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 60
        while not (tmp_path / "d" / "rollouts" / "_delta_log").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    assert "Traceback" not in errors, errors
    assert running.returncode in {0, 130}
    assert process(*words).returncode == 0
    counted = tratree(
        "sql", str(tmp_path / "d"), "SELECT count(*) AS n, count(DISTINCT rollout_id) AS ids FROM rollouts", "--format", "json"
    )
    assert json.loads(counted.stdout) == {"n": 450, "ids": 450}


def test_lists_of_numbers() -> None:
    assert parse_numbers("3-5") == [3, 4, 5]
    assert parse_numbers("3,7") == [3, 7]


@pytest.mark.parametrize("format", ["table", "json", "csv"])
def test_values_beyond_python_and_equal_names_are_printed(demo_run: Path, format: str) -> None:
    for query, expected in {
        "SELECT TIMESTAMP '290000-01-01' AS t, 1 AS n": "out of range",
        "SELECT 1 AS a, 2 AS a": "a_1",
        "SELECT * FROM test_all_types()": "tinyint",
    }.items():
        done = CliRunner().invoke(app, ["sql", str(demo_run / "demo"), query, "--format", format])
        assert done.exit_code == 0, f"{query}: {done.exception!r}"
        assert expected in done.stdout, query


@pytest.mark.parametrize("command", sorted({stage.command for stage in STAGES}))
def test_the_command_that_a_stage_suggests_can_be_typed(command: str) -> None:
    _, verb, *arguments = command.split()
    parser = get_command(app).commands[verb]  # type: ignore[attr-defined]
    parser.make_context(verb, arguments)  # raises for an unknown option, or too many or too few arguments


@pytest.mark.parametrize(("format", "shown"), [("json", ['{"one": 1}']), ("table", ["one", "  1"])])
def test_a_query_imports_no_more_than_it_needs(demo_run: Path, format: str, shown: list[str]) -> None:
    """Guards what every command costs at its start, without timing it."""
    unneeded = {"numba", "polars", "pandas", "torch", "datasets", "scipy", "fsspec", "rich", "pyarrow.parquet", "tratree_data.cli.train"}
    script = (
        f"import sys; from tratree_data.cli import main; sys.argv[1:] = ['sql', 'demo', 'SELECT 1 AS one', '--format', '{format}']\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print(sorted({unneeded} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=demo_run, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines() == [*shown, "[]"]


def test_a_package_that_is_missing_belongs_to_an_extra() -> None:
    assert [extra_of(name) for name in ("torch", "trl", "matplotlib.pyplot", "mcp", "ray")] == ["train", "train", "view", "mcp", "ray"]
    assert extra_of("pyarrow") is extra_of("nothing_of_ours") is None
