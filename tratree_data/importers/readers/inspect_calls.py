"""The calls of the model in a sample of Inspect → conversations of its agents.

A call belongs to a span, and continues the call of its span whose answer it repeats. Its input is written out, or points into a pool of
messages, which may come after the calls and holds equal messages once, so that calls are linked by what was said and not by ids.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tratree_data.importers import log_records
from tratree_data.messages import json_text

AGENT, SCORERS = "agent", ("scorers", "scorer")
JSON = dict[str, Any]


@dataclass(slots=True)
class Thread:
    """A conversation of an agent: everything that was said, in order, and what the calls say about it."""

    span: str
    number: int
    model: str = ""
    messages: list[Any] = field(default_factory=list)
    answers: list[JSON] = field(default_factory=list)
    tools: dict[str, JSON] = field(default_factory=dict)
    usages: list[JSON] = field(default_factory=list)


@dataclass(slots=True)
class Call:
    span: str
    model: str
    heard: Any
    """Messages, or spans [from, to) of the pool."""
    is_pooled: bool
    answer: JSON
    usage: JSON
    tools: list[JSON]


@dataclass(slots=True)
class Calls:
    spans: dict[str, JSON] = field(default_factory=dict)
    started_by: dict[str, str] = field(default_factory=dict)
    """The tool call that started an agent, by the agent's span."""
    waiting: list[Call] = field(default_factory=list)
    """Calls whose pool has not been read yet."""
    found: dict[str, list[Thread]] = field(default_factory=dict)

    def note(self, event: JSON) -> None:
        kind, span = event.get("event"), event.get("span_id")
        if kind == "span_begin" and isinstance(event.get("id"), str):
            self.spans[event["id"]] = {key: event.get(key) for key in ("name", "type", "parent_id")}
        elif kind == "tool" and isinstance(event.get("agent_span_id"), str):
            self.started_by[event["agent_span_id"]] = str(event.get("id"))
        elif kind == "model" and isinstance(span, str):
            output = event.get("output")
            choices = log_records.at(output, "choices")
            answer = log_records.at(choices[0], "message") if isinstance(choices, list) and choices else None
            if not isinstance(answer, dict):
                return
            is_pooled = isinstance(event.get("input_refs"), list)
            heard = event.get("input_refs") if is_pooled else event.get("input")
            tools = [tool for tool in event["tools"] if isinstance(tool, dict)] if isinstance(event.get("tools"), list) else []
            call = Call(
                span,
                str(event.get("model") or ""),
                heard if isinstance(heard, list) else [],
                is_pooled,
                answer,
                log_records.at(output, "usage") or {},
                tools,
            )
            if is_pooled:
                self.waiting.append(call)
            else:
                self._continue(call, call.heard)

    def threads(self, pool: Any) -> Iterator[tuple[Thread, bool]]:
        """Each conversation in the span of an agent, and whether another agent started it."""
        for call in self.waiting:
            self._continue(call, _pooled(call.heard, pool if isinstance(pool, list) else []))
        self.waiting = []
        for span, threads in self.found.items():
            kinds = [self.spans[name].get("type") for name in self._above(span)]
            if AGENT in kinds and not any(kind in SCORERS for kind in kinds):
                yield from ((thread, kinds.count(AGENT) > 1) for thread in threads)

    def agent_of(self, span: str) -> str:
        """The span of the agent in which it is."""
        return next((name for name in self._above(span) if self.spans[name].get("type") == AGENT), span)

    def _above(self, span: Any) -> list[str]:
        """The span and those around it, from the inside."""
        found: list[str] = []
        while isinstance(span, str) and span in self.spans and span not in found:
            found.append(span)
            span = self.spans[span].get("parent_id")
        return found

    def _continue(self, call: Call, heard: Sequence[Any]) -> None:
        threads = self.found.setdefault(call.span, [])
        said = [_words(message) for message in heard]
        thread, new = None, 0
        for known in reversed(threads):
            last = _words(known.answers[-1])
            if last in said:
                thread, new = known, len(said) - said[::-1].index(last)
                break
        if thread is None:
            thread = Thread(call.span, len(threads), call.model)
            threads.append(thread)
        thread.messages += [*heard[new:], call.answer]
        thread.answers.append(call.answer)
        thread.usages.append(call.usage if isinstance(call.usage, dict) else {})
        for tool in call.tools:
            thread.tools.setdefault(json_text(tool), tool)


def _pooled(spans: list[Any], pool: list[Any]) -> list[Any]:
    found: list[Any] = []
    for span in spans:
        if isinstance(span, list) and len(span) == 2 and all(isinstance(end, int) for end in span) and 0 <= span[0] <= span[1] <= len(pool):
            found += pool[span[0] : span[1]]
    return found


def _words(message: Any) -> str:
    """What a message says, whatever its id."""
    return json_text([log_records.at(message, key) or None for key in ("role", "content", "tool_calls", "tool_call_id")])
