"""What coding agents print without a terminal. data/logs/stream-json was printed by Claude Code 2.1.197, Qwen Code 0.15.10, Gemini CLI
0.61.0, Codex 0.171.0 and OpenCode 1.18.33, and data/logs/pi/printed.jsonl by Pi 0.73.1, with a scripted model that gave all of them
the same five answers as far as their tools allowed.
"""

import json
from pathlib import Path

import pytest
from helpers.read_logs import read_log, said

from tratree_data import import_log, open_store
from tratree_data.errors import BadInputError

LOGS = Path(__file__).parent / "data/logs/stream-json"
PYTHON = "python3 -c 'print(\"Größe: 12 µm → ok\")'"


def lines(path: Path, *rows: dict) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def calls(record) -> list[list[str]]:
    return [[call[1] for call in turn[2] or []] for turn in said(record) if turn[0] == "assistant"]


@pytest.mark.parametrize(
    ("file", "tools", "asked", "agent"),
    [
        ("claude.jsonl", [["Bash", "Read"], ["Bash"], ["Write"], ["Agent"], []], "", "claude-code"),
        ("claude_array.json", [["Bash", "Read"], ["Bash"], ["Write"], ["Agent"], []], "", "claude-code"),
        ("claude_partial.jsonl", [["Bash", "Read"], ["Bash"], ["Write"], ["Agent"], []], "", "claude-code"),
        ("qwen.jsonl", [["run_shell_command", "read_file"], ["run_shell_command"], ["write_file"], ["agent"], []], "", "qwen-code"),
        (
            "gemini.jsonl",
            [["run_shell_command", "read_file"], ["run_shell_command"], ["write_file"], ["invoke_agent"], []],
            "PROMPT one with a subagent: look at the notes",
            "gemini-cli",
        ),
        ("opencode.jsonl", [["read", "bash"], ["bash"], ["write"], ["task"], []], "", "opencode"),
    ],
)
def test_blocks_of_one_answer_are_one_turn(file: str, tools: list[list[str]], asked: str, agent: str) -> None:
    records, problems = read_log("stream-json", LOGS / file)
    assert problems == []
    record = records[0]
    assert [sorted(turn) for turn in calls(record)] == [sorted(turn) for turn in tools]
    assert (record.instruction, record.agent) == (asked, agent)
    texts = [turn[1] for turn in said(record) if turn[0] == "assistant"]
    assert texts == ["I will look around.", None, "Writing a file.", "Now a subagent.", "All done: the notes say hello."]
    assert [turn[1].rstrip("\n") for turn in said(record) if turn[0] == "tool"][2].endswith("Größe: 12 µm → ok")


def test_thoughts_and_ids_of_calls_are_kept() -> None:
    (record, *_), _ = read_log("stream-json", LOGS / "claude.jsonl")
    turns = [step.output_message for step in record.steps]
    assert "I should look around first." in record.steps[0].thought
    assert [call["id"] for call in turns[0]["tool_calls"]] == ["toolu_47c89d4d32d8", "toolu_46b31bf27115"]
    assert json.loads(turns[1]["tool_calls"][0]["arguments"])["command"] == PYTHON


def test_a_subagent_is_a_rollout_of_its_own() -> None:
    (main, subagent), _ = read_log("stream-json", LOGS / "claude.jsonl")
    assert subagent.trajectory_id == f"{main.trajectory_id}/toolu_9b16afda4c49"
    assert subagent.instruction == "SUBTASK: count the files and answer with a number."
    assert calls(subagent) == [["Bash", "Read"], ["Bash"], ["Write"], ["Bash"]]


def test_codex_items_are_turns_with_their_results() -> None:
    (record,), problems = read_log("stream-json", LOGS / "codex.jsonl")
    assert problems == []
    assert calls(record) == [["shell"], ["shell"], ["shell"], []]
    assert [turn[1] for turn in said(record) if turn[0] == "tool"][1:] == ["Größe: 12 µm → ok\n", 'a\tb\n"quoted"\n']


def test_what_pi_prints_is_its_session_without_the_pieces() -> None:
    (record,), problems = read_log("pi", LOGS.parent / "pi/printed.jsonl")
    assert problems == []
    assert calls(record) == [["bash", "read"], ["bash"], ["write"], ["bash"], []]
    assert record.instruction == "PROMPT one with a subagent: look at the notes"


def test_cursor_calls_are_shown_once_and_deltas_join_within_words(tmp_path: Path) -> None:
    cursor = lines(
        tmp_path / "cursor.jsonl",
        {"type": "system", "subtype": "init", "apiKeySource": "login", "cwd": "/w", "session_id": "s", "model": "m"},
        {"type": "user", "message": {"role": "user", "content": [{"type": "text", "text": "Read it"}]}, "session_id": "s"},
        {"type": "assistant", "message": {"role": "assistant", "content": [{"type": "text", "text": "I read."}]}, "session_id": "s"},
        {
            "type": "tool_call",
            "subtype": "started",
            "call_id": "c",
            "tool_call": {"readToolCall": {"args": {"path": "a"}}},
            "session_id": "s",
        },
        {
            "type": "tool_call",
            "subtype": "completed",
            "call_id": "c",
            "tool_call": {"readToolCall": {"args": {"path": "a"}, "result": {"success": {"content": "hello"}}}},
            "session_id": "s",
        },
        {"type": "assistant", "message": {"role": "assistant", "content": [{"type": "text", "text": "Done."}]}, "session_id": "s"},
        {"type": "result", "subtype": "success", "is_error": False, "result": "I read.Done.", "session_id": "s"},
    )
    (record,), problems = read_log("stream-json", cursor)
    assert (problems, record.agent, record.end_reason) == ([], "cursor", "done")
    assert said(record) == [
        ("user", "Read it", None),
        ("assistant", "I read.", [("c", "read", '{"path": "a"}')]),
        ("tool", "hello", "c"),
        ("assistant", "Done.", None),
    ]
    gemini = lines(
        tmp_path / "gemini.jsonl",
        {"type": "init", "session_id": "s", "model": "m"},
        {"type": "message", "role": "user", "content": "Say it"},
        {"type": "message", "role": "assistant", "content": "In two pie", "delta": True},
        {"type": "message", "role": "assistant", "content": "ces.", "delta": True},
        {"type": "result", "status": "success", "stats": {}},
    )
    assert said(read_log("stream-json", gemini)[0][0])[-1] == ("assistant", "In two pieces.", None)


def test_a_result_between_two_blocks_of_one_answer_does_not_divide_it(tmp_path: Path) -> None:
    def block(name: str) -> dict:
        call = {"type": "tool_use", "id": name, "name": "Bash", "input": {"command": name}}
        return {"type": "assistant", "message": {"id": "msg_1", "role": "assistant", "content": [call]}, "session_id": "s"}

    def result(name: str) -> dict:
        return {
            "type": "user",
            "message": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": name, "content": f"ran {name}"}]},
            "session_id": "s",
        }

    start = {"type": "system", "subtype": "init", "session_id": "s", "claude_code_version": "2", "tools": ["Bash"], "model": "m"}
    path = lines(tmp_path / "log.jsonl", start, block("a"), result("a"), block("b"), result("b"))
    (record,), _ = read_log("stream-json", path)
    assert [turn[0] for turn in said(record)] == ["assistant", "tool", "tool"]
    assert calls(record) == [["Bash", "Bash"]]


def test_other_output_may_come_first_and_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    path.write_text("npm warn deprecated\nStarting …\n" + (LOGS / "claude.jsonl").read_text())
    records, problems = read_log("stream-json", path)
    assert (len(records), [problem.reason for problem in problems]) == (2, ["not_json", "not_json"])


def test_runs_that_do_not_say_what_was_asked_are_not_one_task(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    for number in range(2):
        text = (LOGS / "codex.jsonl").read_text().replace("01a2243b-e8b1-7012-af6b-215034d52a68", f"thread-{number}")
        (runs / f"{number}.jsonl").write_text(text)
    result = import_log(tmp_path / "d", runs)
    assert "Warning: what was asked is unknown in 2 rollouts, each a task of its own; --tasks FILE groups attempts" in result.notes
    assert open_store(tmp_path / "d").sql("SELECT count(DISTINCT task_id) AS tasks FROM rollouts")["tasks"].to_pylist() == [2]
    (tmp_path / "tasks.csv").write_text("trajectory_id,task_id\nthread-0,notes\nthread-1,notes\n")
    import_log(tmp_path / "grouped", runs, tasks=str(tmp_path / "tasks.csv"))
    assert open_store(tmp_path / "grouped").sql("SELECT DISTINCT task_id FROM rollouts")["task_id"].to_pylist() == ["notes"]


def test_limits_and_errors_are_end_reasons(tmp_path: Path) -> None:
    text = (LOGS / "claude.jsonl").read_text()
    for subtype, reason in (("error_max_turns", "max_steps"), ("error_during_execution", "agent_error"), ("success", "done")):
        path = tmp_path / "log.jsonl"
        path.write_text(text.replace('"type":"result","subtype":"success"', f'"type":"result","subtype":"{subtype}"'))
        assert read_log("stream-json", path)[0][0].end_reason == reason


def test_printed_copilot_output_without_results_is_refused_by_name(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "copilot.jsonl",
        {"type": "user.message", "data": {"content": "Look"}, "id": "1"},
        {"type": "model.call_start", "data": {}, "id": "2"},
        {
            "type": "assistant.message",
            "data": {"content": "", "toolRequests": [{"toolCallId": "c", "name": "bash", "arguments": {}}]},
            "id": "3",
        },
    )
    with pytest.raises(BadInputError, match="without their results; import the session"):
        import_log(tmp_path / "d", path)


def test_hostile_lines_are_reported(tmp_path: Path) -> None:
    start = {"type": "system", "subtype": "init", "session_id": "s", "tools": [], "model": 7, "cwd": {"a": 1}}
    odd = [
        {"type": "assistant", "message": {"content": [{"type": "tool_use"}]}},
        {"type": "assistant", "message": {"content": 7}},
        {"type": "tool_use", "tool_id": [], "tool_name": None},
        {"type": "item.completed", "item": {"type": "command_execution", "id": {}, "command": []}},
        {"type": "item.completed", "item": {"type": "mcp_tool_call"}},
        {"type": "item.completed", "item": {"type": ["agent_message"]}},
        {"type": "tool", "part": {"type": "tool", "state": []}},
        {"type": "tool_call", "tool_call": {"x": {"args": 1}}},
        {"type": "message", "role": "nobody", "content": "x"},
        {"type": "result", "usage": {"input_tokens": 2**70}},
        [],
        7,
    ]
    for row in odd:
        path = tmp_path / "log.jsonl"
        path.write_text("".join(f"{json.dumps(line)}\n" for line in (start, row)))
        records, problems = read_log("stream-json", path)
        assert records or problems, row


def test_lines_that_are_not_objects_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text((LOGS / "codex.jsonl").read_text() + "[]\n7\n")
    records, problems = read_log("stream-json", path)
    assert len(records) == 1
    assert [problem.reason for problem in problems] == ["wrong_type", "wrong_type"]
