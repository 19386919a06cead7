"""JSON within texts (tool results, the arguments of calls): where it is, and rules that ignore one key or the order of one list.

`ignore-key:PATH` leaves out what a key holds, `list-order:PATH` the order of a list's items. A path is the keys that lead there, joined by
full stops, whatever the place in a list: `items.sku`; `$` is a list that is in no object.
"""

import json
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

import pyarrow as pa

IGNORE_KEY, LIST_ORDER = "ignore-key", "list-order"
ROOT = "$"
LONGEST = 200_000
"""Characters of a text in which JSON is looked for."""
ATTEMPTS = 50
"""Brackets of a text that may turn out not to open any JSON."""
DECODER = json.JSONDecoder()

Part = str | dict[str, Any] | list[Any]


@lru_cache(maxsize=20_000)
def parts_of(text: str) -> tuple[Part, ...]:
    """The text as strings and JSON objects or lists, in order."""
    if ("{" not in text and "[" not in text) or len(text) > LONGEST:
        return (text,)
    found: list[Part] = []
    start = place = failed = 0
    while failed < ATTEMPTS and (place := _next_bracket(text, place)) >= 0:
        try:
            value, end = DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            place, failed = place + 1, failed + 1
            continue
        if value and (isinstance(value, dict) or len(value) > 1 or isinstance(value[0], dict)):
            found += [text[start:place], value]
            start = end
        place = end
    return (*found, text[start:])


def _next_bracket(text: str, start: int) -> int:
    places = [place for bracket in "{[" if (place := text.find(bracket, start)) >= 0]
    return min(places, default=-1)


def has_objects(text: str) -> bool:
    return any(isinstance(part, dict) or (isinstance(part, list) and isinstance(part[0], dict)) for part in parts_of(text))


def key_rule(kind: str, path: str) -> Callable[[pa.Array], pa.Array]:
    return partial(_rewrite_all, change=CHANGES[kind], path=path)


def _rewrite_all(texts: pa.Array, change: Callable[[Any, str, str], Any], path: str) -> pa.Array:
    return pa.array([_rewrite(text, change, path) for text in texts.to_pylist()], texts.type)


def _rewrite(text: str, change: Callable[[Any, str, str], Any], path: str) -> str:
    parts = parts_of(text)
    return text if len(parts) == 1 else "".join(part if isinstance(part, str) else written(change(part, ROOT, path)) for part in parts)


def written(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def below(path: str, key: str) -> str:
    return key if path == ROOT else f"{path}.{key}"


def _without_key(value: Any, here: str, path: str) -> Any:
    if isinstance(value, dict):
        return {key: _without_key(v, below(here, key), path) for key, v in value.items() if below(here, key) != path}
    return [_without_key(item, here, path) for item in value] if isinstance(value, list) else value


def _in_any_order(value: Any, here: str, path: str) -> Any:
    if isinstance(value, dict):
        return {key: _in_any_order(v, below(here, key), path) for key, v in value.items()}
    if not isinstance(value, list):
        return value
    items = [_in_any_order(item, here, path) for item in value]
    return sorted(items, key=written) if here == path else items


CHANGES: dict[str, Callable[[Any, str, str], Any]] = {IGNORE_KEY: _without_key, LIST_ORDER: _in_any_order}


def values_at(text: str, path: str) -> tuple[str, ...]:
    """What a key holds, as JSON, wherever the path leads."""
    return tuple(value for part in parts_of(text) if not isinstance(part, str) for value in _values(part, ROOT, path))


def _values(value: Any, here: str, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, v in value.items():
            if below(here, key) == path:
                yield v if isinstance(v, str) else written(v)
            else:
                yield from _values(v, below(here, key), path)
    elif isinstance(value, list):
        for item in value:
            yield from _values(item, here, path)


def leaves_of(text: str) -> Iterator[tuple[str, str]]:
    """(path, value) of everything that JSON in the text holds."""
    for part in parts_of(text):
        if not isinstance(part, str):
            yield from _leaves(part, ROOT)


def _leaves(value: Any, here: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, v in value.items():
            yield from _leaves(v, below(here, key))
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, here)
    else:
        yield here, value if isinstance(value, str) else written(value)
