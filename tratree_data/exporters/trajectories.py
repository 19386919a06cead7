"""Rollouts with their steps, one after the other, and the metadata of every exported trajectory."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from tratree_data.files import read_text
from tratree_data.importers.metadata_fields import EXPORTER
from tratree_data.importers.turns.chat import is_aside
from tratree_data.messages import messages_of_steps, rollout_tools
from tratree_data.store.reader import Store

ROWS_PER_BATCH = 5_000
FACTS = (
    "rollout_id", "environment", "environment_version", "split", "task_id", "attempt", "instruction", "agent", "model", "sampling", "score",
    "success", "end_reason", "seconds", "prompt_tokens", "completion_tokens", "trajectory_id",
)  # fmt: skip


@dataclass(frozen=True)
class Trajectory:
    """A rollout as a row of `rollouts`, and its steps in order."""

    rollout: dict[str, Any]
    steps: list[dict[str, Any]]

    @property
    def opening(self) -> str:
        """The text to put before the first observation so that a reader knows the task; empty if the observation contains it."""
        instruction = self.rollout["instruction"]
        return f"{instruction}\n\n" if instruction.strip() and instruction.strip() not in self.steps[0]["observation"] else ""

    @property
    def is_chat(self) -> bool:
        """Whether its messages contain more than its texts."""
        kept = (step[name] for step in self.steps for name in ("input_messages", "output_message"))
        return any(part is not None for part in (*kept, self.rollout["end_messages"], self.rollout["tools"]))

    def messages(self) -> list[dict[str, Any]]:
        """The conversation as it was; calls as {"id", "name", "arguments"}."""
        end = self.rollout["end_observation"] if self.rollout["end_messages"] is None else self.rollout["end_messages"]
        return messages_of_steps(self.rollout["prompt"], self.steps, end)

    def asides(self) -> list[int]:
        """Positions of messages that the agent's program wrote in the user's name, if their text does not show it.

        No observation contains them, unless there was no other message.
        """
        seen = [str(step["observation"]) for step in self.steps] + [str(self.rollout["end_observation"])]
        said: list[list[tuple[int, dict[str, Any]]]] = [[]]
        for place, message in enumerate(self.messages()):
            said += [[]] if message["role"] == "assistant" else []
            said[-1] += [(place, message)] if message["role"] == "user" else []
        places = []
        for heard, observation in zip(said, seen, strict=True):
            is_all = any(is_aside(message) and (message["content"] or "") in observation for _, message in heard)
            places += [
                place for place, message in heard if not is_aside(message) and (is_all or (message["content"] or "") not in observation)
            ]
        return places

    @property
    def tools(self) -> list[Any] | None:
        return rollout_tools(self.rollout["tools"])

    def facts(self, opening: str) -> dict[str, Any]:
        """The trajectory's columns as free metadata with a hash, so that our importer reads back exactly what was written."""
        facts = {name: self.rollout[name] for name in FACTS if self.rollout[name] not in (None, "")}
        facts |= {"form": "chat", "tools": self.tools} if self.is_chat else {}
        asides = self.asides() if self.is_chat else []
        facts |= {"asides": asides} if asides else {}
        return facts | {"exporter": EXPORTER, "opening_characters": len(opening)}

    def observation_after(self, step: int) -> str:
        return str(self.steps[step + 1]["observation"] if step + 1 < len(self.steps) else self.rollout["end_observation"])

    def step_facts(self, step: int) -> dict[str, Any]:
        return {name: self.steps[step][name] for name in ("reward", "valid", "response") if self.steps[step][name] is not None}


def read_trajectories(store: Store) -> Iterator[Trajectory]:
    """In the order of environment, task, attempt and rollout_id; only a batch of rows is in memory as objects."""
    store.need("rollouts", "steps")
    reader = store.stream(read_text("sql", "trajectories.sql"), ROWS_PER_BATCH)
    rows = (row for batch in reader for row in batch.to_pylist())
    for _, group in groupby(rows, key=lambda row: row["rollout_id"]):
        steps = list(group)
        yield Trajectory(steps[0], steps)
