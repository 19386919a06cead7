"""The evidence that a log holds about its own noise: steps that took one action at one node, and what came after each of them."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.store.queries import query
from tratree_data.store.reader import Store
from tratree_data.trees.normalise import normalise, parse_rules
from tratree_data.trees.texts import one_array
from tratree_data.trees.tree import ROLLOUT_COLUMNS, STEP_COLUMNS, build_tree, in_order

ATTEMPTS = 30
GROUPS = 1_500
MEMBERS = 10
NO_TEXT = -1
FEW = 8
"""Up to so many values may be those of a state, unless what comes next speaks for a rule."""
WHOLE_TEXT = ("white-space", "letter-case", "list-order")
NOTATION = ("terminal-codes", "key-order", "timestamps", "durations", "temporary-names", "identifiers", "letter-case")
"""Presets that are tried before words are compared, because they see through values of several words."""

Testimony = tuple[str, float]
"""What is compared, and how much two futures agree in it, from 0 to 1."""
Witness = Callable[[int, int], Iterable[Testimony]]
"""Two rows → what came after them."""


@dataclass
class Log:
    """The steps of some rollouts in order, with distinct texts numbered; row numbers are shared by all lists.

    The texts are the observations, and actions are compared as the `action_rules` rewrite them.
    """

    rollouts: pa.Table
    steps: pa.Table
    action_rules: Sequence[str] = ()
    texts: pa.Array = field(init=False)  # distinct observations
    text: list[int] = field(init=False)  # [rows] place in `texts`
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
        self.rollouts, self.steps, first, _ = in_order(rollouts, self.steps.take(order))  # however they are stored
        ends = one_array(self.rollouts["end_observation"])
        encoded = pa.concat_arrays([one_array(self.steps["observation"]), ends]).dictionary_encode()
        self.texts = encoded.dictionary
        numbers = encoded.indices.to_pylist()
        self.text, end_texts = numbers[: len(self.steps)], numbers[len(self.steps) :]
        blank = pc.index(self.texts, pa.scalar("", self.texts.type)).as_py()
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

    def has_next(self, row: int) -> bool:
        return row + 1 < self.last[self.rollout[row]]

    def groups(self, rules: Sequence[str]) -> list[list[int]]:
        """Rows of at least two steps that took one action at one node, in trees of texts that are equal as normalised."""
        trees = build_tree(self.rollouts, self.steps, rules=parse_rules(rules))
        parents = dict(zip(trees.nodes["node_id"].to_pylist(), trees.nodes["parent_id"].to_pylist(), strict=True))
        found: dict[tuple[str, str], list[int]] = {}
        for row, node in enumerate(trees.step_nodes["node_id"].to_pylist()):
            found.setdefault((parents[node], self.actions[row]), []).append(row)
        return [rows for rows in found.values() if len(rows) > 1]

    def count_merged(self, rules: Sequence[str]) -> int:
        """Steps that joined a node instead of founding one."""
        trees = build_tree(self.rollouts, self.steps, rules=parse_rules(rules))
        return len(self.text) - int(trees.nodes.num_rows - len(pc.unique(self.rollouts["tree_id"])))

    def normalised(self, rules: Sequence[str]) -> list[str]:
        """The distinct texts as these rules compare them."""
        return [str(text) for text in normalise(self.texts, parse_rules(rules)).to_pylist()]

    def normalised_from(self, texts: Sequence[str], rules: Sequence[str]) -> list[str]:
        """The same, of texts that other rules have rewritten."""
        return [str(text) for text in normalise(pa.array(texts, self.texts.type), parse_rules(rules)).to_pylist()]

    def witness(self, texts: Sequence[str]) -> Witness:
        """What came after both of two steps, compared as `texts`, the normalised ones, say."""

        def testify(a: int, b: int) -> Iterator[Testimony]:
            if self.has_next(a) and self.has_next(b):
                yield "next actions", float(self.actions[a + 1] == self.actions[b + 1])
            next_a, next_b = self.next_text[a], self.next_text[b]
            if NO_TEXT not in (next_a, next_b):
                yield "next observations", float(texts[next_a] == texts[next_b])

        return testify

    def names(self, row: int, values: set[str]) -> bool:
        """Whether the agent's actions from this step on name one of the values."""
        return named_in(" ".join(self.actions[row : self.last[self.rollout[row]]]), values)

    naming = "later actions name the value"


def named_in(text: str, values: Iterable[str]) -> bool:
    return any(re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", text) for value in values for name in _names(value))


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


@dataclass(frozen=True)
class Pair:
    """Two steps of one group."""

    group: int
    a: int
    b: int


def pairs_of(groups: Sequence[Sequence[int]], same: Sequence[int]) -> Iterator[Pair]:
    """Pairs of each group's members, of groups whose texts differ first; `same` numbers texts, so that equal numbers are equal texts."""
    differing = [n for n, rows in enumerate(groups) if len({same[row] for row in rows}) > 1]
    rest = sorted(set(range(len(groups))) - set(differing))
    for number in [*_spread(differing, GROUPS), *_spread(rest, GROUPS // 3)]:
        for a, b in combinations(_spread(groups[number], MEMBERS), 2):
            yield Pair(number, a, b)


def _spread(items: Sequence[int], count: int) -> list[int]:
    """At most so many, evenly spread."""
    return list(items) if len(items) <= count else [items[n * len(items) // count] for n in range(count)]
