"""What states and credits depend on besides the rollouts."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Annotated

from tratree_data.errors import BadInputError, suggest
from tratree_data.system.settings import EngineSetting, Setting, Settings, WorkersSetting
from tratree_data.trees.settings import parse_similarity

ALL = "all"
METHODS = ("return", "grpo", "tree-grpo", "gigpo", "gigpo-mean", "hgpo", "g2po", "graphgpo", "loo", "td", "progress", "awr", "rwr")
METHOD, STATES = "Credit", "States"


@dataclass(frozen=True, kw_only=True)
class StatesSettings(Settings):
    history: Annotated[
        Sequence[str], Setting("Steps before that must be the same too: 0 (the observation alone), 1, 2, …, or all.", panel=STATES)
    ] = ("0",)
    normalise: Annotated[
        Sequence[str], Setting("What comparing ignores, as in build; by default what the trees were built with.", panel=STATES)
    ] = ()
    min_similarity: Annotated[
        float | str | None,
        Setting("Minimum cosine of observations that count as one; auto calibrates it; by default they must be equal.", panel=STATES),
    ] = None
    embedder: Annotated[
        str, Setting("The embedder for --min-similarity, as in build; auto: the one that the trees were built with, if any.", panel=STATES)
    ] = "auto"
    method: Annotated[Sequence[str], Setting(f"{', '.join(METHODS)} (docs/states.md).", panel=METHOD)] = ("return", "gigpo")
    discount: Annotated[float, Setting("γ: discount of the score per step, above 0 and at most 1.", panel=METHOD)] = 0.95
    omega: Annotated[float, Setting("ω: weight of the step's advantage in gigpo, g2po and graphgpo.", minimum=0, panel=METHOD)] = 1.0
    decay: Annotated[float, Setting("Discount per step to a solved end in graphgpo, from 0 to 1.", panel=METHOD)] = 0.1
    alpha: Annotated[float, Setting("α: how strongly hgpo prefers longer histories.", minimum=0, panel=METHOD)] = 1.0
    beta: Annotated[float, Setting("β: temperature of the weights of awr and rwr, above 0.", panel=METHOD)] = 0.5
    replace: Annotated[bool, Setting("Keep only these histories and methods; remove those of earlier runs.", recorded=False)] = False
    engine: EngineSetting = "local"
    workers: WorkersSetting = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "min_similarity", parse_similarity(self.min_similarity))
        given = self.history if isinstance(self.history, Sequence) and not isinstance(self.history, str) else (self.history,)
        object.__setattr__(self, "history", tuple(sorted({_history(one) for one in given}, key=depth)))
        object.__setattr__(self, "method", tuple(dict.fromkeys(self.method)))
        for name in self.method:
            if name not in METHODS:
                raise BadInputError(f"Unknown method {name!r}.{suggest(name, METHODS)}\nNext: --method gigpo")
        if not isfinite(self.discount) or not 0 < self.discount <= 1:
            raise BadInputError(f"discount must be above 0 and at most 1, not {self.discount:g}.\nNext: --discount 0.95")
        if not 0 < self.decay < 1:
            raise BadInputError(f"decay must be between 0 and 1, not {self.decay:g}.\nNext: --decay 0.1")
        if not isfinite(self.beta) or self.beta <= 0:
            raise BadInputError(f"beta must be above 0, not {self.beta:g}.\nNext: --beta 0.5")


def depth(history: str) -> float:
    """How many steps, so that histories can be ordered."""
    return float("inf") if history == ALL else int(history)


def _history(given: object) -> str:
    text = str(given)
    if text == ALL or (text.isdecimal() and int(text) < 1000):
        return text if text == ALL else str(int(text))
    raise BadInputError(f"history must be a number of steps or all, not {text!r}.\nNext: --history 0, or --history all")
