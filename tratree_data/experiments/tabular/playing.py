"""Episodes of many networks at once, and their way into a dataset: rollouts and steps, through the one writer that explore uses.

The limits are those of an exploration: the environment's steps, and ten refused actions in a row.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tratree_data.environments.galley import ACTIONS, Galley
from tratree_data.experiments.tabular.batch import MOST_STEPS, Array, Kitchens, text_of_code
from tratree_data.experiments.tabular.networks import Weights, chance, log_policy
from tratree_data.exploration.attempt import Attempt, Limits
from tratree_data.exploration.episode import rollout_row
from tratree_data.exploration.settings import ExploreSettings
from tratree_data.ids import rollout_id
from tratree_data.store.writing.rollout_writer import RolloutWriter
from tratree_data.store.writing.writer import create_store, writing

LIMITS = Limits("train")
Choose = Callable[[Kitchens, int], Array]
"""The actions [S, N] at a step."""


@dataclass(frozen=True)
class Played:
    """Episodes [S, N], step by step where the first axis says so."""

    codes: Array
    """[T + 1, S, N]: what was seen before each action, and at the end."""
    actions: Array
    """[T, S, N]"""
    valid: Array
    """[T, S, N]"""
    rewards: Array
    """[T, S, N]"""
    lengths: Array
    ends: Array
    """0 done, 1 max_steps, 2 invalid_actions"""
    scores: Array


HOURS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
ENDS = ("done", "max_steps", "invalid_actions")


def play(kitchens: Kitchens, choose: Choose, record: bool = True) -> Played:
    """Until every episode is over."""
    shape = kitchens.served.shape
    lengths, in_a_row = np.zeros(shape, int), np.zeros(shape, int)
    over = np.zeros(shape, bool)
    scores = kitchens.score()
    codes, actions, accepted, rewards = [kitchens.codes()] if record else [], [], [], []
    for step in range(MOST_STEPS):
        action = choose(kitchens, step)
        valid = kitchens.valid(action)
        kitchens.step(action, ~over)
        lengths += ~over
        in_a_row = np.where(over, in_a_row, np.where(valid, 0, in_a_row + 1))
        now = kitchens.score()
        if record:
            codes.append(kitchens.codes())
            actions.append(action)
            accepted.append(valid)
            rewards.append(now - scores)
        scores = now
        over |= kitchens.served | (in_a_row >= LIMITS.max_invalid_actions)
        if over.all():
            break
    ends = np.where(kitchens.served, 0, np.where(in_a_row >= LIMITS.max_invalid_actions, 2, 1))
    steps = [np.stack(values) if values else np.zeros((0, *shape)) for values in (codes, actions, accepted, rewards)]
    return Played(steps[0], steps[1], steps[2], steps[3], lengths, ends, scores)


def greedily(weights: Weights) -> Choose:
    """The most likely action of each network."""

    def choose(kitchens: Kitchens, _: int) -> Array:
        with torch.no_grad():
            chosen: Array = log_policy(weights, torch.from_numpy(kitchens.features())).argmax(-1).numpy()
        return chosen

    return choose


def sampling(weights: Weights, seeds: Sequence[int], name: str) -> Choose:
    """An action drawn at temperature 1; every seed has its own chance."""
    draws = [chance(seed, f"play/{name}") for seed in seeds]

    def choose(kitchens: Kitchens, _: int) -> Array:
        with torch.no_grad():
            logs = log_policy(weights, torch.from_numpy(kitchens.features())).numpy()
        shape = logs.shape[1:]
        noise = np.stack([-np.log(-np.log(draw.random(shape, np.float32) + 1e-12) + 1e-12) for draw in draws])
        return np.asarray((logs + noise).argmax(-1))

    return choose


def following(plans: Sequence[Sequence[Sequence[str]]]) -> Choose:
    """Lists of actions, one for each episode; after its end an episode takes no part any more."""
    longest = max(len(plan) for row in plans for plan in row)
    numbers = np.array([[[ACTIONS.index(action) for action in plan] + [0] * (longest - len(plan)) for plan in row] for row in plans])
    return lambda _, step: numbers[..., min(step, longest - 1)]


def continuing(plans: Sequence[Sequence[Sequence[str]]], choose: Choose) -> Choose:
    """The actions that are given for each episode, and then its own."""
    lengths = np.array([[len(plan) for plan in row] for row in plans])
    given = following(plans)
    return lambda kitchens, step: np.where(step < lengths, given(kitchens, step), choose(kitchens, step))


def _with_remarks(texts: Array, seeds: Sequence[int], share: float) -> Array:
    """Some of the observations [T + 1, S, N] with a remark that no network reads, so that equal states are worded differently."""
    noisy = texts.copy()
    for i, seed in enumerate(seeds):
        draws = chance(seed, "remarks")
        remarks = np.array([f" A clock shows {hour}." for hour in HOURS], object)[draws.integers(len(HOURS), size=texts[:, i].shape)]
        noisy[:, i] = np.where(draws.random(texts[:, i].shape) < share, texts[:, i] + remarks, texts[:, i])
    return noisy


class _Cook:
    """What rollouts say about who played."""

    def __init__(self, name: str, model: str | None) -> None:
        self.name, self.model = name, model


def store_rollouts(
    folder: Path, played: Played, seeds: Sequence[int], tasks: range, attempts: int, agent: str, model: str | None, noise: float = 0.0
) -> None:
    """Episodes [S, tasks × attempts] as rollouts and steps; one commit holds them all, so a killed run starts this step again.

    `noise` is the share of the observations to which a remark is added that means nothing.
    """
    cook, galley = _Cook(agent, model), Galley()
    sampled = "{}" if model is None else json.dumps({"temperature": 1.0}, sort_keys=True)
    texts = _texts(played)
    if noise:
        texts = _with_remarks(texts, seeds, noise)
    lineage = {
        "environment": galley.name,
        "environment_name": galley.name,
        "environment_options": {},
        "agents": [{"agent": agent, "model": model, "sampling": json.loads(sampled)}],
        **ExploreSettings(agent=agent, attempts=attempts).recorded(),
    }
    create_store(folder)
    with writing(folder):
        if create_store(folder).has("rollouts"):
            return
        writer = RolloutWriter(folder, "explore", lineage, most_steps=2**62)
        for i, seed in enumerate(seeds):
            for place, task in enumerate(tasks):
                task_id = f"{seed}/train/{task}"
                for number in range(attempts):
                    identity = rollout_id(galley.name, task_id, agent, model, sampled, number)
                    _add(writer, cook, Attempt(identity, task_id, number, 0, sampled), played, texts, (i, place * attempts + number))
        writer.commit()


def store_branches(folder: Path, played: Played, attempts: Sequence[Sequence[Attempt]], model: str, lineage: dict[str, Any]) -> None:
    """Episodes [S, N] that began by repeating a prefix, as rollouts and steps; where a seed has fewer, the last ones are left out."""
    cook, texts = _Cook("network", model), _texts(played)
    with writing(folder):
        writer = RolloutWriter(folder, "explore", lineage, most_steps=2**62)
        for i, row in enumerate(attempts):
            for j, attempt in enumerate(row):
                _add(writer, cook, attempt, played, texts, (i, j))
        writer.commit()


def _texts(played: Played) -> Array:
    """[T + 1, S, N]: the observations."""
    unique, index = np.unique(played.codes, return_inverse=True)
    texts: Array = np.array([text_of_code(int(code)) for code in unique], object)[index.reshape(played.codes.shape)]
    return texts


def _add(writer: RolloutWriter, cook: _Cook, attempt: Attempt, played: Played, texts: Array, at: tuple[int, int]) -> None:
    """One episode."""
    galley = Galley()
    count, score = int(played.lengths[at]), float(played.scores[at])
    row = {
        **rollout_row(galley, cook, attempt, LIMITS, ENDS[played.ends[at]]),
        "instruction": _instruction(attempt.task_id),
        "score": score,
        "success": score == 1.0,
        "end_observation": texts[(count, *at)],
        "step_count": count,
    }
    span = (slice(count), *at)
    columns = (texts[span], np.array(ACTIONS, object)[played.actions[span]], played.valid[span], played.rewards[span])
    steps = (
        {"observation": seen, "thought": "", "action": action, "valid": bool(valid), "reward": float(reward)}
        for seen, action, valid, reward in zip(*columns, strict=True)
    )
    writer.add(row, steps)


@lru_cache(maxsize=100_000)
def _instruction(task_id: str) -> str:
    return Galley().reset(task_id).instruction
