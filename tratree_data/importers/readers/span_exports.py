"""LangSmith's runs and Langfuse's observations → spans: the same trees of calls, under names of their own.

A run has `trace_id`, `parent_run_id`, `run_type`, `inputs` and `outputs`, with LangChain's messages or OpenAI's. An observation has
`traceId`, `parentObservationId`, `type`, `input` and `output`; it comes alone, or among its trace's `observations`.
"""

from collections.abc import Iterator
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.readers.span_files import Span
from tratree_data.importers.readers.span_messages import parsed
from tratree_data.messages import json_text

LISTS = ("data", "runs", "child_runs", "observations")
ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant"}
CALLS = ("tool_use", "tool_call")
SAID = ("content", "name", "tool_call_id", "usage_metadata")
OPERATIONS = {"llm": "chat", "tool": "execute_tool"}
MODELS = ("model", "model_name", "ls_model_name")
COUNTS = {
    "gen_ai.usage.input_tokens": ("input_tokens", "prompt_tokens", "input", "promptTokens"),
    "gen_ai.usage.output_tokens": ("output_tokens", "completion_tokens", "output", "completionTokens"),
}
RUN_KEYS = ("id", "trace_id", "parent_run_id", "name", "start_time", "end_time", "inputs", "outputs", "child_runs", "serialized", "events")
OBSERVATION_KEYS = ("id", "traceId", "parentObservationId", "name", "startTime", "endTime", "input", "output")


def exported_spans(where: str, value: Any) -> Iterator[Span]:
    """All runs and observations in one JSON value; empty if it is something else."""
    if isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                yield from exported_spans(where, item)
        return
    if not isinstance(value, dict):
        return
    if all(isinstance(value.get(key), str) for key in ("id", "trace_id", "run_type")):
        yield _run(where, value)
    elif all(isinstance(value.get(key), str) for key in ("id", "traceId", "type")):
        yield _observation(where, value, {})
    for key in LISTS:
        for item in value[key] if isinstance(value.get(key), list) else ():
            if key == "observations" and isinstance(item, dict):
                yield _observation(where, {"traceId": str(value.get("id") or "")} | item, value)
            elif isinstance(item, dict):
                yield from exported_spans(where, item)


def _run(where: str, run: dict[str, Any]) -> Span:
    inputs, outputs, extra = [_object(run.get(key)) for key in ("inputs", "outputs", "extra")]
    attributes: dict[str, Any] = {key: item for key, item in run.items() if key not in RUN_KEYS and item is not None}
    attributes["gen_ai.operation.name"] = OPERATIONS.get(run["run_type"], run["run_type"])
    if run["run_type"] == "llm":
        asked = inputs.get("messages")
        asked = asked[0] if isinstance(asked, list) and asked and isinstance(asked[0], list) else asked
        made = _made(outputs)
        usages = [log_records.at(made[0] if made else None, "usage_metadata"), log_records.at(outputs, "llm_output", "token_usage")]
        usage = next((found for found in (*usages, outputs.get("usage")) if isinstance(found, dict)), run)
        attributes |= _messages(asked, made) | _facts([extra.get("invocation_params"), extra.get("metadata"), inputs], usage)
    elif run["run_type"] == "tool":
        result = _plain(log_records.at(outputs, "output"))
        attributes |= {"input.value": json_text(inputs), "gen_ai.tool.call.result": _text(log_records.at(result, "content") or result)}
        attributes |= {"gen_ai.tool.call.id": found} if isinstance(found := log_records.at(result, "tool_call_id"), str) else {}
    start, end = (str(run.get(key) or "") for key in ("start_time", "end_time"))
    return Span(
        run["trace_id"], run["id"], str(run.get("parent_run_id") or ""), str(run.get("name") or ""), start, attributes,
        end=end, is_error=bool(run.get("error")), source=where,
    )  # fmt: skip


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _made(outputs: dict[str, Any]) -> list[Any]:
    """The model's answer, as LangChain or OpenAI's client reports it."""
    generations = outputs.get("generations")
    first = generations[0] if isinstance(generations, list) and generations else None
    if isinstance(first, list):
        return [_plain(log_records.at(item, "message")) for item in first if isinstance(item, dict)]
    choices = outputs.get("choices")
    if isinstance(choices, list):
        return [_plain(log_records.at(choice, "message")) for choice in choices]
    places = [outputs.get("message"), outputs.get("output"), outputs if "role" in outputs else None]
    return [_plain(place) for place in places if isinstance(place, dict)][:1]


def _observation(where: str, entry: dict[str, Any], trace: dict[str, Any]) -> Span:
    attributes: dict[str, Any] = {key: item for key, item in entry.items() if key not in OBSERVATION_KEYS and item is not None}
    attributes |= {"session.id": trace["sessionId"]} if isinstance(trace.get("sessionId"), str) else {}
    attributes |= {"langfuse.scores": trace["scores"]} if trace.get("scores") else {}
    given, made = parsed(entry.get("input")), parsed(entry.get("output"))
    kind = str(entry.get("type")).lower()
    attributes["gen_ai.operation.name"] = "chat" if kind == "generation" else kind
    if kind == "generation":
        attributes |= _generation(given, made) | _facts([entry, given], entry.get("usageDetails") or entry.get("usage"))
    else:
        attributes |= {key: _text(part) for key, part in (("input.value", given), ("output.value", made)) if part is not None}
    keys = ("traceId", "id", "parentObservationId", "name", "startTime", "endTime")
    trace_id, identity, parent, name, start, end = [str(entry.get(key) or "") for key in keys]
    is_error = entry.get("level") == "ERROR"
    return Span(trace_id, identity, parent, name, start, attributes, end=end, is_error=is_error, source=where)


def _generation(given: Any, made: Any) -> dict[str, Any]:
    """The messages of a model call whose input is a list of them, or a request that has one."""
    asked = log_records.at(given, "messages") or log_records.at(given, "input") or given
    asked = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    said = [{"role": "assistant", "content": made}] if isinstance(made, str) else made if isinstance(made, list) else [made] if made else []
    return _messages(asked, [_plain(message) for message in said])


def _messages(asked: Any, made: list[Any]) -> dict[str, Any]:
    """Under the names of the GenAI conventions; nothing if there are no messages."""
    given = [_plain(message) for message in asked] if isinstance(asked, list) else []
    spoken = [message for message in made if log_records.at(message, "role")]
    return {"gen_ai.input.messages": given, "gen_ai.output.messages": spoken} if given or spoken else {}


def _facts(places: list[Any], usage: Any) -> dict[str, Any]:
    model = next((found for place in places for key in MODELS if isinstance(found := log_records.at(place, key), str)), None)
    tools = next((found for place in places if isinstance(found := log_records.at(place, "tools"), list)), None)
    facts: dict[str, Any] = {"gen_ai.response.model": model, "gen_ai.tool.definitions": tools}
    for name, keys in COUNTS.items():
        facts[name] = next((found for key in keys if isinstance(found := log_records.at(usage, key), int)), None)
    return {name: fact for name, fact in facts.items() if fact is not None}


def _plain(message: Any) -> Any:
    """LangChain's serialised message as OpenAI writes one; any other as it is."""
    kwargs = log_records.at(message, "kwargs") if log_records.at(message, "lc") else log_records.at(message, "data")
    if not isinstance(kwargs, dict):
        return message
    kind = kwargs.get("type") or log_records.at(message, "type")
    said: dict[str, Any] = {key: kwargs[key] for key in SAID if kwargs.get(key) is not None}
    said["role"] = ROLES.get(str(kind), str(kind))
    calls = kwargs.get("tool_calls")
    if isinstance(calls, list) and calls:
        said["tool_calls"] = calls
        if isinstance(said.get("content"), list):  # Anthropic's calls are there a second time
            said["content"] = [part for part in said["content"] if log_records.at(part, "type") not in CALLS]
    thought = log_records.at(kwargs, "additional_kwargs", "reasoning_content")
    return said | ({"reasoning_content": thought} if isinstance(thought, str) and thought else {})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json_text(value)
