"""Evidence in logs whose attempts share little: what the same action led to elsewhere in a task, whatever came before it.

Such steps may differ because their histories do. So a rule that rests on them must not depend on the history: among texts that it makes
equal, the ones it rewrites are spread over the tasks as chance would spread them, and are no more alike after one action or within one
rollout than across tasks.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from math import sqrt

from tratree_data.trees.rules.siblings import Log
from tratree_data.trees.rules.wordings import Numbers

THIN = 300
"""From so many pairs of siblings on, a log needs no other evidence."""
ENOUGH_SIBLINGS = 2
"""Decisions at which siblings differ in it: it varies although the history is the same."""
ROWS = 60
"""Steps with one text that are compared with each other."""
EVENLY = 0.6
"""Share of the tasks in which chance would let it vary, and it does."""
CLOSER = 0.1
STANDARD_ERRORS = 2.0


def repeated_groups(log: Log) -> list[list[int]]:
    """Rows of one task that follow the same action and were answered with the same."""
    found: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for row in range(1, len(log.text)):
        if log.rollout[row] == log.rollout[row - 1]:
            found[_task(log, row), log.actions[row - 1], log.actions[row]].append(row)
    return [rows for rows in found.values() if len(rows) > 1]


def _task(log: Log, row: int) -> str:
    return log.trees[log.rollout[row]]


def reason_against_history(log: Log, texts: Numbers, rule: str, sibling_decisions: int) -> str:
    """Why what a rule rewrites depends on what came before, if it does."""
    if sibling_decisions < ENOUGH_SIBLINGS:
        return f"siblings differ in it at {sibling_decisions} decisions only, and {ENOUGH_SIBLINGS} are needed"
    rewritten = log.words.under([rule], texts).tolist()
    alike: dict[int, list[int]] = defaultdict(list)
    for row, text in enumerate(log.text):
        if row and log.rollout[row] == log.rollout[row - 1]:
            alike[rewritten[text]].append(row)
    kinds = [rows for rows in alike.values() if len({log.text[row] for row in rows}) > 1]
    varies, expected = _spread_over_tasks(log, kinds)
    if varies < EVENLY * expected:
        return f"it varies in {varies:,.0f} tasks, and by chance it would in {expected:,.0f}, so it belongs to the state"
    difference, error = _closeness(log, kinds)
    if abs(difference) > CLOSER + STANDARD_ERRORS * error:
        return f"texts with it are {difference:+.0%} more often equal after one action or in one rollout, so it belongs to the state"
    return ""


def _spread_over_tasks(log: Log, kinds: Sequence[Sequence[int]]) -> tuple[float, float]:
    """(tasks in which equal texts are worded differently, tasks in which chance would do so)."""
    varies = expected = 0.0
    for rows in kinds:
        by_task: dict[str, list[int]] = defaultdict(list)
        for row in rows:
            by_task[_task(log, row)].append(log.text[row])
        if len(by_task) < ENOUGH_SIBLINGS:
            continue
        shares = [count / len(rows) for count in Counter(log.text[row] for row in rows).values()]
        for worded in by_task.values():
            varies += len(set(worded)) > 1
            expected += 1 - sum(share ** len(worded) for share in shares)
    return varies, expected


def _closeness(log: Log, kinds: Sequence[Sequence[int]]) -> tuple[float, float]:
    """(how much more often two texts are worded alike if they are near each other, its standard error)."""
    total = weight = 0.0
    heard = 0
    for rows in kinds:
        near: list[bool] = []
        far: list[bool] = []
        for a, b, is_near in _pairs(log, rows):
            (near if is_near else far).append(log.text[a] == log.text[b])
        if near and far:
            share = min(len(near), len(far))
            total += share * (sum(near) / len(near) - sum(far) / len(far))
            weight += share
            heard += min(len(rows), ROWS)
    return (total / weight, sqrt(0.5 / heard)) if weight else (1.0, 0.0)


def _pairs(log: Log, rows: Sequence[int]) -> Iterator[tuple[int, int, bool]]:
    """Two rows and whether they are near each other; those of one task that are not are left out."""
    step = max(1, len(rows) // ROWS)
    for a, b in combinations(rows[::step], 2):
        if _task(log, a) != _task(log, b):
            yield a, b, False
        elif log.rollout[a] == log.rollout[b] or log.actions[a - 1] == log.actions[b - 1]:
            yield a, b, True
