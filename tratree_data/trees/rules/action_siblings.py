"""The evidence about noise in actions: steps that saw one observation at one node and acted in different words.

The same rules are learned as for observations (learned_rules.py), with the parts exchanged and stricter tests, because an action is what
the agent chose: a slot's values must hardly ever come again, none may be named in what the agent saw before, and what the environment
answered must say that the actions were one. Answers that follow any action ("Nothing happens.") say nothing, so the next ones count.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from tratree_data.trees.rules.json_differences import text_differences
from tratree_data.trees.rules.normalise import normalise, parse_rules
from tratree_data.trees.rules.siblings import NEXT_ACTIONS, NEXT_OBSERVATIONS, Log, Pairs, Testimonies, named_in
from tratree_data.trees.rules.wordings import Numbers, Wordings
from tratree_data.trees.texts import one_array

PRESETS = (
    "typography", "comment-lines", "cd-prefix", "working-directory", "temporary-names", "identifiers", "timestamps", "argument-order",
    "quoting", "white-space", "letter-case",
)  # fmt: skip
ANSWERS_ANYTHING = 5
"""From so many different actions on, a short observation that follows them says nothing about any of them."""
SHORT = 200
ECHOED = 4
"""The shortest value of an action that is looked for in the answer."""


@dataclass
class ActionLog(Log):
    """A log whose texts are the actions; observations are compared as `rules` rewrite them."""

    rules: Sequence[str] = ()
    seen: list[str] = field(init=False)  # [rows] the observation as compared

    def __post_init__(self) -> None:
        super().__post_init__()
        encoded = one_array(self.steps["action"]).dictionary_encode()
        self.words, self.text = Wordings(encoded.dictionary), encoded.indices.to_pylist()
        self._observations = normalise(one_array(self.steps["observation"]), parse_rules(self.rules))
        self.seen = self._observations.to_pylist()
        self.instructions: list[str] = self.rollouts["instruction"].to_pylist()
        self.presets, self.presets_first, self.notation = PRESETS, True, ()
        self.variation, self.tolerance, self.unknown_base, self.needs_next = 0.97, 0.02, 0.98, True
        self.naming = "what the agent saw before names the value"

    def groups(self, rules: Sequence[str]) -> list[list[int]]:
        """Rows of at least two steps that saw one observation at one node."""
        return self._groups(rules, self.seen)

    def _compared(self, rules: Sequence[str]) -> tuple[pa.Array, pa.Array]:
        return self._observations, self._rewritten(rules)

    def testimonies(self, texts: Numbers, pairs: Pairs) -> Testimonies:
        silent, action = self._silent(texts), texts[self.text].tolist()
        heard = [self._testify(a, b, action, silent) for a, b in zip(pairs.a.tolist(), pairs.b.tolist(), strict=True)]
        observations, actions = np.array(heard, np.float64).reshape(-1, 2).T
        return {NEXT_ACTIONS: actions, NEXT_OBSERVATIONS: observations}

    def _testify(self, a: int, b: int, action: Sequence[int], silent: set[str]) -> tuple[float, float]:
        """Whether the next observations that say anything agree, and the actions that answer them."""
        values = None
        for x, y in zip(range(a + 1, self._end(a)), range(b + 1, self._end(b)), strict=False):
            ours, theirs = self.seen[x], self.seen[y]
            if ours != theirs:
                values = values or self._values(a, b)
            agree = values is None or ours == theirs or _without(ours, values[0]) == _without(theirs, values[1])
            if not agree or ours not in silent:
                return float(agree), float(action[x] == action[y])
            if action[x] != action[y]:
                break
        return np.nan, np.nan

    def _end(self, row: int) -> int:
        return self.last[self.rollout[row]]

    def names(self, row: int, values: set[str]) -> bool:
        """Whether the instruction, or an observation up to this step, names one of the values."""
        rollout = self.rollout[row]
        start = self.last[rollout - 1] if rollout else 0
        return named_in("\n".join([self.instructions[rollout], *self.seen[start : row + 1]]), values)

    def _silent(self, texts: Numbers) -> set[str]:
        """Observations that answer many different actions, as compared."""
        asked: dict[str, set[int]] = {"": set()}
        for row, text in enumerate(self.text):
            if row + 1 < self._end(row) and len(self.seen[row + 1]) <= SHORT:
                asked.setdefault(self.seen[row + 1], set()).add(int(texts[text]))
        return {answer for answer, actions in asked.items() if not answer.strip() or len(actions) >= ANSWERS_ANYTHING}

    def _values(self, a: int, b: int) -> tuple[set[str], set[str]]:
        """In which words the two actions differ: what the answers may echo."""
        places = text_differences(self.words.texts[self.text[a]], self.words.texts[self.text[b]])
        if not places:
            return set(), set()
        return (
            {place.left for place in places if len(place.left) >= ECHOED},
            {place.right for place in places if len(place.right) >= ECHOED},
        )


def _without(text: str, values: set[str]) -> str:
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "#")
    return text
