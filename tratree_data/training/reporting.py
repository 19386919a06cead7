"""Progress of a training: a bar in a terminal, a line every half minute in the log of a batch job."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import PrinterCallback, TrainerCallback

from tratree_data.system.progress import progress

SECONDS_PER_LINE = 30.0


class Reporter(TrainerCallback):  # type: ignore[misc]
    """Advances the bar, or writes a line regularly; everything goes to stderr."""

    def __init__(self, advance: Any) -> None:
        self.advance, self.said = advance, time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.advance(1)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if "loss" not in (logs or {}) or sys.stderr.isatty() or time.monotonic() - self.said < SECONDS_PER_LINE:
            return
        self.said = time.monotonic()
        print(f"train: step {state.global_step:,} of {state.max_steps:,}, loss {float(logs['loss']):.4f}", file=sys.stderr)  # type: ignore[index]


@contextmanager
def reporting(trainer: Any, done: int) -> Iterator[None]:
    """The trainer's own printing is replaced by ours; `done` steps were made before."""
    trainer.remove_callback(PrinterCallback)
    if not trainer.is_world_process_zero():
        yield
        return
    with progress("train", steps_of(trainer), "steps") as advance:
        advance(done)
        trainer.add_callback(Reporter(advance))
        yield


def steps_of(trainer: Any) -> int | None:
    """How many steps the training will take, where its length is known."""
    arguments = trainer.args
    if arguments.max_steps > 0:
        return int(arguments.max_steps)
    batches = len(trainer.get_train_dataloader())
    return -(-int(batches * arguments.num_train_epochs) // int(arguments.gradient_accumulation_steps))
