"""Sessions of coding agents: turns, branches, side chains and compactions, in files of the tools and in variants of them."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.read_logs import read_log, said
from helpers.shared_data import SHARED, needs_shared

from tratree_data import build, import_log, open_store
from tratree_data.errors import BadInputError
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.formats import fitting_formats
from tratree_data.importers.log_records import Options

LOGS = Path(__file__).parent / "data/logs"


def lines(folder: Path, rows: list, name: str = "session.jsonl") -> Path:
    (folder / name).write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return folder / name


class Claude:
    """Writes lines as Claude Code does."""

    def __init__(self, **common: object) -> None:
        self.common = {"isSidechain": False, "userType": "external", "cwd": "/repo", "sessionId": "s1", "version": "2.1.0"} | common
        self.rows: list[dict] = []

    def add(self, uuid: str, parent: str | None, role: str, content: object, message_id: str = "", **more: object) -> None:
        message = {"role": role, "content": content}
        if role == "assistant":
            message |= {"id": message_id or uuid, "type": "message", "model": "opus", "usage": {"input_tokens": 5, "output_tokens": 2}}
        self.rows.append({"parentUuid": parent, **self.common, "type": role, "uuid": uuid, "message": message, **more})


def use(name: str, call: str, **arguments: object) -> dict:
    return {"type": "tool_use", "id": call, "name": name, "input": arguments}


def result(call: str, content: object) -> dict:
    return {"type": "tool_result", "tool_use_id": call, "content": content}


def test_claude_parallel_calls_on_lines_of_their_own_are_one_turn_and_no_fork(tmp_path):
    log = Claude()
    log.add("u1", None, "user", "List both.")
    log.add("a1", "u1", "assistant", [{"type": "thinking", "thinking": "Two.", "signature": "x"}], "m1")
    log.add("a2", "a1", "assistant", [{"type": "text", "text": "Looking."}], "m1")
    log.add("a3", "a2", "assistant", [use("Bash", "t1", command="ls a")], "m1")
    log.add("r1", "a3", "user", [result("t1", "one")])
    log.add("a4", "r1", "assistant", [use("Bash", "t2", command="ls b")], "m1")
    log.add("r2", "a4", "user", [result("t2", [{"type": "text", "text": "two"}])])
    log.add("a5", "r1", "assistant", "Done.", "m2")
    (record,), problems = read_log("claude-code", lines(tmp_path, log.rows))
    assert problems == []
    assert said(record) == [
        ("user", "List both.", None),
        ("assistant", "Looking.", [("t1", "Bash", '{"command": "ls a"}'), ("t2", "Bash", '{"command": "ls b"}')]),
        ("tool", "one", "t1"), ("tool", "two", "t2"), ("assistant", "Done.", None),
    ]  # fmt: skip
    assert record.steps[0].thought == "Two.\nLooking."
    assert (record.prompt_tokens, record.completion_tokens, record.model) == (10, 4, "opus")


def test_claude_forks_side_chains_and_compactions(tmp_path):
    log = Claude()
    log.rows.append({"type": "file-history-snapshot", "messageId": "x", "snapshot": {}})
    log.add("u1", None, "user", "Fix it.")
    log.add("a1", "u1", "assistant", [use("Task", "t1", prompt="Search.")])
    log.add("s1", None, "user", "Search.", isSidechain=True, agentId="helper")
    log.add("s2", "s1", "assistant", "Found.", isSidechain=True, agentId="helper")
    log.add("r1", "a1", "user", [result("t1", "Found.")])
    log.add("a2", "r1", "assistant", "First way.")
    log.add("u2", "r1", "user", "Another way, please.")
    log.add("a3", "u2", "assistant", "Second way.")
    log.rows.append({**log.common, "type": "system", "subtype": "compact_boundary", "uuid": "c1", "parentUuid": None,
                     "logicalParentUuid": "a3", "content": "Conversation compacted", "compactMetadata": {"trigger": "auto"}})  # fmt: skip
    log.add("u3", "c1", "user", "Summary so far.", isCompactSummary=True)
    log.add("a4", "u3", "assistant", "Going on.")
    records, problems = read_log("claude-code", lines(tmp_path, log.rows))
    assert problems == []
    main, fork, side = sorted(records, key=lambda record: -len(record.steps))
    assert [record.trajectory_id for record in (main, fork, side)] == ["s1", "s1/a2", "s1/helper"]
    assert main.task_id == fork.task_id != side.task_id, "a fork is another attempt at the task"
    assert [step.action for step in fork.steps] == ['Task {"prompt": "Search."}', "First way."]
    assert [step.action for step in main.steps][1:] == ["Second way.", "Going on."]
    assert [said["compaction"] for said in main.steps[-1].metadata["input_messages"]] == [True, True]
    assert side.metadata["isSidechain"] is True
    assert side.instruction == "Search."


def test_claude_a_resumed_session_is_another_attempt_at_the_task(tmp_path):
    for session, answers in (("s1", 1), ("s2", 2)):
        log = Claude(sessionId=session, **({"forkedFrom": {"sessionId": "s1", "messageUuid": "u0"}} if session == "s2" else {}))
        log.add("m0", None, "user", "<command-name>/init</command-name>", isMeta=True)
        log.add("u0", "m0", "user", "Same question")
        log.add("a0", "u0", "assistant", "One.")
        log.add("u1", "a0", "user", "More")
        for i in range(answers - 1):
            log.add(f"b{i}", "u1", "assistant", "Two.")
        lines(tmp_path, log.rows, f"{session}.jsonl")
    import_log(tmp_path / "d", tmp_path)
    store = open_store(tmp_path / "d")
    rows = store.sql("SELECT trajectory_id, attempt, score, instruction FROM rollouts ORDER BY attempt").to_pylist()
    assert [row["trajectory_id"] for row in rows] == ["s1", "s2"]
    assert {row["instruction"] for row in rows} == {"Same question"}
    assert store.sql("SELECT count(DISTINCT tree_id) AS n FROM rollouts")["n"].to_pylist() == [1]
    build(tmp_path / "d", embedder="exact")
    assert open_store(tmp_path / "d").sql("SELECT count(*) AS n FROM nodes WHERE depth > 0")["n"].to_pylist() == [2]


def test_claude_errors_of_the_server_are_nobodys_act_and_images_are_named(tmp_path):
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(b"pixels").decode()}}
    log = Claude()
    log.add("u1", None, "user", [{"type": "text", "text": "What is it?"}, image])
    log.add("a1", "u1", "assistant", [{"type": "text", "text": "API Error"}], isApiErrorMessage=True)
    log.add("a2", "a1", "assistant", [{"type": "text", "text": "A cat."}])
    (record,), _ = read_log("claude-code", lines(tmp_path, log.rows))
    assert [step.action for step in record.steps] == ["A cat."]
    assert record.steps[0].observation == f"What is it?\n[image image/png sha256:{hashlib.sha256(b'pixels').hexdigest()[:16]} 6 B]"
    assert any(event.get("isApiErrorMessage") for event in record.metadata["events"])


def test_a_session_in_which_nobody_acts_names_the_tool(tmp_path):
    log = Claude()
    log.add("u1", None, "user", "Hello?")
    with pytest.raises(BadInputError, match=r"as claude-code: empty_steps, .*the session has no action of the agent"):
        import_log(tmp_path / "d", lines(tmp_path, log.rows))


def codex_line(kind: str, **payload: object) -> dict:
    return {"timestamp": "2026-01-01T00:00:00Z", "type": kind, "payload": payload}


def codex_session() -> Iterator[dict]:
    yield codex_line("session_meta", id="c1", cwd="/repo", cli_version="0.99", base_instructions={"text": "You are Codex."})
    yield codex_line("turn_context", model="gpt-5", cwd="/repo")
    for text in ("<environment_context>x</environment_context>", "Fix the bug"):
        yield codex_line("response_item", type="message", role="user", content=[{"type": "input_text", "text": text}])
    yield codex_line("event_msg", type="user_message", message="Fix the bug")
    yield codex_line("response_item", type="reasoning", summary=[{"type": "summary_text", "text": "Look."}], content=None)
    yield codex_line("response_item", type="function_call", name="shell", arguments='{"cmd":"ls"}', call_id="k1")
    yield codex_line("response_item", type="local_shell_call", call_id="k2", action={"type": "exec", "command": ["pwd"]})
    yield codex_line("event_msg", type="token_count", info={"total_token_usage": {"input_tokens": 9, "output_tokens": 4}})
    yield codex_line("response_item", type="function_call_output", call_id="k1", output="a.py")
    yield codex_line("response_item", type="function_call_output", call_id="k2", output={"content": "/repo", "success": True})
    yield codex_line("response_item", type="message", role="assistant", content=[{"type": "output_text", "text": "Fixed."}])
    yield codex_line("response_item", type="message", role="user", content=[{"type": "input_text", "text": "Undo"}])
    yield codex_line("response_item", type="message", role="assistant", content=[{"type": "output_text", "text": "Undone."}])
    yield codex_line("event_msg", type="thread_rolled_back", num_turns=1)
    yield codex_line("compacted", message="All was well.")
    yield codex_line("response_item", type="message", role="assistant", content=[{"type": "output_text", "text": "Ready."}])


def test_codex_items_between_inputs_are_one_turn_and_a_roll_back_is_a_branch(tmp_path):
    (left, main), problems = read_log("codex", lines(tmp_path, list(codex_session())))
    assert problems == []
    assert main.task_id == left.task_id
    assert (left.trajectory_id, main.trajectory_id) == ("c1/rolled-back-0", "c1")
    assert said(main)[0] == ("system", "You are Codex.", None)
    assert said(main)[3:6] == [
        ("assistant", None, [("k1", "shell", '{"cmd":"ls"}'), ("k2", "local_shell", '{"type": "exec", "command": ["pwd"]}')]),
        ("tool", "a.py", "k1"), ("tool", "/repo", "k2"),
    ]  # fmt: skip
    assert [step.action for step in left.steps][1:] == ["Fixed.", "Undone."]
    assert [step.action for step in main.steps][1:] == ["Fixed.", "Ready."]
    assert main.steps[2].observation == "All was well."
    assert main.steps[2].metadata["input_messages"] == [{"compaction": True}]
    assert (main.instruction, main.model, main.prompt_tokens) == ("Fix the bug", "gpt-5", 9)


def test_a_damaged_count_of_tokens_costs_the_count_and_not_the_session(tmp_path):
    rows = list(codex_session())
    for damaged in (float("inf"), -1, -(10**30), 10**400, "many", [1]):
        totals = codex_line("event_msg", type="token_count", info={"total_token_usage": {"input_tokens": damaged, "output_tokens": 4}})
        (_, main), problems = read_log("codex", lines(tmp_path, [*rows, totals]))
        assert problems == []
        assert (main.prompt_tokens, main.completion_tokens) == (None, 4), damaged


@pytest.mark.parametrize("odd", [{}, [], [[]], None, 1])
def test_pi_a_line_whose_type_is_not_a_text_is_no_header(tmp_path, odd):
    header = {"type": "session", "id": "p1", "timestamp": "t", "cwd": "/repo", "version": 3}
    said = [
        {"type": "message", "id": str(i), "parentId": str(i - 1) if i else None, "message": {"role": role, "content": text}}
        for i, (role, text) in enumerate((("user", "Hi"), ("assistant", "Hello")))
    ]
    records, _ = read_log("pi", lines(tmp_path, [header, {"type": odd, "id": "x"}, *said]))
    assert [step.action for record in records for step in record.steps] == ["Hello"]


def test_codex_old_files_without_payloads(tmp_path):
    rows = [
        {"id": "old", "timestamp": "2025-05-01T00:00:00Z", "instructions": None},
        {"record_type": "state"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]},
    ]
    (record,), _ = read_log("codex", lines(tmp_path, rows))
    assert said(record) == [("user", "Hi", None), ("assistant", "Hello", None)]


def gemini_messages() -> list[dict]:
    call = {"id": "g1", "name": "read_file", "args": {"path": "a"}, "status": "success",
            "result": [{"functionResponse": {"id": "g1", "name": "read_file", "response": {"output": "text of a"}}}]}  # fmt: skip
    return [
        {"id": "1", "timestamp": "t", "type": "user", "content": "Read a"},
        {"id": "2", "timestamp": "t", "type": "gemini", "content": "", "thoughts": [{"subject": "S", "description": "D"}],
         "toolCalls": [call], "tokens": {"input": 3, "output": 2}, "model": "gemini-3"},
        {"id": "3", "timestamp": "t", "type": "gemini", "content": "It says so.", "model": "gemini-3"},
    ]  # fmt: skip


HEADER = {"sessionId": "g", "projectHash": "p", "startTime": "t", "lastUpdated": "t"}


def test_gemini_as_one_object_and_in_lines_reads_the_same(tmp_path):
    (tmp_path / "whole.json").write_text(json.dumps(HEADER | {"messages": gemini_messages()}, indent=1))
    first, second, third = gemini_messages()
    early = {key: value for key, value in second.items() if key != "toolCalls"}
    rows = [HEADER | {"kind": "main"}, first, early, {"$set": {"lastUpdated": "u"}}, second, third]
    (whole,), _ = read_log("gemini", tmp_path / "whole.json")
    (streamed,), _ = read_log("gemini", lines(tmp_path, rows))
    assert said(whole) == said(streamed) == [
        ("user", "Read a", None), ("assistant", None, [("g1", "read_file", '{"path": "a"}')]),
        ("tool", "text of a", "g1"), ("assistant", "It says so.", None),
    ]  # fmt: skip
    assert whole.steps[0].thought == "S: D"
    assert (whole.prompt_tokens, whole.completion_tokens, whole.model) == (3, 2, "gemini-3")


def test_gemini_results_that_are_repeated_in_the_users_name_count_once(tmp_path):
    first, second, third = gemini_messages()
    repeated = {"functionResponse": second["toolCalls"][0]["result"][0]["functionResponse"]}
    unseen = {"functionResponse": {"id": "late", "name": "ls", "response": {"output": "late"}}}
    alone = [HEADER, first, second, {"id": "2b", "type": "user", "content": [repeated]}, third]
    both = [HEADER, first, second, {"id": "2b", "type": "user", "content": [repeated, unseen, {"text": "And now?"}]}, third]
    (plain,), _ = read_log("gemini", lines(tmp_path, [HEADER, first, second, third], "plain.jsonl"))
    (repeated_once,), _ = read_log("gemini", lines(tmp_path, alone, "alone.jsonl"))
    (more,), _ = read_log("gemini", lines(tmp_path, both, "both.jsonl"))
    assert said(repeated_once) == said(plain)
    assert said(more) == [*said(plain)[:-1], ("tool", "late", "late"), ("user", "And now?", None), said(plain)[-1]]


def test_what_the_program_says_beside_the_user_is_a_message_but_not_observed(tmp_path):
    """Today's date and the folder's content would keep attempts at one task apart."""
    for day in ("Monday", "Tuesday"):
        context = {"id": "0", "type": "user", "content": [{"text": f"<session_context>\nToday is {day}.\n</session_context>"}]}
        lines(tmp_path, [HEADER | {"sessionId": day}, context, *gemini_messages()], f"{day}.jsonl")
    (monday,), _ = read_log("gemini", tmp_path / "Monday.jsonl")
    (tuesday,), _ = read_log("gemini", tmp_path / "Tuesday.jsonl")
    assert monday.steps[0].observation == tuesday.steps[0].observation == gemini_messages()[0]["content"]
    assert [content for role, content, _ in said(monday)[:2]] == [
        "<session_context>\nToday is Monday.\n</session_context>", gemini_messages()[0]["content"],
    ]  # fmt: skip
    alone, _ = read_log("gemini", lines(tmp_path, [HEADER, context, *gemini_messages()[1:]]))
    assert alone[0].steps[0].observation == context["content"][0]["text"]


QWEN = LOGS / "qwen/session.jsonl"


def test_qwen_code_in_geminis_parts(tmp_path):
    assert fitting_formats(LogFile(QWEN, "session.jsonl"), Options()) == ["qwen"]
    (record,), problems = read_log("qwen", QWEN)
    assert problems == []
    assert [role for role, _, _ in said(record)] == ["user", "assistant", "tool", "tool", "assistant", "tool", "assistant"]
    calls = [name for _, _, calls in said(record) if isinstance(calls, list) for _, name, _ in calls]
    assert calls == ["run_shell_command"] * 3
    assert (record.instruction, record.model, record.prompt_tokens) == ("Fix the typo in notes.txt", "fake-1", 300)
    assert record.steps[0].metadata["usageMetadata"]["totalTokenCount"] == 120


def test_qwen_code_a_rewind_leaves_a_branch(tmp_path):
    rows = [json.loads(line) for line in QWEN.read_text(encoding="utf-8").splitlines()]
    asked = next(row for row in rows if row["type"] == "user")
    common = {key: asked[key] for key in ("sessionId", "timestamp", "cwd", "version")}
    thought = {"text": "Shorter.", "thought": True}
    rows += [
        common | {"uuid": "r", "parentUuid": asked["uuid"], "type": "system", "subtype": "rewind", "systemPayload": {}},
        common
        | {
            "uuid": "a",
            "parentUuid": "r",
            "type": "assistant",
            "model": "m",
            "message": {"role": "model", "parts": [thought, {"text": "No."}]},
        },
    ]
    (main, left), problems = read_log("qwen", lines(tmp_path, rows))
    assert problems == []
    assert [(step.thought, step.action) for step in main.steps] == [("Shorter.", "No.")]
    assert (len(left.steps), left.task_id) == (3, main.task_id)
    assert left.trajectory_id != main.trajectory_id


def test_gemini_a_rewind_leaves_a_branch(tmp_path):
    rows = [HEADER, *gemini_messages(), {"$rewindTo": "3"}, {"id": "4", "type": "gemini", "content": "Otherwise."}]
    (left, main), _ = read_log("gemini", lines(tmp_path, rows))
    assert (left.trajectory_id, main.trajectory_id) == ("g/rewound-0", "g")
    assert (left.steps[-1].action, main.steps[-1].action) == ("It says so.", "Otherwise.")


def event(kind: str, **data: object) -> dict:
    return {"type": kind, "data": data, "id": kind, "timestamp": "t", "parentId": None}


def test_copilot_calls_results_and_subagents(tmp_path):
    rows = [
        event("session.start", sessionId="p1", version=1, producer="copilot-agent", copilotVersion="1.0", context={"cwd": "/repo"}),
        event("session.model_change", newModel="claude-sonnet"),
        event("user.message", content="Look", transformedContent="<now>…</now> Look", attachments=[]),
        event("assistant.turn_start", turnId="0"),
        event("assistant.message", messageId="m", content="", reasoningText="Hm.",
              toolRequests=[{"toolCallId": "x1", "name": "view", "arguments": {"path": "."}, "type": "function"}]),
        event("tool.execution_start", toolCallId="x1", toolName="view", arguments={"path": "."}),
        event("assistant.message", content="I help.", parentToolCallId="x1"),
        event("tool.execution_complete", toolCallId="x1", success=False, error={"message": "denied", "code": "denied"}),
        event("assistant.message", content="No way.", toolRequests=[]),
        event("session.shutdown", totalPremiumRequests=1),
    ]  # fmt: skip
    (main, helper), problems = read_log("copilot", lines(tmp_path, rows))
    assert problems == []
    assert said(main) == [
        ("user", "Look", None), ("assistant", None, [("x1", "view", '{"path": "."}')]), ("tool", "denied", "x1"),
        ("assistant", "No way.", None),
    ]  # fmt: skip
    assert main.steps[0].thought == "Hm."
    assert (main.model, main.environment_version, main.metadata["project"]) == ("claude-sonnet", "1.0", "/repo")
    assert (helper.trajectory_id, helper.steps[0].action) == ("p1/x1", "I help.")


def test_opencode_steps_of_a_message_are_turns(tmp_path):
    tool = {
        "type": "tool",
        "callID": "o1",
        "tool": "bash",
        "state": {"status": "completed", "input": {"command": "ls"}, "output": "a", "title": "ls"},
    }
    failed = {"type": "tool", "callID": "o2", "tool": "read", "state": {"status": "error", "input": {}, "error": "no such file"}}
    export = {
        "info": {"id": "ses_1", "directory": "/repo", "version": "1.1", "title": "t", "time": {"created": 1}},
        "messages": [
            {"info": {"id": "m1", "role": "user"}, "parts": [{"type": "text", "text": "List"}]},
            {"info": {"id": "m2", "role": "assistant", "modelID": "kimi", "tokens": {"input": 7, "output": 1}}, "parts": [
                {"type": "step-start"}, {"type": "reasoning", "text": "Shell."}, tool, failed, {"type": "step-finish", "cost": 0},
                {"type": "step-start"}, {"type": "text", "text": "There is a."}, {"type": "step-finish", "cost": 0},
            ]},
        ],
    }  # fmt: skip
    (tmp_path / "export.json").write_text(json.dumps(export, indent=2))
    (record,), problems = read_log("opencode", tmp_path / "export.json")
    assert problems == []
    assert said(record) == [
        ("user", "List", None), ("assistant", None, [("o1", "bash", '{"command": "ls"}'), ("o2", "read", "{}")]),
        ("tool", "a", "o1"), ("tool", "no such file", "o2"), ("assistant", "There is a.", None),
    ]  # fmt: skip
    assert (record.steps[0].thought, record.model, record.prompt_tokens) == ("Shell.", "kimi", 7)


def test_pi_trees_have_a_rollout_for_each_leaf_and_are_not_sts(tmp_path):
    def entry(name: str, parent: str | None, message: dict) -> dict:
        return {"type": "message", "id": name, "parentId": parent, "timestamp": "t", "message": message}

    call = {"type": "toolCall", "id": "q1", "name": "bash", "arguments": {"command": "ls"}}
    rows = [
        {"type": "session", "version": 3, "id": "pi1", "timestamp": "t", "cwd": "/repo"},
        entry("1", None, {"role": "user", "content": [{"type": "text", "text": "Go"}]}),
        entry("2", "1", {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm"}, call], "model": "m"}),
        entry("3", "2", {"role": "toolResult", "toolCallId": "q1", "toolName": "bash", "content": [{"type": "text", "text": "a"}]}),
        entry("4", "3", {"role": "assistant", "content": [{"type": "text", "text": "One."}]}),
        {"type": "compaction", "id": "5", "parentId": "3", "summary": "We listed.", "firstKeptEntryId": "2", "tokensBefore": 9},
        entry("6", "5", {"role": "assistant", "content": [{"type": "text", "text": "Two."}]}),
    ]  # fmt: skip
    path = lines(tmp_path, rows)
    assert fitting_formats(LogFile(path, "x"), Options()) == ["pi"]
    (main, other), problems = read_log("pi", path)
    assert problems == []
    assert said(other) == [
        ("user", "Go", None), ("assistant", "", [("q1", "bash", '{"command": "ls"}')]), ("tool", "a", "q1"), ("assistant", "One.", None),
    ]  # fmt: skip
    assert (main.trajectory_id, other.trajectory_id) == ("pi1", "pi1/4")
    assert main.steps[1].observation == "a\n\nWe listed."


def test_pi_an_answer_that_was_stopped_before_it_said_anything_is_an_event(tmp_path):
    def entry(name: str, parent: str | None, role: str, content: list, **more: object) -> dict:
        return {"type": "message", "id": name, "parentId": parent, "message": {"role": role, "content": content} | more}

    rows = [
        {"type": "session", "version": 3, "id": "pi1", "cwd": "/repo"},
        entry("1", None, "user", [{"type": "text", "text": "Go"}]),
        entry("2", "1", "assistant", [{"type": "thinking", "thinking": "Well"}], stopReason="aborted", errorMessage="Request was aborted."),
        entry("3", "2", "user", [{"type": "text", "text": "Go on"}]),
        entry("4", "3", "assistant", [{"type": "text", "text": "Half an"}], stopReason="aborted"),
    ]
    (record,), problems = read_log("pi", lines(tmp_path, rows))
    assert problems == []
    assert said(record) == [("user", "Go", None), ("user", "Go on", None), ("assistant", "Half an", None)]
    assert record.metadata["events"][0]["message"]["errorMessage"] == "Request was aborted."


def test_droid_and_hermes(tmp_path):
    rows = [
        {"type": "session_start", "id": "d1", "title": "x", "cwd": "/repo"},
        {"type": "message", "id": "1", "timestamp": "t", "message": {"role": "user", "content": [{"type": "text", "text": "Go"}]}},
        {"type": "message", "id": "2", "parentId": "1", "message": {"role": "assistant", "content": [use("LS", "w", path=".")]}},
        {"type": "message", "id": "3", "parentId": "2", "message": {"role": "user", "content": [result("w", "a")]}},
        {"type": "message", "id": "4", "parentId": "3", "message": {"role": "assistant", "content": "Done."}},
    ]
    path = lines(tmp_path, rows, "droid.jsonl")
    assert fitting_formats(LogFile(path, "x"), Options()) == ["pi"]
    (droid,), _ = read_log("pi", path)
    assert (droid.agent, [step.action for step in droid.steps]) == ("droid", ['LS {"path": "."}', "Done."])
    call = {"id": "h", "type": "function", "function": {"name": "ls", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Go"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "h", "content": "a"},
    ]
    path = lines(
        tmp_path, [{"id": "h1", "source": "cli", "model": "m", "system_prompt": "You help.", "messages": messages}], "hermes.jsonl"
    )
    assert fitting_formats(LogFile(path, "x"), Options()) == ["hermes"]
    (hermes,), _ = read_log("hermes", path)
    assert (hermes.prompt, hermes.agent, hermes.end_observation) == ("You help.", "hermes", "a")


def test_hermes_transcripts_and_trajectories_are_read_as_calls(tmp_path):
    path = LOGS / "hermes/20260501_101500_ab12cd34.jsonl"
    assert fitting_formats(LogFile(path, "x"), Options()) == ["hermes"]
    (record,), problems = read_log("hermes", path)
    assert problems == []
    assert said(record) == [
        ("user", "List it", None), ("assistant", "", [("c1", "terminal", '{"command": "ls"}')]), ("tool", "a", "c1"),
        ("assistant", "There is a.", None),
    ]  # fmt: skip
    assert (record.trajectory_id, record.model, record.tools[0]["function"]["name"]) == (path.stem, "hermes-5", "terminal")
    assert record.steps[0].thought == "A shell."
    path = LOGS / "hermes/trajectory_samples.jsonl"
    assert fitting_formats(LogFile(path, "x"), Options()) == ["hermes"]
    (run, broken), problems = read_log("hermes", path)
    assert problems == []
    calls = [("k1", "terminal", '{"command": "ls"}'), ("k2", "terminal", '{"command": "pwd"}')]
    assert said(run)[2:] == [
        ("assistant", "I look.", calls), ("tool", '{"output": "a"}', "k1"), ("tool", "/repo", "k2"),
        ("assistant", "A file in /repo.", None),
    ]  # fmt: skip
    assert (run.steps[0].thought, run.end_reason, len(run.tools)) == ("Both at once.\nI look.", "done", 1)
    assert broken.steps[0].action.startswith("<tool_call>"), "a call that nobody can read stays text"
    assert broken.trajectory_id == "trajectory_samples:1"
    plain = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}
    assert fitting_formats(LogFile(lines(tmp_path, [plain], "plain.jsonl"), "x"), Options()) == ["sharegpt"]


@needs_shared
@pytest.mark.parametrize(("folder", "format", "steps"), [
    ("claude_code/representative_messages.jsonl", "claude-code", [5]),
    ("claude_code/session_b.jsonl", "claude-code", [1]),
    ("claude_code/edge_cases.jsonl", "claude-code", [1, 3]),
    ("claude_code/todowrite_examples.jsonl", "claude-code", [6]),
    ("codex/codex.jsonl", "codex", [19]),
    ("gemini/gemini.jsonl", "gemini", [6]),
])  # fmt: skip
def test_files_that_the_tools_wrote_are_detected_and_read(folder, format, steps):
    path = SHARED / "sessions" / folder
    assert fitting_formats(LogFile(path, path.name), Options()) == [format]
    assert [len(record.steps) for record in read_log(format, path)[0]] == steps


def test_claude_what_lies_beside_sessions_is_no_log(tmp_path):
    folder = tmp_path / "project"
    beside = folder / "s1/subagents"
    beside.mkdir(parents=True)
    log = Claude()
    log.add("u1", None, "user", "Fix it.")
    log.add("a1", "u1", "assistant", [use("Agent", "t1", prompt="Search.")])
    lines(folder, log.rows, "s1.jsonl")
    side = Claude(isSidechain=True, agentId="helper")
    side.add("s1", None, "user", "Search.")
    side.add("s2", "s1", "assistant", "Found.")
    lines(beside, side.rows, "agent-helper.jsonl")
    about = {"agentType": "Explore", "description": "look", "toolUseId": "t1"}
    (beside / "agent-helper.meta.json").write_text(json.dumps(about))
    (folder / "memory").mkdir()
    (folder / "memory/MEMORY.md").write_text("Remember.")
    lines(folder, [{"type": "queue-operation", "operation": "enqueue", "sessionId": "s2", "content": "/nosuch"}], "s2.jsonl")
    result = import_log(tmp_path / "d", folder)
    assert not any(note.startswith("Not read") for note in result.notes)
    assert result.counts == {"rollouts": 2, "steps": 2, "already_there": 0, "dropped": 1}
    assert "empty_steps: 1 (the first: project/s2.jsonl:1: the session contains no message)" in result.notes
    known = open_store(tmp_path / "d").sql("SELECT metadata FROM rollouts WHERE trajectory_id = 's1/helper'")["metadata"].to_pylist()
    assert json.loads(known[0])["subagent"] == about


def test_gemini_a_resumed_session_keeps_its_calls(tmp_path):
    """It sets its messages anew, with calls among the parts; an answer and the results of its calls may share an id."""
    (record,), problems = read_log("gemini", LOGS / "gemini/resumed.jsonl")
    assert problems == []
    calls = [call for role, _, called in said(record) if role == "assistant" for call in called or []]
    commands = ["ls", "cat notes.txt", "sed -i 's/teh/the/' notes.txt && cat notes.txt"]
    assert [json.loads(arguments)["command"] for _, _, arguments in calls] == commands
    assert [call for role, _, call in said(record) if role == "tool"] == [identity for identity, _, _ in calls]
    assert [step.action for step in record.steps][2:] == ["Done.", "Done."]
    assert record.steps[0].thought == "Think: Let me look at both.\nLet me look at both."
    assert record.steps[0].metadata["tokens"]["output"] == 20, "what the session said about it before"
    rows = [json.loads(line) for line in (LOGS / "gemini/resumed.jsonl").read_text().splitlines()]
    start = max(i for i, row in enumerate(rows) if "sessionId" in row and "type" not in row)
    (alone,), _ = read_log("gemini", lines(tmp_path, rows[start:]))
    assert [step.action for step in alone.steps] == [step.action for step in record.steps], "also without what was before"
    assert alone.steps[0].thought == "**Think** Let me look at both.\nLet me look at both."


def test_codex_the_path_of_an_image_is_not_what_was_asked(tmp_path):
    def asked(path: str) -> str:
        image = {"type": "input_image", "image_url": "data:image/png;base64," + base64.b64encode(b"pixels").decode()}
        tag = {"type": "input_text", "text": f'<image name=[Image #1] path="{path}">'}
        parts = [tag, image, {"type": "input_text", "text": "</image>"}, {"type": "input_text", "text": "What is it?"}]
        rows = [codex_line("session_meta", id="c1", cwd="/repo"), codex_line("response_item", type="message", role="user", content=parts)]
        said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "A cat."}]}
        (record,), _ = read_log("codex", lines(tmp_path, [*rows, codex_line("response_item", **said)]))
        assert path in record.steps[0].observation
        return record.instruction

    assert asked("/home/ann/a.png") == asked("/tmp/b.png")
    assert asked("/tmp/b.png").endswith("6 B]\nWhat is it?")
