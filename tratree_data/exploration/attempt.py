"""What is played: an attempt at a task as it is planned, its limits, and what it leaves behind."""

from dataclasses import dataclass, field

from tratree_data.agents import Step

FAILURES = ("agent_error", "environment_error", "server_unavailable", "time_out")
"""End reasons that say nothing about the agent's skill: such rollouts have no score, and `--retry-failed` retries them."""
ENDS = ("agent_stopped", "context_overflow", "done", "invalid_actions", "max_steps", *FAILURES)


@dataclass(frozen=True)
class Branch:
    """A node to start from: the steps that lead to it, and the environment's seed at the time."""

    node_id: str
    steps: tuple[Step, ...]
    observation: str
    """The observation that must follow the steps."""
    environment_seed: int = 0


@dataclass(frozen=True)
class Attempt:
    """One planned row: everything that defines the attempt except the agent itself."""

    rollout_id: str
    task_id: str
    attempt: int
    agent: int
    sampling: str
    branch: Branch | None = None

    @property
    def environment_seed(self) -> int:
        """The attempt's number, so that the attempts sample an environment's randomness."""
        return self.branch.environment_seed if self.branch else self.attempt


@dataclass(frozen=True)
class Limits:
    """What applies to every attempt of a run."""

    split: str
    max_steps: int | None = None
    max_invalid_actions: int = 10


@dataclass
class Finished:
    """An attempt's rows as they are stored; one that was dropped has a reason and a detail instead."""

    attempt: Attempt
    rollout: dict[str, object] = field(default_factory=dict)
    steps: list[dict[str, object]] = field(default_factory=list)
    dropped: tuple[str, str] | None = None
    replaced: int = 0
    """Characters that the tables cannot hold, now U+FFFD."""
    trouble: str = ""
    """What went wrong, for the run's messages; not stored."""
