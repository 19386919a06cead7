"""A folder of Claude Code sessions as the tool writes them: two tasks in one project, three attempts at each, with tool calls."""

import json
from pathlib import Path

PROJECT = "-home-me-parser"
TASKS = {
    "Make test_dates pass.": {
        "a1": [
            ("Read", {"file_path": "dates.py"}, "def parse(text): ..."),
            ("Edit", {"file_path": "dates.py", "old": "%m/%d", "new": "%d/%m"}, "ok"),
        ],
        "a2": [
            ("Read", {"file_path": "dates.py"}, "def parse(text): ..."),
            ("Edit", {"file_path": "test_dates.py", "old": "assert", "new": "# assert"}, "ok"),
        ],
        "a3": [("Bash", {"command": "pytest -q"}, "1 failed"), ("Edit", {"file_path": "dates.py", "old": "%m/%d", "new": "%d/%m"}, "ok")],
    },
    "Say what the flag --strict does.": {
        "b1": [
            ("Grep", {"pattern": "strict"}, "cli.py:12: --strict"),
            ("Read", {"file_path": "cli.py"}, "strict: stop at the first error"),
        ],
        "b2": [("Grep", {"pattern": "strict"}, "cli.py:12: --strict")],
        "b3": [("Read", {"file_path": "README.md"}, "A parser of dates.")],
    },
}
SCORES = {"a1": 1.0, "a2": 0.0, "a3": 1.0, "b1": 1.0, "b2": 0.5, "b3": 0.0}


def write_sessions(projects: Path) -> None:
    """`projects` is what ~/.claude/projects is to Claude Code."""
    folder = projects / PROJECT
    folder.mkdir(parents=True)
    for task, attempts in TASKS.items():
        for session, calls in attempts.items():
            (folder / f"{session}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in _session(session, task, calls)))


def write_scores(path: Path) -> None:
    path.write_text("trajectory_id,score\n" + "".join(f"{session},{score}\n" for session, score in SCORES.items()))


def _session(session: str, task: str, calls: list[tuple[str, dict[str, str], str]]) -> list[dict[str, object]]:
    common = {"isSidechain": False, "userType": "external", "cwd": "/home/me/parser", "sessionId": session, "version": "2.1.0"}
    rows: list[dict[str, object]] = []

    def add(kind: str, message: dict[str, object]) -> None:
        uuid = f"{session}-{len(rows)}"
        parent = rows[-1]["uuid"] if rows else None
        rows.append(
            {
                "parentUuid": parent,
                **common,
                "type": kind,
                "uuid": uuid,
                "timestamp": f"2026-11-02T10:00:{len(rows):02d}.000Z",
                "message": message,
            }
        )

    add("user", {"role": "user", "content": task})
    for i, (name, arguments, result) in enumerate(calls):
        call = f"toolu_{session}_{i}"
        say = {"model": "claude-opus-4-5", "type": "message", "role": "assistant", "usage": {"input_tokens": 900, "output_tokens": 40}}
        add(
            "assistant",
            {"id": f"msg_{session}_{i}", **say, "content": [{"type": "tool_use", "id": call, "name": name, "input": arguments}]},
        )
        add("user", {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": result}]})
    add(
        "assistant",
        {
            "id": f"msg_{session}_end",
            "model": "claude-opus-4-5",
            "type": "message",
            "role": "assistant",
            "usage": {"input_tokens": 990, "output_tokens": 9},
            "content": [{"type": "text", "text": "Done."}],
        },
    )
    return rows
