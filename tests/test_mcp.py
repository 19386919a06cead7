"""`tratree mcp`, asked by the SDK's own client: in this process, over stdin and stdout, and over HTTP on the loopback address."""

import asyncio
import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.viewing import toy_store
from typer.testing import CliRunner

from tratree_data import delete
from tratree_data.cli import app
from tratree_data.errors import MissingPackageError, NotFoundError
from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import Store, open_store

mcp = pytest.importorskip("mcp", reason="needs the extra 'mcp'")
from tratree_data.viewing.mcp_answers import LONGEST_ANSWER, LONGEST_CELL, answer_text  # noqa: E402
from tratree_data.viewing.mcp_server import make_server  # noqa: E402

ESCAPES = "\x1b[31m\x9b2J\u202e\u2028"
HOSTILE = (
    "COPY (SELECT 1) TO 'out.csv'",
    "SELECT 1; DROP TABLE steps",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'out.csv'",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "ATTACH 'other.db' AS other",
    "SET enable_external_access = true",
    "INSERT INTO steps SELECT * FROM steps",
    "CREATE TABLE x AS SELECT 1",
    "INSTALL httpfs",
    "tests/test_mcp.py",
    "query.sql",
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(toy_store(tmp_path_factory.mktemp("mcp") / "toy", text=lambda text: text + ESCAPES))


def call(target: Any, *calls: tuple[str, dict[str, Any]]) -> list[tuple[bool, str]]:
    """(refused, text) of each call, asked of a server, an address or a command."""

    async def ask() -> list[tuple[bool, str]]:
        async with mcp.Client(target) as client:
            results = [await client.call_tool(name, arguments) for name, arguments in calls]
        return [(bool(result.is_error), "".join(part.text for part in result.content)) for result in results]

    return asyncio.run(ask())


def rows(text: str) -> list[dict[str, Any]]:
    answer = json.loads(text)
    return [dict(zip(answer["columns"], row, strict=True)) for row in answer["rows"]]


def test_tools_say_what_they_do_and_that_they_only_read(store: Store) -> None:
    async def listed() -> tuple[Any, str]:
        async with mcp.Client(make_server(store.path)) as client:
            return (await client.list_tools()).tools, client.instructions

    tools, instructions = asyncio.run(listed())
    assert {tool.name for tool in tools} == {"sql", "tables", "columns", "queries", "show", "stats", "pair_lineage"}
    for tool in tools:
        assert len(tool.description) > 60
        assert tool.annotations.read_only_hint
        assert all(argument.get("description") for argument in tool.input_schema["properties"].values()), tool.name
        assert tool.output_schema is None  # the text is the answer; agents would read it twice
    assert "never instructions" in instructions


def test_every_tool_answers_from_the_dataset(store: Store) -> None:
    pair = store.sql("SELECT min(pair_id) AS pair_id FROM pairs").to_pylist()[0]["pair_id"]
    calls: list[tuple[str, dict[str, Any]]] = [
        ("sql", {"query": "SELECT count(*) AS n FROM steps WHERE step >= $step", "parameters": {"step": 1}}),
        ("tables", {}),
        ("columns", {"table": "pairs"}),
        ("columns", {"table": "divergences"}),
        ("queries", {}),
        ("queries", {"name": "path_to_root", "parameters": {"node_id": "none"}}),
        ("show", {}),
        ("show", {"task": "task_001", "depth": 2}),
        ("stats", {}),
        ("pair_lineage", {"pair_id": pair}),
    ]
    answers = call(make_server(store.path), *calls)
    assert not any(refused for refused, _ in answers)
    counted, tables, pairs, divergences, queries, path, tasks, tree, quality, lineage = (text for _, text in answers)
    assert rows(counted) == store.sql("SELECT count(*) AS n FROM steps WHERE step >= 1").to_pylist()
    found = {row["name"]: row for row in rows(tables)}
    assert found["rollouts"]["rows"] == store.count("rollouts")
    assert "attempt of an agent" in found["rollouts"]["a_row_is"]
    assert found["divergences"]["kind"] == "view"
    assert {"column_name": "pair_id", "data_type": "VARCHAR", "comment": "Content hash of kind, nodes and rollouts."} in rows(pairs)
    assert {"spread", "best_action"} <= {row["column_name"] for row in rows(divergences)}
    assert {row["name"]: row["needs"] for row in rows(queries)}["pair_lineage"] == "pair_id"
    assert rows(path) == []
    assert "task_001" in tasks
    assert "(start)" in tree
    assert "more node" in tree
    assert '"divergences_per_tree"' in quality
    assert len(rows(lineage)) == query(store, "pair_lineage", pair_id=pair).num_rows > 0


def test_hostile_sql_is_refused_and_changes_nothing(store: Store) -> None:
    def state() -> dict[str, str]:
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in store.path.rglob("*") if path.is_file()}

    before = state()
    for refused, text in call(make_server(store.path), *(("sql", {"query": text}) for text in HOSTILE)):
        assert refused, text
        assert "root:" not in text
    assert state() == before
    assert not Path("out.csv").exists()


def test_limits_are_those_of_the_command_line_and_are_said(store: Store) -> None:
    endless = "SELECT count(*) FROM range(10000000000) AS a, range(1000) AS b"
    (late, slow), (cut, wide), *_ = call(
        make_server(store.path, time_limit=0.2),
        ("sql", {"query": endless}),
        ("sql", {"query": f"SELECT {', '.join(f'1 AS c{i}' for i in range(9000))}"}),
    )
    assert late
    assert "longer than 0.2 s" in slow
    assert cut
    assert "9,000 columns" in wide
    asked = [
        ("sql", {"query": "SELECT range AS n FROM range(1000)"}),
        ("sql", {"query": "SELECT range AS n FROM range(3)", "max_rows": 3}),
        ("sql", {"query": f"SELECT repeat('x', {LONGEST_CELL + 1}) AS long"}),
        ("sql", {"query": "SELECT repeat('y', 900) AS long FROM range(1000)", "max_rows": 1000}),
        ("sql", {"query": f"SELECT {', '.join(f'repeat({i}::VARCHAR, 990) AS c{i}' for i in range(60))}"}),
        ("sql", {"query": "SELECT 1 AS n", "max_rows": 5000}),
        ("sql", {"query": "SELECT TIMESTAMP '290000-01-01' AS t"}),
    ]
    (_, many), (_, few), (_, long), (_, heavy), (_, broad), (refused, _), (beyond, advice) = call(make_server(store.path), *asked)
    assert len(rows(many)) == 100
    assert "OFFSET 100" in json.loads(many)["note"]
    assert len(rows(few)) == 3
    assert "note" not in json.loads(few)
    assert rows(long)[0]["long"] == "x" * LONGEST_CELL + f"… ({LONGEST_CELL + 1:,} characters)"
    assert "substr" in json.loads(long)["note"]
    assert len(heavy) < LONGEST_ANSWER + 1_000
    assert 30 < len(rows(heavy)) < 1000
    assert rows(broad) == []
    assert "select fewer columns" in json.loads(broad)["note"]
    assert refused
    assert beyond
    assert "VARCHAR" in advice


def test_escape_sequences_reach_the_agent_as_escapes_only(store: Store) -> None:
    answers = call(
        make_server(store.path),
        ("sql", {"query": "SELECT observation, action FROM steps LIMIT 5"}),
        ("show", {"task": "task_001"}),
        ("show", {}),
        ("sql", {"query": f"SELECT {ESCAPES}"}),
    )
    assert [refused for refused, _ in answers] == [False, False, False, True]
    for _, text in answers:
        assert not set(ESCAPES) & set(text) - set("[31m2J")
    assert rows(answers[0][1])[0]["action"].endswith(ESCAPES)  # escaped, not lost


def test_long_texts_end_at_a_line_and_say_how_much_is_missing() -> None:
    text = answer_text("a line\n" * 10_000, "give a `depth`")
    assert len(text) < LONGEST_ANSWER + 100
    assert text.endswith("(4,287 more lines were left out: give a `depth`.)")


def test_mistakes_are_answered_with_what_to_do(store: Store) -> None:
    answers = call(
        make_server(store.path),
        ("columns", {"table": "rolouts"}),
        ("queries", {"name": "agent"}),
        ("show", {"task": "no such task"}),
        ("sql", {"query": "SELECT * FROM demonstrations"}),
        ("queries", {"name": "path_to_root"}),
    )
    assert all(refused for refused, _ in answers)
    for (_, text), words in zip(answers, ("'rollouts'", "'agents'", "no such task", "tratree demonstrations", "$node_id"), strict=True):
        assert words in text


def test_a_dataset_is_read_as_it_is_now(tmp_path: Path) -> None:
    path = toy_store(tmp_path / "toy", tasks=2)
    server = make_server(path)
    assert rows(call(server, ("sql", {"query": "SELECT count(*) AS n FROM rollouts"}))[0][1]) == [{"n": 12}]
    delete(path, ["task_000"])
    assert rows(call(server, ("sql", {"query": "SELECT count(*) AS n FROM rollouts"}))[0][1]) == [{"n": 6}]


def test_no_dataset_and_no_sdk_are_plain_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFoundError, match="No such folder"):
        make_server(tmp_path / "nothing")
    monkeypatch.delitem(sys.modules, "tratree_data.viewing.mcp_server")
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    done = CliRunner().invoke(app, ["mcp", str(tmp_path)])
    assert isinstance(done.exception, MissingPackageError)
    assert "pip install 'tratree-data[mcp]'" in str(done.exception)


def test_over_stdin_and_stdout(store: Store) -> None:
    command = [sys.executable, "-m", "tratree_data.cli", "mcp", str(store.path)]
    started = mcp.StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ))
    (refused, text), (harm, _) = call(started, ("sql", {"query": "SELECT count(*) AS n FROM rollouts"}), ("sql", {"query": HOSTILE[0]}))
    assert (refused, harm) == (False, True)
    assert rows(text) == [{"n": open_store(store.path).count("rollouts")}]


@pytest.fixture(scope="module")
def address(store: Store) -> Iterator[str]:
    command = [sys.executable, "-m", "tratree_data.cli", "mcp", str(store.path), "--http"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.send_signal(signal.SIGINT)
        assert "Traceback" not in server.communicate(timeout=60)[1]


def test_over_http(store: Store, address: str) -> None:
    assert address.startswith("http://127.0.0.1:")
    (refused, text), (harm, _) = call(address, ("sql", {"query": "SELECT count(*) AS n FROM rollouts"}), ("sql", {"query": HOSTILE[3]}))
    assert (refused, harm) == (False, True)
    assert rows(text) == [{"n": store.count("rollouts")}]


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Host": "evil.example"}, False),
        ({"Host": "evil.example:PORT"}, False),
        ({"Host": "127.0.0.1:1"}, False),
        ({"Host": "localhost:PORT"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "http://localhost:PORT"}, True),
        ({"Origin": "null"}, False),
    ],
)
def test_requests_that_name_another_host_or_come_from_another_site_are_refused(
    address: str, headers: dict[str, str], allowed: bool
) -> None:
    port = address.removesuffix("/mcp").rsplit(":", 1)[1]
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=30)
    sent = {name: value.replace("PORT", port) for name, value in headers.items()}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    accepts = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    connection.request("POST", "/mcp", json.dumps(body), accepts | sent)
    answer = connection.getresponse()
    text = answer.read().decode()
    assert (answer.status in {403, 421}) is not allowed
    assert ("pair_lineage" in text) is allowed


def test_a_query_that_cannot_be_interrupted_ends_with_its_process_and_the_next_is_answered(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call of a function over long texts takes hours, and DuckDB looks for an interrupt only between calls."""
    monkeypatch.setattr("tratree_data.viewing.mcp_queries.GRACE", 6.0)
    endless = "SELECT jaro_similarity(repeat('a', 3000000), repeat('ba', 3000000))"
    (late, slow), (refused, text) = call(
        make_server(store.path, time_limit=0.5), ("sql", {"query": endless}), ("sql", {"query": "SELECT 1 AS n"})
    )
    assert late
    assert "longer than 0.5 s" in slow
    assert not refused
    assert rows(text) == [{"n": 1}]
