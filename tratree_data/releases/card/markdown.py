"""Untrusted texts inside Markdown: shown as they are, never as markup.

Every character with a meaning in Markdown or HTML becomes its HTML entity, which Markdown shows and never interprets.
"""

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from textwrap import wrap

INVISIBLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
MEANINGFUL = re.compile(r"[!#$&*<>@\[\\\]^`{|}~]|(?<!\w)_|_(?!\w)|:(?=/)|(?<=www)\.", re.IGNORECASE)
LONGEST = 120
COLUMNS = 110
"""Lines that a box shows without scrolling."""


def plain(value: object, longest: int = LONGEST) -> str:
    """One line of text, safe anywhere in Markdown: a table's cell, a heading, a link's text."""
    text = INVISIBLE.sub("", " ".join(str(value).split()))
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return MEANINGFUL.sub(lambda match: f"&#{ord(match[0])};", text)


def preformatted(text: str, longest: int) -> str:
    """Lines in a box, written as HTML, because a Markdown code block would show entities undecoded."""
    cut = text if len(text) <= longest else f"{text[: longest - 1]}…"
    lines = [part for line in cut.split("\n") for part in wrap(INVISIBLE.sub("", line), COLUMNS, drop_whitespace=False) or [" "]]
    return "<pre>\n" + "\n".join(map(_line, lines)) + "\n</pre>"


def _line(text: str) -> str:
    """Also safe at the beginning of a line, where Markdown has more markup."""
    return re.sub(r"^[-+=]", lambda match: f"&#{ord(match[0])};", MEANINGFUL.sub(lambda match: f"&#{ord(match[0])};", text))


def cell(value: object, longest: int = LONGEST) -> str:
    """A value in a table."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | Decimal) and value == int(value):  # a sum of whole numbers comes as a Decimal
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.2f}"
    return plain(value, longest)


def table(header: Sequence[str], rows: Iterable[Sequence[object]], longest: int = LONGEST) -> str:
    """A Markdown table, with numbers aligned right."""
    rows = list(rows)
    numeric = [bool(rows) and all(isinstance(row[i], int | float | Decimal) or row[i] is None for row in rows) for i in range(len(header))]
    lines = ["| " + " | ".join(plain(name) for name in header) + " |", "|" + "|".join("--:" if right else "---" for right in numeric) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(cell(value, longest) for value in row) + " |" for row in rows)])


def bars(rows: Sequence[tuple[str, int]], width: int = 40) -> str:
    """A histogram for a code block; the labels are ours."""
    most = max((count for _, count in rows), default=0)
    size = max((len(label) for label, _ in rows), default=0)
    return "\n".join(f"{label:<{size}} {'█' * round(width * count / most) if most else '':<{width}} {count:>9,}" for label, count in rows)
