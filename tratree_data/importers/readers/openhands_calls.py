"""Events of OpenHands → messages with tool calls: of version 0 from the answers that are kept beside actions, of version 1 from its events.

Calls of one answer are one turn, wherever their events are. What events say about any call (`summary`, `security_risk`) stays in the call,
and is left out of the text by which actions are compared: equal acts would differ by it.
"""

from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.turns import conversations
from tratree_data.importers.turns.chat import Message, action_text
from tratree_data.importers.turns.dialects import read_call, read_messages, read_tools
from tratree_data.messages import json_text

Event = dict[str, Any]
NO_ACTIONS = ("system", "recall", "null", "start", "pause", "resume", "stop", "change_agent_state", "condensation", "condensation_request")
NO_OBSERVATIONS = ("null", "recall", "agent_state_changed")
OWN_WORDS = {"run": "command", "run_ipython": "code", "message": "content", "browse_interactive": "browser_actions"}
NO_ARGUMENTS = ("thought", "kind", "confirmation_state", "is_confirmed", "blocking", "hidden", "security_risk", "wait_for_response")
SAID_OF_CALLS = ("summary", "security_risk")
TOLD_IN = {"AgentErrorEvent": "error", "UserRejectObservation": "rejection_reason", "CondensationSummaryEvent": "summary"}
SAID = ("role", "content", "name", "reasoning_content", "tool_calls", "tool_call_id")
LARGE_EXTRAS = ("content", "old_content", "new_content", "diff")
"""Keys of an observation's extras with whole files; the observation already shows what the model saw of them."""


def has_call(event: Event) -> bool:
    return event.get("kind") == "ActionEvent" or ("action" in event and own_call(event) is not None)


def own_call(event: Event) -> dict[str, Any] | None:
    """The model's call behind an action of version 0."""
    called = log_records.at(event, "tool_call_metadata", "tool_call_id")
    calls = log_records.at(answer_of(event), "tool_calls")
    return next((call for call in calls if log_records.at(call, "id") == called), None) if isinstance(calls, list) else None


def answer_of(event: Event) -> Any:
    choices = log_records.at(event, "tool_call_metadata", "model_response", "choices")
    return log_records.at(choices[0], "message") if isinstance(choices, list) and choices else None


def prompt_of(event: Event) -> str:
    if event.get("kind") == "SystemPromptEvent":
        parts = [text_of(event.get(name), name) for name in ("system_prompt", "dynamic_context")]
        return "\n\n".join(part for part in parts if part)
    return text_of(log_records.at(event, "args", "content"), "args.content") if event.get("action") == "system" else ""


def text_of(content: Any, name: str) -> str:
    """A text, one part, or a list of parts."""
    return conversations.content_text([content] if isinstance(content, dict) else content, name)


def described(action: str, arguments: dict[str, Any]) -> str:
    if action in OWN_WORDS:
        return log_records.optional_text(arguments.get(OWN_WORDS[action]), f"args.{OWN_WORDS[action]}").strip()
    return conversations.call_text(action, own_arguments(arguments))


def own_arguments(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in NO_ARGUMENTS and value not in (None, "", [], {})}


def _tools(value: Any) -> list[dict[str, Any]] | None:
    """Version 1 records a tool's title and description, but not its parameters."""
    found = [tool for tool in value if isinstance(tool, dict)] if isinstance(value, list) else []
    return read_tools([tool if "title" not in tool else {"name": tool["title"]} | tool for tool in found])


class Conversation:
    """Messages so far, the text of each call, and the tools."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.tools: list[dict[str, Any]] | None = None
        self.texts: dict[str | None, str] = {}
        self.answers: dict[str, Message] = {}
        self.call_of_action: dict[str, str | None] = {}

    def add(self, event: Event) -> None:
        prompt = prompt_of(event)
        if prompt:
            self.tools = _tools(log_records.at(event, "args", "tools") or event.get("tools")) or self.tools
            self.messages.append({"role": "system", "content": prompt})
        elif isinstance(event.get("kind"), str):
            self._newer(event, event["kind"])
        elif "action" in event:
            self._older_action(event, log_records.text(event["action"], "action"))
        elif event["observation"] not in NO_OBSERVATIONS:
            self._result(event, log_records.optional_text(event.get("content"), "content"), log_records.at(event, "tool_call_metadata"))

    def _say(self, message: Message, event: Event, **more: Any) -> Message:
        about = {key: value for key, value in ({"timestamp": event.get("timestamp")} | more).items() if value is not None}
        if about:
            message["metadata"] = about | message.get("metadata", {})
        self.messages.append(message)
        return message

    def _result(self, event: Event, content: str, called: Any) -> None:
        """The result of a call, if the event names it or the action behind it."""
        identity = log_records.at(called, "tool_call_id") or self.call_of_action.get(str(event.get("action_id") or event.get("cause")))
        name = log_records.at(called, "function_name") or event.get("tool_name")
        message: Message = {"role": "tool" if identity else "user", "content": content}
        message |= {"tool_call_id": log_records.identifier(identity, "tool_call_id")} if identity else {}
        message |= {"name": name} if identity and isinstance(name, str) and name else {}
        extras = event.get("extras") or event.get("observation")
        rest = (
            {key: value for key, value in extras.items() if key not in LARGE_EXTRAS and value is not None}
            if isinstance(extras, dict)
            else {}
        )
        self._say(message, event, success=event.get("success"), extras=rest or None)

    def _note_call(self, call: dict[str, Any], given: dict[str, Any]) -> None:
        """The call's text, without the `summary` that describes it unless the tool takes one."""
        arguments = conversations.read_arguments(call["arguments"])
        if isinstance(arguments, dict):
            kept = {name: value for name, value in arguments.items() if name not in SAID_OF_CALLS or name in given}
            self.texts[call["id"]] = action_text(call | {"arguments": json_text(kept)})

    def _older_action(self, event: Event, action: str) -> None:
        arguments = log_records.mapping(event.get("args") or {}, "args")
        if action in NO_ACTIONS:
            return
        if event.get("source") != "agent":
            if action == "message":
                self._say({"role": "user", "content": text_of(arguments.get("content"), "args.content")}, event)
            return
        call, answer = own_call(event), answer_of(event)
        if call is None:
            thought = log_records.optional_text(arguments.get("thought"), "args.thought").strip()
            said: Message = {"role": "assistant", "content": described(action, arguments)}
            self._say(said | ({"reasoning_content": thought} if thought else {}), event)
            return
        response = log_records.at(event, "tool_call_metadata", "model_response")
        self.call_of_action[str(event.get("id"))] = str(call["id"])
        known = str(response.get("id") or "")
        if known and known in self.answers:
            return
        (message,) = read_messages({"role": "assistant"} | with_thoughts(answer), "model_response")
        for made in message.get("tool_calls") or ():
            self._note_call(made, {})
        self.answers[known] = self._say(message, event, usage=response.get("usage"), model=response.get("model"))

    def _newer(self, event: Event, kind: str) -> None:
        if kind == "MessageEvent":
            said = log_records.mapping(event.get("llm_message"), "llm_message")
            (message, *results) = read_messages(with_thoughts(said), "llm_message")
            more = text_of(event.get("extended_content"), "extended_content")
            message["content"] = "\n\n".join(part for part in (message["content"], more) if part)
            self._say(message, event)
            self.messages += results
        elif kind == "ActionEvent":
            self._acted(event)
        elif kind == "ObservationEvent":
            observation = log_records.mapping(event.get("observation"), "observation")
            parts = (observation.get("content", observation.get("output")), event.get("extended_content"))
            self._result(event, "\n\n".join(text for part in parts if (text := text_of(part, "observation.content"))), event)
        elif kind in ("AgentErrorEvent", "UserRejectObservation"):
            self._result(event, text_of(event.get(TOLD_IN[kind]), TOLD_IN[kind]), event)
        elif kind in TOLD_IN:
            self._say({"role": "user", "content": text_of(event.get(TOLD_IN[kind]), TOLD_IN[kind])}, event, compaction=True)

    def _acted(self, event: Event) -> None:
        """One call of an answer, which may have others in events of their own."""
        action = log_records.mapping(event.get("action") or {}, "action")
        given = own_arguments(action | log_records.mapping(action.get("data") or {}, "action.data"))
        called = event["tool_call"] if isinstance(event.get("tool_call"), dict) else {"name": event.get("tool_name"), "arguments": given}
        call = read_call({"id": event.get("tool_call_id")} | called, "tool_call")
        self._note_call(call, given)
        self.call_of_action[str(event.get("id"))] = call["id"]
        same = event.get("llm_response_id")
        turn = self.answers.get(same) if isinstance(same, str) and same else None
        if turn is None:
            said = {"role": "assistant", "content": text_of(event.get("thought"), "thought") or None}
            thoughts = {key: event.get(key) for key in ("reasoning_content", "thinking_blocks")}
            (message,) = read_messages(with_thoughts(said | thoughts), "ActionEvent")
            turn = self._say(message, event)
            if isinstance(same, str) and same:
                self.answers[same] = turn
        turn.setdefault("tool_calls", []).append(call)


def with_thoughts(message: Any) -> dict[str, Any]:
    """The message with LiteLLM's `thinking_blocks` as its reasoning, and without empty members."""
    entry = log_records.mapping(message, "the message")
    said = {key: entry[key] for key in SAID if entry.get(key) is not None}
    blocks = entry.get("thinking_blocks")
    thoughts = [text for block in blocks if isinstance(text := log_records.at(block, "thinking"), str)] if isinstance(blocks, list) else []
    return ({"reasoning_content": "\n".join(thoughts)} if thoughts else {}) | said
