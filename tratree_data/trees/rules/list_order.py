"""The preset `list-order`: lists are equal whatever the order of their items, and texts whatever the order of their lines.

Only the order of whole items is ignored: "a knife 3, a fork 1" equals "a fork 1, a knife 3", never "a knife 1, a fork 3". Texts that
contain JSON objects are left alone: `list-order:PATH` is for their lists (json_parts.py).
"""

import re

import pyarrow as pa

from tratree_data.trees.rules.json_parts import has_objects

ITEM = r"(?:[^,;:.!?\n\[\](){}]|[.:](?=\w))+"
"""Without the marks at which sentences end, but for those within a word: README.md, 10:30."""
LIST = re.compile(rf"{ITEM}(?:, ?{ITEM})*")
"""Also of one item: then a long clause is read once, and not again from each of its words."""
LAST = re.compile(r"^(?:and|or) ")
STARTS = re.compile(r"(?:^|(?<= ))(?=(?:an?|the|some|\d+) )")
"""Where an item may begin within the clause that introduces the list: "you see | a knife"."""


def sort_lists(texts: pa.Array) -> pa.Array:
    """Each text with the items of its lists, and then its lines, in alphabetical order."""
    return pa.array([sort_text(text) for text in texts.to_pylist()], texts.type)


def sort_text(text: str) -> str:
    if has_objects(text):
        return text
    return "\n".join(sorted(LIST.sub(_sort_items, text).split("\n")))


def _sort_items(match: re.Match[str]) -> str:
    if "," not in match[0]:
        return match[0]
    items = [item.strip() for item in match[0].split(",")]
    last = items.pop()
    before, found, after = last.rpartition(" and ")
    items += [before, after] if found and before and STARTS.match(after) else [LAST.sub("", last)]
    is_whole = match.start() == 0 or match.string[match.start() - 1] in ":[({\n"
    lead, listed = _split_lead([item for item in items if item], is_whole)
    return f"{lead}{', '.join(sorted(listed))} "


def _split_lead(items: list[str], is_whole: bool) -> tuple[str, list[str]]:
    """(what introduces the list, its items); everything is introduction where the start of the list is unclear."""
    begins = len(items)
    while begins and STARTS.match(items[begins - 1]):
        begins -= 1
    if begins == len(items):
        return ("", items) if is_whole else (", ".join(items), [])
    if not begins:
        return "", items
    places = [place.end() for place in STARTS.finditer(items[begins - 1])]
    if not places:
        return ", ".join(items[:begins]) + ", ", items[begins:]
    clause, first = items[begins - 1][: places[-1]], items[begins - 1][places[-1] :]
    return ", ".join([*items[: begins - 1], clause]), [first, *items[begins:]]
