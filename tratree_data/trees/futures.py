"""Do steps that a rule makes equal have equal futures, as often as steps that are equal without it?"""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from math import sqrt

from tratree_data.trees.siblings import FEW, Log, Pair

STANDARD_ERRORS = 2.0
ENOUGH = 5
UNCOUNTED = 1_000_000_000
"""Stands for a demanded agreement, which has no error of measurement."""


@dataclass(frozen=True)
class Verdict:
    shortfall: float  # above 0: contradicted
    words: str


class Futures:
    """What came after both steps of each pair, compared as all rules together compare it."""

    def __init__(self, log: Log, texts: Sequence[str], pairs: Sequence[Pair]) -> None:
        self.log, self.pairs, self.testify = log, pairs, log.witness(texts)
        scores = [score for score in log.scores if score is not None]
        self.range = (max(scores) - min(scores) if scores else 0.0) or 1.0

    def compare(self, by_rule: set[int], others: set[int], apart: Set[int] = frozenset(), *, few: int = 0) -> Verdict:
        """The pairs that the rule makes equal beside those that are equal anyway, at the same decisions where there are enough of these.

        Where hardly any are equal anyway, next observations agree at least as often as those of pairs that stay `apart`: what the
        environment does by chance is not the rule's fault. The fewer values there are, if they are `few`, the less does chance excuse.
        """
        if not by_rule:
            return Verdict(0.0, "")
        decisions = {self.pairs[n].group for n in by_rule}
        beside = {n for n in others if self.pairs[n].group in decisions}
        if len(beside) >= 4 * ENOUGH:
            shared = {self.pairs[n].group for n in beside}
            by_rule, others = {n for n in by_rule if self.pairs[n].group in shared}, beside
        ours, theirs = self._agreements(by_rule), self._agreements(others)
        if len(beside) < 4 * ENOUGH and not self.log.needs_next:  # other decisions have other futures
            theirs |= {name: heard for name, heard in self._agreements(beside).items() if name != "scores"}
        unlike = self._agreements({n for n in apart if self.pairs[n].group in decisions})
        if self.log.needs_next and ours["next observations"][1] < ENOUGH:
            return Verdict(1.0, f"{ours['next observations'][1]} next observations say anything about it, and {ENOUGH} are needed")
        shortfalls, words = [], []
        excused = STANDARD_ERRORS * (few - 1) / FEW if few else STANDARD_ERRORS
        if few and max(ours["next actions"][1], ours["next observations"][1]) < 2 * ENOUGH:
            return Verdict(1.0, f"it has few values, and fewer than {2 * ENOUGH} next steps say anything about them")
        for name, demanded in (("next actions", None), ("next observations", self.log.unknown_base), ("scores", None)):
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

    def _agreements(self, numbers: set[int]) -> dict[str, tuple[float, int, int]]:
        """{what: (mean agreement, pairs heard, decisions heard)}."""
        log = self.log
        found: dict[str, list[tuple[float, int]]] = {"next actions": [], "next observations": [], "scores": []}
        for n in sorted(numbers):
            pair = self.pairs[n]
            a, b = pair.a, pair.b
            for name, agreement in self.testify(a, b):
                found[name].append((agreement, pair.group))
            scores = log.scores[log.rollout[a]], log.scores[log.rollout[b]]
            if scores[0] is not None and scores[1] is not None:
                found["scores"].append((1 - abs(scores[0] - scores[1]) / self.range, pair.group))
        return {
            name: (sum(value for value, _ in heard) / len(heard) if heard else 0.0, len(heard), len({group for _, group in heard}))
            for name, heard in found.items()
        }
