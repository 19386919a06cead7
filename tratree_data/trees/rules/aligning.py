"""Where two texts differ, as token ranges: line by line and within lines word by word or, where that is much shorter, word by word."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from tratree_data.trees.rules.matching import opcodes

Span = tuple[int, int]
PLACE = 3
"""What a further place costs, in words: few long differences explain more than many short ones."""
MUCH_CHEAPER = 2
"""Lines that have nothing to do with each other still share words, so what is found word by word must be that much shorter."""
MANY = 8
"""Tokens of a line from which on the same words in another order are a list in another order, and not other values."""
CONTAINED = 0.75
"""Share of the shorter line's words from which on it is the longer one with something before, within or behind it."""
ALIKE = 0.5
"""Share of common words from which on two lines are the same line with other values."""


def changed_regions(
    left: Sequence[str], right: Sequence[str], template: Callable[[Sequence[str]], tuple[str, ...]]
) -> list[tuple[Span, Span]]:
    """(tokens of one text, tokens of the other) at each place where they differ; lines and words that only moved are not among them."""
    by_words = list(_changed_words(left, right, (0, len(left)), (0, len(right))))
    if "\n" not in left and "\n" not in right:
        return by_words
    by_lines = list(_by_lines(left, right, template))
    return by_words if MUCH_CHEAPER * _cost(by_words) < _cost(by_lines) else by_lines


def _cost(regions: Sequence[tuple[Span, Span]]) -> int:
    return sum(PLACE + a[1] - a[0] + b[1] - b[0] for a, b in regions)


def _by_lines(left: Sequence[str], right: Sequence[str], template: Callable[[Sequence[str]], tuple[str, ...]]) -> list[tuple[Span, Span]]:
    ours, theirs = _lines(left), _lines(right)
    found: list[tuple[Span, Span]] = []
    moved = Counter(tuple(left[slice(*line)]) for line in ours) & Counter(tuple(right[slice(*line)]) for line in theirs)
    for kind, i, j, k, m in opcodes([template(left[i:j]) for i, j in ours], [template(right[i:j]) for i, j in theirs]):
        if kind == "equal":
            matched = list(zip(range(i, j), range(k, m), strict=True))
            here, there = [], []
        else:
            here, there = _unmoved(range(i, j), left, ours, moved), _unmoved(range(k, m), right, theirs, moved)
            matched = list(_matched(left, right, ours, theirs, here, there))
        for a, b in matched:
            found += _changed_words(left, right, ours[a], theirs[b])
        here, there = [a for a in here if a not in dict(matched)], [b for b in there if b not in dict(matched).values()]
        if len(here) == len(there):  # one line in the place of another
            found += [(ours[a], theirs[b]) for a, b in zip(here, there, strict=True)]
            continue
        found += [(_with_break(left, ours[a]), (theirs[min(k, len(theirs) - 1)][0],) * 2) for a in here]
        found += [((ours[min(i, len(ours) - 1)][0],) * 2, _with_break(right, theirs[b])) for b in there]
    return sorted(found)


def _unmoved(numbers: range, tokens: Sequence[str], lines: Sequence[Span], common: Counter[tuple[str, ...]]) -> list[int]:
    """Lines that the other text does not have."""
    return [n for n in numbers if tuple(tokens[slice(*lines[n])]) not in common]


def _lines(tokens: Sequence[str]) -> list[Span]:
    breaks = [-1, *(n for n, token in enumerate(tokens) if token == "\n"), len(tokens)]
    return [(start + 1, end) for start, end in pairwise(breaks)]


def _with_break(tokens: Sequence[str], line: Span) -> Span:
    """A line with what parts it from the next, or the last line from the one before."""
    start, end = line
    return (start, end + 1) if end < len(tokens) else (max(0, start - 1), end)


def _matched(
    left: Sequence[str], right: Sequence[str], ours: Sequence[Span], theirs: Sequence[Span], here: Sequence[int], there: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Lines that are alike, in order."""
    start = 0
    for a in here:
        words = _words(left[slice(*ours[a])])
        for place in range(start, len(there)):
            others = _words(right[slice(*theirs[there[place]])])
            common = (words & others).total()
            shorter, longer = sorted((words.total(), others.total()))
            if shorter and (2 * common >= ALIKE * (shorter + longer) or common >= CONTAINED * shorter):
                yield a, there[place]
                start = place + 1
                break


def _words(tokens: Sequence[str]) -> Counter[str]:
    return Counter(token for token in tokens if not token.isspace())


def _changed_words(left: Sequence[str], right: Sequence[str], a: Span, b: Span) -> Iterator[tuple[Span, Span]]:
    ours, theirs = left[slice(*a)], right[slice(*b)]
    if ours == theirs or (len(ours) > MANY and _words(ours) == _words(theirs)):
        return
    for kind, i, j, k, m in opcodes(ours, theirs):
        if kind != "equal":
            yield (a[0] + i, a[0] + j), (b[0] + k, b[0] + m)
