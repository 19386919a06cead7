"""What `tratree reproduce` takes besides a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from tratree_data.errors import BadInputError
from tratree_data.system.settings import Setting, Settings


@dataclass(frozen=True, kw_only=True)
class ReproduceSettings(Settings):
    scale: Annotated[
        str, Setting("short (5 minutes), tabular (200 seeds), miniature (an hour per seed), pretrained, paper, or any recipe.")
    ] = "short"
    environment: Annotated[str, Setting("One of the recipe's environments.")] = ""
    seeds: Annotated[str | tuple[int, ...], Setting("Training seeds, such as 0,1,2 or 0..19; the recipe's own, or 0, by default.")] = ""
    processes: Annotated[int, Setting("Seeds at once.", minimum=1, recorded=False)] = 1
    arms: Annotated[Sequence[str], Setting("Run only this arm of the recipe.", option="arm")] = ()
    dry_run: Annotated[bool, Setting("Check this machine and print the plan with its estimates.", recorded=False)] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "seeds", parse_seeds(self.seeds) if isinstance(self.seeds, str) else self.seeds)

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        return tuple(int(seed) for seed in self.seeds)


def parse_seeds(text: str) -> tuple[int, ...]:
    """'0,1,2' lists seeds, '0..19' is a range with both ends."""
    seeds: list[int] = []
    try:
        for part in text.split(",") if text else ():
            first, dots, last = part.partition("..")
            seeds += range(int(first), int(last) + 1) if dots else [int(first)]
    except ValueError as error:
        raise BadInputError(f"{text!r} is not a list of seeds.\nNext: --seeds 0,1,2 or --seeds 0..19") from error
    return tuple(seeds)
