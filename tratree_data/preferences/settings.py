"""What pairs and demonstrations depend on besides the trees."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from tratree_data.errors import BadInputError, suggest
from tratree_data.system.settings import EngineSetting, Setting, Settings, WorkersSetting

PAIR_KINDS = ("divergence", "step", "siblings", "unstructured", "expert", "anchor")
"""candidates.py has the rule of each, schemas/pairs.sql what it means; the first is the default, as below."""
DEMONSTRATION_KINDS = ("path", "best", "success", "expert")
"""demonstrations.py has the rule of each, schemas/demonstrations.sql what it means."""
EXPERT_HELP = "The agent that counts as the expert."
FORM_HELP = "chat (messages with tool calls) or react (Thought and Action as text); by default that of each tree's log."


@dataclass(frozen=True, kw_only=True)
class PairSettings(Settings):
    kinds: Annotated[Sequence[str], Setting(f"{', '.join(PAIR_KINDS)}.", option="kind")] = PAIR_KINDS[:1]
    form: Annotated[Literal["chat", "react"] | None, Setting(FORM_HELP)] = None
    siblings: Annotated[Literal["adjacent", "all"], Setting("Which pairs of kind siblings: adjacent (neighbours by value), or all.")] = (
        "adjacent"
    )
    anchor_history: Annotated[str, Setting("For pairs of kind anchor: history of the states (0, 1, …) to compare steps in.")] = "0"
    min_margin: Annotated[float, Setting("Minimum difference of scores.", minimum=0, maximum=1)] = 0.0
    min_visits: Annotated[int, Setting("Scored rollouts that each side needs.", minimum=1)] = 1
    separated_only: Annotated[bool, Setting("Keep only pairs whose sides' 95 % intervals do not overlap.")] = False
    max_steps: Annotated[int | None, Setting("Maximum length of a continuation, in steps.", minimum=1)] = None
    max_pairs_per_node: Annotated[int | None, Setting("Maximum pairs per node and kind, best supported margins first.", minimum=1)] = None
    max_pairs_per_task: Annotated[int | None, Setting("Maximum pairs per task and kind, best supported margins first.", minimum=1)] = None
    balance: Annotated[bool, Setting("Limit each task, per kind, to the pairs of the median task.")] = False
    keep_duplicates: Annotated[bool, Setting("Keep pairs of a task that have the same text.")] = False
    labels: Annotated[Literal["contrast", "all", "none"], Setting("Steps to label.")] = "contrast"
    expert: Annotated[str, Setting(EXPERT_HELP)] = "expert"
    seed: Annotated[int, Setting("Seed of the random partners in unstructured pairs.")] = 0
    engine: EngineSetting = "local"
    workers: WorkersSetting = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "kinds", check_kinds(self.kinds, PAIR_KINDS, "pair"))


@dataclass(frozen=True, kw_only=True)
class DemonstrationSettings(Settings):
    kinds: Annotated[Sequence[str], Setting(f"{', '.join(DEMONSTRATION_KINDS)}.", option="kind")] = DEMONSTRATION_KINDS[:1]
    form: Annotated[Literal["chat", "react"] | None, Setting(FORM_HELP)] = None
    success_only: Annotated[bool, Setting("Keep only trajectories that solved their task.")] = False
    min_score: Annotated[float | None, Setting("Minimum score.", minimum=0, maximum=1)] = None
    replayed_only: Annotated[bool, Setting("Keep only paths that a replay confirmed.")] = False
    max_refused: Annotated[int | None, Setting("Keep only trajectories with at most this many refused actions.", minimum=0)] = None
    keep_duplicates: Annotated[bool, Setting("Keep trajectories of a task that have the same text.")] = False
    expert: Annotated[str, Setting(EXPERT_HELP)] = "expert"
    engine: EngineSetting = "local"
    workers: WorkersSetting = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "kinds", check_kinds(self.kinds, DEMONSTRATION_KINDS, "demonstration"))


def check_kinds(kinds: Sequence[str], known: Sequence[str], noun: str) -> tuple[str, ...]:
    """Each kind once, in the order given."""
    if not kinds:
        raise BadInputError(f"At least one kind of {noun} is needed: {', '.join(known)}.\nNext: --kind {known[0]}")
    for kind in kinds:
        if kind not in known:
            raise BadInputError(f"Unknown kind of {noun}: {kind!r}.{suggest(kind, known)}\nNext: --kind {known[0]}")
    return tuple(dict.fromkeys(kinds))
