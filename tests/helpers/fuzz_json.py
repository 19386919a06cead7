"""Damaged JSON, from a seed: values that are gone, of another kind, hostile, or cut off in the middle."""

import json
import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

HOSTILE = (
    None, True, 0, -1, 1e308, 2**70, "", "../../x", "/etc/hostname", "hub:x", "file:///etc/hostname", "%2e%2e/x", "~",
    "..", "a\\..\\b", "a\nb", "c:x", "\x1b[31m",
    [], {}, [1], {"a": 1}, "\x00", "\ud800", [None], "x" * 5000,
)  # fmt: skip


def damage(value: Any, random: random.Random) -> str:
    """The JSON text of the value with one to three places damaged."""
    value = json.loads(json.dumps(value))
    places = list(_places(value))
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        place = random.choice(places)
        try:
            holder = value
            for key in place[:-1]:
                holder = holder[key]
            if isinstance(holder, dict) and random.random() < 0.3:
                del holder[place[-1]]
            else:
                holder[place[-1]] = deepcopy(random.choice(HOSTILE))  # it may be damaged next
        except (KeyError, IndexError, TypeError):  # gone with what was damaged before
            continue
    text = json.dumps(value)
    if random.random() < 0.1:
        at = random.randrange(len(text))
        text = text[:at] + random.choice(["", "{", '"', "\x00", "9" * 400]) + text[at + random.randrange(3) :]
    return text


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if place:
        yield place
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _places(part, (*place, key))
