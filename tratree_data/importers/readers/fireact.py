"""FireAct's trajs/*.json: an object of question number → {"reward", "em", "f1", "gt", "pred", "prompt", "traj"}.

`traj` is a text in some files and a message list in others. The score is f1, success is em.
"""

import re
from collections.abc import Iterator
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, json_members
from tratree_data.importers.log_records import LogStep, Options, Problem, Record, Unusable
from tratree_data.importers.turns import conversations

ENVIRONMENT = "hotpotqa"
ASKED, ANSWERED = "### Instruction:", "### Response:"
PARTS = re.compile(r"^(?P<label>Thought|Action|Observation)(?: \d+)?:[ \t]*", re.MULTILINE)


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    def parse(where: str, item: Any) -> Record:
        key, value = item
        return _parse(file, options, where, key, value)

    return log_records.each(json_members(file), parse)


def _parse(file: LogFile, options: Options, where: str, key: str, value: Any) -> Record:
    entry = log_records.mapping(value, "the entry")
    reward = log_records.truth_or_number(entry.get("f1", entry.get("em", entry.get("reward"))), "f1")
    success = log_records.truth_or_number(entry.get("em", entry.get("reward")), "em")
    log = log_records.need(entry, "traj")
    question, steps, end = _from_text(log) if isinstance(log, str) else _from_messages(log_records.items_of(log, "traj"))
    if not steps:
        raise Unusable("empty_steps", "traj contains no action")
    return Record(
        source=where,
        environment=options.environment or ENVIRONMENT,
        task_id=f"{ENVIRONMENT}-{key}",
        trajectory_id=f"{file.stem}:{key}",
        instruction=question,
        reward=reward,
        success=None if success is None else success == 1,
        steps=steps,
        end_observation=end,
        end_reason="done" if "Episode finished" in end else "unknown",
    )


def _from_messages(messages: list[Any]) -> tuple[str, list[LogStep], str]:
    conversation = conversations.converse(conversations.read_turn(message, f"traj[{i}]") for i, message in enumerate(messages))
    return (
        conversation.steps[0].observation,
        conversation.steps,
        conversations.without_label(conversations.OBSERVATION_LABEL, conversation.end_observation),
    )


def _from_text(log: str) -> tuple[str, list[LogStep], str]:
    """'### Instruction: … ### Response: Thought: … Action: … Observation: …', with the labels at the beginnings of lines."""
    question, answered, said = log.partition(ASKED)[2].partition(ANSWERED)
    if not answered:
        raise Unusable("missing_field", f"traj has no {ASKED!r} and {ANSWERED!r}")
    steps: list[LogStep] = []
    question, thought = question.strip(), ""
    observation = question
    marks = list(PARTS.finditer(said))
    ends = [mark.start() for mark in marks[1:]] + [len(said)]
    for mark, end in zip(marks, ends, strict=True):
        text = said[mark.end() : end].strip()
        if mark["label"] == "Thought":
            thought = f"{thought}\n{text}".strip()
        elif mark["label"] == "Action":
            steps.append(LogStep(observation, thought, text))
            observation, thought = "", ""
        else:
            observation = text
    return question, steps, observation
