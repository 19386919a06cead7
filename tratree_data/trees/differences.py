"""In which words two observations of one decision differ: tokens, the slots whose values vary, the segments that only one text has.

A *slot* is a place between two words where values vary ("Ticket 237" / "Ticket 847"); a *segment* is a line, a beginning or an end that
one text has and the other lacks. Both are described by patterns in RE2's syntax, in which numbers and identifiers are generalised.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

TOKEN = re.compile(
    r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|\w+(?:[.-]\w+|(?<=\d)[:,/](?=\d)\w+)*|\s|[^\w\s]",
    re.IGNORECASE,
)
HEXADECIMAL = re.compile(r"(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{6,}|[0-9a-f]{12,}")
LONGEST = 600
"""Tokens in which two texts may differ and still be compared token by token."""
START, END = r"\A", r"\z"
LINE, INNER = "line", "inner"
"""The anchors of a segment that is a line of its own, and of one within a line."""
INNER_WORDS = 2
"""Fixed words that a segment within a line needs: it has no other mark."""


@dataclass(frozen=True, order=True)
class Slot:
    """A place between two words; each side is a pattern, START or END."""

    left: str
    right: str


@dataclass(frozen=True, order=True)
class Segment:
    anchor: str  # START, END, LINE or INNER
    template: tuple[str, ...]  # one pattern per token


@dataclass(frozen=True)
class Difference:
    """One place in which two texts differ, and the rules (any of them suffices) that would see through it."""

    left: str
    right: str
    causes: tuple[Slot | Segment, ...]
    both: bool = False
    """Whether two causes both need a rule: a segment of one text is in the place of another segment in the other text."""


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
    matcher = SequenceMatcher(None, middle_left, middle_right, autojunk=False)
    found: list[Difference] = []
    for kind, i, j, k, m in matcher.get_opcodes():
        if kind != "equal":
            found += _explain(left, right, (start + i, start + j), (start + k, start + m))
    return found


def _explain(left: Sequence[str], right: Sequence[str], a: tuple[int, int], b: tuple[int, int]) -> Iterator[Difference]:
    ours, theirs = left[a[0] : a[1]], right[b[0] : b[1]]
    if ours and theirs:
        if len(ours) == len(theirs) > 1 and all(x == y or _is_value(x, y) for x, y in zip(ours, theirs, strict=True)):
            for n, (x, y) in enumerate(zip(ours, theirs, strict=True)):
                if x != y:
                    yield Difference(x, y, (_slot(left, a[0] + n, a[0] + n + 1),))
            return
        slots = (_slot(left, *a),) if len(ours) == len(theirs) == 1 else ()
        a, b = _with_space(left, right, a, b)
        segments = tuple(segment for side, span in ((left, a), (right, b)) for segment in _segments(side, *span))
        yield Difference("".join(ours), "".join(theirs), slots or segments, both=not slots and len(segments) > 1)
        return
    side, span = (left, a) if ours else (right, b)
    alone = _segments(side, *span)
    if not alone:
        yield Difference("".join(ours), "".join(theirs), ())
    for segment in alone:
        yield Difference("".join(ours), "".join(theirs), (segment,))


def _with_space(
    left: Sequence[str], right: Sequence[str], a: tuple[int, int], b: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """A beginning with the space behind it, an end with the space before it: what would be missing if the segment were."""
    if a[0] == b[0] == 0 and a[1] < len(left) and left[a[1]].isspace():
        return (0, a[1] + 1), (0, b[1] + 1)
    if a[1] == len(left) and b[1] == len(right) and a[0] and left[a[0] - 1].isspace():
        return (a[0] - 1, a[1]), (b[0] - 1, b[1])
    return a, b


def _is_value(x: str, y: str) -> bool:
    return any(character.isdigit() for character in x) and any(character.isdigit() for character in y)


def _slot(tokens: Sequence[str], start: int, end: int) -> Slot:
    before = [pattern_of(token) for token in tokens[max(0, start - 2) : start]]
    after = [pattern_of(token) for token in tokens[end : end + 2]]
    return Slot(_context(before[::-1], START)[0], _context(after, END)[1])


def _context(nearest: list[str], edge: str) -> tuple[str, str]:
    """(read backwards, read forwards): the nearest word, with the space before it; the edge of the text where there is none."""
    if not nearest:
        return edge, edge
    taken = nearest[:2] if nearest[0] == r"\s" and len(nearest) > 1 else nearest[:1]
    return "".join(taken[::-1]), "".join(taken)


def _segments(tokens: Sequence[str], start: int, end: int) -> list[Segment]:
    """The segments that these tokens consist of; none where too little marks them off."""
    region = list(tokens[start:end])
    before, after = tokens[start - 1] if start else "\n", tokens[end] if end < len(tokens) else "\n"
    if region[0] == "\n" and after == "\n" and len(region) > 1:
        region, before = region[1:], "\n"
    elif region[-1] == "\n" and before == "\n":
        region, after = region[:-1], "\n"
    if before == after == "\n" and region and (len(tokens) > end or start):
        return [Segment(LINE, tuple(map(pattern_of, line))) for line in _lines(region) if line]
    if start == 0:
        return [Segment(START, tuple(map(pattern_of, tokens[start:end])))]
    if end == len(tokens):
        return [Segment(END, tuple(map(pattern_of, tokens[start:end])))]
    inner = Segment(INNER, tuple(map(pattern_of, tokens[start:end])))
    return [inner] if sum(pattern.isalpha() for pattern in inner.template) >= INNER_WORDS else []


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
    if HEXADECIMAL.fullmatch(token.lower()):
        return r"[0-9a-fA-F]+"
    if sum(a.isdigit() != b.isdigit() for a, b in itertools.pairwise(token) if a.isalnum() and b.isalnum()) > 2:
        return r"[\w.-]+"
    return escape(re.sub(r"\d+", "\0", token)).replace("\0", r"\d+")


def escape(text: str) -> str:
    """For RE2; and never the arrow that separates a rule's pattern from its replacement."""
    escaped = re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)
    return escaped.replace("=>", "=[>]").replace("\t", r"\t")


def values_pattern(values: set[str]) -> str | None:
    """The tightest pattern that generalises values of a slot: a number's shape, hexadecimals, identifiers, or these very words."""
    shapes = {pattern_of(value) for value in values}
    if len(shapes) == 1 and (shape := shapes.pop()) not in {escape(value) for value in values}:
        return shape
    if all(re.fullmatch(r"\d[\d.,:/-]*", value) for value in values):
        return r"\d[\d.,:/-]*" if any(re.search(r"[.,:/-]", value) for value in values) else r"\d+"
    if all(re.fullmatch(r"[0-9a-fA-F]{4,}", value) for value in values):
        return r"[0-9a-fA-F]+"
    if all(re.fullmatch(r"[\w.-]+", value) for value in values):
        return r"[\w.-]+" if sum(any(c.isdigit() or c in ".-_" for c in value) for value in values) > len(values) / 2 else None
    return None
