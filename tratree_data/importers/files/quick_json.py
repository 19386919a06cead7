"""A JSON parser several times as fast as Python's, used if the result is certain to be the same.

orjson silently keeps one of two equal keys, and turns an integer that is too large for 64 bits into a float. So the result is written
again: if it has fewer quotes than the text, a key was lost. Whatever orjson refuses, and every doubtful case, goes to Python's parser. A
text with a number of many digits is checked value by value.
"""

from typing import Any

import orjson

UNSURE = object()
LARGEST = 2.0**63
LONG_NUMBER = b"0" * 19
ESCAPED_QUOTE = b"\\u0022"
"""The other way to escape a quote, which hides it from the count."""
ONLY_DIGITS = bytes(ord("0") if chr(byte).isdigit() and byte < 128 else ord(" ") for byte in range(256))
"""Maps every digit to 0, so that one search finds integers that may be too large for 64 bits."""


def quick_value(data: bytes) -> Any:
    """The value, or UNSURE if only the careful parser can tell what it is, or what is wrong with it."""
    try:
        value = orjson.loads(data)
        if LONG_NUMBER in data.translate(ONLY_DIGITS):
            return value if quotes_of(value) == quotes_in(data) else UNSURE
        quotes = orjson.dumps(value).count(b'"')
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):  # orjson reads deeper than it writes
        return UNSURE
    return value if quotes == data.count(b'"') and ESCAPED_QUOTE not in data else UNSURE


def keeps_every_key(value: Any, text: str) -> bool:
    """Whether a value that Python's parser returned certainly has every key of the text; it also keeps only one of two equal keys."""
    if type(value) is not dict and type(value) is not list:
        return True
    try:
        return orjson.dumps(value).count(b'"') == text.count('"') and "\\u0022" not in text
    except (orjson.JSONEncodeError, RecursionError):
        return False


def quotes_in(data: bytes) -> int:
    """Counts the quotes that begin or end a text in valid JSON: an escaped one follows an odd number of backslashes."""
    if b"\\" not in data:
        return data.count(b'"')
    pairless = data.replace(b"\\\\", b"") if b"\\\\" in data else data
    return pairless.count(b'"') - pairless.count(b'\\"')


def quotes_of(value: Any) -> int:
    """The number of quotes that a value needs; -1 if it holds a number that may have been an integer."""
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
