"""Distinct texts as rules rewrite them: each rule is applied to each text once, and a text is known by its number.

Learning rules asks hundreds of times how the same texts read under nearly the same rules.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tratree_data.trees.rules.normalise import normalise, parse_rule

Numbers = npt.NDArray[np.int32]
UNKNOWN = -1


class Wordings:
    """Numbers of texts: those given first, in order, and then what rules make of them."""

    def __init__(self, texts: pa.Array) -> None:
        self.texts: list[str] = texts.to_pylist()
        self.type = texts.type
        self.given = np.arange(len(self.texts), dtype=np.int32)
        self._number = {text: number for number, text in enumerate(self.texts)}
        self._made: dict[str, Numbers] = {}  # [rule][texts] the number of what it makes of the text

    def under(self, rules: Sequence[str], numbers: Numbers | None = None) -> Numbers:
        """The given texts, or other ones, as these rules compare them."""
        numbers = self.given if numbers is None else numbers
        for rule in rules:
            numbers = self._apply(rule, numbers)
        return numbers

    def words(self, numbers: Numbers) -> list[str]:
        return [self.texts[number] for number in numbers.tolist()]

    def array(self, numbers: Numbers) -> pa.Array:
        return pa.array(self.words(numbers), self.type)

    def _apply(self, rule: str, numbers: Numbers) -> Numbers:
        made = self._made.get(rule, np.zeros(0, np.int32))
        if len(made) < len(self.texts):
            made = np.concatenate([made, np.full(len(self.texts) - len(made), UNKNOWN, np.int32)])
        unknown = np.unique(numbers[made[numbers] == UNKNOWN])
        if len(unknown):
            made[unknown] = [self._number_of(text) for text in normalise(self.array(unknown), parse_rule(rule)).to_pylist()]
        self._made[rule] = made
        return made[numbers]

    def _number_of(self, text: str) -> int:
        number = self._number.setdefault(text, len(self.texts))
        if number == len(self.texts):
            self.texts.append(text)
        return number
