"""Texts that make a regular expression go back and try again: what leads up to each of its repeats, and then that repeat, many times."""

import re
from collections.abc import Iterator
from re import _constants, _parser  # type: ignore[attr-defined]

REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)
LONG = 12
"""Repeats up to which a pattern may go back without harm."""


def pumped_texts(pattern: re.Pattern[str], size: int) -> Iterator[str]:
    """About `size` characters each; every text ends with something that does not match."""
    seen = set()
    for before, pump in _pumps(_parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE & ~re.ASCII), ""):
        for text in (before + pump * (size // max(len(pump), 1)), (before + pump) * (size // max(len(before + pump), 1))):
            if text and text not in seen:
                seen.add(text)
                yield text + "\0"


def _pumps(parsed: object, before: str) -> Iterator[tuple[str, str]]:
    for operation, argument in parsed:  # type: ignore[attr-defined]
        if operation in REPEATS:
            _, high, inner = argument
            if high > LONG:
                for one in _samples(inner):
                    yield before, one
            yield from _pumps(inner, before)
        elif operation is _constants.SUBPATTERN:
            yield from _pumps(argument[3], before)
        elif operation is _constants.ATOMIC_GROUP:
            yield from _pumps(argument, before)
        elif operation is _constants.BRANCH:
            for branch in argument[1]:
                yield from _pumps(branch, before)
        before += _sample([(operation, argument)])


def _samples(parsed: object) -> set[str]:
    """The characters or short texts that a repeat takes: one of each alternative, and what other repeats take as well."""
    found = {_sample(parsed)}
    items = list(parsed)  # type: ignore[call-overload]
    if len(items) == 1 and items[0][0] in (_constants.IN, _constants.NOT_LITERAL, _constants.ANY):
        found |= {letter for letter in "a0A =-./\\\n\t\"'@" if _takes(items[0], letter)}
    if len(items) == 1 and items[0][0] is _constants.SUBPATTERN:
        return found | _samples(items[0][1][3])
    if len(items) == 1 and items[0][0] is _constants.BRANCH:
        found |= {_sample(branch) for branch in items[0][1][1]}
    return found - {""}


def _takes(item: tuple[object, object], letter: str) -> bool:
    operation, argument = item
    if operation is _constants.ANY:
        return letter != "\n"
    if operation is _constants.NOT_LITERAL:
        return ord(letter) != argument
    return _in(argument, letter)  # type: ignore[arg-type]


def _in(members: list[tuple[object, object]], letter: str) -> bool:
    negate, found = False, False
    for operation, argument in members:
        if operation is _constants.NEGATE:
            negate = True
        elif operation is _constants.LITERAL:
            found |= ord(letter) == argument
        elif operation is _constants.RANGE:
            found |= argument[0] <= ord(letter) <= argument[1]  # type: ignore[index]
        elif operation is _constants.CATEGORY:
            found |= bool(re.match(CATEGORIES[str(argument)], letter))
    return found != negate


CATEGORIES = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
}


def _sample(parsed: object) -> str:
    """One short text that the pattern takes."""
    text = ""
    for operation, argument in parsed:  # type: ignore[attr-defined]
        if operation is _constants.LITERAL:
            text += chr(argument)
        elif operation in (_constants.IN, _constants.NOT_LITERAL, _constants.ANY):
            text += next((letter for letter in "a0A =-./\\\n\t\"'@,:;()[]{}" if _takes((operation, argument), letter)), "")
        elif operation in REPEATS:
            low, _, inner = argument
            text += _sample(inner) * min(max(low, 1), 64)
        elif operation is _constants.SUBPATTERN:
            text += _sample(argument[3])
        elif operation is _constants.ATOMIC_GROUP:
            text += _sample(argument)
        elif operation is _constants.BRANCH:
            text += _sample(argument[1][0])
    return text
