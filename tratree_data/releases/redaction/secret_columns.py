"""The cells of a table below a heading that says they are secrets: CSV, what databases print, Markdown, and the values of an `INSERT`."""

import re
from collections.abc import Iterator

Cell = tuple[int, int]

SECRET_COLUMN = re.compile(
    r"(?i)([a-z]{1,20}[_ -])?(password|passwd|passphrase|pwd|secret|token|credentials?|(api|access|secret|auth|private|account)[_ -]?key)"
)
LINE_END = re.compile(r"\r?\n|\\r\\n|\\n")
SEPARATORS = (",", ";", "\t", "\\t", "|")
HEADING = re.compile(r"[\w .\\\"'`-]{0,60}")
BORDER = re.compile(r"[-+|: =]+")
INSERT = re.compile(r"(?i)insert[ ]{1,8}into[ ]{1,8}[^\s(]{1,80} {0,8}\((?=[^()]{0,2000}\Z)")
VALUES = re.compile(r"(?i)[^()]{0,2000}\)(?:\s|\\n){0,20}values(?:\s|\\n){0,20}")
ROW = re.compile(r"\(((?:'[^']{0,2000}'|[^()']){0,4000})\)(?:\s|\\n|,){0,20}")
VALUE = re.compile(r"(?:'[^']*'|[^,'])+")
AROUND_CELLS = " \t\\\"'`"
MOST_HEADING = 2_000
"""Longer lines head no table."""


def cells_below(text: str, headings: Iterator[re.Match[str]]) -> Iterator[Cell]:
    """Where the cells below some headings are; every table is read once, whatever its rows look like."""
    read = 0
    for heading in headings:
        if heading.start() < read:
            continue
        insert = INSERT.search(text, max(0, heading.start() - MOST_HEADING), heading.start())
        for cell in _inserted(text, insert.end(), heading.end()) if insert else _below(text, heading):
            read = max(read, cell[1])
            yield cell


def _below(text: str, heading: re.Match[str]) -> Iterator[Cell]:
    before = [found.end() for found in LINE_END.finditer(text, max(0, heading.start() - MOST_HEADING), heading.end() - 1)]
    begin = before[-1] if before else max(0, heading.start() - MOST_HEADING)
    stop = LINE_END.search(text, heading.end() - 1, heading.end() + MOST_HEADING)
    if stop is None:
        return
    line = text[begin : stop.start()]
    separator = max(SEPARATORS, key=line.count)
    names = [line[start:end] for start, end in _split(line, separator)]
    columns = [number for number, name in enumerate(names) if SECRET_COLUMN.fullmatch(name.strip(AROUND_CELLS))]
    at = stop.end()
    while len(names) > 1 and columns and all(map(HEADING.fullmatch, names)):
        found = LINE_END.search(text, at)
        row = text[at : found.start() if found else len(text)]
        cells = list(_split(row, separator))
        if not BORDER.fullmatch(row):
            if len(cells) != len(names):
                return
            yield from (_stripped(text, at + cells[column][0], at + cells[column][1]) for column in columns)
        if found is None:
            return
        at = found.end()


def _split(line: str, separator: str) -> Iterator[Cell]:
    at = 0
    for part in line.split(separator):
        yield at, at + len(part)
        at += len(part) + len(separator)


def _inserted(text: str, begin: int, end: int) -> Iterator[Cell]:
    values = VALUES.match(text, end - 1)
    if values is None:
        return
    names = text[begin : text.index(")", end - 1)].split(",")
    columns = [number for number, name in enumerate(names) if SECRET_COLUMN.fullmatch(name.strip(AROUND_CELLS))]
    row = ROW.match(text, values.end())
    while row and columns:
        cells = list(VALUE.finditer(text, *row.span(1)))
        yield from (_stripped(text, *cells[column].span()) for column in columns if column < len(cells))
        row = ROW.match(text, row.end())


def _stripped(text: str, start: int, end: int) -> Cell:
    """The cell without spaces and quotes."""
    cell = text[start:end]
    return start + len(cell) - len(cell.lstrip(AROUND_CELLS)), end - len(cell) + len(cell.rstrip(AROUND_CELLS))
