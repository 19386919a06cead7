"""Where in a record of an unknown tool its episodes are, if they are no lists of messages or steps."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tratree_data.importers.unknown.conversation_places import DEEPEST, LOOKED_AT, UNSPEAKABLE, members_of, walk
from tratree_data.importers.unknown.json_columns import EACH, Path, path_text, rows_of, unpacked
from tratree_data.importers.unknown.step_parts import lists_in

STEP_REWARDS = ("reward", "rew", "r", "score", "step_reward", "success")


def parallel_lists(records: Sequence[Any], is_whole: bool) -> dict[str, Path]:
    """The paths of lists with an element for each step, in the order in which they are written; {} if there are none."""
    found = Counter((path, tuple(lists.items())) for record in records for path, lists in _lists(record, (), is_whole))
    if not found:
        return {}
    (path, names), _ = found.most_common(1)[0]
    return {kind: (*path, name) for kind, name in names}


def _lists(value: Any, path: Path, is_whole: bool) -> Iterator[tuple[Path, dict[str, str]]]:
    value = unpacked(value)
    if len(path) > DEEPEST:
        return
    if isinstance(value, list):
        for item in value[:LOOKED_AT]:
            yield from _lists(item, (*path, EACH), False)
    elif isinstance(value, dict):
        if lists := lists_in(value):
            yield path, lists
        for name, item, is_inner in members_of(value, is_whole):
            yield from _lists(item, (*path, name), is_inner)


def place_of_pairs(records: Sequence[Any]) -> Path:
    """A list of pairs of texts, in every record; () if there is none."""
    first = records[0] if records and isinstance(records[0], dict) else {}
    for name in first:
        if name and not UNSPEAKABLE & set(name) and all(isinstance(it, dict) and _has_pairs(unpacked(it.get(name))) for it in records):
            return (name,)
    return ()


def _has_pairs(value: Any) -> bool:
    pairs = value if isinstance(value, list) else []
    return bool(pairs) and all(isinstance(pair, list) and len(pair) == 2 and all(isinstance(it, str) for it in pair) for pair in pairs)


def reward_of_each_step(records: Sequence[Any], best: Path) -> str:
    """The path to the last step's reward: in the steps themselves, or in a list beside them; '' if steps have none."""
    for seen, found in (item for record in records for item in walk(record, best)):
        last = found[-1] if isinstance(found, list) and found and isinstance(found[-1], dict) else {}
        key = next((name for name in STEP_REWARDS if _is_number(last.get(name))), "")
        if key:
            return path_text((*best, "[-1]", key))
        row = unpacked(seen[-1])
        for name, value in row.items() if isinstance(row, dict) else ():
            if name.rstrip("s") in STEP_REWARDS and isinstance(value, list) and value and all(map(_is_number, value)):
                return path_text((*rows_of(best), name, "[-1]"))
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
