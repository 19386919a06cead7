"""Step credits for trainers: process rewards as TRL's stepwise supervision has them, and whole rollouts with returns and advantages.

A process-reward row ends before the first step whose advantage is unknown, so all its labels are known.
"""

from collections.abc import Iterator
from itertools import groupby, takewhile
from typing import Any

from tratree_data.errors import NotFoundError, quoted
from tratree_data.exporters.trajectories import ROWS_PER_BATCH, Trajectory, read_trajectories
from tratree_data.files import read_text
from tratree_data.messages import answer, openai_message, opening
from tratree_data.store.reader import Store

Credits = dict[str, Any]
"""A row of exported_credits.sql: the lists have one element per step."""


def read_credits(store: Store) -> Iterator[tuple[Trajectory, list[Credits]]]:
    """Every credited rollout with its credits by method; both queries are in the same order, so only a batch of each is in memory."""
    store.need("step_credits")
    if not store.count("step_credits"):
        raise NotFoundError(
            f"{store.path} has no credits, because no rollout has a score.\nNext: tratree score {quoted(store.path)} --with FILE"
        )
    reader = store.stream(read_text("sql", "exported_credits.sql"), ROWS_PER_BATCH)
    rows = (row for batch in reader for row in batch.to_pylist())
    trajectories = read_trajectories(store)
    for rollout_id, group in groupby(rows, key=lambda row: row["rollout_id"]):
        yield next(one for one in trajectories if one.rollout["rollout_id"] == rollout_id), list(group)


def process_reward(trajectory: Trajectory, credits: Credits, *, observations: bool) -> dict[str, Any] | None:
    """prompt, completions and labels (the advantage is above 0); None if no advantage is known. With `observations`, each answer is
    followed by what it led to."""
    known = list(takewhile(lambda advantage: advantage is not None, credits["advantages"]))
    if not known:
        return None
    steps = trajectory.steps[: len(known)]
    completions = [answer(step["thought"], step["action"]) for step in steps]
    if observations:
        after = (trajectory.observation_after(number) for number in range(len(steps)))
        completions = [f"{said}\nObservation: {seen}" if seen else said for said, seen in zip(completions, after, strict=True)]
    rollout = trajectory.rollout
    return {
        "prompt": opening(rollout["prompt"], rollout["instruction"], steps[0]["observation"]),
        "completions": completions,
        "labels": [advantage > 0 for advantage in known],
        "advantages": known,
        "method": credits["method"],
        "rollout_id": rollout["rollout_id"],
    }


def credited_rollout(trajectory: Trajectory, credits: Credits) -> dict[str, Any]:
    """The conversation and, for each of the agent's turns, its return, advantage, weight and state; group_id is shared by the attempts at a
    task."""
    rollout = trajectory.rollout
    row = {"group_id": rollout["tree_id"], "rollout_id": rollout["rollout_id"], "method": credits["method"], "return": rollout["score"]}
    messages = [openai_message(message) for message in trajectory.messages()]
    lists = {name: credits[name] for name in ("returns", "advantages", "weights", "states")}
    return row | {"messages": messages} | ({"tools": trajectory.tools} if trajectory.tools else {}) | lists
