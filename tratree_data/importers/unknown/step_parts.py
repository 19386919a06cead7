"""The parts of a step in a log without messages: which members they are, and what they say as a message."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, zip_longest
from typing import Any

from tratree_data.importers.log_records import Unusable
from tratree_data.messages import json_text

JSON = dict[str, Any]
ACTIONS = ("action", "act", "action_text", "command", "tool", "tool_name")
INPUTS = ("tool_input", "action_input", "tool_args", "action_args", "arguments", "args", "parameters")
OBSERVATIONS = ("observation", "obs", "observation_text", "tool_output", "tool_result", "state")
THOUGHTS = ("thought", "thoughts", "reasoning", "think", "reason")
ASKED = ("query", "question", "prompt", "input", "user", "user_input", "request", "instruction", "human")
ANSWERED = ("response", "answer", "completion", "output", "assistant", "assistant_response", "model_response", "reply", "bot")
LONGEST_NUMBER = 7
WORDS = {"action": ("action",), "observation": ("obs", "observation")}
NAMES = ("name", "tool", "tool_name", "function", "type", "action_type")
"""Of an action that is an object, the member that names it."""
LISTS = {
    "actions": ("actions", "acts", "action", "agent_actions", "commands", "outputs", "responses", "completions", "model_outputs"),
    "observations": ("observations", "obs", "observation", "states", "env_outputs", "env_responses", "inputs", "prompts"),
    "thoughts": ("thoughts", "thought", "reasonings", "reasoning", "thinking"),
}
"""Members that are lists with one element for each step."""


def step_parts(entry: JSON) -> dict[str, str]:
    """Which members are the step's action, observation, thought and input of its tool, in their order; {} if it is not a step."""
    kinds = {"action": ACTIONS, "observation": OBSERVATIONS, "thought": THOUGHTS}
    found = {kind: _named(entry, names, WORDS.get(kind, ())) for kind, names in kinds.items()}
    found["input"] = next((key for key in INPUTS if isinstance(entry.get(key), dict)), "")
    if not found["action"] or not found["observation"]:
        return {}
    order = [*entry]
    return {kind: key for kind, key in sorted(found.items(), key=lambda item: order.index(item[1]) if item[1] else -1) if key}


def _named(entry: JSON, names: Sequence[str], words: Sequence[str]) -> str:
    """The member with such a name, else the only one whose name ends or begins with such a word ('agent_action', 'obs_text')."""
    exact = next((key for key in names if key in entry and not isinstance(entry[key], bool)), "")
    if exact or not words:
        return exact
    like = [
        key
        for key, value in entry.items()
        if isinstance(value, str | dict) and {*(spelled := key.lower().split("_"))[:1], spelled[-1]} & {*words}
    ]
    return like[0] if len(like) == 1 else ""


def exchanges(history: Sequence[Any]) -> tuple[str, str] | None:
    """The members that are a request and its answer in each element of a list, unless the requests repeat what was said before."""
    entries = [entry for entry in history if isinstance(entry, dict)]
    if not entries or len(entries) < len(history):
        return None
    names = [next((key for key in keys if all(isinstance(entry.get(key), str) for entry in entries)), "") for keys in (ASKED, ANSWERED)]
    return (names[0], names[1]) if all(names) and not _repeats([entry[names[0]] for entry in entries]) else None


def read_exchange_step(entry: JSON, names: tuple[str, str]) -> list[JSON]:
    rest = {key: item for key, item in entry.items() if key not in names}
    heard = [{"role": "user", "content": entry[names[0]]}] if entry[names[0]] else []
    return [*heard, rest | {"role": "assistant", "content": entry[names[1]]}]


def read_step(entry: JSON, keys: Mapping[str, str]) -> Iterator[JSON]:
    """What was done, and what was seen before or after it, as the order of the step's keys says; the last step may do nothing."""
    seen = part_text(entry[keys["observation"]])
    done = entry[keys["action"]]
    call = {"name": done, "arguments": json_text(entry[keys["input"]])} if "input" in keys and isinstance(done, str) else _call_in(done)
    said = {key: item for key, item in entry.items() if key not in keys.values()} | {"role": "assistant"}
    said |= {"content": None, "function_call": call} if call else {"content": part_text(done)}
    thought = part_text(entry.get(keys.get("thought", "")))
    said |= {"reasoning_content": thought} if thought else {}
    is_before = [*keys].index("observation") < [*keys].index("action")
    heard: JSON = {"role": "function", "name": call["name"]} if call and not is_before else {"role": "user"}
    heard["content"] = seen
    if done is None:
        yield from [heard] if seen else []
    elif is_before:
        yield from [*([heard] if seen else []), said]
    else:
        yield from [said, *([heard] if seen or call else [])]


def part_text(value: Any) -> str:
    """A text as it is, an object with one text as that text, anything else as JSON."""
    if isinstance(value, dict) and len(value) == 1 and isinstance(only := next(iter(value.values())), str):
        return only
    return "" if value is None else value if isinstance(value, str) else json_text(value)


def _call_in(action: Any) -> JSON | None:
    """An object that names an action, with its arguments in one member or as its other members."""
    name = next((key for key in NAMES if isinstance(action.get(key), str) and action[key].strip()), "") if isinstance(action, dict) else ""
    if not name:
        return None
    rest = {key: item for key, item in action.items() if key != name}
    key = next(iter(rest), "")
    arguments = rest[key] if len(rest) == 1 and key in (*INPUTS, "input", "kwargs", "params") else rest
    return {"name": action[name], "arguments": arguments if isinstance(arguments, str) else json_text(arguments)}


def steps_of_lists(lists: Mapping[str, Any]) -> list[JSON]:
    """Lists of actions and observations (and thoughts) as steps; one observation more than actions is what was seen at the end."""
    for name, values in lists.items():
        if not isinstance(values, list):
            raise Unusable("wrong_type", f"{name} must be a list")
    actions, observations, thoughts = lists["actions"], lists["observations"], lists.get("thoughts") or []
    if len(observations) - len(actions) not in (-1, 0, 1) or len(thoughts) > len(actions):
        lengths = ", ".join(f"{len(values):,} {name}" for name, values in lists.items())
        raise Unusable("wrong_type", f"the lists of one episode do not fit together: {lengths}")
    after_all = observations[len(actions) :]
    order = ["observation", "thought", "action"] if after_all or _is_before(lists) else ["thought", "action", "observation"]
    steps = [
        {name: {"observation": seen, "thought": thought, "action": action}[name] for name in order}
        for seen, thought, action in zip_longest(observations[: len(actions)], thoughts, actions)
    ]
    return [*steps, *({"role": "user", "content": part_text(seen)} for seen in after_all)]


def _is_before(lists: Mapping[str, Any]) -> bool:
    return len(lists["observations"]) == len(lists["actions"]) and [*lists].index("observations") < [*lists].index("actions")


def lists_in(value: JSON) -> dict[str, str]:
    """Which members are lists with one element for each step, in their order; {} if actions or observations are missing."""
    found = {kind: next((key for key in names if isinstance(value.get(key), list) and value[key]), "") for kind, names in LISTS.items()}
    if not found["actions"] or not found["observations"]:
        return {}
    done, seen = value[found["actions"]], value[found["observations"]]
    if abs(len(seen) - len(done)) > 1 or any(map(_is_message, [*done, *seen])) or _repeats(seen):
        return {}
    order = [*value]
    return {kind: key for kind, key in sorted(found.items(), key=lambda item: order.index(item[1]) if item[1] else -1) if key}


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and ("role" in value or "from" in value)


def _repeats(seen: Sequence[Any]) -> bool:
    """Whether each is the conversation so far."""
    texts = [value for value in seen if isinstance(value, str)]
    return len(texts) > 1 and all(b != a and b.startswith(a) for a, b in pairwise(texts))


def numbered_steps(value: JSON) -> list[JSON]:
    """{'thought_0', 'tool_name_0', …, 'thought_1', …} or {'0': step, '1': step, …} as a list of steps; [] if not all are numbered."""
    steps: dict[int, JSON] = {}
    if all(key.isdecimal() and len(key) < LONGEST_NUMBER and isinstance(item, dict) for key, item in value.items()):
        steps = {int(key): item for key, item in value.items()}
        value = {}
    for key, item in value.items():
        name, _, number = key.rpartition("_")
        if not name or not number.isdecimal() or len(number) >= LONGEST_NUMBER:
            return []
        steps.setdefault(int(number), {})[name] = item
    found = [steps[number] for number in sorted(steps)]
    return found if found and all(map(step_parts, found)) else []
