"""Whether every text that a regular expression matches has one of some words in it, read off the expression itself."""

from collections.abc import Callable, Iterable
from itertools import product
from re import ASCII, _constants, _parser  # type: ignore[attr-defined]
from typing import Any

REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT)
MOST_WORDS, MOST_REPEATS = 400, 3


def needs_one_of(pattern: str, anchors: Iterable[str]) -> bool:
    return _needs(list(_parser.parse(pattern, ASCII)), tuple(anchors))


def _needs(items: list[Any], anchors: tuple[str, ...]) -> bool:
    """Either what can be at one place of every match has an anchor in it, or a part that is in every match needs one."""
    for at, (operation, argument) in enumerate(items):
        before = _ends(items[:at])
        here = {end + start for end, start in product(before, _starts(items[at:]))}
        if here and all(any(anchor in _lower(text) for anchor in anchors) for text in here):
            return True
        if operation is _constants.SUBPATTERN and _needs(list(argument[3]), anchors):
            return True
        if operation is _constants.BRANCH and all(_needs(list(branch), anchors) for branch in argument[1]):
            return True
        if operation in REPEATS and argument[0] >= 1 and _needs(list(argument[2]), anchors):
            return True
    return False


def _starts(items: list[Any]) -> set[str]:
    """Texts of which one is at the beginning of every match."""
    return _at_one_side(items, _starts, lambda start, word: start + word)


def _ends(items: list[Any]) -> set[str]:
    return _at_one_side(items[::-1], _ends, lambda end, word: word + end)


def _at_one_side(items: list[Any], side: Callable[[list[Any]], set[str]], join: Callable[[str, str], str]) -> set[str]:
    found = {""}
    for item in items:
        words = _words(item)
        known = words if words is not None else _first(item, side)
        joined = {join(text, word) for text, word in product(found, known)}
        if len(joined) > MOST_WORDS:
            return found
        found = joined
        if words is None:
            break
    return found


def _first(item: tuple[Any, Any], at_one_side: Any) -> set[str]:
    operation, argument = item
    if operation is _constants.SUBPATTERN:
        return at_one_side(list(argument[3]))  # type: ignore[no-any-return]
    if operation is _constants.BRANCH:
        return set().union(*(at_one_side(list(branch)) for branch in argument[1]))
    return at_one_side(list(argument[2])) if operation in REPEATS and argument[0] >= 1 else {""}


def _words(item: tuple[Any, Any]) -> set[str] | None:
    """All texts that an item matches, if these are few."""
    operation, argument = item
    if operation in (_constants.AT, _constants.ASSERT, _constants.ASSERT_NOT):
        return {""}
    if operation is _constants.LITERAL:
        return {chr(argument)}
    if operation is _constants.IN:
        return _letters(argument)
    if operation is _constants.SUBPATTERN:
        return _joined([_words(inner) for inner in argument[3]])
    if operation is _constants.BRANCH:
        branches = [_joined([_words(inner) for inner in branch]) for branch in argument[1]]
        return None if None in branches else set().union(*(branch for branch in branches if branch is not None))
    if operation in REPEATS and argument[1] <= MOST_REPEATS:
        low, high, inner = argument
        counts = [_joined([_words(one) for one in inner] * count) for count in range(low, high + 1)]
        return None if None in counts else set().union(*(count for count in counts if count is not None))
    return None


def _joined(parts: list[set[str] | None]) -> set[str] | None:
    found = {""}
    for part in parts:
        if part is None or len(found) * len(part) > MOST_WORDS:
            return None
        found = {start + end for start, end in product(found, part)}
    return found


def _letters(items: list[tuple[Any, Any]]) -> set[str] | None:
    found = set[str]()
    for operation, argument in items:
        if operation is _constants.LITERAL:
            found.add(chr(argument))
        elif operation is _constants.RANGE and argument[1] - argument[0] < 10:
            found |= set(map(chr, range(argument[0], argument[1] + 1)))
        else:
            return None
    return found


def _lower(text: str) -> str:
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)
