"""Traces of OpenTelemetry.

The files in data/logs/spans were written by opentelemetry-sdk 1.45 and the instrumentations of the OpenAI client (OpenInference 0.1.66;
OpenTelemetry 2.4b0, with messages as attributes and as events), for the conversations in RUNS.
"""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from helpers.read_logs import read_log, said

from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.formats import fitting_formats
from tratree_data.importers.log_records import Options
from tratree_data.messages import messages_of_steps

LOGS = Path(__file__).parent / "data/logs/spans"
RUNS = [
    [("system", "You delegate.", None), ("user", "Please delegate it.", None),
     ("assistant", None, [("ask_helper", {"input": "Which town?"})]),
     ("tool", "Paris.", "ask_helper"), ("assistant", "Paris.", None)],
    [("system", "You look.", None), ("user", "Which town?", None), ("assistant", None, [("lookup", {"place": "France"})]),
     ("tool", "Paris", "lookup"), ("assistant", "Paris.", None)],
]  # fmt: skip


def spoken(record) -> list[tuple]:
    """As `said`, with calls without their ids, and results by the name of their call."""
    names = {call[0]: call[1] for _, _, calls in said(record) if isinstance(calls, list) for call in calls}
    return [
        (role, text, [(name, json.loads(given)) for _, name, given in calls] if isinstance(calls, list) else names.get(calls))
        for role, text, calls in said(record)
    ]


@pytest.mark.parametrize("name", ["openinference", "genai", "events"])
def test_instrumented_runs_are_the_conversations_that_they_were(name):
    path = LOGS / f"{name}.jsonl"
    assert fitting_formats(LogFile(path, path.name), Options()) == ["spans"]
    (agent, helper), problems = read_log("spans", path)
    assert problems == []
    assert [spoken(agent), spoken(helper)] == RUNS
    assert helper.trajectory_id.startswith(f"{agent.trajectory_id}/"), "a subagent is a rollout of its own"
    assert (agent.environment, agent.model, agent.end_reason) == ("atlas", "gpt-5-mini", "done")
    assert (agent.prompt_tokens, agent.completion_tokens) == (100, 20)
    assert agent.tools if name == "openinference" else agent.tools is None, "only OpenInference says which tools there were"
    assert {span["name"] for span in agent.metadata["spans"]} == {"helper", "agent run", "tool lookup"}
    assert all(step.metadata["span_id"] for record in (agent, helper) for step in record.steps)
    assert agent.steps[0].metadata["attributes"].get("gen_ai.request.temperature", 0.5) == 0.5


def test_the_sdks_own_print_and_phoenix_exports_read_the_same(tmp_path):
    plain = [flat for line in (LOGS / "openinference.jsonl").read_text().splitlines() for flat in plain_spans(json.loads(line))]
    (tmp_path / "console.json").write_text("\n".join(json.dumps(span, indent=4) for span in plain))
    (tmp_path / "phoenix.json").write_text(json.dumps({"data": plain, "next_cursor": None}))
    frame = [
        {f"context.{key}": value for key, value in span["context"].items()}
        | {"name": span["name"], "parent_id": span["parent_id"], "start_time": span["start_time"]}
        | {f"attributes.{key}": value for key, value in span["attributes"].items()}
        for span in plain
    ]
    (tmp_path / "frame.jsonl").write_text("\n".join(map(json.dumps, frame)))
    for name in ("console.json", "phoenix.json", "frame.jsonl"):
        records, problems = read_log("spans", tmp_path / name, environment="e")
        assert ([spoken(record) for record in records], problems) == (RUNS, []), name
        assert fitting_formats(LogFile(tmp_path / name, name), Options()) == ["spans"], name


def test_langsmiths_runs_and_langfuses_observations(tmp_path):
    """langsmith.jsonl was written by LangChain 1.8's tracer; observations are as Langfuse's API describes them."""
    path = LOGS / "langsmith.jsonl"
    assert fitting_formats(LogFile(path, path.name), Options()) == ["spans"]
    (record,), problems = read_log("spans", path, environment="e")
    assert (spoken(record), problems) == (RUNS[1], [])
    assert ([tool["function"]["name"] for tool in record.tools], record.model) == (["lookup"], "gpt-5-mini")
    assert (record.prompt_tokens, record.completion_tokens) == (100, 20)
    calls = [{"id": "k", "type": "function", "function": {"name": "lookup", "arguments": '{"place": "France"}'}}]
    asked = [{"role": "system", "content": "You look."}, {"role": "user", "content": "Which town?"}]
    answered = [
        *asked,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "k", "content": "Paris"},
    ]
    common = {"type": "GENERATION", "model": "gpt-5-mini", "usageDetails": {"input": 50, "output": 10}}
    observations = [
        common | {"id": "1", "startTime": "2026-01-01T00:00:01Z", "input": {"messages": asked, "tools": []}, "output": answered[2]},
        {"id": "2", "startTime": "2026-01-01T00:00:02Z", "type": "TOOL", "name": "lookup", "input": {"place": "France"}, "output": "Paris"},
        common | {"id": "3", "startTime": "2026-01-01T00:00:03Z", "input": json.dumps(answered), "output": "Paris."},
    ]
    trace = {"id": "t", "sessionId": "s", "scores": [{"name": "good", "value": 1}], "observations": observations}
    (tmp_path / "trace.json").write_text(json.dumps(trace))
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps({"traceId": "t"} | row) for row in observations))
    for name in ("trace.json", "rows.jsonl"):
        (record,), problems = read_log("spans", tmp_path / name, environment="e")
        assert (spoken(record), problems) == (RUNS[1], []), name
        assert fitting_formats(LogFile(tmp_path / name, name), Options()) == ["spans"], name
        assert (record.trajectory_id, record.prompt_tokens, record.completion_tokens) == ("t", 100, 20)
        assert record.metadata["spans"][0]["attributes"]["output.value"] == "Paris"
    listed = {"langfuse.observation.type": "generation", "langfuse.observation.model.name": "m",
              "langfuse.observation.input": json.dumps({"messages": asked}),
              "langfuse.observation.output": json.dumps(answered[2])}  # fmt: skip
    span = {"traceId": "t", "spanId": "1", "attributes": [{"key": key, "value": {"stringValue": text}} for key, text in listed.items()]}
    (record,), _ = read_log("spans", export(tmp_path / "otlp.json", span), environment="e")
    assert spoken(record) == RUNS[1][:3], "and as Langfuse's client exports it"


def plain_spans(export: dict) -> list[dict]:
    """Spans of OTLP as the SDK prints them."""
    found = [span for group in export["resourceSpans"] for scope in group["scopeSpans"] for span in scope["spans"]]
    return [
        {
            "name": span["name"],
            "context": {"trace_id": f"0x{span['traceId']}", "span_id": f"0x{span['spanId']}"},
            "parent_id": f"0x{span['parentSpanId']}" if span.get("parentSpanId") else None,
            "start_time": f"2026-01-01T00:00:{int(span['startTimeUnixNano']) % 10**11 / 10**9:012.9f}Z",
            "attributes": {item["key"]: next(iter(item["value"].values())) for item in span.get("attributes", [])},
        }
        for span in found
    ]


def call(span: str, given: list, made: list, trace: str = "t1", parent: str = "", **attributes: object) -> dict:
    """A model call as the GenAI conventions describe it."""
    texts = {"gen_ai.input.messages": json.dumps(given), "gen_ai.output.messages": json.dumps(made), "gen_ai.operation.name": "chat"}
    listed = [{"key": key, "value": {"stringValue": str(value)}} for key, value in (texts | attributes).items()]
    return {"traceId": trace, "spanId": span, "parentSpanId": parent, "startTimeUnixNano": span, "attributes": listed, "name": "chat"}


def message(role: str, text: str) -> dict:
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def export(path: Path, *spans: dict) -> Path:
    path.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}))
    return path


ASK, ONE, TWO = message("user", "Go."), message("assistant", "One."), message("assistant", "Two.")


def test_branches_choices_and_answers_that_nobody_gave(tmp_path):
    path = export(
        tmp_path / "a.json",
        call("1", [ASK], [ONE]),
        call("2", [ASK, ONE, message("user", "Left.")], [message("assistant", "L.")]),
        call("3", [ASK, ONE, message("user", "Right.")], [message("assistant", "R."), message("assistant", "S.")]),
        call("4", [ASK, message("assistant", "Shown."), ASK], [TWO]),
    )
    records, problems = read_log("spans", path, environment="e")
    assert problems == []
    assert [record.trajectory_id for record in records] == ["t1", "t1/3", "t1/3.1", "t1/4"]
    assert [[text for _, text, _ in said(record)] for record in records] == [
        ["Go.", "One.", "Left.", "L."], ["Go.", "One.", "Right.", "R."], ["Go.", "One.", "Right.", "S."], ["Go.", "Shown.", "Go.", "Two."],
    ]  # fmt: skip
    assert [record.steps[0].metadata.get("in_prompt", False) for record in records] == [False, False, False, True]
    assert records[1].steps[0].metadata["span_id"] == "1"


def test_traces_of_a_session_continue_one_conversation(tmp_path):
    more = [ASK, ONE, message("user", "More.")]
    path = export(
        tmp_path / "a.json",
        call("1", [ASK], [ONE], "t1", **{"session.id": "s"}),
        call("2", more, [TWO], "t2", **{"session.id": "s"}),
        call("3", [ASK], [TWO], "t3"),
    )
    (session, other), _ = read_log("spans", path, environment="e")
    assert ([text for _, text, _ in said(session)], session.metadata["session"]) == (["Go.", "One.", "More.", "Two."], "s")
    assert (session.trajectory_id, other.trajectory_id, session.task_id == other.task_id) == ("t1", "t3", True)


def test_one_call_that_two_instrumentations_or_an_agents_span_repeat_is_one(tmp_path):
    agent = call("1", [ASK], [ONE], **{"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "Atlas"})
    path = export(tmp_path / "a.json", agent, call("2", [ASK], [ONE], parent="1"), call("3", [ASK], [ONE], parent="2"))
    (record,), _ = read_log("spans", path, environment="e")
    assert (record.agent, len(record.steps), record.metadata["span_id"]) == ("Atlas", 1, "2")
    (alone,), _ = read_log("spans", export(tmp_path / "b.json", agent), environment="e")
    assert said(alone) == said(record), "an agent's span counts where no call is known"


def test_the_result_of_a_last_call_comes_from_the_tools_span(tmp_path):
    acted = {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "finish", "arguments": {"b": 1, "a": 2}}]}
    tool = call("2", [], [], **{"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.id": "c1", "gen_ai.tool.call.result": "Done."})
    tool["attributes"] = [item for item in tool["attributes"] if not item["key"].endswith(".messages")]
    (record,), _ = read_log("spans", export(tmp_path / "a.json", call("1", [ASK], [acted]), tool), environment="e")
    assert said(record)[1:] == [("assistant", None, [("c1", "finish", '{"b": 1, "a": 2}')]), ("tool", "Done.", "c1")]


def test_openllmetry_and_structured_attributes(tmp_path):
    flat = {"gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "Go.", "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.tool_calls.0.id": "c", "gen_ai.completion.0.tool_calls.0.name": "ls",
            "gen_ai.completion.0.tool_calls.0.arguments": "{}", "llm.request.functions.0.name": "ls",
            "llm.request.functions.0.parameters": '{"type": "object"}'}  # fmt: skip
    span = {"traceId": "t", "spanId": "1", "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in flat.items()]}
    (record,), problems = read_log("spans", export(tmp_path / "a.json", span), environment="e")
    assert (said(record), problems) == ([("user", "Go.", None), ("assistant", None, [("c", "ls", "{}")])], [])
    assert record.tools == [{"type": "function", "function": {"name": "ls", "parameters": {"type": "object"}}}]
    part = any_value({"role": "user", "parts": [{"type": "text", "content": "Hi"}]})
    given = {"key": "gen_ai.input.messages", "value": {"arrayValue": {"values": [part]}}}
    made = {"key": "gen_ai.output.messages", "value": {"stringValue": json.dumps([ONE])}}
    path = export(tmp_path / "b.json", {"traceId": "t", "spanId": "1", "attributes": [given, made]})
    assert said(read_log("spans", path, environment="e")[0][0]) == [("user", "Hi", None), ("assistant", "One.", None)]


def any_value(value: object) -> dict:
    """A value as OTLP types it."""
    if isinstance(value, dict):
        return {"kvlistValue": {"values": [{"key": key, "value": any_value(item)} for key, item in value.items()]}}
    return {"arrayValue": {"values": list(map(any_value, value))}} if isinstance(value, list) else {"stringValue": value}


def test_without_messages_the_reader_says_how_to_record_them(tmp_path):
    span = call("1", [], [])
    span["attributes"] = [{"key": "gen_ai.request.model", "value": {"stringValue": "m"}}]
    web = {"traceId": "t2", "spanId": "2", "name": "GET", "attributes": []}
    records, problems = read_log("spans", export(tmp_path / "a.json", span, web, web | {"traceId": "t3"}))
    assert (records, [problem.reason for problem in problems]) == ([], ["no_messages", "empty_steps"])
    assert "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT" in problems[0].detail
    assert "2 traces" in problems[1].detail
    assert fitting_formats(LogFile(tmp_path / "a.json", "a.json"), Options()) == ["spans"]


def test_a_nested_attribute_is_kept_and_messages_come_back_exactly():
    (agent, _), _ = read_log("spans", LOGS / "openinference.jsonl")
    messages = messages_of_steps(agent.prompt, [asdict(step) for step in agent.steps])
    assert messages[2]["tool_calls"][0]["arguments"] == '{"input": "Which town?"}', "as the model wrote it"


def test_traces_of_mlflow_are_read_turn_by_turn() -> None:
    """spans/mlflow.json was written by MLflow 3.17 (`mlflow.openai.autolog`), with a scripted model."""
    (record,), problems = read_log("spans", LOGS / "mlflow.json", environment="e")
    assert problems == []
    assert said(record) == [
        ("user", "Find O0x0", None),
        ("assistant", "think T0x0", [("call_0_0", "look", '{"place": "A0x0"}')]),
        ("tool", "You see O0x1.", "call_0_0"),
        ("assistant", "think T0x1", [("call_0_1", "look", '{"place": "A0x1"}')]),
        ("tool", "You see O0x2.", "call_0_1"),
        ("assistant", "go A0x2", None),
    ]
    assert (record.model, [tool["function"]["name"] for tool in record.tools or []]) == ("m", ["look"])
