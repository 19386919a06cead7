"""TextArena's games for one player, as `textarena:Sudoku-v0`.

A task is a seed. The library's own observations repeat the whole game at every turn; here a turn shows only what is new, because the
agent's conversation contains the rest. Games draw from Python's global random numbers, so each runs in a process of its own.
"""

from typing import Any

from tratree_data.environments import EnvironmentFailure, Outcome, Start, TextEnvironment
from tratree_data.environments.requirements import Requirement, met, package_version, seed_of_task, seed_splits, seed_tasks
from tratree_data.environments.tools import ACT
from tratree_data.errors import BadInputError, NotFoundError, suggest

PROMPT = "Play the game below. An action is one line.\n\nThought: your thoughts.\n\nAction: your next action."


class TextArenaEnvironment(TextEnvironment):
    tools = (ACT,)
    prompt = PROMPT
    max_steps = 100

    def __init__(self, target: str, seeds: int = 1000, steps: int = 100, **options: Any) -> None:
        given = "".join(f", {key}={value}" for key, value in options.items())
        self.version = f"textarena {met(self.requirements()[0])}{given}"
        self.name, self.seeds, self.max_steps = f"textarena:{target}", seeds, steps
        self.game = _make(target, options)
        self.over, self.rewards = True, dict[int, float]()

    @classmethod
    def requirements(cls) -> list[Requirement]:
        return [Requirement("textarena", package_version("textarena"), "pip install textarena")]

    def splits(self) -> dict[str, int]:
        return seed_splits(self.seeds)

    def tasks(self, split: str) -> list[str]:
        return seed_tasks(self.name, split, self.seeds)

    def reset(self, task_id: str, seed: int = 0) -> Start:
        number = seed_of_task(self.name, task_id)
        try:
            self.game.reset(num_players=1, seed=number)
        except AssertionError as error:
            raise BadInputError(
                f"{self.name} cannot be played by one agent: {error}.\n"
                "Next: choose one of TextArena's games for one player, such as Sudoku-v0"
            ) from error
        self.over, self.rewards = False, {}
        messages = self._messages()
        prompts = [text for kind, text in messages if kind == "PROMPT"]
        return Start("\n".join(prompts), "\n".join(text for kind, text in messages if kind != "PROMPT"))

    def step(self, action: str) -> Outcome:
        if self.over:
            raise EnvironmentFailure("environment_error", f"{self.name} has no episode: call reset first")
        done, _ = self.game.step(action)
        self.over = bool(done)
        seen = [text for kind, text in self._messages() if kind != "PLAYER_ACTION"]
        refused = any("attempted an invalid move" in text for text in seen)
        if done:
            self.rewards, facts = self.game.close()
            mine = facts.get(0, {})
            refused = bool(mine.get("invalid_move"))
            seen.append(str(mine.get("reason") or ""))
        return Outcome("\n".join(filter(None, seen)), self.over, self.score(), valid=not refused)

    def score(self) -> float:
        return min(1.0, max(0.0, float((self.rewards or {}).get(0, 0.0))))

    def _messages(self) -> list[tuple[str, str]]:
        """(kind, text) of what is new."""
        _, seen = self.game.get_observation()
        return [(kind.name, str(text).strip()) for _, text, kind in seen]


def _make(target: str, options: dict[str, Any]) -> Any:
    import textarena
    from textarena.envs.registration import ENV_REGISTRY

    raw = f"{target.removesuffix('-raw')}-raw"
    if target not in ENV_REGISTRY or raw not in ENV_REGISTRY:
        raise NotFoundError(f"TextArena has no game {target!r}.{suggest(target, ENV_REGISTRY)}\nNext: name one, such as Sudoku-v0")
    try:
        game = textarena.make(raw, **options)
    except Exception as error:  # games load word lists and models when they are made
        said = next((line.strip() for line in str(error).splitlines() if any(map(str.isalnum, line))), type(error).__name__)
        raise NotFoundError(
            f"TextArena cannot make {target!r}: {said.rstrip('.')}.\nNext: install what it names; games with words need data of NLTK"
        ) from error
    for wrapper in ENV_REGISTRY[target].default_wrappers or ():
        if issubclass(wrapper, textarena.ActionWrapper):
            game = wrapper(game)
    return game
