"""What an evaluation and a comparison depend on besides the models."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from tratree_data.errors import BadInputError
from tratree_data.system.settings import Setting, Settings

METRICS = ("reward", "success", "steps", "invalid_actions")


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings(Settings):
    split: Annotated[str, Setting("Split of the tasks.")] = "test"
    tasks: Annotated[int | tuple[str, ...] | None, Setting("The first N tasks of the split; all by default.", minimum=1)] = None
    seeds: Annotated[int, Setting("Sampling seeds; with more than one, the model samples at temperature 1.", minimum=1)] = 1
    best_of: Annotated[int, Setting("Attempts per task; the best score counts.", minimum=1)] = 1
    agent: Annotated[str, Setting("What runs the model: transformers, cached or vllm.")] = "transformers"
    temperature: Annotated[float | None, Setting("Sampling temperature; 0 for one seed and one attempt, else 1.", minimum=0)] = None
    max_tokens: Annotated[int, Setting("Maximum length of an answer, in tokens.", minimum=1)] = 512
    max_steps: Annotated[int | None, Setting("Steps per episode; the environment's own limit by default.", minimum=1)] = None
    data: Annotated[str | None, Setting("The environment's data folder.")] = None
    options: Annotated[tuple[str, ...] | dict[str, Any], Setting("key=value for the environment itself.", option="option")] = ()
    concurrent: Annotated[int | None, Setting("Episodes at once.", minimum=1, recorded=False)] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.heat == 0 and (self.seeds > 1 or self.best_of > 1):
            raise BadInputError(
                "At temperature 0 every seed and every attempt is the same.\nNext: --temperature 0.7, or --seeds 1 --best-of 1"
            )

    @property
    def heat(self) -> float:
        """The temperature, by default 0 for one attempt and 1 for several."""
        if self.temperature is not None:
            return self.temperature
        return 1.0 if self.seeds > 1 or self.best_of > 1 else 0.0

    def exploration(self) -> dict[str, Any]:
        """What `explore` is called with for each seed."""
        from tratree_data.agents import read_options

        same = {name: getattr(self, name) for name in ("split", "tasks", "max_tokens", "max_steps", "data", "concurrent")}
        options = self.options if isinstance(self.options, dict) else read_options(self.options, "--option")
        return {**same, "temperature": self.heat, "options": options}


@dataclass(frozen=True, kw_only=True)
class CompareSettings(Settings):
    metric: Annotated[Literal["reward", "success", "steps", "invalid_actions"], Setting("Quantity to compare.")] = "reward"
    best_of: Annotated[
        tuple[int, int] | None, Setting("Attempts per task of A and of B, of which the best counts; by default as evaluated.")
    ] = None
    power: Annotated[
        float | None, Setting("Also estimate how many runs it takes to detect a difference of this size.", metavar="DIFFERENCE")
    ] = None
