"""An action in one line: a tool call is shown as its name and arguments, beginning with those that differ from its alternatives.

The page does the same (page/script/calls.js).
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tratree_data.system.plain_text import one_line

CALL = re.compile(r"([\w.:/-]{1,200})(?: (\{.*\}))?")
LONGEST_CALL = 100_000
LONGEST_VALUE = 2_000
MOST_CALLS, MOST_ARGUMENTS = 3, 3
SHARED_WORDS, SHARED_VALUE = 20, 8
"""Beginnings that alternatives share are left out if they are longer."""

Call = tuple[str, Mapping[str, Any]]


def brief(action: str, others: Sequence[str] = ()) -> str:
    calls = read_calls(action)
    if not calls:
        return one_line(from_difference(action[:LONGEST_VALUE], [other[:LONGEST_VALUE] for other in others]))
    theirs = [read_calls(other) for other in others]
    words = []
    for place, (name, values) in enumerate(calls[:MOST_CALLS]):
        beside = [found[place][1] for found in theirs if place < len(found) and found[place][0] == name]
        words.append(_call_text(name, values, beside))
    more = [f"{len(calls) - MOST_CALLS} more"] if len(calls) > MOST_CALLS else []
    return one_line(" + ".join(words + more))


def read_calls(action: str) -> list[Call]:
    """The calls of an action; empty for one that is text."""
    if "{" not in action or len(action) > LONGEST_CALL:
        return []
    calls: list[Call] = []
    for line in action.split("\n"):
        found = CALL.fullmatch(line)
        try:
            values = json.loads(found[2] or "{}") if found else None
        except (ValueError, RecursionError):
            values = None
        if found is None or not isinstance(values, dict):
            return []
        calls.append((found[1], values))
    return calls


def from_difference(text: str, others: Sequence[str], most: int = SHARED_WORDS) -> str:
    """A text without the beginning that it shares with one of the others, if that is long; cut at a space."""
    shared = max((_shared(text, other) for other in others if other != text), default=0)
    if shared <= most or shared >= len(text):
        return text
    start = max(text.rfind(" ", 0, shared), text.rfind("\n", 0, shared), shared - 20) + 1
    return f"…{text[start:]}" if text[:start].strip() else text


def _shared(one: str, other: str) -> int:
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _call_text(name: str, values: Mapping[str, Any], beside: Sequence[Mapping[str, Any]]) -> str:
    texts = {key: _value_text(value) for key, value in values.items()}
    unlike = {key for key in values if any(_value_text(other.get(key, "")) != texts[key] for other in beside)}
    ranked = sorted(unlike or values, key=lambda key: 2 if not isinstance(values[key], str) else 1 if "\n" in texts[key] else 0)
    parts = []
    for key in ranked[:MOST_ARGUMENTS] if not unlike else [key for key in values if key in unlike][:MOST_ARGUMENTS]:
        text = texts[key]
        if key in unlike:
            text = from_difference(text, [_value_text(other.get(key, "")) for other in beside], SHARED_VALUE)
        words = " ".join(text.split())
        parts.append(words if isinstance(values[key], str) and key not in unlike else f"{key}: {words}")
    return " ".join(part for part in (name, ", ".join(parts)) if part)


def _value_text(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))[:LONGEST_VALUE]
