"""Histories that agent frameworks serialised, and sessions of Cline and Continue: one agent with one task in all of them, turn by turn."""

import json
import re
from pathlib import Path

import pytest
from helpers.read_logs import read_log, said

from tratree_data import import_log, open_store
from tratree_data.errors import BadInputError
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.formats import fitting_formats
from tratree_data.importers.log_records import Options

LOGS = Path(__file__).parent / "data/logs"
COMMANDS = ["ls", "cat notes.txt", "sed -i 's/teh/the/' notes.txt && cat notes.txt", "false; cat missing.txt"]
RESULTS = ["notes.txt", "teh cat", "the cat", "cat: missing.txt: No such file or directory"]
SAID = ["Let me look at both.", "I fix it.", "Check the failing one.", "Done: fixed the typo — “teh”."]
AGENTS = {
    "langchain_dicts.json": "langchain", "langchain_dumpd.json": "langchain", "langgraph.json": "langchain",
    "pydantic_ai.json": "pydantic-ai",
    "autogen.json": "autogen", "autogen_state.json": "autogen", "adk.json": "google-adk",
    "strands/session_s1/agents/agent_default/messages/message_0.json": "strands", "smolagents.json": "smolagents",
}  # fmt: skip


def expected_turns(messages: list) -> None:
    """What the agent said, called and saw, whatever the framework wraps results in."""
    turns = [message for message in messages if message[0] == "assistant"][:4]
    assert [content for _, content, _ in turns] == SAID
    calls = [call for _, _, called in turns for call in called or []]
    assert [next(iter(json.loads(arguments).values())) for _, _, arguments in calls] in (COMMANDS, [[command] for command in COMMANDS])
    heard = [(content, call) for role, content, call in messages if role == "tool"][:4]
    if len(heard) == len(calls):
        assert [call for _, call in heard] == [identity for identity, _, _ in calls]
    seen = " ".join(content for content, _ in heard)
    assert re.search(".*".join(map(re.escape, RESULTS)), seen, re.DOTALL)


@pytest.mark.parametrize("name", AGENTS)
def test_histories_of_frameworks(name):
    path = LOGS / "frameworks" / name
    assert fitting_formats(LogFile(path, path.name), Options()) == ["frameworks"]
    (record,), problems = read_log("frameworks", path, environment="notes")
    assert problems == []
    messages = said(record)
    asked = next(content for role, content, _ in messages if role == "user")
    assert asked.endswith("Fix the typo in notes.txt")
    assert record.agent == AGENTS[name]
    expected_turns(messages)


def test_pydantic_ai_keeps_instructions_thoughts_retries_and_parts(tmp_path):
    history = [
        {"kind": "request", "instructions": "Be brief.", "parts": [
            {"part_kind": "user-prompt", "content": ["What?", {"kind": "binary", "media_type": "image/png", "data": "cGl4ZWxz"}]}]},
        {"kind": "response", "model_name": "m", "finish_reason": "tool_call", "parts": [
            {"part_kind": "thinking", "content": "Hm."},
            {"part_kind": "tool-call", "tool_name": "look", "args": {"n": 1}, "tool_call_id": "c1"}]},
        {"kind": "request", "instructions": "Be brief.", "parts": [
            {"part_kind": "retry-prompt", "tool_name": "look", "tool_call_id": "c1", "content": [{"msg": "n is wrong"}]},
            {"part_kind": "retry-prompt", "content": "Answer.", "tool_name": None}]},
        {"kind": "response", "parts": [{"part_kind": "text", "content": "A cat."}]},
    ]  # fmt: skip
    (tmp_path / "h.json").write_text(json.dumps(history))
    (record,), problems = read_log("frameworks", tmp_path / "h.json", environment="e")
    assert problems == []
    system, asked, called, failed, again, answer = said(record)
    assert system == ("system", "Be brief.", None)
    assert re.fullmatch(r"What\?\n\[binary image/png sha256:\w{16} 6 B\]", asked[1])
    assert called == ("assistant", None, [("c1", "look", '{"n": 1}')])
    assert (failed, again) == (("tool", '[{"msg": "n is wrong"}]', "c1"), ("user", "Answer.", None))
    assert answer == ("assistant", "A cat.", None)
    assert record.steps[0].thought == "Hm."
    assert (record.model, record.steps[0].metadata["stop_reason"]) == ("m", "tool_call")


def test_langchain_calls_among_blocks_are_there_once_and_broken_ones_are_kept(tmp_path):
    blocks = [{"type": "text", "text": "Look."}, {"type": "tool_use", "id": "c1", "name": "look", "input": {}}]
    ai = {"content": blocks, "tool_calls": [{"id": "c1", "name": "look", "args": {}}],
          "invalid_tool_calls": [{"id": "c2", "name": "look", "args": "{broken", "error": "not JSON"}]}  # fmt: skip
    history = [{"type": "human", "data": {"content": "Go"}}, {"type": "ai", "data": ai}]
    (tmp_path / "h.json").write_text(json.dumps({"values": {"messages": history}, "thread_id": "t1"}))
    (record,), problems = read_log("frameworks", tmp_path / "h.json", environment="e")
    assert problems == []
    assert said(record)[1] == ("assistant", "Look.", [("c1", "look", "{}"), ("c2", "look", "{broken")])
    assert record.trajectory_id == "t1"


def test_a_folder_of_a_strands_session_is_one_rollout(tmp_path):
    result = import_log(tmp_path / "d", LOGS / "frameworks/strands", environment="notes")
    assert result.counts == {"rollouts": 1, "steps": 4, "already_there": 0, "dropped": 0}
    assert open_store(tmp_path / "d").sql("SELECT trajectory_id AS id FROM rollouts")["id"].to_pylist() == ["session_s1/agent_default"]


def test_continue_results_are_beside_the_calls():
    path = LOGS / "continue/session.json"
    assert fitting_formats(LogFile(path, path.name), Options()) == ["continue"]
    (record,), problems = read_log("continue", path)
    assert (problems, record.model, record.instruction) == ([], "fake-1", "Fix the typo in notes.txt")
    expected_turns(said(record))
    assert (record.metadata["project"], record.prompt_tokens) == ("/repo", 400)


def test_cline_what_it_adds_is_aside_and_results_are_text(tmp_path):
    result = import_log(tmp_path / "d", LOGS / "cline")
    assert result.counts == {"rollouts": 1, "steps": 6, "already_there": 0, "dropped": 0}
    (path,) = (LOGS / "cline").glob("*/*.messages.json")
    (record,), _ = read_log("cline", path)
    assert record.instruction == "Fix the typo in notes.txt"
    assert "[SYSTEM]" not in record.steps[0].observation
    calls = [call for role, _, called in said(record) if role == "assistant" for call in called or []]
    assert [json.loads(arguments) for _, _, arguments in calls[:4]] == [{"commands": [command]} for command in COMMANDS]
    assert '"result": "teh cat\\n"' in record.steps[1].observation


def test_cline_environment_details_are_a_message_of_their_own(tmp_path):
    def environment(at: str) -> dict:
        return {"type": "text", "text": f"<environment_details>\n# Current Time\n{at}\n</environment_details>"}

    result = {"type": "tool_result", "tool_use_id": "t1", "content": "teh cat"}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "<task>\nFix it.\n</task>"}, environment("9:00")]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "read_file", "input": {"path": "a"}}]},
        {"role": "user", "content": [result, environment("9:01")]},
        {"role": "assistant", "content": [{"type": "text", "text": "Done."}]},
    ]
    folder = tmp_path / "tasks/1700000000000"
    folder.mkdir(parents=True)
    (folder / "api_conversation_history.json").write_text(json.dumps(messages))
    assert fitting_formats(LogFile(folder / "api_conversation_history.json", "x"), Options()) == ["cline"]
    (folder / "ui_messages.json").write_text("[]")
    assert import_log(tmp_path / "d", tmp_path / "tasks").counts == {"rollouts": 1, "steps": 2, "already_there": 0, "dropped": 0}
    steps = open_store(tmp_path / "d").sql("SELECT observation FROM steps ORDER BY step")["observation"].to_pylist()
    assert steps == ["<task>\nFix it.\n</task>", "teh cat"]
    (record,), _ = read_log("cline", folder / "api_conversation_history.json")
    assert (record.trajectory_id, record.instruction) == ("1700000000000", "Fix it.")
    assert [content for role, content, _ in said(record) if role == "user"][1] == environment("9:00")["text"]


def test_equal_attempts_of_vf_eval_are_attempts(tmp_path):
    """Written by vf-eval 0.1.9: two examples, two rollouts of each that say the same."""
    result = import_log(tmp_path / "d", LOGS / "verifiers/equal")
    assert result.counts == {"rollouts": 4, "steps": 12, "already_there": 0, "dropped": 0}
    attempts = open_store(tmp_path / "d").sql("SELECT task_id, trajectory_id FROM rollouts ORDER BY ALL").to_pylist()
    assert [(row["task_id"], row["trajectory_id"]) for row in attempts] == [("0", "0/0"), ("0", "0/1"), ("1", "1/0"), ("1", "1/1")]
    assert import_log(tmp_path / "d", LOGS / "verifiers/equal").counts["already_there"] == 4


@pytest.mark.parametrize(
    ("name", "text", "tool"),
    [
        (
            "traces.jsonl",
            '{"object": "trace.span", "id": "span_1", "span_data": {"type": "response", "response_id": "resp_1"}}',
            "Agents SDK",
        ),
        (
            ".aider.chat.history.md",
            "\n# aider chat started at 2026-11-28 08:00:00\n\n> Added .aider*  \n\n#### Fix it\n\n> Done  \n",
            "Aider",
        ),
        ("log.txt", "TO LLM 2026-11-28T12:49:47\n-------\nSYSTEM Act as an expert.\n-------\nUSER Fix it\n", "Aider"),
    ],
)
def test_what_cannot_be_read_names_its_tool(tmp_path, name, text, tool):
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInputError, match=rf"cannot be imported: .*{tool}.*\nNext: "):
        import_log(tmp_path / "d", tmp_path / name)
