"""ShareGPT conversations: {"conversations": [{"from": "human"/"gpt"/"system", "value"}], "id"?, "reward"?}.

A record without an id is an attempt at the task that its first human message states.
"""

from collections.abc import Iterator
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, json_records
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.readers.openai_messages import first_of
from tratree_data.importers.turns.chat import record_of_chat
from tratree_data.importers.turns.dialects import read_conversation, read_tools
from tratree_data.messages import INSTRUCTING

KNOWN = ("conversations", "task_id", "id", "environment", "env", "system", "tools", "reward", "score", "success")


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    return log_records.each(json_records(file), lambda where, value: _parse(options, where, value))


def _parse(options: Options, where: str, value: Any) -> Record:
    entry = log_records.mapping(value, "the record")
    if "meta" in entry or "item_id" in entry or "game_file" in entry:
        raise Unusable("other_format", "a record with meta or game_file is ETO's, one with item_id AgentTraj's")
    log = log_records.items_of(log_records.need(entry, "conversations"), "conversations")
    spoken = read_conversation(log, "conversations")
    prompt = log_records.optional_text(entry.get("system"), "system")
    if prompt and not any(message["role"] in INSTRUCTING for message in spoken):
        spoken = [{"role": "system", "content": prompt}, *spoken]
    task = first_of(entry, ("task_id", "id"))
    return record_of_chat(
        spoken,
        source=where,
        environment=options.environment or log_records.optional_text(entry.get("environment", entry.get("env")), "environment"),
        task_id="" if task is None else log_records.identifier(task, "id"),
        tools=read_tools(entry.get("tools")),
        reward=log_records.number(entry.get("reward", entry.get("score")), "reward"),
        success=log_records.truth(entry.get("success"), "success"),
        metadata={name: value for name, value in entry.items() if name not in KNOWN and value is not None},
    )
