"""Model calls → conversations. A call repeats the conversation that it continues."""

from dataclasses import dataclass, field, replace
from typing import Any

from tratree_data.importers.readers.span_files import Span
from tratree_data.importers.readers.span_messages import DETAILS, OPENINFERENCE, OPENLLMETRY
from tratree_data.importers.turns.chat import Message, action_text

OF_MODELS = (*OPENINFERENCE, *OPENLLMETRY, *DETAILS, "llm.tools", "llm.request.functions")
MESSAGES = (
    *OF_MODELS,
    "langfuse.observation.input",
    "langfuse.observation.output",
    "input.value",
    "input.mime_type",
    "output.value",
    "output.mime_type",
)
"""Attributes whose contents are messages; all others are kept as metadata."""
TALKING = ("LLM", "CHAIN", "AGENT", "chat", "text_completion", "generate_content")
"""Kinds of spans whose input and output are messages."""
WRAPPERS = ("invoke_agent", "create_agent", "invoke_workflow")
ITEMS = "response"
"""Names of spans of the Responses API, whose messages are the items of one turn."""
Key = tuple[Any, ...]


@dataclass(slots=True)
class Call:
    """A model call: what was said to the model, and what it said. Several messages are choices."""

    span: Span
    given: list[Message]
    made: list[Message]


@dataclass(slots=True)
class Thread:
    """A conversation, and the calls that made it; `choice` numbers those that began as another choice of the same call."""

    messages: list[Message] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    choice: int = 0


class Threads:
    """Conversations, in the order in which they begin."""

    def __init__(self) -> None:
        self.all: list[Thread] = []
        self.by_end: dict[Key | None, list[Thread]] = {}
        self.said: dict[Key, Message] = {}
        self.made: dict[Key, Message] = {}

    def add(self, call: Call) -> None:
        given = [self._known(message) for message in call.given]
        keys = [_key(message) for message in given]
        thread = self._continued(keys)
        if thread is None:
            thread = Thread()
            self.all.append(thread)
        thread.messages += given[len(thread.keys) :]
        thread.calls.append(call)
        about = about_span(call.span)
        said = [made | {"metadata": about | made.get("metadata", {})} for made in call.made]
        self.made |= {_key(message): message for message in said}
        one_turn = call.span.name.lower().startswith(ITEMS)
        begun = [*thread.messages]
        for number, choice in enumerate([said] if one_turn or not said else [[message] for message in said]):
            branch = replace(thread, messages=[*begun], keys=[*keys], calls=[*thread.calls], choice=number) if number else thread
            self.all += [branch] if number else []
            branch.messages += choice
            branch.keys = [*keys, *map(_key, choice)]
            self.by_end.setdefault(branch.keys[-1] if branch.keys else None, []).append(branch)

    def _known(self, message: Message) -> Message:
        """The message as it was first produced or given; each is stored once."""
        key = _key(message)
        if message["role"] == "assistant" and key not in self.made:
            message = message | {"metadata": {"in_prompt": True} | message.get("metadata", {})}
        return self.made.get(key) or self.said.setdefault(key, message)

    def _continued(self, keys: list[Key]) -> Thread | None:
        """The longest conversation that the messages begin with."""
        for end in range(len(keys), 0, -1):
            waiting = self.by_end.get(keys[end - 1], [])
            for thread in reversed(waiting):
                if thread.keys == keys[:end]:
                    waiting.remove(thread)
                    return thread
        return None


def _key(message: Message) -> Key:
    """What identifies a message when it is repeated, often without the model's thoughts and its text beside calls."""
    calls = tuple((call["id"], action_text(call)) for call in message.get("tool_calls") or ())
    content = "" if calls and all(call for call, _ in calls) else (message["content"] or "").strip()
    return message["role"], content, message.get("tool_call_id"), calls


def about_span(span: Span) -> dict[str, Any]:
    """The span's attributes besides the messages."""
    times = {"start": span.start, "end": span.end} if span.is_span else {}
    return {"trace_id": span.trace, "span_id": span.id} | times | _attributes(span)


def _attributes(span: Span) -> dict[str, Any]:
    kind = span.attributes.get("openinference.span.kind") or span.attributes.get("gen_ai.operation.name")
    repeated = MESSAGES if kind in (None, *TALKING, *WRAPPERS) else OF_MODELS
    own = tuple(f"{name}." for name in repeated)
    kept = {name: value for name, value in span.attributes.items() if name not in repeated and not name.startswith(own)}
    return {"attributes": kept} if kept else {}
