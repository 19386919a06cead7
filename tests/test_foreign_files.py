"""Files of known tools that hold no run, or not in a way that can be read: each is named, with what to import instead."""

import json
import pickle
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tratree_data import import_log, open_store
from tratree_data.errors import BadInputError

RECORDS = {
    "Claude Code": {"type": "result", "subtype": "success", "result": "Done.", "num_turns": 3, "session_id": "s", "total_cost_usd": 0.1},
    "Gemini CLI": {"session_id": "s", "response": "Done.", "stats": {}},
    "llm logs --json": {"id": "1", "conversation_id": "c", "prompt": "p", "response": "r", "tool_calls": [], "tool_results": []},
    "OSWorld": {"step_num": 1, "action_timestamp": "x", "action": "click()", "response": "", "screenshot_file": "1.png"},
    "CrewAI": {"timestamp": "x", "task_name": None, "task": "t", "agent": "a", "status": "started"},
    "AgentLab": {"n_steps": 3, "cum_reward": 1.0},
    "Terminal-Bench": {"results": [{"is_resolved": True}], "pass_at_k": {}, "n_resolved": 1},
    "one event of OpenHands": {"id": 1, "timestamp": "x", "source": "agent", "message": "", "action": "run", "args": {"command": "ls"}},
}


@pytest.mark.parametrize("name", RECORDS)
def test_records_of_known_tools_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/a.txt").write_text("started")
    (tmp_path / "logs/b.json").write_text(json.dumps(RECORDS[name]))
    with pytest.raises(BadInputError, match=f"(?s){name}.*\nNext: [a-z]"):
        import_log(tmp_path / "d", tmp_path / "logs")


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("a.hdf5", b"\x89HDF\r\n\x1a\n" + bytes(99), "Minari"),
        ("a.json", pickle.dumps([1, 2]), "pickle"),
        ("a.npz", b"PK\x03\x04" + bytes(99), "NumPy"),
        ("a.yaml", b"- task: t\n", "YAML"),
    ],
)
def test_files_of_other_kinds_are_named(tmp_path: Path, name: str, data: bytes, what: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadInputError, match=f"(?s){what}.*\nNext: "):
        import_log(tmp_path / "d", tmp_path / name)


def test_checkpoints_of_langgraph_are_named(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as database:
        database.execute("CREATE TABLE checkpoints (thread_id TEXT, checkpoint BLOB)")
        database.commit()
    with pytest.raises(BadInputError, match=r"(?s)LangGraph.*messages_to_dict"):
        import_log(tmp_path / "d", tmp_path / "a.sqlite")


def test_an_unknown_record_is_described(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"question": "q", "n\x1b": 1}))
    with pytest.raises(BadInputError, match=r"first record has 'question', 'n\\x1b', and nothing in it(?s:.*)--column messages=PATH"):
        import_log(tmp_path / "d", tmp_path / "a.json")


def test_an_exported_session_of_openhands_is_an_episode(tmp_path: Path) -> None:
    said = {"id": 0, "source": "user", "action": "message", "args": {"content": "List it."}}
    ran = {"id": 1, "source": "agent", "action": "run", "args": {"command": "ls", "thought": "hm"}}
    saw = {"id": 2, "source": "agent", "observation": "run", "content": "a.py", "extras": {}}
    done = {"id": 3, "source": "agent", "action": "finish", "args": {"outputs": {}, "thought": "Listed."}}
    (tmp_path / "trajectory.json").write_text(json.dumps([said, ran, saw, done]))
    result = import_log(tmp_path / "d", tmp_path / "trajectory.json")
    assert result.notes[0] == "Format: openhands (detected)"
    steps = open_store(tmp_path / "d").sql("SELECT observation, thought FROM steps ORDER BY step").to_pylist()
    assert steps == [{"observation": "List it.", "thought": "hm"}, {"observation": "a.py", "thought": "Listed."}]
