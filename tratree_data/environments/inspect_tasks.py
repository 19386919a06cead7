"""Inspect's tasks, as `inspect:module:task` or `inspect:file.py:task`: their samples, solvers, tools and scorers.

Inspect runs the sample; where it would ask a model, it asks the agent (called_model.py). A scorer that asks the evaluated model asks the
agent, too.
"""

import os
import tempfile
from typing import Any

from tratree_data.environments.called_model import MODEL, CallingEnvironment
from tratree_data.environments.requirements import Requirement, met, package_version, split_tasks, unknown_task
from tratree_data.errors import BadInputError
from tratree_data.system.user_code import load_named


class InspectEnvironment(CallingEnvironment):
    def __init__(self, target: str, scorer: str = "", steps: int = 50, **options: Any) -> None:
        self.version = f"inspect-ai {met(self.requirements()[0])}"
        os.environ.setdefault("INSPECT_DISPLAY", "none")  # of this environment's own process
        super().__init__()
        self.name, self.scorer, self.max_steps = f"inspect:{target}", scorer, steps
        self.version += "".join(f", {key}={value}" for key, value in options.items())
        self.task = load_named(target, "task")(**options)
        self.samples = {str(number if one.id is None else one.id): one for number, one in enumerate(self.task.dataset, 1)}
        self.prompt = ""

    @classmethod
    def requirements(cls) -> list[Requirement]:
        return [Requirement("inspect-ai", package_version("inspect-ai"), "pip install inspect-ai openai")]

    def splits(self) -> dict[str, int]:
        return {"test": len(self.samples)}

    def tasks(self, split: str) -> list[str]:
        return split_tasks(self.name, split, {"test": list(self.samples)})

    async def run_task(self, task_id: str, seed: int, url: str, key: str) -> float | None:
        from inspect_ai import eval_async
        from inspect_ai.model import get_model

        if task_id not in self.samples:
            raise unknown_task(self.name, task_id, next(iter(self.samples), "1"))
        model = get_model(f"openai-api/{MODEL}/{MODEL}", base_url=url, api_key=key, memoize=False)
        chosen = self.samples[task_id].id
        with tempfile.TemporaryDirectory(prefix="tratree-") as logs:
            asked: dict[str, Any] = {"sample_id": chosen} if chosen is not None else {"limit": (int(task_id) - 1, int(task_id))}
            (log,) = await eval_async(self.task, model=model, log_dir=logs, epochs=1, max_retries=0, fail_on_error=True, **asked)
            if log.error is not None or not log.samples:
                raise RuntimeError(log.error.message if log.error else "no sample was run")
            return self._score(log.samples[0].scores or {})

    def _score(self, scores: dict[str, Any]) -> float | None:
        from inspect_ai.scorer import value_to_float

        if not scores:
            return None
        if self.scorer and self.scorer not in scores:
            raise BadInputError(f"{self.name} has no scorer {self.scorer!r}.\nNext: --option scorer={next(iter(scores))}")
        return float(value_to_float()(scores[self.scorer or next(iter(scores))].value))
