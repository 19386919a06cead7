"""KnowAgent's *_D0.jsonl and *_D1.jsonl: one {"name", "result", "traj"} a line, two attempts a task in two files.

`result` is true, false or 0; '> ActionPath:' lines are not actions.
"""

from collections.abc import Iterator
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, json_lines
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.readers.react_transcript import Transcript
from tratree_data.importers.turns import conversations


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    return log_records.each(json_lines(file), lambda where, value: _parse(file, options, where, value))


def _parse(file: LogFile, options: Options, where: str, value: Any) -> Record:
    line = log_records.mapping(value, "the line")
    log = log_records.text(log_records.need(line, "prompt" if "prompt" in line and "traj" not in line else "traj"), "traj")
    name = log_records.identifier(log_records.need(line, "name"), "name")
    transcript = Transcript()
    for text in log.split("\n"):
        transcript.add(text)
    if not transcript.steps:
        raise Unusable("empty_steps", "traj contains no action")
    reward = log_records.truth_or_number(log_records.need(line, "result"), "result")
    return Record(
        source=where,
        environment=options.environment or "alfworld",
        task_id=name,
        trajectory_id=f"{file.stem}:{name}",
        instruction=conversations.instruction_in(transcript.steps[0].observation),
        reward=reward,
        success=None if reward is None else reward == 1,
        steps=transcript.steps,
        end_observation=transcript.observation(),
    )
