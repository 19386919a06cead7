"""Items of OpenAI's Responses API: NeMo Gym's rollouts (rollouts.jsonl) and what the OpenAI Agents SDK kept (agents.json)."""

import json
from collections import Counter
from pathlib import Path

import pytest
from helpers.read_logs import read_log, said

from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.formats import fitting_formats
from tratree_data.importers.log_records import Options

LOGS = Path(__file__).parent / "data/logs/responses"


def test_nemo_gym_turns_tools_tasks_and_rewards():
    (first, second, third, counted, helper), problems = read_log("responses", LOGS / "rollouts.jsonl")
    assert [(problem.subject, problem.reason) for problem in problems] == [("rollouts.jsonl:5", "missing_field")]
    assert said(first) == [
        ("system", "You play chess.", None), ("user", "Move the king.", None),
        ("assistant", None, [("c1", "move", '{"to": "e2"}'), ("c2", "move", '{"to": "e3"}')]),
        ("tool", "moved", "c1"), ("tool", "blocked", "c2"), ("assistant", "The king is on e2.", None),
    ]  # fmt: skip
    assert first.steps[0].thought == "Look first."
    assert [tool["function"]["name"] for tool in first.tools] == ["move"]
    assert first.metadata["builtin_tools"] == [{"type": "web_search"}]
    assert first.steps[1].metadata["items"] == [
        {"type": "message", "id": "msg_1", "prompt_token_ids": [1, 2], "generation_token_ids": [3], "generation_log_probs": [-0.5]}
    ]
    assert first.task_id == second.task_id != third.task_id == "opening-7"
    assert [record.trajectory_id for record in (first, second)] == ["rollouts:0-0", "rollouts:0-1"], "the id of the response says nothing"
    assert (first.environment, first.model, first.prompt_tokens, first.completion_tokens) == ("chess_agent", "qwen3", 40, 7)
    assert [(record.reward, record.end_reason) for record in (first, second)] == [(1.0, "done"), (0.0, "context_overflow")]
    assert first.metadata["info"] == {"board": "k"}
    assert first.metadata["request"] == {"temperature": 0.7}
    assert said(second)[-3:] == [("assistant", "Which king?", None), ("user", "Yours.", None), ("assistant", "I resign.", None)]
    assert [bool((step.metadata or {}).get("in_prompt")) for step in third.steps] == [True, False], "a turn in the request was given"
    assert [turn[:2] for turn in said(counted)] == [("user", "Count."), ("assistant", None), ("tool", "1"), ("assistant", "One.")]
    assert (helper.trajectory_id, helper.reward, said(helper)[-1][1]) == ("rollouts:2-0/sub", None, "Helped.")


def test_the_agents_sdks_items_are_one_conversation_whatever_the_file():
    path = LOGS / "agents.json"
    items = json.loads(path.read_text())
    (record,), problems = read_log("responses", path)
    assert problems == []
    assert (record.trajectory_id, record.instruction) == ("agents", items[0]["content"])
    kinds = Counter(item.get("type", item.get("role")) for item in items)
    calls = [call for _, _, calls in said(record) if isinstance(calls, list) for call in calls]
    assert calls == [(item["call_id"], item["name"], item["arguments"]) for item in items if item.get("type") == "function_call"]
    results = [(turn[2], turn[1]) for turn in said(record) if turn[0] == "tool"]
    assert results == [(item["call_id"], item["output"]) for item in items if item.get("type") == "function_call_output"]
    assert kinds["reasoning"] == len(record.steps) == sum(bool(step.thought) for step in record.steps)


def test_items_as_lines_as_a_list_and_as_request_and_response_read_the_same(tmp_path):
    items = json.loads((LOGS / "agents.json").read_text())
    shapes = {
        "lines.jsonl": "\n".join(map(json.dumps, items)),
        "list.jsonl": json.dumps(items),
        "object.json": json.dumps({"object": "list", "data": items}, indent=1),
        "pair.jsonl": json.dumps({"input": items[0]["content"], "output": items[1:]}),
        "batch.jsonl": json.dumps({"request": {"input": items[:1]}, "response": {"status_code": 200, "body": {"output": items[1:]}}}),
    }
    expected = said(read_log("responses", LOGS / "agents.json")[0][0])
    for name, text in shapes.items():
        (tmp_path / name).write_text(text)
        (record,), problems = read_log("responses", tmp_path / name)
        assert (said(record), problems) == (expected, []), name
        assert fitting_formats(LogFile(tmp_path / name, name), Options()) == ["responses"], name


def test_what_servers_ran_themselves_has_its_result_and_other_items_are_kept(tmp_path):
    items = [
        {"role": "user", "content": "Search."},
        {"type": "mcp_list_tools", "id": "m", "server_label": "wiki", "tools": []},
        {"type": "mcp_call", "id": "m1", "name": "ask", "server_label": "wiki", "arguments": '{"q": 1}', "output": "42"},
        {"type": "web_search_call", "id": "w1", "status": "completed", "action": {"type": "search", "query": "x"}},
        {
            "type": "message",
            "role": "assistant",
            "id": "a",
            "content": [{"type": "output_text", "text": "It is 42.", "annotations": [{"url": "u"}]}],
        },
        {
            "type": "computer_call_output",
            "call_id": "s",
            "output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,cGl4"},
        },
        {"type": "shell_call_output", "call_id": "t", "output": [{"stdout": "hi", "stderr": ""}]},
    ]
    (tmp_path / "a.json").write_text(json.dumps(items))
    (record,), problems = read_log("responses", tmp_path / "a.json")
    assert problems == []
    assert said(record)[1:4] == [
        ("assistant", None, [("m1", "ask", '{"q": 1}')]), ("tool", "42", "m1"),
        ("assistant", "It is 42.", [("w1", "web_search", '{"type": "search", "query": "x"}')]),
    ]  # fmt: skip
    assert said(record)[4][1].startswith("[computer_screenshot image/png sha256:")
    assert said(record)[5][1] == '[{"stdout": "hi", "stderr": ""}]'
    assert record.steps[0].metadata["input_messages"][0]["items"][0]["server_label"] == "wiki"
    assert record.steps[1].metadata["items"][-1]["annotations"] == [{"url": "u"}]


@pytest.mark.parametrize("line", [
    {"instruction": "Add.", "input": "1 2", "output": "3"},
    {"input": "1 2", "output": []},
    {"object": "response", "id": "r", "output": [{"type": "message", "role": "assistant", "content": "Hi"}]},
    {"type": "message", "id": "1", "message": {"role": "user", "content": "Hi"}},
    {"role": "user", "content": "Hi"},
    [1, 2],
])  # fmt: skip
def test_look_alikes_are_not_responses(tmp_path, line):
    (tmp_path / "a.jsonl").write_text(json.dumps(line) + "\n")
    assert "responses" not in fitting_formats(LogFile(tmp_path / "a.jsonl", "a.jsonl"), Options())
    assert read_log("responses", tmp_path / "a.jsonl")[0] == []
