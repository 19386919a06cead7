"""Conversations → steps: a turn of the assistant is a step, and its messages are kept.

Readers return messages in one form, whatever form their log uses:

    {"role": "system" | "developer" | "user" | "assistant" | "tool", "content": text or None, "reasoning_content"?: text,
     "tool_calls"?: [{"id", "name", "arguments": JSON text}], "tool_call_id"?, "name"?, "metadata"?: anything else,
     "by_tool"?: True for what the agent's program said in the user's name}

What is displayed, compared and merged is text that is derived from them: the observation holds what others said since the last turn,
the action each call as `name {sorted arguments}`. Parallel calls are a set, so calls and their results come in a canonical order there.
What an agent's program says beside the user, such as today's date, is a message and not part of the observation. Messages that equal the
derived form are stored as NULL; `messages.messages_of_steps` is the exact inverse.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from tratree_data import ids
from tratree_data.importers.files.quick_json import UNSURE, quick_value
from tratree_data.importers.log_records import KeyWatch, LogStep, Record, Unusable
from tratree_data.importers.metadata_fields import EXPORTER, METADATA_FIELDS, apply_metadata
from tratree_data.importers.turns.conversations import OBSERVATION_LABEL, Turn, instruction_in, record_of_turns, split_answer, without_label
from tratree_data.importers.turns.plain_messages import has_float
from tratree_data.messages import INPUT_KEYS, INSTRUCTING, messages_of_steps, output_of, sorted_json

__all__ = ["Message", "action_text", "messages_of_steps", "record_of_chat", "result_texts", "steps_of_chat"]

Message = dict[str, Any]
TEXT_ROLES = {"system": "system", "developer": "system", "user": "user", "tool": "user", "assistant": "assistant"}
INPUT_FORMS = {INPUT_KEYS[:2], INPUT_KEYS[:3], INPUT_KEYS}
"""The keys of most messages to an agent, which are stored as they are."""
EXACT_FLOAT = 2.0**53
NO_ARGUMENTS = ("", "{}", "null")
ASIDES = (
    "<environment_context>", "<user_instructions>", "<INSTRUCTIONS>", "# AGENTS.md instructions", "<command-", "<local-command-",
    "<system-reminder>", "Caveat: The messages below", "<permissions instructions>", "<collaboration_mode>", "<turn_aborted>",
    "<session_context>", "<environment_details>", "This session is being continued from a previous conversation",
)  # fmt: skip
"""How agents' programs begin what they say in the user's name: the agent reads it, but it is not what the user asked."""
COLUMNS = {
    *METADATA_FIELDS, "task_id", "trajectory_id", "rollout_id", "reward", "score", "success", "seconds", "prompt_tokens",
    "completion_tokens", "tools", "asides", "exporter", "type", "id", "harness",
}  # fmt: skip
"""The columns that a log's free metadata may set; the rest is kept as metadata."""


@dataclass(slots=True)
class Conversation:
    """Steps, and what is around them."""

    prompt: str = ""
    steps: list[LogStep] = field(default_factory=list)
    end_observation: str = ""
    end_messages: list[Message] | None = None
    end_metadata: list[Any] | None = None


def record_of_chat(
    messages: Sequence[Message],
    *,
    source: str,
    environment: str,
    task_id: str = "",
    instruction: str | None = None,
    metadata: dict[str, Any] | None = None,
    react: bool | None = None,
    **facts: Any,
) -> Record:
    """A record of a whole conversation; `facts` are more fields of Record (trajectory_id, tools, reward, agent, …).

    The instruction is the first user message's unless given, the task its hash. `react` says whether an answer without calls is
    'Thought: … Action: …'; by default it is if the conversation has no call at all.
    """
    conversation = steps_of_chat(messages, react)
    asked = instruction_in(first_request(messages)) if instruction is None else instruction
    metadata = dict(metadata or {})
    if conversation.end_metadata is not None:
        metadata["end_messages"] = conversation.end_metadata
    return Record(
        source=source,
        environment=environment,
        task_id=task_id or ids.content_id(asked),
        instruction=asked,
        prompt=conversation.prompt,
        steps=conversation.steps,
        end_observation=conversation.end_observation,
        end_messages=conversation.end_messages,
        metadata=metadata,
        **facts,
    )


def record_of_chat_with_metadata(messages: Sequence[Message], facts: Mapping[str, Any], where: str, environment: str) -> Record:
    """A record of messages and free metadata; reads our own exports back exactly."""
    ours = facts.get("exporter") == EXPORTER
    if ours and facts.get("form") != "chat":
        turns = [Turn(TEXT_ROLES[said["role"]], said["content"] or "", said.get("reasoning_content") or "") for said in messages]
        return record_of_turns(turns, facts, where, environment)
    asides = facts.get("asides") if ours else None
    for place in asides if isinstance(asides, list) else ():
        if isinstance(place, int) and 0 <= place < len(messages) and messages[place]["role"] == "user":
            messages[place]["by_tool"] = True
    tools = facts.get("tools") if isinstance(facts.get("tools"), list) else None
    record = record_of_chat(messages, source=where, environment=environment, instruction="" if ours else None, tools=tools)
    asked = record.task_id
    record.task_id = ""
    apply_metadata(record, facts)
    record.task_id = record.task_id or asked
    if not ours:
        record.metadata |= {name: value for name, value in facts.items() if name not in COLUMNS and value is not None}
    return record


def first_request(messages: Sequence[Message]) -> str:
    """The first thing the user said, if possible before the agent's first turn."""
    first = next((i for i, message in enumerate(messages) if message["role"] == "assistant"), len(messages))
    asked = [message["content"] or "" for message in _without_asides([m for m in messages[:first] if m["role"] == "user"])]
    return "\n\n".join(asked) or next((message["content"] or "" for message in messages if message["role"] == "user"), "")


def steps_of_chat(messages: Sequence[Message], react: bool | None = None) -> Conversation:
    """Turns of the assistant as steps, each with what was said since the one before."""
    react = not any(message.get("tool_calls") for message in messages) if react is None else react
    result = Conversation()
    result.steps = list(stream_steps(messages, react, result))
    if not result.steps:
        raise Unusable("empty_steps", "no assistant turn, so there are no steps")
    return result


def stream_steps(messages: Iterable[Message], react: bool, result: Conversation) -> Iterator[LogStep]:
    """One step after the other; `result` gets the prompt with the first step, and what follows the last turn at the end."""
    waiting: list[Message] = []
    calls: list[dict[str, Any]] = []
    acted = False
    for message in messages:
        if message["role"] != "assistant":
            waiting.append(message)
            continue
        if not acted:
            result.prompt = "\n\n".join(said["content"] or "" for said in waiting if said["role"] in INSTRUCTING)
        yield step_of(None if acted else result.prompt, waiting, calls, message, react)
        waiting, calls, acted = [], message.get("tool_calls") or [], True
    end_with(waiting, calls, result)


def end_with(waiting: list[Message], calls: list[dict[str, Any]], result: Conversation) -> None:
    """What is after the last turn, whose calls these were."""
    result.end_observation = observed(_without_asides(waiting), calls)
    result.end_metadata = _metadata_of(waiting)
    derived = [{"role": "user", "content": result.end_observation}] if result.end_observation else []
    result.end_messages = None if (said := list(map(_input, waiting))) == derived else said


def step_of(prompt: str | None, waiting: list[Message], calls: list[dict[str, Any]], message: Message, react: bool) -> LogStep:
    """The turn that answers the waiting messages; `prompt` is the rollout's if it is the first turn."""
    inputs = list(map(_input, waiting))
    heard = waiting
    if prompt is not None:
        heard = [said for said in waiting if said["role"] not in INSTRUCTING]
        if prompt and inputs[0] == {"role": "system", "content": prompt} and len(heard) == len(waiting) - 1:
            inputs = inputs[1:]
    observation = observed(_without_asides(heard), calls)
    step = _acted(observation, message, react)
    if len(inputs) != 1 or inputs[0] != {"role": "user", "content": observation}:
        step.input_messages = inputs
    if message.get("tool_calls") or _derived(step) != _bare(message):
        step.output_message = _output(message)
    metadata, about_inputs = message.get("metadata"), _metadata_of(waiting)
    if metadata or about_inputs:
        step.metadata = dict(metadata or {}) | ({"input_messages": about_inputs} if about_inputs else {})
    return step


def _derived(step: LogStep) -> Message:
    return output_of({"thought": step.thought, "action": step.action, "response": step.response})


def _without_asides(heard: Sequence[Message]) -> Sequence[Message]:
    """What others said, without what the agent's program added."""
    return heard if len(heard) < 2 else [message for message in heard if not is_aside(message)] or heard


def is_aside(message: Message) -> bool:
    """What the agent's program said in the user's name."""
    return message["role"] == "user" and bool(message.get("by_tool") or (message["content"] or "").lstrip().startswith(ASIDES))


def _acted(observation: str, message: Message, react: bool) -> LogStep:
    reasoning, content = message.get("reasoning_content") or "", message["content"] or ""
    calls = message.get("tool_calls")
    if calls:
        thought = "\n".join([part for part in (reasoning, content) if part and not part.isspace()])
        return LogStep(observation, thought, action_text(calls[0]) if len(calls) == 1 else "\n".join(sorted(map(action_text, calls))))
    thought, action = split_answer(content) if react else ("", content)
    thought = "\n".join([part for part in (reasoning, thought) if part])
    return LogStep(observation, thought, action, response=content or None)


def observed(messages: Iterable[Message], calls: Sequence[dict[str, Any]] = ()) -> str:
    """What the agent saw: the messages' texts joined by blank lines, results of parallel calls in the order of the calls' texts."""
    return without_label(OBSERVATION_LABEL, "\n\n".join(result_texts(messages, calls)))


def result_texts(messages: Iterable[Message], calls: Sequence[dict[str, Any]] = ()) -> list[str]:
    """The messages' texts, with results of the given calls sorted so that the order of parallel calls does not matter."""
    said = list(messages)
    texts = [message["content"] or "" for message in said]
    if len(said) < 2 or len(calls) < 2:
        return texts
    action_of = {call.get("id"): action_text(call) for call in calls if call.get("id")}
    places = [i for i, message in enumerate(said) if message["role"] == "tool" and message.get("tool_call_id") in action_of]
    if len(places) > 1:
        ordered = sorted((action_of[said[i]["tool_call_id"]], texts[i]) for i in places)
        for place, (_, text) in zip(places, ordered, strict=True):
            texts[place] = text
    return texts


def action_text(call: dict[str, Any]) -> str:
    """A call as one text: equal calls give equal texts, whatever their key order, white space and number format."""
    arguments = call.get("arguments")
    if arguments is None or arguments.strip() in NO_ARGUMENTS:
        return str(call["name"])
    return f"{call['name']} {canonical_arguments(arguments)}"


@lru_cache(4_096)
def canonical_arguments(text: str) -> str:
    """JSON with sorted keys, whole numbers without a fraction; a text that is not JSON, or has a key twice, as it is."""
    value = quick_value(text.encode("utf-8", "surrogatepass"))
    if value is not UNSURE and not has_float(value):
        return sorted_json(value)
    watch = KeyWatch()
    try:
        value = json.loads(text, object_pairs_hook=watch)
        return text if watch.repeated is not None else json.dumps(_canonical(value), ensure_ascii=False, sort_keys=True)
    except (ValueError, RecursionError):
        return text


def _canonical(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_FLOAT:
        return int(value)
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    return [_canonical(item) for item in value] if isinstance(value, list) else value


def _input(message: Message) -> Message:
    if tuple(message) in INPUT_FORMS and None not in message.values():
        return message
    return {key: message[key] for key in INPUT_KEYS if key in message and (key == "content" or message[key] is not None)}


def _bare(message: Message) -> Message:
    return {key: value for key, value in message.items() if key not in ("metadata", "by_tool")}


def _output(message: Message) -> Message:
    return {"content": message["content"], "reasoning": message.get("reasoning_content"), "tool_calls": message.get("tool_calls")}


def _metadata_of(messages: Sequence[Message]) -> list[Any] | None:
    """The log's metadata of each message; None if there is none."""
    for message in messages:
        if message.get("metadata"):
            return [message.get("metadata") for message in messages]
    return None
