"""Logs of calls, each of which repeats the conversation so far: a call that another row continues is part of that row's conversation."""

from collections.abc import Callable, Collection, Iterator
from typing import Any

import xxhash

from tratree_data.importers.log_records import Item, Problem, Unusable
from tratree_data.importers.unknown.histories import answers_in, read_history
from tratree_data.importers.unknown.json_columns import unpacked
from tratree_data.importers.unknown.transcripts import read_exchange
from tratree_data.messages import json_text

CONTINUED = "continued_call"


def may_continue(columns: Collection[str]) -> bool:
    """Whether rows with these columns may be calls of one conversation; a score says that each is a run of its own."""
    return "completion" in columns and "reward" not in columns


def last_calls(rows: Callable[[], Iterator[Item]]) -> Iterator[Item]:
    """The rows that no other row continues, the others as problems; they are read twice, and in between only hashes are kept."""
    begun: set[int] = set()
    has_messages = False
    for _, row in rows():
        begun.update(turns_of(row)[:-1])
        has_messages = has_messages or isinstance(asked_in(row), list)
    for where, row in rows():
        if has_messages and isinstance(asked_in(row), str):
            yield where, Problem(where, "no_messages", "the row has a text where others have messages, so it is about something else")
            continue
        turns = turns_of(row) if begun else []
        is_continued = bool(turns) and turns[-1] in begun
        detail = "another row continues this conversation, and holds all of it"
        yield where, Problem(where, CONTINUED, detail) if is_continued else row


def asked_in(row: Any) -> Any:
    return unpacked(row.get("messages")) if isinstance(row, dict) else None


def turns_of(row: Any) -> list[int]:
    """For each of the agent's turns, a hash of the conversation up to it."""
    asked = asked_in(row)
    answer = row.get("completion") if isinstance(row, dict) else None
    if isinstance(asked, str):
        asked, answer = read_exchange(asked, answer)
    try:
        spoken = read_history([*asked, *answers_in(answer)], "it") if isinstance(asked, list) else []
    except (Unusable, RecursionError):
        return []
    found = []
    said = xxhash.xxh3_128()
    for message in spoken:
        calls = [(call["name"], call["arguments"]) for call in message.get("tool_calls", ())]
        said.update(json_text([message["role"], message["content"] or "", calls]).encode("utf-8", "surrogatepass"))
        if message["role"] == "assistant":
            found.append(said.intdigest())
    return found
