"""Tables and event logs with a message per row → conversations: the rows of one trajectory_id, in their order, or in that of a column.

A row is the message or a step, or holds the message whole (`message`), and then rows without one are other events. Facts about the
conversation (task, model, reward) are in every row, or in some: what the rows agree on counts.
"""

import math
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

from tratree_data.importers.log_records import Item, Problem
from tratree_data.importers.turns.session_blocks import is_blocks
from tratree_data.importers.unknown.histories import speaker_of
from tratree_data.importers.unknown.json_columns import unpacked

OF_MESSAGE = ("role", "content", "tool_calls", "tool_call_id", "name", "function_call", "reasoning_content")
OF_STEP = ("observation", "thought", "action")
ROW_COLUMNS = ("content", "message", "action")
"""Columns that each show that a row is a message or a step."""
CELLS = ("tool_calls", "function_call")
"""Columns whose texts may hold JSON."""


def conversations_of(rows: Iterator[Item], is_named: bool = True) -> Iterator[Item]:
    """One row for each conversation, with its `messages`; where no column names it, the rows of one record are one."""
    places: dict[str, str] = {}
    messages: dict[str, list[tuple[float, Any]]] = {}
    facts: dict[str, dict[str, list[Any]]] = {}
    for where, row in rows:
        name = (row.get("trajectory_id") if is_named else where) if isinstance(row, dict) else None
        if isinstance(row, Problem) or name is None:
            yield where, row if isinstance(row, Problem) else Problem(where, "missing_field", "the message's row has no trajectory_id")
            continue
        key = f"{type(name).__name__}:{name}"
        places.setdefault(key, where)
        said = message_in(row)
        if said:
            messages.setdefault(key, []).append((place_in(row), said))
        about = facts.setdefault(key, {})
        for part, value in row.items():
            if part not in (*OF_MESSAGE, *OF_STEP, "message", "order") and value is not None and value not in about.setdefault(part, []):
                about[part].append(value)
    for key, where in places.items():
        agreed = {part: values[0] for part, values in facts[key].items() if len(values) == 1}
        if key in messages:
            yield where, agreed | {"messages": [said for _, said in sorted(messages[key], key=itemgetter(0))]}
        else:
            yield where, Problem(where, "missing_field", "this conversation has no row that is a message")


def place_in(row: dict[str, Any]) -> float:
    """The row's number within its conversation; rows without a number stay in their order, at the end."""
    number = place_of(row.get("order"))
    return math.inf if number is None else number


def place_of(value: Any) -> float | None:
    """A finite number, or a text of one."""
    try:
        found = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def message_in(row: dict[str, Any]) -> dict[str, Any]:
    """The row's message or step, in the order of the columns; {} for another event."""
    if "action" in row and "role" not in row:
        return {part: value for part, value in row.items() if part in OF_STEP and value is not None}
    if "content" not in row and "role" not in row:
        whole = unpacked(row.get("message"))
        return whole if isinstance(whole, dict) and speaker_of(whole)[1] else {}
    said = {part: row[part] for part in OF_MESSAGE if row.get(part) is not None}
    said |= {"content": blocks} if is_blocks(blocks := unpacked(said.get("content"))) else {}
    return said | {part: unpacked(said[part]) for part in CELLS if part in said}
