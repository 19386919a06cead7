"""Sessions of Continue: one JSON object {"sessionId", "workspaceDirectory", "history": [{"message", "toolCallStates", "contextItems"}]}.

Results of calls are beside the message that made them, unless a version writes them as messages of role tool.
"""

from collections.abc import Iterator
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.sessions.session import Session, sessions_of_values, usage_sum
from tratree_data.importers.turns.chat import Message
from tratree_data.importers.turns.dialects import read_messages

TOOL = "continue"
TAKEN = ("history", "sessionId", "workspaceDirectory")
ABOUT_A_CALL = ("status", "parsedArgs", "processedArgs")


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    return sessions_of_values(file, options, _session)


def _session(value: Any) -> Session:
    history = log_records.at(value, "history")
    if not (
        isinstance(history, list) and isinstance(value.get("sessionId"), str) and all(log_records.at(item, "message") for item in history)
    ):
        raise Unusable("other_format", "it has no sessionId beside a history of messages")
    session = Session(TOOL, value["sessionId"], [], project=str(value.get("workspaceDirectory") or ""))
    answered = [log_records.at(item, "message", "toolCallId") for item in history]
    for i, item in enumerate(history):
        (message, *results) = read_messages(item["message"], f"history[{i}].message")
        beside = {key: found for key, found in item.items() if key not in ("message", "toolCallStates", "editorState") and found}
        if beside:
            message["metadata"] = message.get("metadata", {}) | beside
        if message.get("tool_calls"):
            message["content"] = message["content"] or None
        states = log_records.mappings(item.get("toolCallStates"), f"history[{i}].toolCallStates")
        session.messages += [message, *results, *(_result(state) for state in states if _is_over(state, answered))]
    usages = [usage for message in session.messages if isinstance(usage := log_records.at(message.get("metadata"), "usage"), dict)]
    session.model = next((usage["model"] for usage in usages if isinstance(usage.get("model"), str)), None)
    session.metadata = {key: found for key, found in value.items() if key not in TAKEN and found is not None}
    session.prompt_tokens = usage_sum(usages, ("prompt_tokens",))
    session.completion_tokens = usage_sum(usages, ("completion_tokens",))
    return session


def _is_over(state: dict[str, Any], answered: list[Any]) -> bool:
    return state.get("toolCallId") not in answered and (bool(state.get("output")) or state.get("status") in ("done", "errored", "canceled"))


def _result(state: dict[str, Any]) -> Message:
    parts = log_records.mappings(state.get("output"), "output")
    texts = [log_records.optional_text(part.get("content"), "output.content") for part in parts]
    name = log_records.at(state, "toolCall", "function", "name")
    message: Message = {
        "role": "tool",
        "content": "\n".join(texts),
        "tool_call_id": log_records.identifier(state.get("toolCallId"), "toolCallId"),
    }
    about = {key: state[key] for key in ABOUT_A_CALL[:1] if state.get(key) is not None}
    return message | ({"name": name} if isinstance(name, str) else {}) | ({"metadata": about} if about else {})
