"""How a trajectory reads as a conversation: the one place that renders steps into role/content messages.

The first user message holds the environment's prompt, the instruction and the first observation; every later observation is a
user message; every step is an assistant message 'Thought: …\\nAction: …'. So user and assistant alternate, and a chat template
that marks assistant turns masks all observations.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import BadInputError

Message = Mapping[str, Any]
ONLY_JSON = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS


def opening(prompt: str, instruction: str, observation: str) -> str:
    """Prompt, instruction and observation, each once: many observations quote the instruction, and logs without a prompt have none."""
    parts = [prompt.strip()]
    if instruction.strip() not in observation:
        parts.append(instruction.strip())
    parts.append(observation.strip())
    return "\n\n".join(part for part in parts if part)


def answer(thought: str, action: str) -> str:
    return f"Thought: {thought}\nAction: {action}" if thought else f"Action: {action}"


def answers(thoughts: pa.Array, actions: pa.Array) -> pa.Array:
    """`answer` for many steps at once."""
    thought_mark, action_mark, nothing = (pa.scalar(text, thoughts.type) for text in ("Thought: ", "\nAction: ", ""))
    spoken = pc.binary_join_element_wise(thought_mark, thoughts, action_mark, actions, nothing)
    silent = pc.equal(thoughts, nothing)
    if not pc.any(silent).as_py():
        return spoken
    return pc.if_else(silent, pc.binary_join_element_wise(pa.scalar("Action: ", thoughts.type), actions, nothing), spoken)


def conversation(prompt: str, instruction: str, steps: Iterable[tuple[str, str, str]]) -> list[dict[str, str]]:
    """(observation, thought, action) of each step → messages; the last is the last action."""
    messages: list[dict[str, str]] = []
    for observation, thought, action in steps:
        user = observation if messages else opening(prompt, instruction, observation)
        messages += [{"role": "user", "content": user}, {"role": "assistant", "content": answer(thought, action)}]
    return messages


INSTRUCTING = ("system", "developer")
"""Roles that instruct: before the first turn they are the prompt."""
INPUT_KEYS = ("role", "content", "tool_call_id", "name")


def messages_of_steps(prompt: str, steps: Iterable[Mapping[str, Any]], end: str | Sequence[Mapping[str, Any]] = "") -> list[dict[str, Any]]:
    """The conversation of some steps: exactly the messages of which `importers.chat.record_of_chat` made them.

    A step is a row of `steps` (observation, thought, action, response, input_messages, output_message); `end` is the rollout's
    end_messages, or its end_observation if they are NULL. Tool calls come as {"id", "name", "arguments"}, with the arguments as JSON text.
    """
    messages: list[dict[str, Any]] = []
    for number, step in enumerate(steps):
        inputs = inputs_of(step)
        if number == 0 and prompt and not any(message["role"] in INSTRUCTING for message in inputs):
            messages.append({"role": "system", "content": prompt})
        messages += [*inputs, output_of(step)]
    if isinstance(end, str):
        return [*messages, {"role": "user", "content": end}] if end else messages
    return [*messages, *map(input_message, end)]


def inputs_of(step: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages since the agent's previous turn."""
    stored = step.get("input_messages")
    return [{"role": "user", "content": step["observation"]}] if stored is None else [input_message(message) for message in stored]


def output_of(step: Mapping[str, Any]) -> dict[str, Any]:
    """The agent's own message."""
    stored = step.get("output_message")
    if stored is None:
        response = step.get("response")
        return {"role": "assistant", "content": answer(step["thought"], step["action"]) if response is None else response}
    message = {"role": "assistant", "content": stored.get("content")}
    if stored.get("reasoning") is not None:
        message["reasoning_content"] = stored["reasoning"]
    if stored.get("tool_calls") is not None:
        message["tool_calls"] = [{name: call.get(name) for name in ("id", "name", "arguments")} for call in stored["tool_calls"]]
    return message


def input_message(stored: Mapping[str, Any]) -> dict[str, Any]:
    """A message with only the keys that have a value; its content may be null."""
    return {key: stored.get(key) for key in INPUT_KEYS if key == "content" or stored.get(key) is not None}


def openai_message(message: Mapping[str, Any], *, decode: bool = False) -> dict[str, Any]:
    """The message as OpenAI writes it; with `decode`, arguments are objects wherever they are JSON objects, as chat templates expect."""
    calls = message.get("tool_calls")
    if calls is None:
        return dict(message)
    functions = [{"name": call["name"], "arguments": _decoded(call["arguments"]) if decode else call["arguments"]} for call in calls]
    return {**message, "tool_calls": [
        {"id": call["id"], "type": "function", "function": function} for call, function in zip(calls, functions, strict=True)
    ]}  # fmt: skip


def row_messages(stored: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages of a training row as chat templates take them: calls as objects, and no empty keys."""
    messages = []
    for message in stored:
        said = {name: value for name, value in message.items() if value is not None}
        if "tool_calls" in said:
            said["tool_calls"] = [stored_json(call, "tool_calls") for call in said["tool_calls"]]
        messages.append(said)
    return messages


def row_text(message: Mapping[str, Any]) -> str:
    """What a message of a training row says, for people: reasoning, content, and each call as `name {arguments}`."""
    calls = [_call_text(call) for call in message.get("tool_calls") or ()]
    return "\n".join(part for part in (message.get("reasoning_content"), message["content"], *calls) if part)


def _call_text(stored: str) -> str:
    call = stored_json(stored, "tool_calls")
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return stored
    return f"{function.get('name')} {json.dumps(function.get('arguments'), ensure_ascii=False)}"


def stored_row_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """The reverse: calls as JSON text."""
    calls = message.get("tool_calls")
    return {**message, "tool_calls": [json.dumps(call, ensure_ascii=False) for call in calls] if calls else None}


def row_tools(stored: Iterable[str] | None) -> list[Any] | None:
    """The tools of a training row."""
    return None if stored is None else [stored_json(tool, "tools") for tool in stored]


def rollout_tools(stored: str | None) -> list[Any] | None:
    """`rollouts.tools`: a list, or None where there is none."""
    tools = stored_json(stored, "rollouts.tools") if stored else None
    if not isinstance(tools, list | None):
        raise BadInputError(f"rollouts.tools is not a JSON list: {str(stored)[:80]!r}.\nNext: correct it in the log, and import again")
    return tools


def stored_json(text: str, column: str) -> Any:
    """A value that a table holds as JSON; tables may come from strangers."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{column} is not JSON: {text[:80]!r}.\nNext: correct it in the log, and import again") from error


def _decoded(arguments: str | None) -> Any:
    try:
        value = json.loads(arguments or "{}", parse_constant=_refuse)
    except (ValueError, RecursionError):
        return arguments
    return value if isinstance(value, dict) else arguments


def _refuse(constant: str) -> None:
    """NaN and Infinity are not valid JSON, although Python accepts them: arguments that contain them stay text."""
    raise ValueError(constant)


def message_json(value: Any) -> str:
    """`json_text` for messages, several times as fast; differs only for floats with an exponent, and NaN, which becomes null."""
    try:
        return msgspec.json.format(orjson.dumps(value, option=ONLY_JSON), indent=0).decode()
    except TypeError:
        return json_text(value)


def message_bytes(value: Any) -> bytes:
    """The same in UTF-8, which raises at a lone surrogate."""
    try:
        return msgspec.json.format(orjson.dumps(value, option=ONLY_JSON), indent=0)
    except TypeError:
        return json_text(value).encode()


def sorted_json(value: Any) -> str:
    """A JSON value without floats, its keys sorted."""
    return msgspec.json.format(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), indent=0).decode()


def json_text(value: Any) -> str:
    """JSON with the keys in their own order; what JSON cannot represent (dates, bytes, sets) becomes text."""
    return json.dumps(value, ensure_ascii=False, default=str)
