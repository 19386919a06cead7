"""ALFWorld: household tasks in text ('put a clean mug in coffeemachine'), won or not; no Java, no torch, no THOR.

The games carry their grammar with them. The release that the paper used says 'put X in/on Y'; newer ones say 'move X to Y', and prompts and
logs for one do not fit the other: the grammar is read from the games and is part of the version.
"""

from pathlib import Path
from typing import Any

from tratree_data.environments import EnvironmentFailure, Outcome, Start
from tratree_data.environments.alfworld_games import VARIABLE, WHERE_FROM, Games, open_games
from tratree_data.environments.alfworld_speed import quicken
from tratree_data.environments.requirements import (
    Requirement,
    chosen_folder,
    data_requirement,
    need_package,
    package_requirement,
    split_tasks,
)
from tratree_data.environments.tools import ACT
from tratree_data.errors import NotFoundError

NOTHING = "Nothing happens."

PROMPT = """Interact with a household to solve a task. Imagine you are an intelligent agent in a household environment and your target is to perform actions to complete the task goal. At the beginning of your interactions, you will be given the detailed description of the current environment and your goal to accomplish. For each of your turn, you will be given the observation of the last turn. You should first think about the current condition and plan for your future actions, and then output your action in this turn. Your output must strictly follow this format:

Thought: your thoughts.

Action: your next action.

The available actions are:

1. go to recep
2. take obj from recep
3. put obj in/on recep
4. open recep
5. close recep
6. toggle obj recep
7. clean obj with recep
8. heat obj with recep
9. cool obj with recep

where obj and recep correspond to objects and receptacles.

After your each turn, the environment will give you immediate feedback based on which you plan your next few steps. if the environment output "Nothing happened", that means the previous action is invalid and you should try more options."""  # noqa: E501 - the paper's words


class ALFWorld:
    name = "alfworld"
    tools = (ACT,)
    max_steps = 40

    def __init__(self, data: str | Path | None = None) -> None:
        package = need_package("alfworld")
        textworld = need_package("textworld")
        folder = chosen_folder("ALFWorld", data, VARIABLE, WHERE_FROM)
        if folder is None:
            raise NotFoundError(f"ALFWorld needs its games; {WHERE_FROM}.\nNext: pass data=FOLDER, or set {VARIABLE}=FOLDER")
        self.games: Games = open_games(folder)
        self.prompt = PROMPT if self.games.put == "put X in/on Y" else PROMPT.replace("put obj in/on recep", "move obj to recep")
        self.version = f"alfworld {package}, textworld {textworld}, grammar {self.games.put}, games {self.games.fingerprint}"
        self.world: Any = None
        self.loaded = ""
        self.state: Any = None

    @classmethod
    def requirements(cls) -> list[Requirement]:
        files = ("games.jsonl.xz", "json_2.1.1", "train")
        return [
            package_requirement("alfworld"),
            data_requirement(VARIABLE, files, f"alfworld-download --data-dir FOLDER; export {VARIABLE}=FOLDER"),
        ]

    def splits(self) -> dict[str, int]:
        return {split: len(tasks) for split, tasks in self.games.tasks.items()}

    def tasks(self, split: str) -> list[str]:
        return split_tasks("ALFWorld", split, self.games.tasks)

    def reset(self, task_id: str, seed: int = 0) -> Start:
        """The games are deterministic; `seed` only completes the protocol."""
        if task_id != self.loaded:
            game = self.games.game(task_id)
            self.world = self.world or _new_world()
            self.loaded, self.state = "", None
            self._play(self.world.load, game)
            self.loaded = task_id
        self.state = self._play(self.world.reset)
        _, _, text = str(self.state.feedback).partition("\n\n")  # the first paragraph is a banner
        observation = text.replace("\n\n", "\n").strip()
        return Start(observation[observation.rfind("Your task is to:") :], observation)

    def step(self, action: str) -> Outcome:
        if self.state is None:
            raise EnvironmentFailure("environment_error", "ALFWorld has no episode: call reset first")
        before = self.score()
        self.state, _, done = self._play(self.world.step, action)
        feedback = str(self.state.feedback).strip()
        if feedback.startswith("You arrive at loc "):  # a number that means nothing to an agent; the paper's code also removes it
            feedback = feedback[feedback.find(". ") + 2 :]
        return Outcome(feedback, bool(done), self.score() - before, feedback != NOTHING)

    def score(self) -> float:
        return 1.0 if self.success() else 0.0

    def success(self) -> bool:
        return self.state is not None and bool(self.state.won)

    def admissible_actions(self) -> list[str] | None:
        return None if self.state is None else sorted(self.state.admissible_commands)

    def expert_actions(self, task_id: str) -> list[str] | None:
        """The actions that come with the training games."""
        return self.games.expert(task_id)

    def close(self) -> None:
        self.world, self.loaded, self.state = None, "", None

    def _play(self, call: Any, *arguments: Any) -> Any:
        """Any error of the planner ends the episode; the next reset starts a new one."""
        try:
            return call(*arguments)
        except Exception as error:
            self.close()
            raise EnvironmentFailure("environment_error", f"ALFWorld failed: {type(error).__name__}: {error}") from error


def _new_world() -> Any:
    import textworld
    from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
    from textworld.envs.pddl import PddlEnv

    quicken()
    return AlfredDemangler(PddlEnv(textworld.EnvInfos(won=True, admissible_commands=True)), shuffle=False)
