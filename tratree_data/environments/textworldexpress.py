"""TextWorldExpress: eight families of small text games, thousands of steps per second; score from 0 to 1, the same seed gives the same
game.

A task is a game, a fold and a seed: 'coin/train/17'. Not in the paper: the fast environment for experiments with many episodes.
"""

import json
from collections.abc import Iterable
from typing import Any

from tratree_data.environments import EnvironmentFailure, Outcome, Start
from tratree_data.environments.java import JavaServer
from tratree_data.environments.requirements import (
    Requirement,
    java_requirement,
    need_java,
    need_package,
    package_requirement,
    split_tasks,
    unknown_task,
)
from tratree_data.environments.tools import ACT
from tratree_data.errors import BadInputError, suggest

FIRST_SEEDS = {"train": 0, "dev": 10_000, "test": 20_000}
SEEDS_PER_FOLD = 1_000
UNKNOWN_ACTION = "Unknown action"

PROMPT = """You are playing a text game. At every turn you are given the observation of the last turn. First think about the current condition and plan your next actions, then write one action. Actions are short commands such as: look around, inventory, move north, open door to east, open fridge, take coin, put coin in box, read cookbook.

If an action is not valid, the game says so, and you should try another one.

Your response should use the following format:

Thought: I think ...

Action: look around"""  # noqa: E501 - a line is a paragraph


class TextWorldExpress:
    name = "textworldexpress"
    prompt = PROMPT
    tools = (ACT,)
    max_steps = 50

    def __init__(self, games: str | Iterable[str] | None = None) -> None:
        """`games` limits the splits to some of the eight: a list, or names separated by commas."""
        package = need_package("textworld-express")
        need_java()
        from textworld_express.constants import GAME_NAMES, JAR_PATH

        self.jar, self.all_games = JAR_PATH, list(GAME_NAMES)
        chosen = games.split(",") if isinstance(games, str) else list(games or self.all_games)
        for game in chosen:
            if game not in self.all_games:
                raise BadInputError(f"TextWorldExpress has no game {game!r}.{suggest(game, self.all_games)}")
        self.games = [game for game in self.all_games if game in chosen]
        self.version = f"textworld-express {package}, default parameters"
        self.java: JavaServer | None = None
        self.task_id = ""
        self.actions: list[str] = []
        self.state: dict[str, Any] = {}

    @classmethod
    def requirements(cls) -> list[Requirement]:
        return [package_requirement("textworld-express"), java_requirement()]

    def splits(self) -> dict[str, int]:
        return {split: len(self.games) * SEEDS_PER_FOLD for split in FIRST_SEEDS}

    def tasks(self, split: str) -> list[str]:
        """Games take turns, so that the first tasks of a split cover all games."""
        tasks = {
            fold: [f"{game}/{fold}/{first + number}" for number in range(SEEDS_PER_FOLD) for game in self.games]
            for fold, first in FIRST_SEEDS.items()
        }
        return split_tasks("TextWorldExpress", split, tasks)

    def reset(self, task_id: str, seed: int = 0) -> Start:
        """The game's own seed is part of the task; `seed` only completes the protocol."""
        self.state = self._generate(task_id, gold=False)
        self.task_id, self.actions = task_id, []
        return Start(str(self._running().getTaskDescription()).strip(), self._observation())

    def step(self, action: str) -> Outcome:
        java = self._running()
        if action.strip() == "help":  # as in the package's own step: repeats the task, at no cost
            return Outcome(str(java.getTaskDescription()).strip(), self._done(), 0.0, True)
        before = self.score()
        self.actions.append(action)
        self.state = json.loads(java.stepJSON(action))
        observation = self._observation()
        return Outcome(observation, self._done(), self.score() - before, not observation.startswith(UNKNOWN_ACTION))

    def score(self) -> float:
        return min(1.0, max(0.0, float(self.state.get("score", 0.0))))

    def success(self) -> bool:
        return bool(self.state.get("tasksuccess")) or self.score() >= 1.0

    def admissible_actions(self) -> list[str] | None:
        return sorted(self.state.get("validActions", []))

    def expert_actions(self, task_id: str) -> list[str] | None:
        """The game's gold path. It reloads the game, so the running episode is repeated afterwards, with exactly the same texts."""
        self._generate(task_id, gold=True)
        java = self._running()
        expert = [str(action) for action in java.getGoldActionSequence()]
        if self.task_id:
            self.state = self._generate(self.task_id, gold=False)
            for action in self.actions:
                self.state = json.loads(java.stepJSON(action))
        return expert or None

    def close(self) -> None:
        if self.java is not None:
            self.java.close()
        self.java, self.task_id, self.actions, self.state = None, "", [], {}

    def _generate(self, task_id: str, gold: bool) -> dict[str, Any]:
        parts = task_id.split("/")
        known = len(parts) == 3 and parts[0] in self.all_games and parts[1] in FIRST_SEEDS and parts[2].isdecimal()
        if not known or not 0 <= int(parts[2]) - FIRST_SEEDS[parts[1]] < SEEDS_PER_FOLD:
            raise unknown_task("TextWorldExpress", task_id, "coin/train/0")
        if self.java is not None and not self.java.usable:
            self.close()
        self.java = self.java or JavaServer(self.jar, "textworldexpress.runtime.PythonInterface")
        problem = self.java.load(parts[0], "")
        if problem:
            raise EnvironmentFailure("environment_error", f"TextWorldExpress cannot load {parts[0]}: {problem}")
        state: dict[str, Any] = json.loads(self.java.generateNewGameJSON(int(parts[2]), parts[1], gold))
        return state

    def _running(self) -> JavaServer:
        if self.java is None or (self.task_id and not self.state):
            raise EnvironmentFailure("environment_error", "TextWorldExpress has no episode: call reset first")
        return self.java

    def _observation(self) -> str:
        return str(self.state["observation"]).strip()

    def _done(self) -> bool:
        return bool(self.state.get("tasksuccess") or self.state.get("taskfailure")) or self.score() >= 1.0
