"""What all noisy worlds share: facts that are the state, noise that is not, and traps, which are facts that look like noise.

A world answers an action with a text. Numbers and words in it come from `Facts` (equal histories have equal facts) or from `Noise`, which
returns what is usual unless its kind is switched on. In every second task a trap is set: one fact is drawn anew in each attempt, and what
the agent does next, what it sees from then on and its score depend on it.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from tratree_data.ids import tree_id
from tratree_data.store.schemas import arrow_schema

HEEDED = 0.85
"""How often the agent acts on what a trap says."""
PREFERENCES = (0.65, 0.2, 0.1, 0.05)
"""How often the agent takes its first, second … choice."""
TASKS, ATTEMPTS = 28, 12


@dataclass(frozen=True)
class Trap:
    """`draw`: its value in one attempt; `react`: what the agent does about it; `is_good`: whether the attempt can succeed with it."""

    fact: str
    draw: Callable[[random.Random], str]
    react: Callable[[str], str]
    is_good: Callable[[str], bool]


@dataclass
class Facts:
    """The state: what follows from the task, from what was done, and from the trap once it has been seen."""

    task: int
    trap: Trap | None
    value: str
    history: str = ""
    has_shown: bool = False

    def number(self, name: str, low: int, high: int) -> int:
        return random.Random(f"{self.task}|{self.history}|{name}").randint(low, high)

    def choice(self, name: str, options: Sequence[str]) -> str:
        return options[self.number(name, 0, len(options) - 1)]

    def sample(self, name: str, options: Sequence[str], count: int) -> list[str]:
        return random.Random(f"{self.task}|{self.history}|{name}").sample(options, count)

    def decisive(self, name: str, usual: str) -> str:
        """A fact that a trap may be about."""
        if self.trap is None or self.trap.fact != name:
            return usual
        self.has_shown = True
        return self.value


@dataclass
class Noise:
    """Kinds of noise that are switched on; each place where one may come draws for itself."""

    kinds: frozenset[str]
    seed: str
    known: set[str] = field(default_factory=set)  # all kinds that were asked for
    places: int = 0

    def __call__(self, kind: str, usual: str, other: Callable[[random.Random], str], *, once: bool = False) -> str:
        """What is `usual`, or if the kind is on `other`; the same throughout an attempt if it is drawn `once`."""
        self.known.add(kind)
        self.places += 1
        return other(random.Random(f"{self.seed} {kind} {'' if once else self.places}")) if kind in self.kinds else usual

    def sometimes(self, kind: str, other: Callable[[random.Random], str], share: float = 0.5) -> str:
        """`other` in so many cases, else nothing."""
        return self(kind, "", lambda rng: other(rng) if rng.random() < share else "")

    def shuffled(self, kind: str, items: Sequence[str], share: float = 1.0) -> list[str]:
        order = list(range(len(items)))
        text = self(kind, "", lambda rng: " ".join(map(str, rng.sample(order, len(order)) if rng.random() < share else order)))
        return [items[int(number)] for number in text.split()] or list(items)

    def changed(self, kind: str, text: str, change: Callable[[str, random.Random], str], share: float = 0.5) -> str:
        return self(kind, text, lambda rng: change(text, rng) if rng.random() < share else text)


@dataclass(frozen=True)
class World:
    name: str
    actions: tuple[str, ...]
    answer: Callable[[str, Facts, Noise], str]
    """(action, facts, noise) → what the agent sees; of the action '' at the beginning."""
    traps: tuple[Trap, ...]

    def play(self, seed: str, task: int, kinds: frozenset[str]) -> tuple[float, list[tuple[str, str]], set[str]]:
        """(score, [(observation, action)], known kinds) of one attempt."""
        rng, noise = random.Random(seed), Noise(kinds, seed)
        trap = self.trap_of(task)
        facts = Facts(task, trap, trap.draw(rng) if trap else "")
        action, taken, is_heard = "", [], False
        for _ in range(rng.randint(4, 6)):
            seen = self.answer(action, facts, noise)
            order = random.Random(f"{task} {facts.history}").sample(self.actions, len(self.actions))
            action = rng.choices(order[: len(PREFERENCES)], PREFERENCES)[0]
            heeds = rng.random() < HEEDED
            if trap and facts.has_shown and not is_heard:
                is_heard = True
                action = trap.react(facts.value) if heeds else action
                facts.history += f"{facts.value};"
            taken.append((seen, action))
            facts.history += f"{action};"
        is_good = facts.number("score", 0, 2) > 0
        if trap and is_heard:
            is_good = trap.is_good(facts.value)
        return float(is_good), taken, noise.known

    def trap_of(self, task: int) -> Trap | None:
        return self.traps[task // 2 % len(self.traps)] if task % 2 else None

    def kinds(self) -> list[str]:
        """All kinds of noise that this world knows."""
        found: set[str] = set()
        for task in range(TASKS):
            found |= self.play(f"kinds {task}", task, frozenset())[2]
            for action in ("", *self.actions):
                noise = Noise(frozenset(), "kinds")
                self.answer(action, Facts(task, None, ""), noise)
                found |= noise.known
        return sorted(found)

    def log(self, kinds: Sequence[str], seed: int, tasks: int = TASKS, attempts: int = ATTEMPTS) -> tuple[pa.Table, pa.Table, pa.Table]:
        """(rollouts, steps without noise, steps as seen)."""
        rollouts: list[dict[str, Any]] = []
        steps: list[list[dict[str, Any]]] = [[], []]
        for task in range(tasks):
            for attempt in range(attempts):
                name = f"{self.name}-{task:03}-{attempt:03}"
                for rows, on in zip(steps, (frozenset[str](), frozenset(kinds)), strict=True):
                    score, taken, _ = self.play(f"{seed} {task} {attempt}", task, on)
                    rows += [
                        {"rollout_id": name, "step": step, "observation": seen, "thought": "", "action": action}
                        for step, (seen, action) in enumerate(taken)
                    ]
                rollouts.append(
                    {
                        "rollout_id": name, "tree_id": tree_id(self.name, str(task)), "environment": self.name, "environment_version": "1",
                        "split": "train", "task_id": str(task), "attempt": attempt, "prompt": "", "instruction": f"Do task {task}.",
                        "agent": "drawn", "score": score, "success": score == 1, "end_reason": "done", "end_observation": "",
                        "step_count": len(taken), "source": "benchmark",
                    }
                )  # fmt: skip
        clean, seen = (pa.Table.from_pylist(rows, schema=arrow_schema("steps")) for rows in steps)
        return pa.Table.from_pylist(rollouts, schema=arrow_schema("rollouts")), clean, seen


def one_of(*values: str) -> Callable[[random.Random], str]:
    return lambda rng: rng.choice(values)


def hexadecimal(rng: random.Random, digits: int) -> str:
    return f"{rng.getrandbits(4 * digits):0{digits}x}"


def uuid(rng: random.Random) -> str:
    text = hexadecimal(rng, 32)
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def clock(rng: random.Random, form: str = "{:02}:{:02}:{:02}") -> str:
    return form.format(rng.randint(0, 23), rng.randint(0, 59), rng.randint(0, 59))


MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def month_day(rng: random.Random) -> str:
    return f"{rng.choice(MONTHS)} {rng.randint(1, 28):>2}"


def iso(rng: random.Random) -> str:
    return f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T{clock(rng)}Z"
