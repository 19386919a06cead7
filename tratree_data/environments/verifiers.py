"""Environments of verifiers (0.4 and later: tasksets and harnesses), as `verifiers:ID`, the id that its own commands take.

verifiers runs the task with its own harness; where the harness would ask a model, it asks the agent (called_model.py).
"""

import os
from typing import Any

from tratree_data.environments.called_model import MODEL, CallingEnvironment
from tratree_data.environments.requirements import Requirement, met, package_version, split_tasks, unknown_task
from tratree_data.errors import BadInputError, NotFoundError

KEY_VARIABLE = "TRATREE_AGENT_KEY"
"""Where verifiers finds the key of the episode's endpoint, in this environment's own process."""
MOST_TASKS = 1000
"""Number of tasks to use of an endless taskset."""


class VerifiersEnvironment(CallingEnvironment):
    def __init__(self, target: str, harness: str = "null", steps: int = 50, tasks: int = MOST_TASKS, **options: Any) -> None:
        self.version = f"verifiers {met(self.requirements()[0])}, harness {harness}"
        super().__init__()
        self.name, self.max_steps = f"verifiers:{target}", steps
        self.version += "".join(f", {key}={value}" for key, value in options.items())
        self.env = _load(target, harness, options)
        self.rows = {str(row.data.idx): row for row in self.env.taskset.take(tasks)}
        self.prompt = ""

    @classmethod
    def requirements(cls) -> list[Requirement]:
        return [Requirement("verifiers", package_version("verifiers"), "pip install verifiers uv")]

    def splits(self) -> dict[str, int]:
        return {"train": len(self.rows)}

    def tasks(self, split: str) -> list[str]:
        return split_tasks(self.name, split, {"train": list(self.rows)})

    async def run_task(self, task_id: str, seed: int, url: str, key: str) -> float | None:
        import verifiers.v1 as vf

        if task_id not in self.rows:
            raise unknown_task(self.name, task_id, next(iter(self.rows), "0"))
        os.environ[KEY_VARIABLE] = key
        context = vf.ModelContext(model=MODEL, client=vf.EvalClientConfig(base_url=url, api_key_var=KEY_VARIABLE))
        async with self.env.serving():
            (slot,) = self.env.slots(self.rows[task_id])
            episode = await self.env.run_slot(slot, context)
        errors = [*episode.errors, *(error for trace in episode.traces for error in trace.errors)]
        if not episode.ok:
            raise RuntimeError(errors[0].message if errors else "the episode did not end well")
        rewards = [trace.reward for trace in episode.traces]
        return float(sum(rewards) / len(rewards))


def _load(target: str, harness: str, options: dict[str, Any]) -> Any:
    try:
        from verifiers.v1.utils.loaders import load_environment, resolve_env_config
    except ModuleNotFoundError as error:
        raise BadInputError("This needs verifiers 0.4 or later.\nNext: pip install --upgrade verifiers uv") from error
    agent = {"harness": {"id": harness}, "runtime": {"type": "subprocess"}}
    try:
        return load_environment(resolve_env_config({"taskset": {"id": target, **options}, "agent": agent}))
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise NotFoundError(
            f"verifiers cannot load {target!r}: {said}.\nNext: pip install the environment's package, and name its id"
        ) from error
