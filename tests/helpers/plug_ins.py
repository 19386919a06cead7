"""Environments that misbehave, for the tests of workers and replay: named as "helpers.plug_ins:Counter" and so on."""

import os
import signal
import sys
import time

from tratree_data.environments import Outcome, Start
from tratree_data.errors import NotFoundError


class Counter:
    """Counts to three. 'sleep', 'die', 'raise' and 'spin' go wrong in four ways."""

    name = "helpers.plug_ins:Counter"
    version = "counter 1"
    prompt = "Count to three."
    max_steps = 5

    def __init__(self, goal: int = 3) -> None:
        self.goal, self.count = goal, 0

    def splits(self) -> dict[str, int]:
        return {"train": 2}

    def tasks(self, split: str) -> list[str]:
        return ["up", "down"]

    def reset(self, task_id: str, seed: int = 0) -> Start:
        if task_id not in self.tasks("train"):
            raise NotFoundError(f"There is no task {task_id!r}.\nNext: up or down")
        self.count = 0
        self.max_steps = 5 if task_id == "up" else 7
        return Start(f"Count {task_id}.", "0")

    def step(self, action: str) -> Outcome:
        if action == "sleep":
            time.sleep(600)
        if action == "spin":
            while True:
                pass
        if action == "die":
            print("out of memory, says the simulator", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if action == "raise":
            raise RuntimeError("a wheel came off")
        self.count += action == "count"
        return Outcome(str(self.count), self.count >= self.goal, 0.0, action == "count")

    def score(self) -> float:
        return self.count / self.goal

    def success(self) -> bool:
        return self.count >= self.goal

    def admissible_actions(self) -> list[str] | None:
        return ["count"]

    def expert_actions(self, task_id: str) -> list[str] | None:
        return ["count"] * self.goal

    def close(self) -> None:
        print("closed", file=sys.stderr)
