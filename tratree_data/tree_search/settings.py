"""What search and replay depend on besides the trees."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any, Literal

from tratree_data.errors import BadInputError
from tratree_data.system.settings import PYTHON_ONLY, EngineSetting, Setting, Settings, WorkersSetting


@dataclass(frozen=True, kw_only=True)
class SearchSettings(Settings):
    simulations: Annotated[int, Setting("Simulations per tree.", minimum=1)] = 100
    exploration: Annotated[float, Setting("γ of equation 7: how strongly to favour rarely tried options.", minimum=0)] = 1.41
    chance: Annotated[
        Literal["optimistic", "expected"],
        Setting("optimistic: every child is the agent's choice (the paper); expected: the environment draws the state."),
    ] = "optimistic"
    extract: Annotated[
        Literal["mean", "lower"],
        Setting("What e* follows: the refined mean (the paper), or its lower confidence bound."),
    ] = "mean"
    discount: Annotated[float, Setting("Discount of node_values.q, above 0 and at most 1.")] = 1.0
    seed: Annotated[int, Setting("Seed for drawing states with --chance expected.")] = 0
    paths: Annotated[int, Setting("Paths per tree.", minimum=1)] = 1
    min_support: Annotated[int, Setting("Minimum scored rollouts that end where a path ends.", minimum=1)] = 1
    threads: Annotated[int | None, Setting("Threads; one per core by default.", minimum=1, recorded=False)] = None
    engine: EngineSetting = "local"
    workers: WorkersSetting = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isfinite(self.discount) or not 0 < self.discount <= 1:
            raise BadInputError(f"discount must be above 0 and at most 1, not {self.discount}.\nNext: --discount 1")


@dataclass(frozen=True, kw_only=True)
class ReplaySettings(Settings):
    """How to replay. What the replays depend on, the environments' options, is recorded as they are resolved."""

    environments: Annotated[
        tuple[str, ...],
        Setting(
            "The class of an environment that is not registered; a class that only the data names is not imported.",
            recorded=False,
            option="environment",
            metavar="MODULE:CLASS",
        ),
    ] = ()
    environment_data: Annotated[Sequence[str], Setting("An environment's data folder.", recorded=False, metavar="[NAME=]FOLDER")] = ()
    environment_options: Annotated[
        Mapping[str, Mapping[str, Any]] | None, Setting("Options per environment.", recorded=False, option=PYTHON_ONLY)
    ] = None
    workers: Annotated[int | None, Setting("Environments to run at once; one per core by default.", minimum=1, recorded=False)] = None
    time_out_seconds: Annotated[
        float, Setting("Replace an environment that does not respond for this many seconds.", recorded=False, option="time-out")
    ] = 120.0
    commit_seconds: Annotated[float, Setting("Seconds between commits of finished replays.", minimum=0, recorded=False)] = 60.0
