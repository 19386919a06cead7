"""A list of messages that no reader knows → messages: frameworks' dialects, Gemini's contents, and whatever names a speaker and a text.

Used if a list was found by searching (path_guess.py) or named with `--column messages=…`; readers of known formats do not guess.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.log_records import Unusable
from tratree_data.importers.readers.framework_messages import DIALECTS
from tratree_data.importers.turns.chat import Message
from tratree_data.importers.turns.conversations import CONTENTS
from tratree_data.importers.turns.conversations import ROLES as SPEAKING
from tratree_data.importers.turns.dialects import TOOL_ROLES, read_conversation, read_messages
from tratree_data.importers.turns.session_blocks import is_blocks
from tratree_data.importers.unknown.json_columns import unpacked
from tratree_data.importers.unknown.step_parts import exchanges, numbered_steps, read_exchange_step, read_step, step_parts
from tratree_data.messages import json_text

JSON = dict[str, Any]
SPEAKER_KEYS = ("role", "from", "speaker", "sender", "author", "type", "source", "who", "label", "message_type")
TEXT_KEYS = (*CONTENTS, "utterance", "body", "message", "parts", "tool_return")
WRAPPERS = ("message", "msg", "data", "kwargs")
"""Members that contain the message itself, next to its time or position."""
MORE_ROLES = {
    "bot": "assistant", "chatbot": "assistant", "llm": "assistant", "assistant_message": "assistant", "ai_message": "assistant",
    "user_message": "user", "customer": "user", "prompter": "user", "env": "user", "tool_message": "tool", "tool_response": "tool",
    "tool_result": "tool", "tool_output": "tool", "ipython": "tool", "action": "assistant", "obs": "user",
    "tool_call_message": "assistant", "tool_return_message": "tool",
}  # fmt: skip
THOUGHT_EVENTS = ("thought", "think", "reasoning", "thinking", "reasoning_message")
ROLES = {name: name if name in ("tool", "developer") else role for name, role in SPEAKING.items()} | MORE_ROLES
ROLES |= dict.fromkeys(TOOL_ROLES, "tool")
ACTS = ("tool_calls", "function_call", "toolCalls")
SHARE = 0.5


def read_history(value: Any, name: str) -> list[Message]:
    """All messages of the list; refused if an element is not a message."""
    history = log_records.items_of(numbered_steps(value) or value if isinstance(value, dict) else value, name)
    dialect = _dialect_of(history)
    if dialect is not None:
        return read_conversation(DIALECTS[dialect][1](history), name)
    names = exchanges(history)
    if names is not None and not any(speaker_of(entry)[1] or step_parts(entry) for entry in history):
        return read_conversation([said for entry in history for said in read_exchange_step(entry, names)], name)
    spoken: list[Message] = []
    thoughts: list[str] = []
    for i, item in enumerate(history):
        known = log_records.mapping(item, f"{name}[{i}]")
        if thought := _thought_in(known):
            thoughts.append(thought)
            continue
        keys = step_keys(known)
        said = [said for entry in (read_step(known, keys) if keys else as_openai(known)) for said in read_messages(entry, f"{name}[{i}]")]
        if thoughts and said and said[0]["role"] == "assistant":
            said[0]["reasoning_content"] = "\n".join([*thoughts, *filter(None, [said[0].get("reasoning_content")])])
            thoughts.clear()
        spoken += said
    if thoughts:
        raise Unusable("missing_field", f"{name} has a thought without an action")
    return spoken


def _dialect_of(history: list[Any]) -> str | None:
    """The framework that most of the messages are from."""
    found = Counter(name for item in history if isinstance(item, dict) for name, (is_one, _) in DIALECTS.items() if is_one(item))
    name, times = found.most_common(1)[0] if found else ("", 0)
    return name if times > SHARE * len(history) else None


def step_keys(entry: JSON) -> dict[str, str]:
    """Which members are a step's action, observation, thought and input; {} of a message."""
    key, role = speaker_of(entry)
    return {} if role is not None and key not in ("type", "label") else step_parts(entry)


def _thought_in(entry: JSON) -> str:
    """What an event says that is the thought before an action."""
    kind = next((entry[key] for key in ("type", "label", "kind", "message_type") if isinstance(entry.get(key), str)), "")
    text = next((entry[key] for key in (*TEXT_KEYS, kind, "reasoning") if isinstance(entry.get(key), str)), "")
    return text if kind in THOUGHT_EVENTS and speaker_of(entry)[1] is None else ""


def as_openai(entry: JSON) -> Iterator[JSON]:
    """The message under OpenAI's names; of Gemini's parts, each result of a function is a message of its own."""
    entry = _unwrapped(entry)
    if isinstance(entry.get("tool_call"), dict):
        entry = {name: item for name, item in entry.items() if name != "tool_call"} | {"tool_calls": [entry["tool_call"]]}
    key, role = speaker_of(entry)
    if role is None:
        raise Unusable("unknown_role", f"no speaker in {sorted(entry)[:8]}")
    if is_blocks(entry.get("parts")) and not entry.get("content"):
        entry = {name: item for name, item in entry.items() if name not in ("parts", "content")} | {"content": entry["parts"]}
    if isinstance(entry.get("parts"), list) and "content" not in entry:
        yield from _read_parts(entry, role)
        return
    text = next((name for name in (*TEXT_KEYS, str(entry[key])) if entry.get(name) is not None and name != key), None)
    if text is None and not any(entry.get(name) for name in ACTS) and not any(name in entry for name in TEXT_KEYS):
        raise Unusable("missing_field", f"no text in {sorted(entry)[:8]}")
    if key in ("role", "from") and text in (None, *CONTENTS) and isinstance(entry[key], str) and entry[key].lower() in SPEAKING:
        yield entry
        return
    yield {name: item for name, item in entry.items() if name not in (key, text)} | {"role": role, "content": entry.get(text or "")}


def _unwrapped(entry: JSON) -> JSON:
    """What surrounds a wrapped message is kept with it."""
    if speaker_of(entry)[1] is not None and any(isinstance(entry.get(name), str | list) for name in TEXT_KEYS):
        return entry
    for name in WRAPPERS:
        inner = entry.get(name)
        if isinstance(inner, dict) and speaker_of(inner)[1] is not None:
            return {key: item for key, item in entry.items() if key != name} | inner
        if isinstance(inner, dict) and speaker_of(entry)[1] is not None:
            return entry | inner
    return entry


def speaker_of(entry: JSON) -> tuple[str, str | None]:
    """The member that names the speaker, and the role that it means."""
    for key in SPEAKER_KEYS:
        said = entry.get(key)
        said = said.get("role", said.get("name")) if isinstance(said, dict) else said
        role = ROLES.get(said.strip().lower()) if isinstance(said, str) else None
        if role is not None:
            return key, role
    return "", None


def _read_parts(entry: JSON, role: str) -> Iterator[JSON]:
    """Gemini's: {"text"}, {"functionCall": {"name", "args"}}, {"functionResponse": {"name", "response"}}, and media."""
    parts = [{"text": part} if isinstance(part, str) else part for part in log_records.items_of(entry["parts"], "parts")]
    parts = log_records.mappings(parts, "parts")
    rest = {key: item for key, item in entry.items() if key not in ("parts", *SPEAKER_KEYS)}
    calls = [call for part in parts if isinstance(call := part.get("functionCall", part.get("function_call")), dict)]
    results = [result for part in parts if isinstance(result := part.get("functionResponse", part.get("function_response")), dict)]
    for result in results:
        yield {
            "role": "tool",
            "name": result.get("name"),
            "tool_call_id": result.get("id"),
            "content": _result_text(result.get("response")),
        }
    said = [{"type": "text", "text": part["text"]} for part in parts if isinstance(part.get("text"), str) and not part.get("thought")]
    thoughts = [part["text"] for part in parts if isinstance(part.get("text"), str) and part.get("thought")]
    said += [{"type": "file", **media} for part in parts if isinstance(media := part.get("inlineData", part.get("inline_data")), dict)]
    if said or calls or thoughts or not results:
        content = "\n".join(part["text"] for part in said) if all("text" in part for part in said) else said
        acts: JSON = {
            "tool_calls": [{"id": c.get("id"), "name": c.get("name"), "arguments": json_text(c.get("args") or {})} for c in calls]
        }
        yield {**rest, "role": role, "content": content if said else None} | (acts if calls else {}) | _thoughts(thoughts)


def _thoughts(texts: list[str]) -> JSON:
    return {"reasoning_content": "\n".join(texts)} if texts else {}


def _result_text(response: Any) -> str:
    """The only text of a result, else the result as JSON."""
    if isinstance(response, dict) and len(response) == 1 and isinstance(only := next(iter(response.values())), str):
        return only
    return response if isinstance(response, str) else json_text(response)


def instruction_text(value: Any) -> str | None:
    """A system prompt as text, as blocks, or as Gemini's parts; None if it is something else."""
    if isinstance(value, dict):
        value = value.get("parts", value.get("content", value.get("text")))
    if isinstance(value, list):
        texts = [part if isinstance(part, str) else log_records.at(part, "text") for part in value]
        return "\n".join(texts) if texts and all(isinstance(text, str) for text in texts) else None
    return value if isinstance(value, str) else None


def answers_in(value: Any) -> list[Any]:
    """An agent's answer (a text, a message, or a list of messages) as messages."""
    value = unpacked(value)
    if value is None:
        return []
    if isinstance(value, str):
        return [{"role": "assistant", "content": value}]
    return value if isinstance(value, list) else [value]
