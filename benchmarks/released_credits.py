"""Our step credits beside the papers' released code, on random logs: python -m benchmarks.released_credits FOLDER [LOGS]

FOLDER holds core_gigpo.py (verl-agent), core_hgpo.py (recipe/hgpo) and core_g2po.py (G2PO). They need torch and numpy, and of verl only a
name. The logs avoid what docs/states.md lists as different: silent observations, lonely attempts, partial scores.
"""

import contextlib
import io
import random
import sys
import types
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa

from tratree_data.state_graphs import credits as credit
from tratree_data.state_graphs import methods
from tratree_data.state_graphs.compared import Comparing
from tratree_data.state_graphs.settings import StatesSettings
from tratree_data.state_graphs.states import graph_of_steps

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from helpers.small import tables

DISCOUNT = 0.9
GAMMA_OF_G2PO = 0.95
"""Written into its code."""
Place = tuple[str, int, int]
Log = list[tuple[str, int, float, list[tuple[str, str, str]]]]


def random_log(number: int) -> Log:
    """Three tasks. An observation names the action before it, so a history of observations is one of observations and actions."""
    chance, log = random.Random(number), []
    for task in range(3):
        for attempt in range(chance.randint(2, 6)):
            steps, last = [], "start"
            for _ in range(chance.randint(1, 7)):
                seen, last = f"{chance.choice('abc')} after {last}", chance.choice("xyz")
                steps.append((seen, "", last))
            log.append((f"t{task}", attempt, float(chance.choice((0, 1))), steps))
    return log


def ours(log: Log, **settings: Any) -> dict[Place, float]:
    rollouts, steps = tables(log)
    made = graph_of_steps(rollouts, steps, StatesSettings(**settings), Comparing((), (), pa.array([], pa.string())))
    names = {row["rollout_id"]: (row["task_id"], row["attempt"]) for row in rollouts.to_pylist()}
    return {(*names[row["rollout_id"]], row["step"]): row["advantage"] for row in made["step_credits"].to_pylist()}


def theirs(log: Log) -> dict[str, Any]:
    """The advantages of their functions, step by step."""
    import torch

    gigpo, hgpo, g2po = (import_module(f"core_{name}") for name in ("gigpo", "hgpo", "g2po"))
    rows = [(task, attempt, i, score, len(steps), steps[i][0]) for task, attempt, score, steps in log for i in range(len(steps))]
    task, seen = (np.array([row[column] for row in rows], dtype=object) for column in (0, 5))
    attempt = np.array([f"{row[0]}-{row[1]}" for row in rows], dtype=object)
    score = torch.tensor([row[3] for row in rows], dtype=torch.float64)[:, None]
    returns = torch.tensor([row[3] * DISCOUNT ** (row[4] - 1 - row[2]) for row in rows], dtype=torch.float64)
    mask = torch.ones(len(rows), 1)
    batch = types.SimpleNamespace(
        batch={"responses": torch.zeros(len(rows), 1)},
        non_tensor_batch={"traj_uid": attempt, "anchor_obs": seen, "uid": task, "episode_rewards": 10 * score[:, 0].numpy()},
    )
    found: dict[str, Any] = {}
    once = {"compute_mean_std_cross_steps": False}
    with contextlib.redirect_stdout(io.StringIO()):
        for name, remove in (("gigpo", False), ("gigpo-mean", True)):
            whole = gigpo.episode_norm_reward(score.clone(), mask, task, attempt, remove_std=remove, **once)
            found[name] = whole + gigpo.step_norm_reward(returns, mask, gigpo.build_step_group(seen, task), remove_std=remove)
        for alpha in (0.0, 1.0):
            found[f"hgpo alpha={alpha:g}"] = hgpo.hgpo_advantage_estimate(
                score, returns, mask, seen, task, attempt, 2, length_weight_alpha=alpha
            )
        value, group, following = g2po.compute_group_aggregation_values(batch)
        scale = {"epsilon": 1e-5}  # its rewards are ten times ours
        whole = g2po.episode_norm_reward(10 * score, mask, task, attempt, remove_std=False, **once, **scale)
        found["g2po"] = whole + g2po.compute_step_level_advantage(
            torch.tensor(value), mask, np.ones(len(rows)), task, group, following, mode="mean_std_norm", **scale
        )
    return {name: [float(one) for one in advantages[:, 0]] for name, advantages in found.items()}


def nested_one_higher(shares: Any, sizes: Any, depths: Any, alpha: float, nested: Any = credit.nested) -> Any:
    return nested(shares, sizes, [depth + 1 for depth in depths], alpha)


def compare(logs: int) -> dict[str, float]:
    """The largest difference of each method."""
    worst: dict[str, float] = {}
    three = {"history": ("0", "1", "2"), "method": ("hgpo",), "discount": DISCOUNT}
    for number in range(logs):
        log = random_log(number)
        places = [(task, attempt, i) for task, attempt, _, steps in log for i in range(len(steps))]
        mine = {name: ours(log, history=("0",), method=(name,), discount=DISCOUNT) for name in ("gigpo", "gigpo-mean")}
        mine |= {f"hgpo alpha={alpha}": ours(log, **three, alpha=alpha) for alpha in (0, 1)}
        mine["g2po"] = ours(log, history=("0",), method=("g2po",), discount=GAMMA_OF_G2PO)
        with mock.patch.object(methods.credit, "nested", nested_one_higher):
            mine["hgpo alpha=1, our k one higher"] = ours(log, **three, alpha=1.0)
        released = theirs(log)
        for name, values in mine.items():
            other = released[name.partition(",")[0]]
            worst[name] = max(worst.get(name, 0.0), *(abs(values[place] - one) for place, one in zip(places, other, strict=True)))
    return worst


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    sys.modules["verl"] = types.ModuleType("verl")
    sys.modules["verl"].DataProto = object  # type: ignore[attr-defined]
    for name, difference in compare(int(sys.argv[2]) if len(sys.argv) > 2 else 100).items():
        print(f"{name:32} {difference:.1e}")
