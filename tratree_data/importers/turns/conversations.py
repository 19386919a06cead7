"""Conversations → steps: what several formats share.

A turn of the assistant is a step. Everything that others said since its last turn is the observation it answered, so a step's
observation is what the agent saw BEFORE it acted; what comes after the last action is the end observation.
"""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tratree_data import ids
from tratree_data.importers import log_records
from tratree_data.importers.log_records import KeyWatch, LogStep, Record, Unusable
from tratree_data.importers.metadata_fields import EXPORTER, apply_metadata

SPEAKERS = {
    "system": ("system", "developer"),
    "user": ("user", "human", "tool", "function", "observation", "environment", "toolresult"),
    "assistant": ("assistant", "gpt", "agent", "model", "ai"),
}
ROLES = {name: role for role, names in SPEAKERS.items() for name in names}
CONTENTS = ("content", "value", "text", "system_prompt")
TEXT_PARTS = ("text", "output_text", "input_text")
THOUGHT_PARTS = ("thinking", "reasoning")
REASONING = ("reasoning_content", "reasoningContent", "reasoning")
CALL_PARTS = ("toolCall", "tool_use", "tool_call")
THOUGHT_AND_ACTION = re.compile(
    r"^[ \t]*Action(?: \d+)?:[ \t]*(?P<action>.*?)(?=\n(?:Observation|Thought)(?: \d+)?:|\Z)", re.DOTALL | re.MULTILINE
)
THOUGHT_LABEL = re.compile(r"\A\s*Thought(?:\s+\d+)?:\s*")
OBSERVATION_LABEL = re.compile(r"\A\s*Observation(?:\s+\d+)?:[ \t]*\n?")
THINKING = re.compile(r"\A\s*<think>(?P<thought>.*?)</think>\s*", re.DOTALL)
INSTRUCTION_LABELS = ("Instruction:", "Your task is to", "Task Description:")
INSTRUCTION_ENDS = {"Instruction:": re.compile(r"\[SEP\]|\n[ \t]*\n|\n\[")}
LINE_END = re.compile(r"\n")


@dataclass(frozen=True, slots=True)
class Turn:
    """One message: who spoke, what, and for assistants the hidden thought and the tools called."""

    role: str
    content: str
    thought: str = ""
    calls: tuple[str, ...] = ()


@dataclass(slots=True)
class Conversation:
    prompt: str
    steps: list[LogStep] = field(default_factory=list)
    end_observation: str = ""


def read_turn(message: Any, name: str) -> Turn:
    """A message as OpenAI, ShareGPT and their many relatives write it."""
    entry = log_records.mapping(message, name)
    role = ROLES.get(log_records.text(entry.get("role", entry.get("from")), f"{name}.role").lower())
    if role is None:
        raise Unusable("unknown_role", f"{name}.role is {entry.get('role', entry.get('from'))!r}")
    content = next((entry[key] for key in CONTENTS if entry.get(key) is not None), None)
    reasoning = next((entry[key] for key in REASONING if entry.get(key)), None)
    thoughts = [log_records.optional_text(reasoning, f"{name}.reasoning_content")]
    calls = list(log_records.items_of(entry.get("tool_calls") or entry.get("toolCalls") or [], f"{name}.tool_calls"))
    if entry.get("function_call"):
        calls.append(entry["function_call"])
    if isinstance(content, list):
        parts = [log_records.mapping(part, f"{name}.content[{i}]") for i, part in enumerate(content)]
        thoughts += [
            log_records.optional_text(part.get("thinking", part.get("text")), f"{name}.thinking")
            for part in parts
            if part.get("type") in THOUGHT_PARTS
        ]
        calls += [part for part in parts if part.get("type") in CALL_PARTS]
    thought = "\n".join(text for text in thoughts if text)
    return Turn(role, content_text(content, f"{name}.content"), thought, tuple(read_call(call, f"{name}.tool_calls") for call in calls))


def content_text(content: Any, name: str) -> str:
    """A text, null, or a list of parts of which the texts count."""
    if not isinstance(content, list):
        return log_records.optional_text(content, name)
    texts = []
    for i, part in enumerate(content):
        entry = log_records.mapping(part, f"{name}[{i}]")
        if entry.get("type") in TEXT_PARTS:
            texts.append(log_records.text(entry.get("text"), f"{name}[{i}].text"))
        elif entry.get("type") == "tool_result":
            texts.append(content_text(entry.get("content"), f"{name}[{i}].content"))
    return "\n".join(texts)


def read_call(call: Any, name: str) -> str:
    """A tool call as one line: 'name {arguments}', the arguments sorted so that equal calls are equal texts."""
    entry = log_records.mapping(call, name)
    function = log_records.mapping(entry.get("function", entry), f"{name}.function")
    arguments = read_arguments(function.get("arguments", function.get("input")))
    return call_text(log_records.identifier(function.get("name"), f"{name}.name"), arguments)


def read_arguments(arguments: Any) -> Any:
    """The arguments as JSON; if they are not valid JSON, or have a key twice, the text that the model wrote."""
    watch = KeyWatch()
    if isinstance(arguments, str):
        with suppress(ValueError, RecursionError):
            parsed = json.loads(arguments, object_pairs_hook=watch)
            return parsed if watch.repeated is None else arguments
    return arguments


def call_text(function: str, arguments: Any) -> str:
    if arguments in (None, {}, ""):
        return function
    return f"{function} {arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False, sort_keys=True)}"


def without_label(label: re.Pattern[str], text: str) -> str:
    r"""The text behind a label at its beginning. `sub` would look for it everywhere, though the pattern has \A."""
    found = label.match(text)
    return text[found.end() :] if found else text


def split_answer(text: str) -> tuple[str, str]:
    """What an agent wrote → (thought, action). Without labels the whole text is the action; a thought alone has an empty one."""
    thinking = THINKING.match(text)
    hidden = thinking["thought"].strip() if thinking else ""
    text = text[thinking.end() :] if thinking else text
    match = THOUGHT_AND_ACTION.search(text)
    if match is not None:
        said = without_label(THOUGHT_LABEL, text[: match.start()]).strip()
        return "\n".join(part for part in (hidden, said) if part), match["action"].strip()
    if THOUGHT_LABEL.match(text):
        return "\n".join(part for part in (hidden, without_label(THOUGHT_LABEL, text).strip()) if part), ""
    return hidden, text.strip()


def converse(turns: Iterable[Turn], plain: bool = False) -> Conversation:
    """Turns → prompt, steps and end observation. With `plain`, contents are taken as they are: observations and actions without labels."""
    prompts: list[str] = []
    waiting: list[str] = []
    result = Conversation("")
    for turn in turns:
        if turn.role == "system":
            prompts.append(turn.content)
        elif turn.role == "user":
            waiting.append(turn.content)
        else:
            observation = "\n\n".join(waiting)
            result.steps.append(LogStep(observation, turn.thought, turn.content) if plain and not turn.calls else _step(turn, observation))
            waiting = []
    result.prompt = "\n\n".join(prompts)
    result.end_observation = "\n\n".join(waiting)
    if not result.steps:
        raise Unusable("empty_steps", "no assistant turn, so there are no steps")
    return result


def alternate(happened: Iterable[LogStep | str]) -> tuple[list[LogStep], str]:
    """Steps, and what was seen between them, in the order in which they happened → steps that know what they answered, and the end."""
    waiting: list[str] = []
    steps: list[LogStep] = []
    for event in happened:
        if isinstance(event, str):
            waiting.append(event)
        else:
            event.observation = "\n\n".join(text for text in waiting if text)
            steps.append(event)
            waiting = []
    if not steps:
        raise Unusable("empty_steps", "no agent turn, so there are no steps")
    return steps, "\n\n".join(text for text in waiting if text)


def record_of_turns(turns: Iterable[Turn], facts: Mapping[str, Any], where: str, environment: str) -> Record:
    """A record of turns and free metadata; restores our own exports exactly."""
    ours = facts.get("exporter") == EXPORTER
    conversation = converse(turns, plain=ours)
    first = conversation.steps[0]
    instruction = first.observation.strip() if not ours else ""
    record = Record(
        source=where,
        environment=environment,
        task_id="",
        prompt=conversation.prompt,
        instruction=instruction if ours else instruction_in(instruction),
        steps=conversation.steps,
        end_observation=conversation.end_observation,
    )
    apply_metadata(record, facts)
    if ours:
        first.observation = first.observation[log_records.count(facts.get("opening_characters"), "opening_characters") or 0 :]
    record.task_id = record.task_id or ids.content_id(record.instruction)
    return record


def apply_step_metadata(record: Record, facts: Any) -> None:
    """Restores what our exporters wrote about the steps where the format has no field for it."""
    for i, (step, step_facts) in enumerate(zip(record.steps, log_records.items_of(facts or [], "steps"), strict=False)):
        entry = log_records.mapping(step_facts, f"steps[{i}]")
        reward, valid = log_records.number(entry.get("reward"), "reward"), log_records.truth(entry.get("valid"), "valid")
        step.reward = step.reward if reward is None else reward
        step.valid = step.valid if valid is None else valid
        step.response = log_records.optional_text(entry.get("response"), "response") or step.response


def _step(turn: Turn, observation: str) -> LogStep:
    observation = without_label(OBSERVATION_LABEL, observation)
    if turn.calls:
        thought = "\n".join(part for part in (turn.thought, turn.content) if part.strip())
        return LogStep(observation, thought, "\n".join(turn.calls))
    thought, action = split_answer(turn.content)
    thought = "\n".join(part for part in (turn.thought, thought) if part)
    return LogStep(observation, thought, action, response=turn.content or None)


def instruction_in(text: str) -> str:
    """The request in a first observation, if it is phrased in a known way; else the whole text."""
    for label in INSTRUCTION_LABELS:
        _, found, rest = text.partition(label)
        if found:
            rest = rest.lstrip(": \t\n").removeprefix("[SEP]").strip()
            return INSTRUCTION_ENDS.get(label, LINE_END).split(rest, maxsplit=1)[0].strip()
    return text.strip()
