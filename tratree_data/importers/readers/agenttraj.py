"""AgentTraj and AgentEval of AgentGym: a JSON list of {"item_id": "webshop_12", "conversations": [{"from", "loss"?, "value"}], "reward"?}.

The environment is the name before the number; the first two messages are the instruction and 'OK'.
"""

import re
from collections.abc import Iterator
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, json_records
from tratree_data.importers.log_records import Options, Problem, Record
from tratree_data.importers.metadata_fields import apply_metadata
from tratree_data.importers.readers.eto import OTHER_NAMES, opens_with_ok
from tratree_data.importers.turns import conversations

THOUGHT, ACTION = "Thought:\n", "\n\nAction:\n"
ITEM = re.compile(r"(?P<environment>.+?)_(?P<number>\d+)")


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    return log_records.each(json_records(file), lambda where, value: _parse(options, where, value))


def _parse(options: Options, where: str, value: Any) -> Record:
    entry = log_records.mapping(value, "the record")
    item = log_records.identifier(log_records.need(entry, "item_id"), "item_id")
    match = ITEM.fullmatch(item)
    named = match["environment"] if match else ""
    log = log_records.items_of(log_records.need(entry, "conversations"), "conversations")
    said = [conversations.read_turn(message, f"conversations[{i}]") for i, message in enumerate(log)]
    start = 2 if opens_with_ok(said) else 0
    conversation = conversations.converse(said[start:], plain="tratree" in entry)
    success = log_records.truth_or_number(entry.get("success"), "success")
    record = Record(
        source=where,
        environment=options.environment or OTHER_NAMES.get(named, named),
        task_id=item,
        prompt=said[0].content if start else conversation.prompt,
        instruction=conversations.instruction_in(conversation.steps[0].observation),
        reward=log_records.truth_or_number(entry.get("reward"), "reward"),
        success=None if success is None else success == 1,
        steps=conversation.steps,
        end_observation=conversation.end_observation,
    )
    return _as_exported(record, log_records.mapping(entry["tratree"], "tratree")) if "tratree" in entry else record


def _as_exported(record: Record, facts: dict[str, Any]) -> Record:
    """Reads our own export back exactly."""
    record.instruction = ""
    apply_metadata(record, facts)
    record.environment = log_records.optional_text(facts.get("environment"), "environment") or record.environment
    step_facts = log_records.items_of(facts.get("steps"), "tratree.steps")
    for step, entry in zip(record.steps, step_facts, strict=False):
        answer = step.action.removeprefix(THOUGHT)
        length = log_records.count(log_records.mapping(entry, "tratree.steps").get("thought_characters"), "thought_characters") or 0
        step.thought, step.action = answer[:length], answer[length:].removeprefix(ACTION)
    conversations.apply_step_metadata(record, step_facts)
    first = record.steps[0]
    first.observation = first.observation[log_records.count(facts.get("opening_characters"), "opening_characters") or 0 :]
    return record
