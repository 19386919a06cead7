"""Do steps that a rule makes equal have equal futures, as often as steps that are equal without it?"""

from dataclasses import dataclass
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tratree_data.trees.comparing import Ints
from tratree_data.trees.rules.screening import Candidate
from tratree_data.trees.rules.siblings import FEW, NEXT_ACTIONS, NEXT_OBSERVATIONS, SCORES, Log, Pairs
from tratree_data.trees.rules.wordings import Numbers

Floats = npt.NDArray[np.float64]
COMPARED = (NEXT_ACTIONS, NEXT_OBSERVATIONS, SCORES)
ALL = slice(None)

STANDARD_ERRORS = 2.0
ENOUGH = 5
UNCOUNTED = 1_000_000_000
"""Stands for a demanded agreement, which has no error of measurement."""


@dataclass(frozen=True)
class Verdict:
    shortfall: float  # above 0: contradicted
    words: str


class Tally(NamedTuple):
    """What the futures of some pairs say, decision by decision."""

    pairs: Ints  # [groups] how many
    agreed: Floats  # [what is compared, groups]
    heard: Ints  # [what is compared, groups]

    def plus(self, other: "Tally", sign: int = 1) -> "Tally":
        return Tally(self.pairs + sign * other.pairs, self.agreed + sign * other.agreed, self.heard + sign * other.heard)

    def means(self, groups: npt.NDArray[np.bool_] | slice = ALL) -> dict[str, tuple[float, int, int]]:
        """{what: (mean agreement, pairs heard, decisions heard)}."""
        counts = self.heard[:, groups]
        found = zip(COMPARED, self.agreed[:, groups].sum(1).tolist(), counts.sum(1).tolist(), (counts > 0).sum(1).tolist(), strict=True)
        return {name: (agreed / heard if heard else 0.0, heard, decisions) for name, agreed, heard, decisions in found}


class Futures:
    """What came after both steps of each pair, compared as all rules together compare it.

    `equal` are the pairs that these rules make equal; `without` takes one of the rules away.
    """

    def __init__(self, log: Log, texts: Numbers, pairs: Pairs) -> None:
        self.log, self.group = log, pairs.group
        self.groups = int(pairs.group.max(initial=0)) + 1
        testimonies = {**log.testimonies(texts, pairs), SCORES: log.score_agreements(pairs)}
        self.heard = [~np.isnan(testimonies[name]) for name in COMPARED]
        self.agreement = [np.nan_to_num(testimonies[name]) for name in COMPARED]
        rows = texts[log.text]
        self.equal = rows[pairs.a] == rows[pairs.b]
        self._of_equal, self._of_apart = self._tally(np.flatnonzero(self.equal)), self._tally(np.flatnonzero(~self.equal))
        agree, heard, _ = self._of_equal.plus(self._of_apart).means()[NEXT_OBSERVATIONS]
        self.unknown_base = log.unknown_base if log.needs_next or heard < ENOUGH else min(log.unknown_base, agree)
        """Other noise may hide what comes next from all siblings, and no rule is to blame for that."""

    def without(self, candidate: Candidate) -> None:
        """As if what it makes equal differed."""
        gone = self.by(candidate)
        change = self._tally(gone)
        self.equal[gone] = False
        self._of_equal, self._of_apart = self._of_equal.plus(change, -1), self._of_apart.plus(change)

    def by(self, candidate: Candidate) -> Ints:
        """The pairs that it makes equal."""
        numbers: Ints = candidate.numbers[self.equal[candidate.numbers]]
        return numbers

    def _tally(self, numbers: Ints) -> Tally:
        group = self.group[numbers]

        def count(weights: npt.NDArray[Any] | None = None) -> Any:
            return np.bincount(group, None if weights is None else weights[numbers], self.groups)

        heard = np.array([count(mask) for mask in self.heard]).astype(np.int64)
        return Tally(count(), np.array([count(values) for values in self.agreement]), heard)

    def compare(self, candidate: Candidate) -> Verdict:
        """The pairs that the rule makes equal beside those that are equal anyway, at the same decisions where there are enough of these.

        Where hardly any are equal anyway, next observations agree at least as often as those of pairs that stay apart: what the
        environment does by chance is not the rule's fault. The fewer values there are, if they are few, the less does chance excuse.
        """
        few = candidate.few_values
        of_rule = self._tally(self.by(candidate))
        decisions = of_rule.pairs > 0
        if not decisions.any():
            return Verdict(0.0, "")
        of_others = self._of_equal.plus(of_rule, -1)
        beside = int(of_others.pairs[decisions].sum())
        if beside >= 4 * ENOUGH:
            ours, theirs = of_rule.means(decisions & (of_others.pairs > 0)), of_others.means(decisions)
        else:
            ours, theirs = of_rule.means(), of_others.means()
        if beside < 4 * ENOUGH and not self.log.needs_next:  # other decisions have other futures
            theirs |= {name: heard for name, heard in of_others.means(decisions).items() if name != SCORES}
        unlike = self._of_apart.means(decisions)
        if self.log.needs_next and ours[NEXT_OBSERVATIONS][1] < ENOUGH:
            return Verdict(1.0, f"{ours['next observations'][1]} next observations say anything about it, and {ENOUGH} are needed")
        shortfalls, words = [], []
        excused = STANDARD_ERRORS * (few - 1) / FEW if few else STANDARD_ERRORS
        if few and max(ours[NEXT_ACTIONS][1], ours[NEXT_OBSERVATIONS][1]) < 2 * ENOUGH:
            return Verdict(1.0, f"it has few values, and fewer than {2 * ENOUGH} next steps say anything about them")
        for name, demanded in (
            (NEXT_ACTIONS, None),
            (NEXT_OBSERVATIONS, self.log.unknown_base if few else self.unknown_base),
            (SCORES, None),
        ):
            agree, count, decisions_heard = ours[name]
            base, heard, others_heard = theirs[name]
            if count < ENOUGH or (heard < ENOUGH and demanded is None):
                continue
            ours_counted, others_counted = min(count, 3 * decisions_heard), max(1, min(heard, 3 * max(1, others_heard)))
            if heard < ENOUGH <= unlike[name][1] and not self.log.needs_next:
                base, heard, others_heard = unlike[name]
                others_counted = max(1, min(heard, 3 * others_heard))
            elif heard < ENOUGH:
                base, others_counted = demanded or 0.0, UNCOUNTED if self.log.needs_next else max(1, min(ENOUGH, 3 * max(1, others_heard)))
            middle = (agree + base) / 2
            spread = max(middle * (1 - middle), 0.01)
            error = sqrt(spread * (1 / ours_counted + 1 / others_counted))
            shortfalls.append(base - agree - self.log.tolerance - excused * error)
            words.append(f"{name} agree in {agree:.0%} of {count:,} (without it {base:.0%})")
        return Verdict(max(shortfalls, default=0.0), "; ".join(words))
