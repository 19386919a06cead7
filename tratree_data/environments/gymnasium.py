"""Gymnasium's environments that read and write text, as `gymnasium:ENV_ID`.

A task is a seed: `reset(seed=…)` and the same actions show the same again. Actions are texts, or the names of a Discrete space;
observations are texts, or what the environment prints (`render_mode="ansi"`).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tratree_data.environments import Outcome, Start, TextEnvironment
from tratree_data.environments.requirements import Requirement, met, package_version, seed_of_task, seed_splits, seed_tasks
from tratree_data.environments.returns import scaled_return
from tratree_data.environments.tools import ACT
from tratree_data.errors import BadInputError, NotFoundError

STEPS = 100
"""The step limit of an environment that has none of its own."""

DEFAULTS = {"low": 0.0, "high": 1.0, "actions": "", "prompt": "", "steps": 0}


class GymnasiumEnvironment(TextEnvironment):
    tools = (ACT,)

    def __init__(
        self,
        target: str,
        actions: str = "",
        low: float = 0.0,
        high: float = 1.0,
        seeds: int = 1000,
        prompt: str = "",
        steps: int = 0,
        **options: Any,
    ) -> None:
        met(GymnasiumEnvironment.requirements()[0])
        self.name, self.low, self.high, self.seeds = f"gymnasium:{target}", low, high, seeds
        self.gym = self._make(target, options)
        self.actions = _action_names(self.gym.action_space, actions)
        spec = self.gym.spec
        self.max_steps = steps or (spec.max_episode_steps if spec else None) or STEPS
        self.prompt = prompt or self._prompt(target)
        chosen = {"low": low, "high": high, "actions": actions, "prompt": prompt, "steps": steps, **options}
        given = "".join(f", {key}={value}" for key, value in chosen.items() if value != DEFAULTS.get(key))
        self.version = f"gymnasium {package_version('gymnasium')}, {_package(self.gym)}{given}"
        self.earned, self.won, self.info = 0.0, False, dict[str, Any]()

    @classmethod
    def requirements(cls) -> list[Requirement]:
        return [Requirement("gymnasium", package_version("gymnasium"), "pip install gymnasium")]

    def splits(self) -> dict[str, int]:
        return seed_splits(self.seeds)

    def tasks(self, split: str) -> list[str]:
        return seed_tasks(self.name, split, self.seeds)

    def reset(self, task_id: str, seed: int = 0) -> Start:
        self.earned, self.won = 0.0, False
        seen, self.info = self.gym.reset(seed=seed_of_task(self.name, task_id))
        return Start(self._instruction(seen), self._text(seen))

    def step(self, action: str) -> Outcome:
        chosen, problem = self._action(action)
        if problem:
            return Outcome(problem, False, 0.0, valid=False)
        seen, reward, terminated, truncated, self.info = self.gym.step(chosen)
        self.earned += float(reward)
        self.won = any(bool(self.info.get(key)) for key in ("success", "is_success", "won"))
        return Outcome(self._text(seen), bool(terminated or truncated), float(reward), valid=not self._refused(seen))

    def score(self) -> float:
        return scaled_return(self.name, self.earned, self.low, self.high)

    def success(self) -> bool:
        return self.won or self.score() >= 1.0

    def admissible_actions(self) -> list[str] | None:
        listed = self.info.get("admissible_commands") or self.info.get("valid_actions")
        return list(self.actions) if self.actions else sorted(map(str, listed)) if isinstance(listed, Sequence) else None

    def close(self) -> None:
        self.gym.close()

    def _make(self, target: str, options: Mapping[str, Any]) -> Any:
        return make_gym(target, options)

    def _prompt(self, target: str) -> str:
        choices = f"The actions are: {', '.join(self.actions)}." if self.actions else "An action is one line of text."
        return f"You act in {target}. {choices}\n\nThought: your thoughts.\n\nAction: your next action."

    def _action(self, action: str) -> tuple[Any, str]:
        if not self.actions:
            refused = not self.gym.action_space.contains(action)
            return action, f"This action is not possible: {_limits(self.gym.action_space)}." if refused else ""
        number = self.actions.get(action.strip().lower())
        return number, "" if number is not None else f"This action is not possible. Possible: {', '.join(self.actions)}."

    def _instruction(self, seen: Any) -> str:
        goal = seen.get("mission") or seen.get("goal") if isinstance(seen, Mapping) else None
        return str(goal or self.info.get("instruction") or self.info.get("objective") or "").strip()

    def _refused(self, seen: Any) -> bool:
        """Whether the environment itself says that it could not carry out the action."""
        return isinstance(seen, Mapping) and bool(seen.get("last_action_error"))

    def _text(self, seen: Any) -> str:
        from gymnasium.spaces import Text

        space = self.gym.observation_space
        if isinstance(seen, str):
            return seen.strip()
        if self.gym.render_mode == "ansi":
            return _uncoloured(str(self.gym.render())).strip()
        if isinstance(seen, Mapping) and any(isinstance(part, Text) for part in space.values()):
            return "\n".join(f"{name}: {value}" for name, value in seen.items()).strip()
        return str(space.to_jsonable([seen])[0])


def make_gym(target: str, options: Mapping[str, Any]) -> Any:
    import gymnasium

    try:
        spec = gymnasium.spec(target.rpartition(":")[2]) if ":" not in target else None
        if spec is not None and "render_mode" not in options and _prints(spec):
            options = {**options, "render_mode": "ansi"}
        return gymnasium.make(target, **options)
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        raise NotFoundError(
            f"Gymnasium cannot make {target!r}: {error}.\n"
            "Next: name an id of `gymnasium.pprint_registry()`, or module:id with the module on PYTHONPATH"
        ) from error


def _prints(spec: Any) -> bool:
    """Whether the environment can print itself; its class says so."""
    from gymnasium.envs.registration import load_env_creator

    creator = spec.entry_point if callable(spec.entry_point) else load_env_creator(spec.entry_point)
    return "ansi" in (getattr(creator, "metadata", None) or {}).get("render_modes", ())


def _action_names(space: Any, named: str) -> dict[str, int]:
    """The names of a Discrete space; none for texts."""
    from gymnasium.spaces import Discrete, Text

    if isinstance(space, Discrete):
        names = [name.strip().lower() for name in named.split("|")] if named else [str(int(space.start) + i) for i in range(int(space.n))]
        if len(names) != int(space.n):
            raise BadInputError(
                f"The environment has {space.n} actions, but {len(names)} names.\nNext: --option 'actions=left|down|right|up'"
            )
        return {name: int(space.start) + i for i, name in enumerate(names)}
    if isinstance(space, Text) or type(space).__module__.partition(".")[0] != "gymnasium":
        return {}
    raise BadInputError(
        f"Actions of {type(space).__name__} cannot be written as text.\nNext: choose an environment whose actions are Text or Discrete"
    )


def _limits(space: Any) -> str:
    return (
        f"it must have {space.min_length} to {space.max_length} characters of the environment's alphabet"
        if hasattr(space, "max_length")
        else str(space)
    )


def _package(gym: Any) -> str:
    """The distribution that the environment comes from, with its version."""
    package = type(gym.unwrapped).__module__.partition(".")[0]
    found = package_version(package)
    return f"{package} {found}" if found and package != "gymnasium" else type(gym.unwrapped).__name__


def _uncoloured(text: str) -> str:
    """Replaces terminal colours, which may be all that marks the agent's place, with [brackets]."""
    return re.sub(r"\x1b\[[\d;]*m(.*?)\x1b\[0?m", r"[\1]", text)
