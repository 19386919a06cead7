"""A kitchen in which models trained from scratch can learn to cook: TextWorldExpress's cookingworld, at its smallest.

One room, one ingredient, three distractors, no doors, graded score, 120 words; a wrong way of cooking ends the episode, so that rollouts
diverge sharply. The game's folds overlap and its seeds repeat, so tasks with the same first observation and gold path count once, and the
test split shares none with another split. All episodes of a process share one Java process.
"""

import json
import threading
from typing import Any, ClassVar

from tratree_data.environments import Outcome, Start
from tratree_data.environments.java import JavaServer
from tratree_data.environments.requirements import Requirement, need_package, split_tasks, unknown_task
from tratree_data.environments.textworldexpress import TextWorldExpress
from tratree_data.environments.tools import ACT

PARAMETERS = "numLocations=1,numIngredients=1,numDistractorItems=3,includeDoors=0,limitInventorySize=0"
SEEDS = {"train": ("train", range(1600)), "dev": ("dev", range(10_000, 10_300)), "test": ("test", range(20_000, 20_700))}
"""The fold and the seeds of each split, before repeated games are taken out."""
INTERFACE = "textworldexpress.runtime.PythonInterface"


class Kitchen:
    name = "kitchen"
    prompt = ""
    tools = (ACT,)
    max_steps = 20
    in_process = True

    lock: ClassVar[threading.Lock] = threading.Lock()
    java: ClassVar[JavaServer | None] = None
    known: ClassVar[dict[str, list[str]]] = {}

    def __init__(self) -> None:
        self.version = f"textworld-express {need_package('textworld-express')}, cookingworld {PARAMETERS}"
        self.game: Any = None
        self.state: dict[str, Any] = {}

    @classmethod
    def requirements(cls) -> list[Requirement]:
        return TextWorldExpress.requirements()

    def splits(self) -> dict[str, int]:
        return {split: len(tasks) for split, tasks in self._tasks().items()}

    def tasks(self, split: str) -> list[str]:
        return split_tasks("Kitchen", split, self._tasks())

    def reset(self, task_id: str, seed: int = 0) -> Start:
        """The game's own seed is part of the task; `seed` only completes the protocol."""
        self._generate(task_id)
        return Start(str(self.game.getTaskDescription()).strip(), self._observation())

    def step(self, action: str) -> Outcome:
        before = self.score()
        self.state = json.loads(self.game.stepJSON(action))
        observation = self._observation()
        return Outcome(observation, self._done(), self.score() - before, not observation.startswith("Unknown action"))

    def score(self) -> float:
        return min(1.0, max(0.0, float(self.state.get("score", 0.0))))

    def success(self) -> bool:
        return bool(self.state.get("tasksuccess")) or self.score() >= 1.0

    def admissible_actions(self) -> list[str] | None:
        return sorted(self.state.get("validActions", []))

    def expert_actions(self, task_id: str) -> list[str] | None:
        """The gold path, from a separate game so that the running episode is unaffected. Its first look around shows the same as reset."""
        other = Kitchen()
        other._generate(task_id, gold=True)
        actions = [str(action) for action in other.game.getGoldActionSequence()]
        return actions[1:] if actions[:1] == ["look around"] else actions or None

    def close(self) -> None:
        self.game, self.state = None, {}

    def _generate(self, task_id: str, gold: bool = False) -> None:
        fold, _, number = task_id.partition("/")
        if fold not in SEEDS or not number.isdecimal():
            raise unknown_task("Kitchen", task_id, "train/0")
        if self.game is None:
            self.game = self._new_game()
        self.state = json.loads(self.game.generateNewGameJSON(int(number), fold, gold))

    @classmethod
    def _new_game(cls) -> Any:
        with cls.lock:
            if cls.java is None or not cls.java.usable:
                from textworld_express.constants import JAR_PATH

                cls.java = JavaServer(JAR_PATH, INTERFACE)
            game = getattr(cls.java.gateway.jvm, INTERFACE)()
            game.load("cookingworld", PARAMETERS)
        return game

    def _tasks(self) -> dict[str, list[str]]:
        """Games that differ, found once per process."""
        with_gold = Kitchen()
        if not Kitchen.known:
            seen: set[tuple[str, str]] = set()
            found: dict[str, list[str]] = {}
            for split, (fold, seeds) in SEEDS.items():
                found[split] = []
                for number in seeds:
                    with_gold._generate(f"{fold}/{number}", gold=True)
                    game = (with_gold._observation(), str(with_gold.game.getGoldActionSequence().toString()))
                    if game not in seen:
                        seen.add(game)
                        found[split].append(f"{fold}/{number}")
            Kitchen.known.update(found)
        return Kitchen.known

    def _observation(self) -> str:
        return str(self.state["observation"]).strip()

    def _done(self) -> bool:
        return bool(self.state.get("tasksuccess") or self.state.get("taskfailure")) or self.score() >= 1.0
