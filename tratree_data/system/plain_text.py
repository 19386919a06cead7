"""Text that a model or an environment wrote, made safe to print: it can neither move the cursor, nor colour, nor reorder a line."""

import unicodedata

NEWLINE_MARK = "⏎"
ELLIPSIS = "…"


def one_line(text: str) -> str:
    """Newlines as a visible mark, tabs as spaces; control, bidirectional and invisible characters as '�'."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_safe(character) for character in text.replace("\r\n", "\n"))


def _safe(character: str) -> str:
    if character in "\n\r\v\f\x85\u2028\u2029":
        return NEWLINE_MARK
    if character == "\t":
        return " "
    return "�" if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn"} else character


def width_of(line: str) -> int:
    """Columns that a safe line takes in a terminal. Rich knows the width of every character, but takes time to import."""
    if line.isascii():
        return len(line)
    from rich.cells import cell_len

    return cell_len(line)


def _fit(line: str, width: int) -> str:
    """The line, cut or filled with spaces, in exactly `width` columns."""
    if line.isascii():
        return line[:width].ljust(width)
    from rich.cells import set_cell_size

    return set_cell_size(line, width)


def shorten(text: str, width: int) -> str:
    """At most `width` columns of a safe line; a cut end is marked."""
    line = one_line(text[: 4 * width + 4])
    if width_of(line) <= width:
        return line
    return _fit(line, max(width - 1, 0)).rstrip() + ELLIPSIS if width > 0 else ""


def from_first_difference(one: str, other: str, before: int = 30) -> tuple[str, str]:
    """Both texts from at most so many characters before the first that differs; a cut beginning is marked."""
    shared = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    start = max(0, shared - before)
    mark = ELLIPSIS if start else ""
    return mark + one[start:], mark + other[start:]


def pad(text: str, width: int) -> str:
    """A line of exactly `width` columns."""
    return _fit(shorten(text, width), width)
