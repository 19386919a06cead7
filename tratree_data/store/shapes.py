"""The shape that untrusted JSON must have before it is used: lineage.json of a release, and the lineage in a Delta log.

A shape is a type, [shape] for a list, {str: shape} for a mapping of any names, {"name": shape, …} for named fields (more may be there),
or a tuple of shapes of which one must fit.
"""

from typing import Any

MOST_DEEP = 20


class ShapeError(ValueError):
    """Names the first place where a value differs from its shape."""


NAME, COUNT, NULL = str, int, type(None)
LINEAGE = {"stage": NAME, "settings": {NAME: object}, "reads": {NAME: COUNT}, "code": NAME, "format": COUNT}
COMMITTED = LINEAGE | {"writes": {NAME: COUNT}, "last": NAME, "commit": NAME}
REWRITTEN = COMMITTED | {"rows_of": (COUNT, NULL)}
"""The lineage in a Delta log; a release leaves out what concerns the commit."""
SHARD = {"path": NAME, "split": NAME, "rows": COUNT, "bytes": COUNT, "memory_bytes": COUNT, "sha256": NAME}
TABLE = {"shards": [SHARD], "store_version": COUNT, "lineage": (LINEAGE, NULL)}
MANIFEST = {"version": NAME, "format": COUNT, "code": NAME, "tables": {NAME: TABLE}, "splits": {NAME: NAME}, "dropped": bool}

ACTIONS = {"commitInfo": {"timestamp": COUNT}, "add": {"path": NAME}, "remove": {"path": NAME}}
"""The parts of a Delta log that we read ourselves."""


def need_shape(value: Any, shape: Any, where: str) -> None:
    """Raises ShapeError if the value differs; numbers must be whole, not negative, and fit in 63 bits."""
    if isinstance(shape, tuple):
        if not any(_fits(value, one) for one in shape):
            need_shape(value, shape[0], where)
    elif isinstance(shape, list):
        _need(isinstance(value, list), where, "a list")
        for number, item in enumerate(value):
            need_shape(item, shape[0], f"{where}[{number}]")
    elif isinstance(shape, dict):
        _need(isinstance(value, dict), where, "an object")
        named = {name: part for name, part in shape.items() if isinstance(name, str)}
        for name, part in named.items():
            _need(name in value, f"{where}.{name}", "there")
            need_shape(value[name], part, f"{where}.{name}")
        for name, item in value.items() if str in shape else ():
            _need(_is_text(name), where, "an object of plain names")
            need_shape(item, shape[str], f"{where}.{name}")
    elif shape is int:
        _need(type(value) is int and 0 <= value < 2**63, where, "a number from 0")
    elif shape is str:
        _need(isinstance(value, str) and _is_text(value), where, "a plain text")
    elif shape is object:
        _need_plain(value, where, MOST_DEEP)
    else:
        _need(isinstance(value, shape), where, f"of the type {shape.__name__}")


def _fits(value: Any, shape: Any) -> bool:
    try:
        need_shape(value, shape, "")
    except ShapeError:
        return False
    return True


def _need_plain(value: Any, where: str, depth: int) -> None:
    """Any JSON that can be stored and printed."""
    _need(depth > 0, where, f"at most {MOST_DEEP} levels deep")
    parts = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        _need_plain(part, where, depth - 1)
    if isinstance(value, str):
        _need(not any("\ud800" <= letter <= "\udfff" for letter in value), where, "a plain text")


def _is_text(text: str) -> bool:
    """Whether a text has no NUL and no lone surrogates, and is short enough for a file's name and a message."""
    return len(text) <= 1_000 and "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _need(holds: bool, where: str, what: str) -> None:
    if not holds:
        raise ShapeError(f"{where[:200]} is not {what}")
