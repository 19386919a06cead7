"""Where two texts that contain JSON differ: keys whose values differ or that only one has, and lists in another order."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tratree_data.trees.rules.differences import Difference, Field, differences, tokens_of
from tratree_data.trees.rules.json_parts import IGNORE_KEY, LIST_ORDER, ROOT, below, parts_of, written

JSON_HERE = "\ufffc"
"""In the place of JSON where the text around it is compared."""
LONG = 12
"""Tokens of a value from which on it is a text of its own, compared word by word too where it is like the other."""
ALIKE = 0.7
MATCHED_ITEMS = 60
"""Items of two lists that are matched with each other at most."""


@dataclass(frozen=True)
class _Leaf:
    kind: str
    path: str
    left: str
    right: str


@lru_cache(maxsize=20_000)
def text_differences(a: str, b: str) -> tuple[Difference, ...] | None:
    """Where `a` and `b` differ, in JSON by its keys and elsewhere by words; None where too much differs to be compared."""
    ours, theirs = parts_of(a), parts_of(b)
    if len(ours) != len(theirs) or len(ours) == 1:
        found = differences(a, b)
        return None if found is None else tuple(found)
    leaves = [leaf for x, y in zip(ours, theirs, strict=True) if not isinstance(x, str) for leaf in _leaves(x, y, ROOT)]
    places = [Difference(leaf.left, leaf.right, (Field(leaf.kind, leaf.path),) if leaf.path else ()) for leaf in leaves]
    around, others = ("".join(part if isinstance(part, str) else JSON_HERE for part in parts) for parts in (ours, theirs))
    if any(leaf.kind == IGNORE_KEY and _are_alike(tokens_of(leaf.left), tokens_of(leaf.right)) for leaf in leaves):
        return (*places, *(differences(a, b) or ()))
    return (*places, *(differences(around, others) or ())) if around != others else tuple(places)


def _are_alike(ours: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether two values are long and have most of their words in common."""
    words, others = (Counter(token for token in side if not token.isspace()) for side in (ours, theirs))
    return min(len(ours), len(theirs)) > LONG and 2 * (words & others).total() >= ALIKE * (words.total() + others.total())


def _leaves(a: Any, b: Any, path: str) -> Iterator[_Leaf]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(a.keys() | b.keys()):
            if key in a and key in b:
                yield from _leaves(a[key], b[key], below(path, key))
            else:
                yield _Leaf(IGNORE_KEY, below(path, key), _value(a.get(key)) if key in a else "", _value(b.get(key)) if key in b else "")
    elif isinstance(a, list) and isinstance(b, list):
        yield from _list_leaves(a, b, path)
    elif a != b or type(a) is not type(b):
        is_plain = path != ROOT and not isinstance(a, dict | list) and not isinstance(b, dict | list)
        yield _Leaf(IGNORE_KEY, path if is_plain else "", _value(a), _value(b))


def _value(value: Any) -> str:
    return value if isinstance(value, str) else written(value)


def _list_leaves(a: list[Any], b: list[Any], path: str) -> Iterator[_Leaf]:
    ours, theirs = [written(item) for item in a], [written(item) for item in b]
    if ours == theirs:
        return
    if Counter(ours) == Counter(theirs):
        yield _Leaf(LIST_ORDER, path, written(a), written(b))
    elif path != ROOT and not any(isinstance(item, dict | list) for item in (*a, *b)):
        yield _Leaf(IGNORE_KEY, path, written(a), written(b))
    elif len(a) != len(b) or len(a) > MATCHED_ITEMS or not all(isinstance(item, dict) for item in (*a, *b)):
        yield _Leaf(LIST_ORDER, "", written(a), written(b))
    else:
        pairs = _matched(a, b)
        if [j for _, j in pairs] != list(range(len(b))):
            yield _Leaf(LIST_ORDER, path, written(a), written(b))
        for i, j in pairs:
            yield from _leaves(a[i], b[j], path)


def _matched(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> list[tuple[int, int]]:
    """Each item of `a` with the item of `b` that shares most of its values, in the order of `a`."""
    flat = [[{(key, written(value)) for key, value in item.items()} for item in side] for side in (a, b)]
    order = sorted((-len(x & y), abs(i - j), i, j) for i, x in enumerate(flat[0]) for j, y in enumerate(flat[1]))
    taken: dict[int, int] = {}
    for _, _, i, j in order:
        if i not in taken and j not in taken.values():
            taken[i] = j
    return sorted(taken.items())
