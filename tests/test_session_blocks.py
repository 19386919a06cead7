"""Sessions whose messages have parts of a program's own: Goose (JSON Lines and database), Crush, and the Vercel AI SDK."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from test_unknown_logs import lines

from tratree_data import import_log, open_store

CALL = {"cmd": "ls"}


def goose(turn: str) -> list[Any]:
    call = {"status": "success", "value": {"name": "shell", "arguments": CALL}}
    result = {"status": "success", "value": [{"type": "text", "text": "a.py"}]}
    return [
        {"role": "user", "content": [{"type": "text", "text": "Look."}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Yes."}, {"type": "toolRequest", "id": "c", "toolCall": call}]},
        {"role": "user", "content": [{"type": "toolResponse", "id": "c", "toolResult": result}]},
        {"role": "assistant", "content": [{"type": "text", "text": turn}]},
    ]


def crush(turn: str) -> list[Any]:
    call = {"id": "c", "name": "shell", "input": json.dumps(CALL), "type": "", "finished": True}
    result = {"tool_call_id": "c", "name": "shell", "content": "a.py", "metadata": "", "is_error": False}
    finish = {"type": "finish", "data": {"reason": "end_turn", "time": 1}}
    return [
        {"role": "user", "parts": [{"type": "text", "data": {"text": "Look."}}, finish]},
        {"role": "assistant", "parts": [{"type": "text", "data": {"text": "Yes."}}, {"type": "tool_call", "data": call}, finish]},
        {"role": "tool", "parts": [{"type": "tool_result", "data": result}]},
        {"role": "assistant", "parts": [{"type": "text", "data": {"text": turn}}, finish]},
    ]


def ai_sdk(turn: str) -> list[Any]:
    used = {"type": "tool-shell", "toolCallId": "c", "state": "output-available", "input": CALL, "output": "a.py"}
    return [
        {"id": "1", "role": "user", "parts": [{"type": "text", "text": "Look."}]},
        {
            "id": "2",
            "role": "assistant",
            "parts": [
                {"type": "step-start"},
                {"type": "text", "text": "Yes."},
                used,
                {"type": "step-start"},
                {"type": "text", "text": turn},
            ],
        },
    ]


def invocations(turn: str) -> list[Any]:
    call = {"state": "result", "toolCallId": "c", "toolName": "shell", "args": CALL, "result": "a.py"}
    return [
        {"id": "1", "role": "user", "content": "Look."},
        {"id": "2", "role": "assistant", "content": "Yes.", "toolInvocations": [call]},
        {"id": "3", "role": "assistant", "content": turn},
    ]


def letta(turn: str) -> list[Any]:
    call = {"name": "shell", "arguments": json.dumps(CALL), "tool_call_id": "c"}
    return [
        {"message_type": "user_message", "content": "Look."},
        {"message_type": "reasoning_message", "reasoning": "Yes."},
        {"message_type": "tool_call_message", "tool_call": call},
        {"message_type": "tool_return_message", "tool_return": "a.py", "tool_call_id": "c"},
        {"message_type": "assistant_message", "content": turn},
    ]


def model_messages(turn: str) -> list[Any]:
    call = {"type": "tool-call", "toolCallId": "c", "toolName": "shell", "input": CALL}
    result = {"type": "tool-result", "toolCallId": "c", "toolName": "shell", "output": {"type": "text", "value": "a.py"}}
    return [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": [{"type": "text", "text": "Yes."}, call]},
        {"role": "tool", "content": [result]},
        {"role": "assistant", "content": [{"type": "text", "text": turn}]},
    ]


def checked(directory: Path, turns: list[str]) -> None:
    steps = open_store(directory).sql("SELECT step, observation, thought, action FROM steps ORDER BY step, action").to_pylist()
    called = [{"step": 0, "observation": "Look.", "thought": "Yes.", "action": 'shell {"cmd": "ls"}'} for _ in turns]
    assert steps == called + [{"step": 1, "observation": "a.py", "thought": "", "action": turn} for turn in sorted(turns)]


@pytest.mark.parametrize("program", [goose, crush, ai_sdk, invocations, letta, model_messages])
def test_parts_of_other_programs_are_calls_and_results(tmp_path: Path, program: Any) -> None:
    import_log(tmp_path / "d", lines(tmp_path / "log.jsonl", [{"chat_history": program(turn)} for turn in ("Done.", "Sorry.")]))
    checked(tmp_path / "d", ["Done.", "Sorry."])


def test_a_line_about_the_session_may_come_before_its_messages(tmp_path: Path) -> None:
    import_log(tmp_path / "d", lines(tmp_path / "s.jsonl", [{"working_dir": "/p", "description": "d"}, *goose("Done.")]))
    checked(tmp_path / "d", ["Done."])
    row = open_store(tmp_path / "d").sql("SELECT metadata FROM rollouts").to_pylist()[0]
    assert json.loads(row["metadata"])["header"] == {"working_dir": "/p", "description": "d"}


@pytest.mark.parametrize(("program", "column"), [(goose, "content_json"), (crush, "parts")])
def test_databases_of_sessions_are_read(tmp_path: Path, program: Any, column: str) -> None:
    with closing(sqlite3.connect(tmp_path / "sessions.db")) as found:
        found.execute("CREATE TABLE sessions (id TEXT PRIMARY KEY, title TEXT)")
        found.execute(f"CREATE TABLE messages (id INTEGER PRIMARY KEY, session_id TEXT, role TEXT, {column} TEXT NOT NULL)")
        for number, turn in enumerate(("Done.", "Sorry.")):
            found.execute("INSERT INTO sessions VALUES (?, ?)", (f"s{number}", "t"))
            for said in program(turn):
                row = (f"s{number}", said["role"], json.dumps(said.get("content", said.get("parts"))))
                found.execute(f"INSERT INTO messages (session_id, role, {column}) VALUES (?, ?, ?)", row)
        found.commit()
    import_log(tmp_path / "d", tmp_path / "sessions.db")
    checked(tmp_path / "d", ["Done.", "Sorry."])
    assert {
        row["trajectory_id"].split(":")[-1] for row in open_store(tmp_path / "d").sql("SELECT trajectory_id FROM rollouts").to_pylist()
    } == {
        "s0",
        "s1",
    }
