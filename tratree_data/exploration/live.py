"""Progress of an exploration: a live line on a terminal, and a short summary afterwards."""

import time
from collections import Counter
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tratree_data.exploration.attempt import FAILURES, Finished
from tratree_data.results import counted
from tratree_data.system.plain_text import shorten

REDRAW_SECONDS = 0.25
MANY_INVALID = 0.5
"""A larger share of invalid actions is reported: the agent's answers may not be what the environment reads."""


class Live:
    """Counts, and a bar on stderr when that is a terminal."""

    def __init__(self, planned: int, done_before: int) -> None:
        self.done_before = done_before
        self.ends: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.troubles: dict[str, str] = {}
        self.scored = self.successes = self.tokens = self.steps = self.invalid = 0
        self.first_invalid = ""
        self.score_sum = 0.0
        self.started = time.monotonic()
        self.drawn = 0.0
        console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[facts]}", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("rollouts", total=planned, facts="")

    def __enter__(self) -> "Live":
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()

    def add(self, finished: Finished) -> None:
        if finished.dropped is not None:
            self.dropped[finished.dropped[0]] += 1
        else:
            self._count(finished)
        self.bar.advance(self.task)
        if time.monotonic() - self.drawn >= REDRAW_SECONDS:
            self.drawn = time.monotonic()
            self.bar.update(self.task, facts=self.facts())

    def _count(self, finished: Finished) -> None:
        rollout = finished.rollout
        reason = str(rollout["end_reason"])
        self.ends[reason] += 1
        if finished.trouble:
            self.troubles.setdefault(reason, finished.trouble)
        score = rollout.get("score")
        if isinstance(score, float | int):
            self.scored += 1
            self.score_sum += score
            self.successes += bool(rollout.get("success"))
        self.steps += len(finished.steps)
        seen = [*(step["observation"] for step in finished.steps), rollout.get("end_observation")]
        for step, response in zip(finished.steps, seen[1:], strict=True):
            if step["valid"] is False:
                self.invalid += 1
                self.first_invalid = self.first_invalid or f"{step['action'] or '(no action)'!r}, and the environment answered: {response}"
        for name in ("prompt_tokens", "completion_tokens"):
            count = rollout.get(name)
            self.tokens += count if isinstance(count, int) else 0

    def facts(self) -> str:
        """Success rate, mean score, tokens per second and failures by reason, in one line."""
        parts = []
        if self.scored:
            parts.append(f"{self.successes / self.scored:.0%} solved, mean score {self.score_sum / self.scored:.3f}")
        if self.tokens:
            parts.append(f"{self.tokens / (time.monotonic() - self.started):,.0f} tokens/s")
        parts += [f"{reason} {count}" for reason, count in sorted(self.ends.items()) if reason in FAILURES]
        parts += [f"dropped ({reason}) {count}" for reason, count in sorted(self.dropped.items())]
        return " · ".join(parts)

    def notes(self) -> tuple[str, ...]:
        """The run in a few lines."""
        seconds = time.monotonic() - self.started
        before = f"; {self.done_before:,} existed before" if self.done_before else ""
        lines = [f"{counted(sum(self.ends.values()), 'rollouts')} in {seconds:.1f} s{before}"]
        if self.scored:
            lines.append(f"{self.successes / self.scored:.1%} solved, mean score {self.score_sum / self.scored:.3f}")
        if self.tokens:
            lines.append(f"{self.tokens / seconds:,.0f} tokens/s")
        if self.ends:
            lines.append("ended by: " + ", ".join(f"{reason} {count:,}" for reason, count in sorted(self.ends.items())))
        if self.invalid > self.steps * MANY_INVALID:
            lines.append(f"{self.invalid:,} of {self.steps:,} actions were invalid, the first {shorten(self.first_invalid, 200)}")
        if self.dropped:
            lines.append("dropped: " + ", ".join(f"{reason} {count:,}" for reason, count in sorted(self.dropped.items())))
        lines += [f"first {reason}: {trouble[:300]}" for reason, trouble in sorted(self.troubles.items())]
        return tuple(lines)
