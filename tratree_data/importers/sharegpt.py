"""ShareGPT conversations: {"conversations": [{"from": "human"/"gpt"/"system", "value"}], "id"?, "reward"?}.

A record without an id is an attempt at the task that its first human message states.
"""

from collections.abc import Iterator
from typing import Any

from tratree_data import ids
from tratree_data.importers import conversations, log_records
from tratree_data.importers.log_files import LogFile, json_records
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.openai_messages import first_of


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    return log_records.each(json_records(file), lambda where, value: _parse(options, where, value))


def _parse(options: Options, where: str, value: Any) -> Record:
    entry = log_records.mapping(value, "the record")
    if "meta" in entry or "item_id" in entry or "game_file" in entry:
        raise Unusable("other_format", "a record with meta or game_file is ETO's, one with item_id AgentTraj's")
    log = log_records.items_of(log_records.need(entry, "conversations"), "conversations")
    conversation = conversations.converse(conversations.read_turn(message, f"conversations[{i}]") for i, message in enumerate(log))
    instruction = conversations.instruction_in(conversation.steps[0].observation)
    task = first_of(entry, ("task_id", "id"))
    return Record(
        source=where,
        environment=options.environment or log_records.optional_text(entry.get("environment", entry.get("env")), "environment"),
        task_id=ids.content_id(instruction) if task is None else log_records.identifier(task, "id"),
        prompt=conversation.prompt or log_records.optional_text(entry.get("system"), "system"),
        instruction=instruction,
        reward=log_records.number(entry.get("reward", entry.get("score")), "reward"),
        success=log_records.truth(entry.get("success"), "success"),
        steps=conversation.steps,
        end_observation=conversation.end_observation,
    )
