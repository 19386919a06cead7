"""In which words two observations of one decision differ: tokens, the slots whose values vary, the segments that only one text has.

A *slot* is a place between two words where values vary ("Ticket 237" / "Ticket 847"); a *segment* is a line, a beginning or an end that
one text has and the other lacks. Both are described by patterns in RE2's syntax, in which numbers and identifiers are generalised.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from tratree_data.trees.rules.aligning import changed_regions
from tratree_data.trees.rules.normalise import DATE

TOKEN = re.compile(
    rf"\b{DATE}|\b(?:an?|\d+) (?:second|minute|hour|day|week|month|year)s? ago\b|\bjust now\b|"
    r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|\w+(?:[.-]\w+|(?<=\d)[:,/](?=\d)\w+)*|\s|[^\w\s]",
    re.IGNORECASE,
)
HEXADECIMAL = re.compile(r"(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{6,}|[0-9a-f]{12,}")
LONGEST = 600
"""Tokens in which two texts may differ and still be compared token by token."""
START, END = r"\A", r"\z"
LINE, LINE_START, LINE_END, INNER = "line", "line start", "line end", "inner"
"""The anchors of a segment that is a line of its own, of one at an edge of a line, and of one within."""
INNER_WORDS = 2
"""Fixed words that a segment within a line needs, if nothing else marks it off."""
MARKED = re.compile(r"\([^()\n]+\)|\[[^\[\]\n]+\]|<[^<>\n]+>|\*[^*\n]+\*")
WORDS = 12
"""Tokens that a slot's value has at most."""
CONTEXT = 6
"""Tokens up to the nearest word that a slot is known by."""
NUMBER = r"[\d#][\d#.,:/-]*"
"""A number beside a slot, or the mark that another rule leaves in its place."""
NAME = r"[\w#]+"
GAP = 2
"""Equal tokens that may be between two places of one span."""
ALTERNATIVES = 12
"""So many different wordings of a slot's values are listed in its pattern; more are matched by whatever stands between the two words."""
ANYTHING = r"[^\n]{1,80}?"
REST = r"[^\n]*"
"""Of a segment: the rest of its line."""


@dataclass(frozen=True, order=True)
class Slot:
    """A place between two words; each side is a pattern, START or END."""

    left: str
    right: str


@dataclass(frozen=True, order=True)
class Segment:
    anchor: str  # START, END, or one of LINE …
    template: tuple[str, ...]  # one pattern per token


@dataclass(frozen=True, order=True)
class Field:
    """A key of JSON that is ignored, or a list whose order is (json_parts.py)."""

    kind: str
    path: str


Cause = Slot | Segment | Field


@dataclass(frozen=True)
class Difference:
    """One place in which two texts differ, and the rules (any of them suffices) that would see through it."""

    left: str
    right: str
    causes: tuple[Cause, ...]
    parts: tuple[int, ...] = ()
    """Of a span, which joins neighbouring places of one line: their numbers."""


@lru_cache(maxsize=20_000)
def tokens_of(text: str) -> tuple[str, ...]:
    return tuple(TOKEN.findall(text))


def differences(a: str, b: str) -> list[Difference] | None:
    """Where `a` and `b` differ; None where too much differs to be compared."""
    left, right = tokens_of(a), tokens_of(b)
    start, shorter = 0, min(len(left), len(right))
    while start < shorter and left[start] == right[start]:
        start += 1
    end = 0
    while end < shorter - start and left[-1 - end] == right[-1 - end]:
        end += 1
    middle_left, middle_right = left[start : len(left) - end], right[start : len(right) - end]
    if len(middle_left) > LONGEST or len(middle_right) > LONGEST:
        return None
    start, end = _to_line_breaks(left, start, end)
    ours, theirs = left[start : len(left) - end], right[start : len(right) - end]
    found: list[Difference] = []
    regions: list[Region] = []
    for here, there in changed_regions(ours, theirs, _template):
        region = Region((start + here[0], start + here[1]), (start + there[0], start + there[1]), len(found))
        found += _explain(left, right, region.a, region.b)
        regions.append(region)
    return [*found, *_spans(left, right, regions, len(found))]


def _to_line_breaks(tokens: Sequence[str], start: int, end: int) -> tuple[int, int]:
    """The equal beginning and end, without the parts of lines that are compared."""
    while start and tokens[start - 1] != "\n":
        start -= 1
    while end and tokens[-end] != "\n":
        end -= 1
    return start, max(end - 1, 0)


class Region(NamedTuple):
    a: tuple[int, int]
    b: tuple[int, int]
    number: int  # of its first difference


def _spans(left: Sequence[str], right: Sequence[str], regions: Sequence[Region], count: int) -> Iterator[Difference]:
    """Neighbouring places of one line as one: "12 minutes ago" beside "just now"."""
    run: list[Region] = []
    for place, region in enumerate(regions):
        run.append(region)
        following = regions[place + 1] if place + 1 < len(regions) else None
        if following and following.a[0] - region.a[1] <= GAP and "\n" not in left[region.a[1] : following.a[0]]:
            continue
        a, b = (run[0].a[0], region.a[1]), (run[0].b[0], region.b[1])
        ours, theirs = left[a[0] : a[1]], right[b[0] : b[1]]
        if len(run) > 1 and ours and theirs and "\n" not in (*ours, *theirs) and max(len(ours), len(theirs)) <= WORDS:
            parts = tuple(range(run[0].number, following.number if following else count))
            yield Difference("".join(ours), "".join(theirs), (_slot(left, *a),), parts)
        run = []


def _explain(left: Sequence[str], right: Sequence[str], a: tuple[int, int], b: tuple[int, int]) -> Iterator[Difference]:
    ours, theirs = left[a[0] : a[1]], right[b[0] : b[1]]
    if ours and theirs:
        if len(ours) == len(theirs) > 1 and all(x == y or _is_value(x, y) for x, y in zip(ours, theirs, strict=True)):
            for n, (x, y) in enumerate(zip(ours, theirs, strict=True)):
                if x != y:
                    yield Difference(x, y, (_slot(left, a[0] + n, a[0] + n + 1),))
            return
        slots = () if "\n" in (*ours, *theirs) or max(len(ours), len(theirs)) > WORDS else (_slot(left, *a),)
        a, b = _with_space(left, right, a, b)
        segments = tuple(segment for side, span in ((left, a), (right, b)) for segment in _segments(side, *span))
        is_word = len(ours) == len(theirs) == 1
        yield Difference("".join(ours), "".join(theirs), slots if is_word else (*segments, *slots))
        return
    side, span = (left, a) if ours else (right, b)
    alone = _segments(side, *span, is_added=True)
    if not alone:
        yield Difference("".join(ours), "".join(theirs), ())
    for segment in alone:
        yield Difference("".join(ours), "".join(theirs), (segment,))


def _with_space(
    left: Sequence[str], right: Sequence[str], a: tuple[int, int], b: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """A beginning with the space behind it, an end with the space before it: what would be missing if the segment were."""
    starts = not a[0] or left[a[0] - 1] == "\n"
    ends = a[1] == len(left) or left[a[1]] == "\n"
    if starts and not ends and left[a[1]].isspace():
        return (a[0], a[1] + 1), (b[0], b[1] + 1)
    if ends and not starts and left[a[0] - 1].isspace():
        return (a[0] - 1, a[1]), (b[0] - 1, b[1])
    return a, b


def _is_value(x: str, y: str) -> bool:
    return any(character.isdigit() for character in x) and any(character.isdigit() for character in y)


def _slot(tokens: Sequence[str], start: int, end: int) -> Slot:
    before = _context(tokens[max(0, start - CONTEXT) : start][::-1])
    after = _context(tokens[end : end + CONTEXT])
    left, right = (re.sub(r"(?:\\s){2,}", r"\\s+", "".join(side)) for side in (before[::-1], after))
    return Slot(left or START, right or END)


def _context(nearest: Sequence[str]) -> list[str]:
    """The patterns up to the nearest word of the line, or up to its end."""
    taken = []
    for token in nearest:
        is_name = HEXADECIMAL.fullmatch(token.lower()) is not None
        has_letters = any(map(str.isalpha, token))
        taken.append(NAME if is_name else NUMBER if token[0].isdigit() and not has_letters else pattern_of(token))
        if token == "\n" or (has_letters and not is_name):
            break
    return taken


def _segments(tokens: Sequence[str], start: int, end: int, *, is_added: bool = False) -> list[Segment]:
    """The segments that these tokens, which may be `added` in one text, consist of; none where too little marks them off."""
    region = list(tokens[start:end])
    before, after = tokens[start - 1] if start else "\n", tokens[end] if end < len(tokens) else "\n"
    if region[0] == "\n" and after == "\n" and len(region) > 1:
        region, before = region[1:], "\n"
    elif region[-1] == "\n" and before == "\n":
        region, after = region[:-1], "\n"
    if before == after == "\n" and region:
        return [Segment(LINE, _template(line)) for line in _lines(region) if line]
    if start == 0:
        return [Segment(START, _template(tokens[start:end]))]
    if end == len(tokens):
        return [Segment(END, _template(tokens[start:end]))]
    if before == "\n" or after == "\n":
        return [Segment(LINE_START if before == "\n" else LINE_END, _template(tokens[start:end]))]
    inner = Segment(INNER, _template(tokens[start:end]))
    words = sum(pattern.isalpha() for pattern in inner.template)
    return [inner] if words >= INNER_WORDS or (is_added and MARKED.fullmatch("".join(tokens[start:end]).strip())) else []


def _template(tokens: Sequence[str]) -> tuple[str, ...]:
    """One pattern per token; a mark that is repeated, as in a progress bar, is one."""
    patterns = ((token, len(list(run))) for token, run in itertools.groupby(tokens))
    return tuple(f"{pattern_of(token)}+" if count > 1 else pattern_of(token) for token, count in patterns)


def _lines(tokens: Iterable[str]) -> list[list[str]]:
    lines: list[list[str]] = [[]]
    for token in tokens:
        if token == "\n":
            lines.append([])
        else:
            lines[-1].append(token)
    return lines


@lru_cache(maxsize=20_000)
def pattern_of(token: str) -> str:
    """The token, with what is a number or an identifier generalised."""
    if token.isspace():
        return r"\n" if token == "\n" else r"\s"
    if re.fullmatch(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}", token):
        return r"[0-9a-fA-F-]{36}"
    if " " in token:  # a time
        return (
            re.sub(r"[A-Za-z]+", "[A-Za-z]+", escape(re.sub(r"\d+", "0", token)))
            .replace("0", r"\d+")
            .replace("  ", " ")
            .replace(" ", r"\s+")
        )
    if HEXADECIMAL.fullmatch(token.lower()):
        return r"[0-9a-fA-F]+"
    if sum(a.isdigit() != b.isdigit() for a, b in itertools.pairwise(token) if a.isalnum() and b.isalnum()) > 2:
        return r"[\w.-]+"
    return escape(re.sub(r"\d+", "\0", token)).replace("\0", r"\d+")


def escape(text: str) -> str:
    """For RE2; and never the arrow that separates a rule's pattern from its replacement."""
    escaped = re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)
    return escaped.replace("=>", "=[>]").replace("\t", r"\t")


def values_pattern(values: set[str], *, left: str, right: str) -> str | None:
    """The tightest pattern for a slot's values: a number's shape, hexadecimals, identifiers; between two words, also any text."""
    shapes = {_shape(value) for value in values}
    if len(shapes) == 1 and (shape := next(iter(shapes))) not in {escape(value) for value in values}:
        return shape
    if all(re.fullmatch(r"\d[\d.,:/-]*", value) for value in values):
        return r"\d[\d.,:/-]*" if any(re.search(r"[.,:/-]", value) for value in values) else r"\d+"
    if all(re.fullmatch(r"[0-9a-fA-F]{4,}", value) for value in values):
        return r"[0-9a-fA-F]+"
    are_identifiers = sum(any(c.isdigit() or c in ".-_" for c in value) for value in values) > len(values) / 2
    if are_identifiers and all(re.fullmatch(r"[\w.-]+", value) for value in values):
        is_marked = (left and right) or re.search(r"\w", left.replace(r"\n", "") + right.replace(r"\n", ""))
        return r"[\w.-]+" if is_marked else None  # before any full stop there is some word
    if not left or not right:
        return None
    if len(shapes) <= ALTERNATIVES:
        return f"(?:{'|'.join(sorted(shapes, key=lambda shape: (-len(shape), shape)))})"
    return ANYTHING if re.search(r"\w", left.replace(START, "").replace(r"\n", "").replace(r"\s", "")) else None


def _shape(value: str) -> str:
    return "".join(map(pattern_of, tokens_of(value)))
