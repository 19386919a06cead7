"""Where two texts differ, as token ranges: word by word or, where that leaves fewer places, line by line."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from tratree_data.trees.rules.matching import opcodes

Span = tuple[int, int]
PLACE = 3
"""What a further place costs, in words: few long differences explain more than many short ones."""
ALIKE = 0.5
"""Share of common words from which on two lines are the same line with other values."""


def changed_regions(
    left: Sequence[str], right: Sequence[str], template: Callable[[Sequence[str]], tuple[str, ...]]
) -> list[tuple[Span, Span]]:
    """(tokens of one text, tokens of the other) at each place where they differ; a line that only moved is not among them."""
    by_words = list(_changed_words(left, right, (0, len(left)), (0, len(right))))
    if "\n" not in left and "\n" not in right:
        return by_words
    by_lines = list(_by_lines(left, right, template))
    return by_lines if by_lines and _cost(by_lines) < _cost(by_words) else by_words


def _cost(regions: Sequence[tuple[Span, Span]]) -> int:
    return sum(PLACE + a[1] - a[0] + b[1] - b[0] for a, b in regions)


def _by_lines(left: Sequence[str], right: Sequence[str], template: Callable[[Sequence[str]], tuple[str, ...]]) -> list[tuple[Span, Span]]:
    ours, theirs = _lines(left), _lines(right)
    found: list[tuple[Span, Span]] = []
    for kind, i, j, k, m in opcodes([template(left[i:j]) for i, j in ours], [template(right[i:j]) for i, j in theirs]):
        if j - i == m - k:
            matched = list(zip(range(i, j), range(k, m), strict=True))
        else:
            matched = list(_matched(left, right, ours, theirs, (i, j), (k, m))) if kind == "replace" else []
        for a, b in matched:
            found += _changed_words(left, right, ours[a], theirs[b])
        alone_here = _alone(range(i, j), {a for a, _ in matched}, left, ours, right, theirs)
        alone_there = _alone(range(k, m), {b for _, b in matched}, right, theirs, left, ours)
        found += [(_with_break(left, ours[a]), (theirs[min(k, len(theirs) - 1)][0],) * 2) for a in alone_here]
        found += [((ours[min(i, len(ours) - 1)][0],) * 2, _with_break(right, theirs[b])) for b in alone_there]
    return sorted(found)


def _lines(tokens: Sequence[str]) -> list[Span]:
    breaks = [-1, *(n for n, token in enumerate(tokens) if token == "\n"), len(tokens)]
    return [(start + 1, end) for start, end in pairwise(breaks)]


def _with_break(tokens: Sequence[str], line: Span) -> Span:
    """A line with what parts it from the next, or the last line from the one before."""
    start, end = line
    return (start, end + 1) if end < len(tokens) else (max(0, start - 1), end)


def _alone(
    numbers: range, matched: set[int], tokens: Sequence[str], lines: Sequence[Span], others: Sequence[str], their: Sequence[Span]
) -> list[int]:
    elsewhere = {tuple(others[i:j]) for i, j in their}
    return [n for n in numbers if n not in matched and tuple(tokens[slice(*lines[n])]) not in elsewhere]


def _matched(
    left: Sequence[str], right: Sequence[str], ours: Sequence[Span], theirs: Sequence[Span], here: Span, there: Span
) -> Iterator[tuple[int, int]]:
    """Lines that are alike, in order."""
    start = there[0]
    for a in range(*here):
        words = Counter(token for token in left[slice(*ours[a])] if not token.isspace())
        for b in range(start, there[1]):
            others = Counter(token for token in right[slice(*theirs[b])] if not token.isspace())
            if 2 * (words & others).total() >= ALIKE * (words.total() + others.total()) > 0:
                yield a, b
                start = b + 1
                break


def _changed_words(left: Sequence[str], right: Sequence[str], a: Span, b: Span) -> Iterator[tuple[Span, Span]]:
    if left[slice(*a)] == right[slice(*b)]:
        return
    for kind, i, j, k, m in opcodes(left[slice(*a)], right[slice(*b)]):
        if kind != "equal":
            yield (a[0] + i, a[0] + j), (b[0] + k, b[0] + m)
