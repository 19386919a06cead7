"""Spans of OpenTelemetry, in the shapes in which they are exported → one form, with flat attributes.

OTLP JSON (`resourceSpans`, and `resourceLogs` for events that are log records), a span as the SDK prints it, and Phoenix' exports
(`{"data": [spans]}`, or a row of its data frame with columns like `attributes.llm.input_messages`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.readers.span_mlflow import genai_attributes, is_mlflow

MOST_NESTED = 12
"""Levels of attributes to flatten; what is deeper is kept as one value."""
GROUPS = (("resourceSpans", "scopeSpans", "spans"), ("resourceLogs", "scopeLogs", "logRecords"))
OLD_SCOPES = ("instrumentationLibrarySpans", "instrumentationLibraryLogs")
LISTS = ("data", "spans")
SPAN_KEYS = ("traceId", "spanId")
PHOENIX = "attributes."


@dataclass
class Event:
    name: str
    attributes: dict[str, Any]
    body: Any = None


@dataclass
class Span:
    trace: str
    id: str
    parent: str
    name: str
    start: int | str
    attributes: dict[str, Any]
    """Flat, by dotted name."""
    events: list[Event] = field(default_factory=list)
    end: int | str = ""
    is_error: bool = False
    resource: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    is_span: bool = True
    """False if only its events are known."""


def spans_of(where: str, value: Any) -> Iterator[Span]:
    """All spans in one JSON value; none if it is something else."""
    if isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                yield from spans_of(where, item)
        return
    if not isinstance(value, dict):
        return
    for outer, inner, key in GROUPS:
        for group in _dicts(value.get(outer)):
            resource = flat(decoded(log_records.at(group, "resource", "attributes")))
            scopes: Any = next((group[name] for name in (inner, *OLD_SCOPES) if name in group), [])
            for scope in _dicts(scopes):
                for entry in _dicts(scope.get(key)):
                    yield _otlp_span(where, entry, resource)
    context = value.get("context")
    if isinstance(context, dict) and isinstance(context.get("trace_id"), str) and isinstance(context.get("span_id"), str):
        yield _sdk_span(where, value, context)
    elif isinstance(value.get("context.trace_id"), str) and isinstance(value.get("context.span_id"), str):
        attributes = {key.removeprefix(PHOENIX): item for key, item in value.items() if key.startswith(PHOENIX)}
        ids = {"trace_id": value["context.trace_id"], "span_id": value["context.span_id"]}
        yield _sdk_span(where, value | {"attributes": attributes}, ids)
    elif is_mlflow(value):
        yield _mlflow_span(where, value)
    for key in LISTS:
        if isinstance(value.get(key), list):
            yield from spans_of(where, value[key])
    if isinstance(log_records.at(value, "data", "spans"), list):  # a trace of MLflow
        yield from spans_of(where, value["data"]["spans"])


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())


def _otlp_span(where: str, entry: dict[str, Any], resource: dict[str, Any]) -> Span:
    """A span, or a log record that belongs to one."""
    trace, identity = (str(entry.get(key) or "") for key in SPAN_KEYS)
    attributes = flat(decoded(entry.get("attributes")))
    if "body" in entry or "eventName" in entry:
        named = entry.get("eventName") or attributes.get("event.name") or ""
        return Span(
            trace, identity, "", "", _time(entry.get("timeUnixNano") or entry.get("observedTimeUnixNano")), {},
            [Event(str(named), attributes, decoded_value(entry.get("body")))], resource=resource, source=where, is_span=False,
        )  # fmt: skip
    events = [Event(str(event.get("name") or ""), flat(decoded(event.get("attributes")))) for event in _dicts(entry.get("events"))]
    code = log_records.at(entry, "status", "code")
    return Span(
        trace, identity, str(entry.get("parentSpanId") or ""), str(entry.get("name") or ""), _time(entry.get("startTimeUnixNano")),
        attributes, events, _time(entry.get("endTimeUnixNano")), code in (2, "STATUS_CODE_ERROR"), resource, where,
    )  # fmt: skip


def _sdk_span(where: str, entry: dict[str, Any], context: dict[str, Any]) -> Span:
    events = [Event(str(event.get("name") or ""), flat(event.get("attributes"))) for event in _dicts(entry.get("events"))]
    status = entry.get("status", entry.get("status_code"))
    code = status.get("status_code") if isinstance(status, dict) else status
    start, end = (str(entry.get(key) or "") for key in ("start_time", "end_time"))
    attributes = flat(entry.get("attributes"))
    if isinstance(entry.get("span_kind"), str):
        attributes.setdefault("openinference.span.kind", entry["span_kind"])
    return Span(
        context["trace_id"].removeprefix("0x"), context["span_id"].removeprefix("0x"), str(entry.get("parent_id") or "").removeprefix("0x"),
        str(entry.get("name") or ""), start, attributes, events, end, code == "ERROR",
        flat(log_records.at(entry, "resource", "attributes")), where,
    )  # fmt: skip


def _mlflow_span(where: str, entry: dict[str, Any]) -> Span:
    code = log_records.at(entry, "status", "code")
    return Span(
        entry["trace_id"], entry["span_id"], str(entry.get("parent_span_id") or ""), str(entry.get("name") or ""),
        _time(entry.get("start_time_unix_nano")), flat(genai_attributes(entry["attributes"])), [], _time(entry.get("end_time_unix_nano")),
        code == "STATUS_CODE_ERROR", {}, where,
    )  # fmt: skip


def _time(value: Any) -> int | str:
    """Nanoseconds, which OTLP writes as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value[:20])
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else 0


def decoded(attributes: Any) -> dict[str, Any]:
    """OTLP's list of keys and typed values as an object."""
    if isinstance(attributes, dict):
        return attributes
    return {str(item["key"]): decoded_value(item.get("value")) for item in _dicts(attributes) if "key" in item}


def decoded_value(value: Any) -> Any:
    if not isinstance(value, dict) or len(value) != 1:
        return value
    kind, item = next(iter(value.items()))
    if kind == "intValue":
        return int(item) if isinstance(item, str) and item.lstrip("-").isdigit() and len(item) < 20 else item
    if kind == "arrayValue":
        return [decoded_value(part) for part in item.get("values") or []] if isinstance(item, dict) else []
    if kind == "kvlistValue":
        return decoded(log_records.at(item, "values"))
    return item if kind in ("stringValue", "doubleValue", "boolValue", "bytesValue") else value


def flat(attributes: Any) -> dict[str, Any]:
    """Nested attributes under dotted names; null is absent."""
    found: dict[str, Any] = {}
    waiting: list[tuple[str, Any, int]] = [("", attributes, 0)]
    while waiting:
        name, value, depth = waiting.pop()
        parts: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        if isinstance(value, dict | list) and value and depth < MOST_NESTED:
            waiting += reversed([(f"{name}.{key}" if name else str(key), item, depth + 1) for key, item in parts])
        elif name and value is not None:
            found[name] = value
    return found


def nested(attributes: dict[str, Any], prefix: str) -> Any:
    """What is below a dotted name, as objects and lists: the reverse of `flat`. None if there is nothing."""
    if prefix in attributes:
        return attributes[prefix]
    root: dict[str, Any] = {}
    for name, value in attributes.items():
        if not name.startswith(f"{prefix}."):
            continue
        *path, last = name.removeprefix(f"{prefix}.").split(".", 4 * MOST_NESTED)
        place = root
        for key in path:
            below = place.setdefault(key, {})
            if not isinstance(below, dict):
                below = place[key] = {}
            place = below
        place[last] = value
    return _as_lists(root) if root else None


def _as_lists(value: Any) -> Any:
    """Objects whose keys are numbers are lists in their order; a list may begin at any number."""
    if not isinstance(value, dict):
        return value
    if value and all(key.isascii() and key.isdigit() and len(key) < 10 for key in value):
        return [_as_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _as_lists(item) for key, item in value.items()}
