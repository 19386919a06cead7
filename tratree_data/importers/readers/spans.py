"""Traces whose spans hold conversations: OpenTelemetry (GenAI, OpenInference), LangSmith and Langfuse.

A model call repeats the conversation so far. A call whose input continues what an earlier call of the trace (or of its session) ended with
extends that conversation; every other call begins one. So a trace gives one rollout for each conversation in it: the agent's own, that of
each subagent, and each parallel branch. The trace's first has the trace's id, the others `trace/span`.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from tratree_data.importers.files.log_files import LogFile, json_records
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.readers.span_exports import exported_spans
from tratree_data.importers.readers.span_files import Span, nested, spans_of
from tratree_data.importers.readers.span_messages import conversation_of, tools_of
from tratree_data.importers.readers.span_threads import WRAPPERS, Call, Thread, Threads, about_span
from tratree_data.importers.turns.chat import Message, record_of_chat

SESSIONS = ("session.id", "gen_ai.conversation.id", "langfuse.session.id", "traceloop.association.properties.session_id")
AGENTS = ("gen_ai.agent.name", "agent.name", "graph.node.id")
MODELS = ("gen_ai.response.model", "llm.model_name", "gen_ai.request.model", "langfuse.observation.model.name")
PROMPT_TOKENS = ("gen_ai.usage.input_tokens", "llm.token_count.prompt", "gen_ai.usage.prompt_tokens")
COMPLETION_TOKENS = ("gen_ai.usage.output_tokens", "llm.token_count.completion", "gen_ai.usage.completion_tokens")
PROJECTS = ("openinference.project.name", "service.name")
UNNAMED = ("unknown_service", "default")
ABOUT_MODELS = ("gen_ai.request.model", "llm.model_name")
CALL_IDS = ("gen_ai.tool.call.id", "tool_call.id", "tool.id")
RESULTS = ("gen_ai.tool.call.result", "output.value")
STOPPED = {"stop": "done", "end_turn": "done", "length": "context_overflow", "max_tokens": "context_overflow"}
HIDDEN = "its model calls have no messages: record them with OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=span_only"
SESSION = "session "
MOST_ANCESTORS = 1_000
Results = dict[tuple[str, Any], str]
"""Results of tools, by trace and call."""


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    traces: dict[str, list[Span]] = {}
    for where, value in json_records(file):
        if isinstance(value, Problem):
            yield value
            continue
        try:
            found = [*spans_of(where, value), *exported_spans(where, value)]
        except RecursionError:
            yield Problem(where, "not_json", "nested too deeply")
            continue
        if not found:
            yield Problem(where, "missing_field", "no span has a trace id")
        for span in found:
            traces.setdefault(span.trace, []).append(span)
    groups: dict[str, list[Span]] = {}
    for trace, spans in traces.items():
        groups.setdefault(_session(spans) or trace, []).extend(_joined(spans))
    silent: list[Span] = []
    for spans in groups.values():
        items = list(_records(spans, options))
        silent += [] if items else spans[:1]
        yield from items
    if silent:
        yield Problem(silent[0].source, "empty_steps", f"{len(silent):,} traces have no model call, such as {silent[0].trace}")


def _session(spans: Sequence[Span]) -> str:
    """The name of the session that the trace is part of."""
    found = next((span.attributes[name] for span in spans for name in SESSIONS if span.attributes.get(name)), "")
    return f"{SESSION}{found}" if isinstance(found, str | int) and found else ""


def _joined(spans: list[Span]) -> list[Span]:
    """Events that are log records, with their span."""
    by_id = {span.id: span for span in spans if span.is_span}
    for span in sorted((span for span in spans if not span.is_span), key=_order):
        owner = by_id.setdefault(span.id, span)
        if owner is not span:
            owner.events += span.events
    return list(by_id.values())


def _order(span: Span) -> tuple[int, str]:
    return (span.start, "") if isinstance(span.start, int) else (0, span.start)


def _records(spans: list[Span], options: Options) -> Iterator[Record | Problem]:
    by_id = {(span.trace, span.id): span for span in spans}
    calls: list[Call] = []
    faults: list[Problem] = []
    for span in sorted(spans, key=_order):
        try:
            said = conversation_of(span)
        except Unusable as refusal:
            faults.append(Problem(span.source, refusal.reason, f"span {span.id}: {refusal.detail}"))
        except RecursionError:
            faults.append(Problem(span.source, "not_json", f"span {span.id}: nested too deeply"))
        else:
            if said is not None:
                calls.append(Call(span, *said))
    yield from faults
    hidden = next((span for span in spans if any(name in span.attributes for name in ABOUT_MODELS)), None)
    if hidden is not None and not calls and not faults:
        yield Problem(hidden.source, "no_messages", HIDDEN)
    threads = Threads()
    for call in _model_calls(calls, by_id):
        threads.add(call)
    used = {(call.span.trace, call.span.id) for call in calls}
    others = [span for span in spans if span.is_span and (span.trace, span.id) not in used]
    owners: dict[str, Thread] = {}
    for thread in threads.all:
        for call in thread.calls:
            owners.setdefault(call.span.trace, thread)
    own: dict[int, list[Span]] = {}
    for other in others:
        if other.trace in owners:
            own.setdefault(id(owners[other.trace]), []).append(other)
    found = [(span.trace, _first(span, CALL_IDS), _first(span, RESULTS)) for span in others]
    results = {(trace, call): text for trace, call, text in found if isinstance(call, str) and isinstance(text, str)}
    for thread in threads.all:
        span = thread.calls[0].span
        try:
            yield _record(thread, owners[span.trace] is thread, own.get(id(thread), []), by_id, results, options)
        except Unusable as refusal:
            yield Problem(span.source, refusal.reason, refusal.detail)
        except RecursionError:
            yield Problem(span.source, "not_json", "nested too deeply")


def _model_calls(calls: list[Call], by_id: dict[tuple[str, str], Span]) -> list[Call]:
    """Each call once: an agent's span gives way to the calls in it, and a call in a call (two instrumentations) to the outer one."""
    has = {(call.span.trace, call.span.id): call for call in calls}
    left: set[int] = set()
    for call in calls:
        for ancestor in _ancestors(call.span, by_id):
            outer = has.get((ancestor.trace, ancestor.id))
            if outer is not None:
                left.add(id(outer if _wraps(ancestor) else call))
    return [call for call in calls if id(call) not in left]


def _wraps(span: Span) -> bool:
    operation, kind = span.attributes.get("gen_ai.operation.name"), span.attributes.get("openinference.span.kind")
    return operation in WRAPPERS or (kind is not None and kind != "LLM")


def _ancestors(span: Span, by_id: dict[tuple[str, str], Span]) -> Iterator[Span]:
    for _ in range(MOST_ANCESTORS):
        parent = by_id.get((span.trace, span.parent)) if span.parent else None
        if parent is None:
            return
        yield parent
        span = parent


def _record(
    thread: Thread, is_first: bool, others: Sequence[Span], by_id: dict[tuple[str, str], Span], results: Results, options: Options
) -> Record:
    first, last = thread.calls[0].span, thread.calls[-1]
    begun = thread.calls[-1].span.id if thread.choice else first.id
    session = _session([call.span for call in thread.calls])
    metadata: dict[str, Any] = {"trace_id": first.trace, "span_id": first.id} | ({"resource": first.resource} if first.resource else {})
    metadata |= {"session": session.removeprefix(SESSION)} if session else {}
    metadata |= {"spans": [about_span(span) | {"name": span.name, "parent_id": span.parent} for span in others]} if others else {}
    models = [model for call in thread.calls if isinstance(model := _first(call.span, MODELS), str)]
    branch = begun + (f".{thread.choice}" if thread.choice else "")
    return record_of_chat(
        [*thread.messages, *_unseen_results(thread, results)],
        source=first.source,
        environment=options.environment or _project(first),
        trajectory_id=first.trace if is_first else f"{first.trace}/{branch}",
        agent=_agent(first, by_id),
        model=models[-1] if models else None,
        tools=next((tools for call in reversed(thread.calls) if (tools := tools_of(call.span))), None),
        react=False,
        end_reason=_end_reason(last),
        prompt_tokens=_sum(thread.calls, PROMPT_TOKENS),
        completion_tokens=_sum(thread.calls, COMPLETION_TOKENS),
        metadata=metadata,
    )


def _unseen_results(thread: Thread, results: Results) -> Iterator[Message]:
    """Results that no later model call contains, from spans of tools that name the call."""
    called = [call["id"] for call in (thread.messages[-1].get("tool_calls") or ())] if thread.messages else []
    trace = thread.calls[-1].span.trace
    for call in called:
        if (trace, call) in results:
            yield {"role": "tool", "content": results[trace, call], "tool_call_id": call}


def _first(span: Span, names: Sequence[str]) -> Any:
    return next((span.attributes[name] for name in names if span.attributes.get(name) is not None), None)


def _agent(span: Span, by_id: dict[tuple[str, str], Span]) -> str:
    return next((name for place in (span, *_ancestors(span, by_id)) if isinstance(name := _first(place, AGENTS), str)), "")


def _project(span: Span) -> str:
    """The resource's name, unless it is the default."""
    return next((name for key in PROJECTS if isinstance(name := span.resource.get(key), str) and not name.startswith(UNNAMED)), "")


def _sum(calls: Sequence[Call], names: Sequence[str]) -> int | None:
    counts = [found for call in calls if isinstance(found := _first(call.span, names), int) and not isinstance(found, bool)]
    return sum(counts) if counts and 0 <= sum(counts) < 2**63 else None


def _end_reason(call: Call) -> str:
    if call.span.is_error:
        return "agent_error"
    said = nested(call.span.attributes, "gen_ai.response.finish_reasons") or call.span.attributes.get("llm.finish_reason")
    stated = call.made[-1].get("metadata", {}).get("finish_reason") if call.made else None
    reasons = [reason for reason in (stated, *(said if isinstance(said, list) else [said])) if isinstance(reason, str)]
    is_done = call.made and not call.made[-1].get("tool_calls")
    return next((STOPPED[reason] for reason in reasons if reason in STOPPED and (is_done or STOPPED[reason] != "done")), "unknown")
