"""What an exploration depends on besides the environment: agents, tasks, sampling, limits, and how it runs."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Any

from tratree_data.errors import BadInputError
from tratree_data.system.settings import PYTHON_ONLY, Engine, Setting, Settings

SAMPLING, BRANCHING, RUNNING = "Sampling", "Branching", "Running"


@dataclass(frozen=True)
class ExploreSettings(Settings):
    """The agents' sampling and the environment's options are recorded as they are resolved (planning.py: `recorded_settings`)."""

    agent: Annotated[
        Sequence[Any] | Any,
        Setting(
            "Agent as name:key=value,…, such as scripted, openai, vllm, transformers, expert or transcript, or your own as "
            "module:Class or file.py:function; scripted by default.",
            recorded=False,
        ),
    ] = ("scripted",)
    attempts: Annotated[int, Setting("Attempts of each agent at each task.", minimum=1)] = 7
    _: KW_ONLY
    tasks: Annotated[int | Sequence[str] | None, Setting("The first N tasks of the split; all by default.", minimum=1, recorded=False)] = (
        None
    )
    split: Annotated[str, Setting("Split of the tasks.")] = "train"
    data: Annotated[str | Path | None, Setting("The environment's data folder.", recorded=False)] = None
    options: Annotated[
        Sequence[str] | Mapping[str, Any],
        Setting("key=value for the environment itself, such as noise=true.", recorded=False, option="option"),
    ] = ()
    max_steps: Annotated[int | None, Setting("Steps per rollout, if fewer than the environment's own limit.", minimum=1)] = None
    max_invalid_actions: Annotated[int, Setting("Invalid actions in a row that end a rollout.", minimum=1)] = 10
    temperature: Annotated[
        str | float,
        Setting(
            "Temperature: 0.7, or a list 0.2,0.7,1.0 or ramp 0.2..1.4/7 that the attempts cycle through.", recorded=False, panel=SAMPLING
        ),
    ] = "1.0"
    top_p: Annotated[str | float, Setting("Top-p: a number, or a list or ramp as for --temperature.", recorded=False, panel=SAMPLING)] = (
        "1.0"
    )
    max_tokens: Annotated[int, Setting("Maximum length of an answer, in tokens.", minimum=1, recorded=False, panel=SAMPLING)] = 512
    seed: Annotated[int, Setting("Seed of every request.", recorded=False, panel=SAMPLING)] = 0
    branch_from: Annotated[
        str | None,
        Setting("Start from nodes of the trees: divergences, uncertain, unsolved, or a SELECT of node_id and priority.", panel=BRANCHING),
    ] = None
    budget: Annotated[
        int, Setting("Attempts that --branch-from distributes, at most --attempts of them per node.", minimum=1, panel=BRANCHING)
    ] = 100
    engine: Annotated[Engine, Setting("local (this machine) or ray.", recorded=False, panel=RUNNING)] = "local"
    concurrent: Annotated[
        int | None, Setting("Episodes at once; by default 32, or fewer if each needs a process.", minimum=1, recorded=False, panel=RUNNING)
    ] = None
    processes: Annotated[
        int | None,
        Setting("Processes for scripted agents, or Ray's workers; one per core by default.", minimum=1, recorded=False, panel=RUNNING),
    ] = None
    time_out: Annotated[
        float, Setting("Replace an environment that does not respond for this many seconds.", minimum=0, recorded=False, panel=RUNNING)
    ] = 120.0
    commit_rollouts: Annotated[
        int,
        Setting(
            "Commit finished rollouts in batches of this many, or earlier after --commit-seconds.", minimum=1, recorded=False, panel=RUNNING
        ),
    ] = 1000
    commit_seconds: Annotated[
        float, Setting("Commit finished rollouts at least every so many seconds.", minimum=0, recorded=False, panel=RUNNING)
    ] = 10.0
    retry_failed: Annotated[bool, Setting("Retry attempts that failed for technical reasons.", recorded=False, panel=RUNNING)] = False

    def __post_init__(self) -> None:
        if isinstance(self.agent, str) or not isinstance(self.agent, Sequence):
            object.__setattr__(self, "agent", (self.agent,))
        super().__post_init__()
        if not self.agent:
            raise BadInputError("No agent was named.\nNext: --agent scripted")

    @property
    def environment_options(self) -> dict[str, Any]:
        """The options and the data folder, as the environment's class takes them."""
        from tratree_data.agents import read_options

        options = dict(self.options) if isinstance(self.options, Mapping) else read_options(self.options, "--option")
        return options if self.data is None else options | {"data": str(self.data)}


@dataclass(frozen=True)
class VerifySettings(ExploreSettings):
    """Settings of `tratree verify`; agents and limits must be those of the dataset, so that the decisions are the same agent's."""

    attempts: Annotated[int, Setting("Attempts per side before the decisions are ranked again.", minimum=1)] = 4
    _: KW_ONLY
    branch_from: Annotated[str | None, Setting("", option=PYTHON_ONLY)] = "sides"
    budget: Annotated[int, Setting("Total number of attempts.", minimum=1, panel=BRANCHING)] = 100
