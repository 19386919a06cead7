"""Which differences are worth a rule: those with enough support, whose values vary, and which no agent refers to."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from tratree_data.trees.comparing import Ints
from tratree_data.trees.rules.differences import Cause, Field, Segment, Slot, values_pattern
from tratree_data.trees.rules.json_parts import LIST_ORDER
from tratree_data.trees.rules.repeated import reason_against_history
from tratree_data.trees.rules.siblings import Log, Pairs
from tratree_data.trees.rules.slots import UNSEEN, Occurrences, Shown, has_word, is_referred_to, segment_rule, slot_rule
from tratree_data.trees.rules.wordings import Numbers

ENOUGH_DECISIONS = 2
ENOUGH_TEXTS = 3
"""Different remaining texts that a segment comes with."""
NO_WORD = "no word marks its place"


@dataclass
class Suggestion:
    """A rule, what speaks for it, and the reason why it was left out, if it was."""

    rule: str
    pairs: int
    decisions: int
    examples: tuple[tuple[str, str], ...]
    futures: str = ""
    rejected: str = ""
    merges: int = 0
    """Steps that join a node because of this rule, all others applied."""


@dataclass
class Candidate:
    cause: Cause | str  # a preset's name for whole texts
    values: Counter[str] = field(default_factory=Counter)
    pairs: set[int] = field(default_factory=set)
    places: set[tuple[int, int]] = field(default_factory=set)  # (pair, number of its difference)
    decisions: set[int] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    examples: dict[tuple[str, str], None] = field(default_factory=dict)
    rule: str = ""
    is_span: bool = False  # a place of several words
    few_values: int = 0  # how many, if so few as a state may have

    @cached_property
    def numbers(self) -> Ints:
        """Its pairs, when all have been found."""
        return np.array(sorted(self.pairs), np.int64)


def screen(
    log: Log,
    texts: Numbers,
    groups: Sequence[Sequence[int]],
    candidates: Sequence[Candidate],
    pairs: Pairs,
    siblings: int,
) -> tuple[list[Candidate], list[Suggestion]]:
    """Those that pass support, variation and references, with their rules; slots in their most general form that passes.

    Where groups follow after the `siblings`, they hold steps with other histories, and a rule must not depend on these.
    """
    kept, refused, shown = [], [], Shown(log, texts, groups)
    covered: set[tuple[int, int]] = set()
    state: set[tuple[int, int]] = set()  # places whose values belong to the state, so that no wider slot may swallow them
    order = sorted(
        candidates,
        key=lambda c: (c.is_span, isinstance(c.cause, Slot) and bool(c.cause.left and c.cause.right), -len(c.pairs), str(c.cause)),
    )
    for candidate in order:
        if candidate.is_span and candidate.places & state:
            continue
        reason = _reason_against(log, shown, candidate)
        if not reason and candidate.rule and len(groups) > siblings:
            siblings_differ = sum(group < siblings for group in candidate.decisions)
            reason = reason_against_history(log, texts, candidate.rule, siblings_differ)
        if not candidate.rule:
            continue
        is_general = isinstance(candidate.cause, Slot) and not (candidate.cause.left and candidate.cause.right)
        if reason and not is_general:
            refused.append(suggestion_of(candidate, rejected=reason))
            is_enough = len(candidate.decisions) >= ENOUGH_DECISIONS and reason not in (NO_WORD, UNSEEN)
            state |= candidate.places if isinstance(candidate.cause, Slot) and is_enough else set()
        elif not reason and not (isinstance(candidate.cause, Slot) and candidate.places <= covered):
            kept.append(candidate)
            covered |= candidate.places if isinstance(candidate.cause, Slot) else set()
    return sorted(kept, key=_turn), refused


def _turn(candidate: Candidate) -> tuple[bool, bool, bool, bool]:
    """Segments apply before slots within them, wide slots before narrow ones, and a list is sorted when the keys of its items have gone."""
    cause = candidate.cause
    kind = cause.kind if isinstance(cause, Field) else ""
    return isinstance(cause, Slot), not candidate.is_span, bool(kind), kind == LIST_ORDER


def _reason_against(log: Log, shown: Shown, candidate: Candidate) -> str:
    cause = candidate.cause
    if isinstance(cause, Segment):
        candidate.rule = segment_rule(cause)
        if not candidate.rule:
            return "too general"
        return _reason_against_few(candidate, ENOUGH_TEXTS)
    if isinstance(cause, Field):
        candidate.rule = f"{cause.kind}:{cause.path}"
        if cause.kind == LIST_ORDER:
            return _reason_against_few(candidate, ENOUGH_TEXTS)
        few = _reason_against_few(candidate, ENOUGH_DECISIONS)
        return few or reason_against_values(log, candidate, Occurrences(candidate.rule, shown))
    assert isinstance(cause, Slot)
    values = {value for value in candidate.values if value}
    pattern = values_pattern(values, left=cause.left, right=cause.right)
    if pattern is None:
        return ""
    candidate.rule = slot_rule(cause, pattern)
    if not has_word(cause):
        return NO_WORD
    return _reason_against_few(candidate, ENOUGH_DECISIONS) or reason_against_values(log, candidate, Occurrences(candidate.rule, shown))


def _reason_against_few(candidate: Candidate, needed: int) -> str:
    count = len(candidate.decisions)
    return "" if count >= needed else f"it comes at {count} decision{'s' if count > 1 else ''} only, and {needed} are needed"


def reason_against_values(log: Log, candidate: Candidate, occurrences: Occurrences) -> str:
    candidate.few_values = occurrences.few()
    reason = occurrences.reason_against(log, is_few=bool(candidate.few_values) or isinstance(candidate.cause, Field))
    if reason:
        return reason
    return is_referred_to(occurrences, log)


def suggestion_of(candidate: Candidate, *, futures: str = "", rejected: str = "") -> Suggestion:
    examples = tuple(list(candidate.examples)[:3])
    return Suggestion(candidate.rule, len(candidate.pairs), len(candidate.decisions), examples, futures, rejected)
