"""The evidence that a log holds about its own noise: steps that took one action at one node, and what came after each of them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import Store
from tratree_data.trees.comparing import NONE, Ints
from tratree_data.trees.merging import Merged, Steps, merge_steps
from tratree_data.trees.rules.normalise import normalise, parse_rules
from tratree_data.trees.rules.wordings import Numbers, Wordings
from tratree_data.trees.texts import one_array
from tratree_data.trees.tree import ROLLOUT_COLUMNS, STEP_COLUMNS, in_order

ATTEMPTS = 30
GROUPS = 1_500
MEMBERS = 10
NO_TEXT = -1
FEW = 8
"""Up to so many values may be those of a state, unless what comes next speaks for a rule."""
WHOLE_TEXT = ("spaces", "white-space", "letter-case", "list-order")
NOTATION = ("terminal-codes", "typography", "key-order", "timestamps", "durations", "temporary-names", "identifiers", "letter-case")
"""Presets that are tried before words are compared, because they see through values of several words."""

Testimonies = dict[str, npt.NDArray[np.float64]]
"""What is compared → [pairs] how much two futures agree in it, from 0 to 1; NaN where nothing is known."""
NEXT_ACTIONS, NEXT_OBSERVATIONS, SCORES = "next actions", "next observations", "scores"


@dataclass(frozen=True)
class Pairs:
    """Pairs of steps of one group."""

    group: Ints  # [pairs]
    a: Ints  # [pairs] rows
    b: Ints

    def __len__(self) -> int:
        return len(self.group)


@dataclass
class Log:
    """The steps of some rollouts in order, with distinct texts numbered; row numbers are shared by all lists.

    The texts are the observations, and actions are compared as the `action_rules` rewrite them.
    """

    rollouts: pa.Table
    steps: pa.Table
    action_rules: Sequence[str] = ()
    words: Wordings = field(init=False)  # distinct observations
    text: list[int] = field(init=False)  # [rows] number of the text in `words`
    next_text: list[int] = field(init=False)  # [rows] of the next step, or of what ended the rollout; NO_TEXT where nothing is known
    actions: list[str] = field(init=False)
    rollout: list[int] = field(init=False)
    last: list[int] = field(init=False)  # [rollouts] the row after its last
    trees: list[str] = field(init=False)  # [rollouts]
    scores: list[float | None] = field(init=False)  # [rollouts]
    presets: Sequence[str] = field(init=False, default=WHOLE_TEXT)
    """Presets that are tried on whole texts."""
    notation: Sequence[str] = field(init=False, default=NOTATION)
    variation: float = field(init=False, default=0.5)
    """The share of pairs of siblings in which a slot's values differ at least."""
    tolerance: float = field(init=False, default=0.05)
    """Agreement that may be missing: what is left of other noise is not the rule's fault."""
    unknown_base: float = field(init=False, default=0.8)
    """What agreement of next observations is demanded where no texts are equal without the rule."""
    presets_first: bool = field(init=False, default=False)
    """Whether presets are tried before what is learned."""
    needs_next: bool = field(init=False, default=False)
    """Whether a rule needs next observations that speak for it."""

    def __post_init__(self) -> None:
        rollouts = self.rollouts.sort_by([("tree_id", "ascending"), ("attempt", "ascending"), ("rollout_id", "ascending")])
        place = pc.index_in(self.steps["rollout_id"], rollouts["rollout_id"].combine_chunks())
        order = pc.sort_indices(pa.table({"place": place, "step": self.steps["step"]}), [("place", "ascending"), ("step", "ascending")])
        self.rollouts, self.steps, first, tree = in_order(rollouts, self.steps.take(order))  # however they are stored
        self.inserted = first, tree
        ends = one_array(self.rollouts["end_observation"])
        encoded = pa.concat_arrays([one_array(self.steps["observation"]), ends]).dictionary_encode()
        self.words = Wordings(encoded.dictionary)
        numbers = encoded.indices.to_pylist()
        self.text, end_texts = numbers[: len(self.steps)], numbers[len(self.steps) :]
        blank = pc.index(encoded.dictionary, pa.scalar("", encoded.dictionary.type)).as_py()
        place = self.steps.schema.get_field_index("action")
        compared = normalise(one_array(self.steps["action"]), parse_rules(self.action_rules))
        self.steps = self.steps.set_column(place, "action", compared)
        self.actions = compared.to_pylist()
        self.scores = self.rollouts["score"].to_pylist()
        self.trees = self.rollouts["tree_id"].to_pylist()
        self.last = first[1:].tolist()
        self.rollout = [number for number, count in enumerate((first[1:] - first[:-1]).tolist()) for _ in range(count)]
        self.next_text = [*self.text[1:], NO_TEXT]
        for number, row in enumerate(self.last):
            if row and (number == 0 or self.last[number - 1] < row):
                self.next_text[row - 1] = NO_TEXT if end_texts[number] == blank else end_texts[number]
        self._action = compared.dictionary_encode().indices.to_numpy()
        self._has_next = np.append(np.diff(self.rollout) == 0, False)

    def groups(self, rules: Sequence[str]) -> list[list[int]]:
        """Rows of at least two steps that took one action at one node, in trees of texts that are equal as normalised."""
        return self._groups(rules, self.actions)

    def _groups(self, rules: Sequence[str], shared: Sequence[str]) -> list[list[int]]:
        merged = self._merge(rules)
        found: dict[tuple[int, str], list[int]] = {}
        for row, parent in enumerate(merged.parent[merged.node].tolist()):
            found.setdefault((parent, shared[row]), []).append(row)
        return [rows for rows in found.values() if len(rows) > 1]

    def count_merged(self, rules: Sequence[str]) -> int:
        """Steps that joined a node instead of founding one."""
        return len(self.text) - int(np.count_nonzero(self._merge(rules).parent != NONE))

    def _merge(self, rules: Sequence[str]) -> Merged:
        first, tree = self.inserted
        return merge_steps(Steps(first, tree, *self._compared(rules)), None, 1.0)

    def _compared(self, rules: Sequence[str]) -> tuple[pa.Array, pa.Array]:
        """[steps] observations and actions, as these rules compare the texts."""
        return self._rewritten(rules), one_array(self.steps["action"])

    def _rewritten(self, rules: Sequence[str]) -> pa.Array:
        return self.words.array(self.words.under(rules)).take(pa.array(self.text))

    def testimonies(self, texts: Numbers, pairs: Pairs) -> Testimonies:
        """What came after both of two steps, compared as `texts` says."""
        action = np.append(self._action[1:], NO_TEXT)
        text = np.array(self.next_text, np.int64)
        both = self._has_next[pairs.a] & self._has_next[pairs.b]
        known = (text[pairs.a] != NO_TEXT) & (text[pairs.b] != NO_TEXT)
        return {
            NEXT_ACTIONS: np.where(both, action[pairs.a] == action[pairs.b], np.nan),
            NEXT_OBSERVATIONS: np.where(known, texts[text[pairs.a]] == texts[text[pairs.b]], np.nan),
        }

    def score_agreements(self, pairs: Pairs) -> npt.NDArray[np.float64]:
        """[pairs] as of `testimonies`, of the rollouts' scores."""
        scores = np.array([np.nan if score is None else score for score in self.scores], np.float64)
        known = scores[~np.isnan(scores)]
        spread = (known.max() - known.min() if len(known) else 0.0) or 1.0
        rollout = np.array(self.rollout, np.int64)
        return 1 - np.abs(scores[rollout[pairs.a]] - scores[rollout[pairs.b]]) / spread

    def names(self, row: int, values: set[str]) -> bool:
        """Whether the agent's actions from this step on name one of the values."""
        return named_in(" ".join(self.actions[row : self.last[self.rollout[row]]]), values)

    naming = "later actions name the value"


def named_in(text: str, values: Iterable[str]) -> bool:
    names = {name for value in values for name in _names(value)}
    return any(name in text and re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", text) for name in names)


def _names(value: str) -> set[str]:
    """How else somebody may write the value: 40.00 as 40, 1,250 as 1250."""
    if not re.fullmatch(r"\d{1,3}(?:,\d{3})*(?:\.\d+)?|\d+(?:\.\d+)?", value):
        return {value}
    plain = value.replace(",", "")
    return {value, plain, re.sub(r"\.0+$", "", plain)}


def read_tables(store: Store, trees: int) -> tuple[pa.Table, pa.Table]:
    """Rollouts and steps of the first attempts at so many tasks."""
    chosen = query(store, "first_attempts", trees=trees, attempts=ATTEMPTS)["rollout_id"].combine_chunks()
    rows = pc.field("rollout_id").isin(chosen)
    return store.read("rollouts", [*ROLLOUT_COLUMNS, "end_observation"], filter=rows), store.read("steps", STEP_COLUMNS, filter=rows)


def pairs_of(groups: Sequence[Sequence[int]], same: Sequence[int]) -> Pairs:
    """Pairs of each group's members, of groups whose texts differ first; `same` numbers texts, so that equal numbers are equal texts."""
    differing = [n for n, rows in enumerate(groups) if len({same[row] for row in rows}) > 1]
    rest = sorted(set(range(len(groups))) - set(differing))
    chosen = [*_spread(differing, GROUPS), *_spread(rest, GROUPS // 3)]
    found = [(number, a, b) for number in chosen for a, b in combinations(_spread(groups[number], MEMBERS), 2)]
    group, a, b = np.array(found, np.int64).reshape(-1, 3).T
    return Pairs(group, a, b)


def _spread(items: Sequence[int], count: int) -> list[int]:
    """At most so many, evenly spread."""
    return list(items) if len(items) <= count else [items[n * len(items) // count] for n in range(count)]
