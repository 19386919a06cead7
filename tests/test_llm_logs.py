"""The command llm's database. data/logs/llm was written by llm 0.27.1 (responses.db) and 0.36 (threads.db), with a scripted model."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from helpers.read_logs import read_log, said

from tratree_data import import_log, open_store

LOGS = Path(__file__).parent / "data/logs/llm"


def test_threads_are_read_message_by_message() -> None:
    records, problems = read_log("llm", LOGS / "threads.db", environment="e")
    assert problems == []
    assert said(records[0]) == [
        ("user", "Find it O0x0", None),
        ("assistant", "think T0x0", [("call_0_0", "look", '{"place": "A0x0"}')]),
        ("tool", "You see a room O0x1.", "call_0_0"),
        ("assistant", "think T0x1", [("call_0_1", "look", '{"place": "A0x1"}')]),
        ("tool", "You see a room O0x2.", "call_0_1"),
        ("assistant", "go A0x2", None),
    ]
    assert [message[:2] for message in said(records[3])] == [
        ("system", "Be brief."),
        ("user", "Hello O5x0"),
        ("assistant", "go A5x0"),
        ("user", "And then O5x1"),
        ("assistant", "go A5x1"),
    ]
    tools = [[tool["function"]["name"] for tool in record.tools or []] for record in records]
    assert (tools, {record.model for record in records}) == ([["look"]] * 3 + [[]], {"m"})


def test_responses_of_older_versions_keep_their_calls_and_results() -> None:
    records, problems = read_log("llm", LOGS / "responses.db", environment="e")
    assert problems == []
    assert said(records[0]) == [
        ("user", "Find it O0x0", None),
        ("assistant", "think T0x0", [("call_0_0", "look", '{"place": "A0x0"}')]),
        ("tool", "You see a room O0x1.", "call_0_0"),
        ("assistant", "go A0x2", None),
    ]
    assert [message[0] for message in said(records[3])] == ["system", "user", "assistant", "user", "assistant"]


@pytest.mark.parametrize("name", ["threads.db", "responses.db"])
def test_the_database_is_recognised(tmp_path: Path, name: str) -> None:
    result = import_log(tmp_path / "d", LOGS / name)
    assert result.notes[0] == "Format: llm (detected)"
    assert result.counts["rollouts"] == 4
    assert len({row["trajectory_id"] for row in open_store(tmp_path / "d").sql("SELECT trajectory_id FROM rollouts").to_pylist()}) == 4


def test_fragments_and_attachments_are_part_of_what_was_asked(tmp_path: Path) -> None:
    shutil.copy(LOGS / "responses.db", tmp_path / "log.db")
    with closing(sqlite3.connect(tmp_path / "log.db")) as log:
        (first,) = log.execute("SELECT min(id) FROM responses").fetchone()
        log.execute("INSERT INTO fragments (id, hash, content) VALUES (1, 'h', 'A long manual.')")
        log.execute("INSERT INTO prompt_fragments VALUES (?, 1, 0)", (first,))
        log.execute("INSERT INTO attachments (id, type, content) VALUES ('a', 'image/png', x'00')")
        log.execute("INSERT INTO prompt_attachments VALUES (?, 'a', 0)", (first,))
        log.commit()
    records, _ = read_log("llm", tmp_path / "log.db", environment="e")
    assert said(records[0])[0][1].startswith("A long manual.\nFind it O0x0\n[attachment image/png sha256:6e340b9cffb37a98 1 B]")


def test_a_table_without_a_column_is_a_problem(tmp_path: Path) -> None:
    shutil.copy(LOGS / "responses.db", tmp_path / "log.db")
    with closing(sqlite3.connect(tmp_path / "log.db")) as log:
        log.execute("ALTER TABLE tool_calls RENAME COLUMN name TO title")
        log.commit()
    records, problems = read_log("llm", tmp_path / "log.db", environment="e")
    assert records == []
    assert [problem.reason for problem in problems] == ["unreadable"]
