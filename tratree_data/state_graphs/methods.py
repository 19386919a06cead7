"""The methods by name: what each depends on, and the rows of `step_credits` that it makes. credits.py has the arithmetic."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tratree_data.state_graphs import credits as credit
from tratree_data.state_graphs.compared import Compared, Facts, nullable
from tratree_data.state_graphs.grouping import NONE, Floats, Ints
from tratree_data.state_graphs.settings import ALL, StatesSettings
from tratree_data.store.schemas import arrow_schema

Credit = tuple[Floats | None, Floats | None]
"""([steps] advantage, [steps] weight); None where the method defines none."""


@dataclass(frozen=True)
class Method:
    """How to credit steps. The names of the rows have its parameters, and the history where it compares states."""

    credit: Callable[[Compared, StatesSettings], Credit]
    parameters: tuple[str, ...] = ()
    by_state: bool = True


def relative(grouped: Compared, values: Floats, *, scale: bool) -> Floats:
    """Within the states."""
    groups = grouped.groups
    return credit.relative(values, groups.state, grouped.facts.outcome.scored, len(groups.keys), scale=scale)[0]


def gigpo(grouped: Compared, settings: StatesSettings, *, scale: bool = True) -> Credit:
    step = relative(grouped, grouped.returns, scale=scale)
    return credit.episode_advantage(grouped.facts.outcome, scale=scale) + settings.omega * step, None


def g2po(grouped: Compared, settings: StatesSettings) -> Credit:
    outcome, groups = grouped.facts.outcome, grouped.groups
    value = settings.discount * grouped.means(grouped.returns, groups.state, len(groups.keys))[0]
    step = credit.edge_advantage(value, groups.state, grouped.following, grouped.facts.ended, outcome)
    return credit.episode_advantage(outcome) + settings.omega * step, None


def graphgpo(grouped: Compared, settings: StatesSettings) -> Credit:
    outcome, facts = grouped.facts.outcome, grouped.facts
    tree = facts.tree_of_rollout[facts.steps.rollout[grouped.groups.founder]]
    nearness = credit.nearness(
        grouped.distance, tree, grouped.groups.state, grouped.following, facts.ended, grouped.solved_ends, outcome, settings.decay
    )
    known = outcome.scored & ~np.isnan(nearness)
    step, _ = credit.relative(nearness, grouped.groups.state, known, len(grouped.groups.keys))
    return credit.episode_advantage(outcome) + settings.omega * step, None


def leave_one_out(grouped: Compared, settings: StatesSettings) -> Credit:
    groups = grouped.groups
    return credit.leave_one_out(grouped.returns, groups.state, grouped.facts.outcome.scored, len(groups.keys)), None


def temporal_difference(grouped: Compared, settings: StatesSettings) -> Credit:
    outcome, groups = grouped.facts.outcome, grouped.groups
    mean, _ = grouped.means(outcome.step_score, groups.state, len(groups.keys))
    here, there = credit.both_sides(mean, groups.state, grouped.following)
    return np.where(grouped.facts.ended, outcome.step_score, there) - here, None


def progress(grouped: Compared, settings: StatesSettings) -> Credit:
    return credit.progress(grouped.distance, grouped.groups.state, grouped.following, grouped.solved_ends), None


def awr(grouped: Compared, settings: StatesSettings) -> Credit:
    better = relative(grouped, grouped.returns, scale=False)
    return better, credit.weights_of(better, settings.beta)


def rwr(grouped: Compared, settings: StatesSettings) -> Credit:
    return None, credit.weights_of(grouped.facts.outcome.step_score - 1, settings.beta)


def tree_grpo(grouped: Compared, settings: StatesSettings) -> Credit:
    facts = grouped.facts
    return credit.tree_advantage(facts.outcome, facts.steps.first_moves()), None


METHODS = {
    "return": Method(lambda grouped, settings: (None, None), ("discount",), by_state=False),
    "rwr": Method(rwr, ("beta",), by_state=False),
    "grpo": Method(lambda grouped, settings: (credit.episode_advantage(grouped.facts.outcome), None), by_state=False),
    "tree-grpo": Method(tree_grpo, by_state=False),
    "gigpo": Method(gigpo, ("discount", "omega")),
    "gigpo-mean": Method(lambda grouped, settings: gigpo(grouped, settings, scale=False), ("discount", "omega")),
    "g2po": Method(g2po, ("discount", "omega")),
    "graphgpo": Method(graphgpo, ("decay", "omega")),
    "loo": Method(leave_one_out, ("discount",)),
    "td": Method(temporal_difference),
    "progress": Method(progress),
    "awr": Method(awr, ("discount", "beta")),
}
"""All but hgpo, which compares several histories at once."""


def credit_tables(facts: Facts, compared: Sequence[Compared], settings: StatesSettings) -> list[pa.Table]:
    """The rows of every method, those that compare states once for each history."""
    rows = []
    for name in settings.method:
        if name == "hgpo":
            rows += nested(facts, compared, settings)
            continue
        method = METHODS[name]
        given = [f"{parameter}={getattr(settings, parameter):g}" for parameter in method.parameters]
        for grouped in compared if method.by_state else compared[:1]:
            label = f"{name}({','.join([f'history={grouped.history}', *given] if method.by_state else given)})"
            size = grouped.scored_size if method.by_state else None
            rows.append(credit_table(label, grouped, size, *method.credit(grouped, settings)))
    return rows


def nested(facts: Facts, compared: Sequence[Compared], settings: StatesSettings) -> list[pa.Table]:
    """HGPO's rows, over all histories but `all`; its states are those of the shortest."""
    counted = [grouped for grouped in compared if grouped.history != ALL]
    if not counted:
        return []
    before = np.arange(len(facts.steps.rollout)) - facts.steps.first[facts.steps.rollout]
    depths = [int(grouped.history) for grouped in counted]
    pairs = [
        credit.relative(
            grouped.returns, grouped.groups.state, facts.outcome.scored & (before >= depth), len(grouped.groups.keys), sample=False
        )
        for grouped, depth in zip(counted, depths, strict=True)
    ]
    advantage = credit.nested([pair[0] for pair in pairs], [pair[1] for pair in pairs], depths, settings.alpha)
    label = f"hgpo(histories={'+'.join(map(str, depths))},discount={settings.discount:g},alpha={settings.alpha:g})"
    return [credit_table(label, counted[0], pairs[0][1], advantage, None)]


def credit_table(label: str, grouped: Compared, size: Ints | None, advantage: Floats | None, weight: Floats | None) -> pa.Table:
    """One row per scored step; without a size the method compares no states."""
    facts = grouped.facts
    rows = np.flatnonzero(facts.outcome.scored)
    state = np.full(len(rows), NONE, np.int64) if size is None else grouped.groups.state[rows]
    columns: dict[str, Any] = {
        "tree_id": facts.tree_ids(rows),
        "rollout_id": facts.table["rollout_id"].take(pa.array(rows)),
        "step": facts.table["step"].take(pa.array(rows)).cast(pa.int32()),
        "method": pa.array([label]).take(pa.array(np.zeros(len(rows), np.int64))),
        "state_id": grouped.state_ids.take(pa.array(state, mask=state == NONE)),
        "group_size": np.zeros(len(rows), np.int64) if size is None else size[rows],
        "return_to_go": grouped.returns[rows],
        "advantage": pa.nulls(len(rows), pa.float64()) if advantage is None else nullable(advantage[rows]),
        "weight": pa.nulls(len(rows), pa.float64()) if weight is None else nullable(weight[rows]),
    }
    return pa.table(columns, schema=arrow_schema("step_credits"))
