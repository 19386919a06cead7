"""A tiny environment and agents for the exploration's tests, installed as a real plug-in: a corridor whose end pays, with a trap.

Task 'corridor-<length>': 'right' and 'left' move, 'take' ends the episode and pays the part of the way covered. The options make it
misbehave: `crash_at`, `hang_at` and `fail_at` name the step at which the process dies, hangs, or an error is raised.
"""

import os
import sys
import time
from pathlib import Path
from typing import ClassVar

from tratree_data.agents import Request, Response, parse_response
from tratree_data.environments import Outcome, Start

ENTRY_POINTS = """[tratree.environments]
corridor = helpers.corridor:Corridor
far-corridor = helpers.corridor:FarCorridor

[tratree.agents]
walker = helpers.corridor:Walker
thinker = helpers.corridor:Thinker
odd = helpers.corridor:Odd
"""


def install(folder: Path) -> None:
    """Makes a distribution in `folder` that offers the classes below, and puts it on the path."""
    information = folder / "corridor-1.0.dist-info"
    information.mkdir(parents=True, exist_ok=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: corridor\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(ENTRY_POINTS)
    for path in (str(folder), str(Path(__file__).parents[1])):
        if path not in sys.path:
            sys.path.insert(0, path)


class Corridor:
    name = "corridor"
    version = "corridor 1"
    prompt = "You are in a corridor. Say 'Thought: …' and 'Action: right', 'left' or 'take'."
    max_steps = 12
    in_process = True

    def __init__(
        self,
        tasks: int = 40,
        *,
        crash_at: int = -1,
        fail_at: int = -1,
        hang_at: int = -1,
        only: str = "",
        slow: float = 0.0,
        diary: str = "",
        noisy: bool = False,
        pays: float = 1.0,
    ) -> None:
        self.count, self.crash_at, self.fail_at, self.hang_at, self.only, self.slow = tasks, crash_at, fail_at, hang_at, only, slow
        self.diary, self.noisy, self.pays, self.seed = diary, noisy, pays, 0
        self.task, self.length, self.place, self.taken, self.steps = "", 1, 0, False, 0

    def splits(self) -> dict[str, int]:
        return {"train": self.count, "test": 5}

    def tasks(self, split: str) -> list[str]:
        return [f"{split}-{number}-{1 + number % 6}" for number in range(self.splits()[split])]

    def reset(self, task_id: str, seed: int = 0) -> Start:
        self.task, self.length, self.place, self.taken, self.steps = task_id, int(task_id.split("-")[2]), 0, False, 0
        self.seed = seed
        if self.diary:  # one byte for each episode that began, whoever is killed
            with open(self.diary, "ab", buffering=0) as diary:
                diary.write(b".")
        return Start(f"Walk {self.length} steps to the right, then take the coin.", self._seen())

    def step(self, action: str) -> Outcome:
        self.steps += 1
        time.sleep(self.slow)
        if not self.only or self.task == self.only:
            if self.steps == self.crash_at:
                os._exit(9)
            if self.steps == self.hang_at:
                time.sleep(1000)
            if self.steps == self.fail_at:
                raise RuntimeError("the corridor collapsed")
        if action not in {"right", "left", "take"}:
            return Outcome("Nothing happens.", False, 0.0, False)
        self.place = max(0, min(self.length, self.place + {"right": 1, "left": -1, "take": 0}[action]))
        self.taken = action == "take"
        return Outcome(self._seen(), self.taken, self.score() if self.taken else 0.0, True)

    def _seen(self) -> str:
        seen = f"You stand at {self.place} of {self.length}."
        return f"{seen} Clock: {self.seed}." if self.noisy else seen

    def score(self) -> float:
        return self.pays * self.place / self.length if self.taken else 0.0

    def success(self) -> bool:
        return self.score() == 1

    def admissible_actions(self) -> list[str] | None:
        return ["right", "left", "take"]

    def expert_actions(self, task_id: str) -> list[str] | None:
        if task_id.endswith("-6"):
            return ["right", "take"]  # an expert who does not always win
        return None if task_id.endswith("-5") else ["right"] * int(task_id.split("-")[2]) + ["take"]

    def close(self) -> None:
        pass


class FarCorridor(Corridor):
    """The same in a worker process."""

    in_process = False


class Walker:
    """Computed: walks right, with a slip now and then that depends on the seed."""

    model = None
    batched = False
    computed = True

    def __init__(self, name: str = "walker", slips: float = 0.2) -> None:
        self.name, self.slips = name, slips

    def act(self, requests: list[Request]) -> list[Response]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request) -> Response:
        if request.sampling["seed"] % 1000 < 1000 * self.slips:
            text = "Thought: Enough.\nAction: take"
        else:
            at_end = request.observation.split()[3] == request.observation.split()[5].rstrip(".")
            text = "Action: take" if at_end else "Thought: On.\nAction: right"
        return Response(text, *parse_response(text), prompt_tokens=10, completion_tokens=5)

    def close(self) -> None:
        pass


class Thinker(Walker):
    """The same as a batched agent that remembers how many it answered at once."""

    batched = True
    computed = False
    sizes: ClassVar[list[int]] = []

    def act(self, requests: list[Request]) -> list[Response]:
        Thinker.sizes.append(len(requests))
        time.sleep(0.005)
        return super().act(requests)


class Odd(Walker):
    """Misbehaves as asked: 'mumbles', 'halves' (broken characters), 'stops', 'raises', or 'away' (its server does not answer)."""

    computed = False

    def __init__(self, way: str, only: str = "") -> None:
        super().__init__(name="odd")
        self.way, self.only = way, only

    def _answer(self, request: Request) -> Response:
        if self.only and request.task_id != self.only:
            return super()._answer(request)
        if self.way == "raises":
            raise ValueError("the agent has a bug")
        if self.way == "mumbles":
            return Response("Hm.", *parse_response("Hm."))
        if self.way == "halves":
            return Response("Action: \ud800", "\udfff", "\ud800\0")
        return Response("", "", "", stop_reason={"stops": "agent_stopped", "away": "server_unavailable"}[self.way])
