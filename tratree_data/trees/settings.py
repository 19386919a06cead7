"""What building trees depends on besides the rollouts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from tratree_data.errors import BadInputError
from tratree_data.system.settings import EngineSetting, Setting, Settings

AUTO = "auto"
EMBEDDERS = ("exact", "lexical", "minilm")
"""embedders.py has each; any other name is that of a sentence-transformers model."""


@dataclass(frozen=True, kw_only=True)
class BuildSettings(Settings):
    embedder: Annotated[
        str, Setting(f"{', '.join(EMBEDDERS)}, or any sentence-transformers model; auto: minilm if installed, else lexical.")
    ] = AUTO
    min_similarity: Annotated[
        float | str | None, Setting("Minimum cosine of observations that merge; auto calibrates it; the embedder's own by default.")
    ] = None
    normalise: Annotated[
        Sequence[str], Setting("What comparing observations ignores: a preset, PATTERN=>REPLACEMENT, or auto to learn it from the log.")
    ] = ()
    normalise_actions: Annotated[
        Sequence[str],
        Setting("What comparing actions ignores: cd-prefix, quoting, argument-order, a pattern, or auto to learn it."),
    ] = ()
    engine: EngineSetting = "local"
    workers: Annotated[int | None, Setting("Worker processes; by default threads or one per core.", minimum=1, recorded=False)] = None
    chunk_steps: Annotated[int, Setting("Steps that a worker holds in memory at once.", minimum=1, recorded=False)] = 150_000

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "min_similarity", parse_similarity(self.min_similarity))


def parse_similarity(given: float | str | None) -> float | str | None:
    """A cosine, AUTO, or None for the embedder's own."""
    if given is None or given == AUTO:
        return given
    try:
        value = float(given)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise BadInputError(
            f"min_similarity must be auto or from 0 to 1, not {given!r}.\nNext: --min-similarity auto, or compare: tratree audit DIR"
        )
    return value
