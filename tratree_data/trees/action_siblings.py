"""The evidence about noise in actions: steps that saw one observation at one node and acted in different words.

The same rules are learned as for observations (learned_rules.py), with the parts exchanged and stricter tests, because an action is what
the agent chose: a slot's values must hardly ever come again, none may be named in what the agent saw before, and what the environment
answered must say that the actions were one. Answers that follow any action ("Nothing happens.") say nothing, so the next ones count.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.trees.json_differences import text_differences
from tratree_data.trees.normalise import normalise, parse_rules
from tratree_data.trees.siblings import Log, Testimony, Witness, named_in
from tratree_data.trees.texts import one_array
from tratree_data.trees.tree import build_tree

PRESETS = (
    "comment-lines", "cd-prefix", "working-directory", "temporary-names", "identifiers", "timestamps", "argument-order", "quoting",
    "white-space", "letter-case",
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
        self.texts, self.text = encoded.dictionary, encoded.indices.to_pylist()
        self.seen = normalise(one_array(self.steps["observation"]), parse_rules(self.rules)).to_pylist()
        self.instructions: list[str] = self.rollouts["instruction"].to_pylist()
        self.presets, self.presets_first, self.notation = PRESETS, True, ()
        self.variation, self.tolerance, self.unknown_base, self.needs_next = 0.97, 0.02, 0.98, True
        self.naming = "what the agent saw before names the value"

    def groups(self, rules: Sequence[str]) -> list[list[int]]:
        """Rows of at least two steps that saw one observation at one node."""
        trees = build_tree(self.rollouts, self.steps, rules=parse_rules(self.rules), action_rules=parse_rules(rules))
        parents = dict(zip(trees.nodes["node_id"].to_pylist(), trees.nodes["parent_id"].to_pylist(), strict=True))
        found: dict[tuple[str, str], list[int]] = {}
        for row, node in enumerate(trees.step_nodes["node_id"].to_pylist()):
            found.setdefault((parents[node], self.seen[row]), []).append(row)
        return [rows for rows in found.values() if len(rows) > 1]

    def count_merged(self, rules: Sequence[str]) -> int:
        trees = build_tree(self.rollouts, self.steps, rules=parse_rules(self.rules), action_rules=parse_rules(rules))
        return len(self.text) - int(trees.nodes.num_rows - len(pc.unique(self.rollouts["tree_id"])))

    def witness(self, texts: Sequence[str]) -> Witness:
        silent = self._silent(texts)

        def testify(a: int, b: int) -> Iterator[Testimony]:
            values = self._values(a, b)
            while self.has_next(a) and self.has_next(b):
                a, b = a + 1, b + 1
                ours, theirs = self.seen[a], self.seen[b]
                agree = ours == theirs or _without(ours, values[0]) == _without(theirs, values[1])
                if not agree or ours not in silent:
                    yield "next observations", float(agree)
                    yield "next actions", float(texts[self.text[a]] == texts[self.text[b]])
                    return
                if texts[self.text[a]] != texts[self.text[b]]:
                    return

        return testify

    def names(self, row: int, values: set[str]) -> bool:
        """Whether the instruction, or an observation up to this step, names one of the values."""
        rollout = self.rollout[row]
        start = self.last[rollout - 1] if rollout else 0
        return named_in("\n".join([self.instructions[rollout], *self.seen[start : row + 1]]), values)

    def _silent(self, texts: Sequence[str]) -> set[str]:
        """Observations that answer many different actions, as compared."""
        asked: dict[str, set[str]] = {"": set()}
        for row, text in enumerate(self.text):
            if self.has_next(row) and len(self.seen[row + 1]) <= SHORT:
                asked.setdefault(self.seen[row + 1], set()).add(texts[text])
        return {answer for answer, actions in asked.items() if not answer.strip() or len(actions) >= ANSWERS_ANYTHING}

    def _values(self, a: int, b: int) -> tuple[set[str], set[str]]:
        """In which words the two actions differ: what the answers may echo."""
        texts: pa.Array = self.texts
        places = text_differences(texts[self.text[a]].as_py(), texts[self.text[b]].as_py())
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
