"""A JSON parser several times as fast as Python's, used where the answer is sure to be the same.

orjson keeps one of two equal keys in silence, and makes a float of an integer that is too large for 64 bits. So what came out is written
again: as it escapes quotes like everybody else, it has as many as the text, or else a key was lost. Whatever it refuses, and every doubt,
goes to Python's. A text with a number of many digits is walked through instead.
"""

from typing import Any

import orjson

UNSURE = object()
LARGEST = 2.0**63
LONG_NUMBER = b"0" * 19
ESCAPED_QUOTE = b"\\u0022"
"""The other way to write a quote within a text, which hides it from the count."""
ONLY_DIGITS = bytes(ord("0") if chr(byte).isdigit() and byte < 128 else ord(" ") for byte in range(256))
"""Every digit as 0: whether there is an integer too large for 64 bits shows in one look."""


def quick_value(data: bytes) -> Any:
    """The value, or UNSURE where only the careful parser can say what it is, or what is wrong with it."""
    try:
        value = orjson.loads(data)
        if LONG_NUMBER in data.translate(ONLY_DIGITS):
            return value if quotes_of(value) == quotes_in(data) else UNSURE
        quotes = orjson.dumps(value).count(b'"')
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):  # orjson reads deeper than it writes
        return UNSURE
    return value if quotes == data.count(b'"') and ESCAPED_QUOTE not in data else UNSURE


def keeps_every_key(value: Any, text: str) -> bool:
    """Whether a value that Python's parser made of the text surely has every key of it; that parser keeps one of two equal keys, too."""
    if type(value) is not dict and type(value) is not list:
        return True
    try:
        return orjson.dumps(value).count(b'"') == text.count('"') and "\\u0022" not in text
    except (orjson.JSONEncodeError, RecursionError):
        return False


def quotes_in(data: bytes) -> int:
    """Those that begin or end a text of valid JSON: an escaped one follows an odd number of backslashes."""
    if b"\\" not in data:
        return data.count(b'"')
    pairless = data.replace(b"\\\\", b"") if b"\\\\" in data else data
    return pairless.count(b'"') - pairless.count(b'\\"')


def quotes_of(value: Any) -> int:
    """How many a value takes; -1 if it holds a number that may have been an integer."""
    texts = 0
    waiting = [value]
    while waiting:
        item = waiting.pop()
        kind = type(item)
        if kind is str:
            texts += 1
        elif kind is dict:
            texts += len(item)
            waiting.extend(item.values())
        elif kind is list:
            waiting.extend(item)
        elif kind is float and not -LARGEST < item < LARGEST:
            return -1
    return 2 * texts
