"""A galley in which small networks learn to cook: a text game in plain Python, for experiments with hundreds of training runs.

A dish needs two ingredients. Each has to be found, cut, cooked and plated, and then the dish is served: 9 points, 9 to 13 steps. How an
ingredient is cut and cooked depends on the ingredient, and in almost a third of the dishes on the dish as well; only practice shows it.
What is cut or cooked stays so, and serving ends the episode, so mistakes cannot be corrected, but the rest of the dish still earns points.

A task is `seed/split/number`. Every seed is a galley of its own: its rules, its cupboards, and its order of the 1,344 possible tasks, of
which no two are the same and each is in one split. The observation contains all that matters from here on.
`experiments/tabular/batch.py` plays the same game for thousands of episodes at once.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from tratree_data.environments import Outcome, Start
from tratree_data.environments.requirements import split_tasks, unknown_task
from tratree_data.environments.tools import ACT
from tratree_data.errors import BadInputError

DISHES = ("curry", "gratin", "pie", "salad", "stew", "tart")
INGREDIENTS = ("carrot", "egg", "fish", "leek", "mushroom", "pepper", "potato", "tomato")
PLACES = ("basket", "drawer", "fridge", "shelf")
CUTS, CUT = ("chop", "dice", "slice"), ("chopped", "diced", "sliced")
COOKS, COOKED = ("bake", "boil", "fry"), ("baked", "boiled", "fried")
ACTIONS = (
    *(f"open {place}" for place in PLACES),
    *(f"take {ingredient}" for ingredient in INGREDIENTS),
    *CUTS,
    *COOKS,
    "plate",
    "serve",
)
POINTS = 9
EXCEPTIONS = 0.3
"""How often a dish needs an ingredient to be prepared in an unusual way."""
SPLITS = {"test": range(500), "dev": range(500, 644), "train": range(644, 1344)}
"""Which tasks of a seed's order belong to each split."""
NOWHERE, COUNTER, PLATE = 0, 1, 2
"""Where an ingredient is: still in its place, on the counter, or on the plate."""
UNCUT = RAW = -1


@dataclass(frozen=True)
class House:
    """What differs between seeds."""

    cut: np.ndarray[Any, Any]
    """[ingredient, dish]: the right cut."""
    cook: np.ndarray[Any, Any]
    """[ingredient, dish]: the right way of cooking."""
    candidates: np.ndarray[Any, Any]
    """[ingredient, 2]: the two places where it may be."""
    order: np.ndarray[Any, Any]
    """[1344, 5]: dish, two ingredients, and which of its candidate places holds each."""


def _rule(draw: np.random.Generator) -> np.ndarray[Any, Any]:
    """One of three ways for each ingredient and dish: the ingredient's usual one, but for some dishes."""
    usual = draw.integers(0, 3, (len(INGREDIENTS), 1))
    other = draw.random((len(INGREDIENTS), len(DISHES))) < EXCEPTIONS
    return (usual + other * draw.integers(1, 3, other.shape)) % 3


@lru_cache(maxsize=1024)
def house(seed: int) -> House:
    draw = np.random.default_rng([seed, 20_201])
    cut, cook = _rule(draw), _rule(draw)
    candidates = np.array([draw.permutation(len(PLACES))[:2] for _ in INGREDIENTS])
    tasks = np.stack(np.meshgrid(*(np.arange(n) for n in (len(DISHES), len(INGREDIENTS), len(INGREDIENTS), 2, 2)), indexing="ij"), -1)
    tasks = tasks.reshape(-1, 5)
    tasks = tasks[tasks[:, 1] != tasks[:, 2]]
    return House(cut, cook, candidates, draw.permutation(tasks))


@dataclass
class Ingredient:
    """One of the two ingredients, and its state."""

    name: int
    place: int
    where: int = NOWHERE
    cut: int = UNCUT
    cooked: int = RAW


@dataclass
class State:
    opened: list[bool] = field(default_factory=lambda: [False] * len(PLACES))
    ingredients: list[Ingredient] = field(default_factory=list)
    served: bool = False

    @property
    def on_counter(self) -> Ingredient | None:
        return next((item for item in self.ingredients if item.where == COUNTER), None)


def describe(state: State, refused: bool) -> str:
    """What the cook sees."""
    items = state.ingredients
    counter = ", ".join(_described(item) for item in items if item.where == COUNTER) or "empty"
    plate = ", ".join(_described(item) for item in items if item.where == PLATE) or "empty"
    places = []
    for number, place in enumerate(PLACES):
        inside = ", ".join(INGREDIENTS[item.name] for item in items if item.where == NOWHERE and item.place == number)
        places.append(f"{place}: {(inside or 'empty') if state.opened[number] else 'closed'}")
    seen = f"Counter: {counter}. Plate: {plate}. In the {'; '.join(places)}."
    return f"That does not work. {seen}" if refused else seen


def _described(item: Ingredient) -> str:
    cut = "whole" if item.cut == UNCUT else CUT[item.cut]
    return f"{cut} {'raw' if item.cooked == RAW else COOKED[item.cooked]} {INGREDIENTS[item.name]}"


def instruct(dish: int, first: int, second: int) -> str:
    return f"Cook a {DISHES[dish]} of {INGREDIENTS[first]} and {INGREDIENTS[second]}."


class Galley:
    name = "galley"
    version = "galley 1"
    prompt = ""
    tools = (ACT,)
    max_steps = 20
    in_process = True

    def __init__(self, seed: int = 0, seeds: int = 1) -> None:
        """The tasks listed are those of `seeds` galleys from `seed` on; any other can be played too."""
        if seed < 0 or seeds < 1:
            raise BadInputError(f"Seeds start at 0 and there is at least one, not seed={seed}, seeds={seeds}.\nNext: --option seed=0")
        self.seeds = range(seed, seed + seeds)
        self.house, self.dish, self.state = house(seed), 0, State()

    def splits(self) -> dict[str, int]:
        return {split: len(numbers) * len(self.seeds) for split, numbers in SPLITS.items()}

    def tasks(self, split: str) -> list[str]:
        numbers = range(len(SPLITS.get(split, ())))
        tasks = {name: [f"{seed}/{name}/{number}" for seed in self.seeds for number in numbers] for name in SPLITS}
        return split_tasks("Galley", split, tasks)

    def reset(self, task_id: str, seed: int = 0) -> Start:
        """The task determines everything; `seed` only completes the protocol."""
        self.house, (self.dish, *pair) = locate(task_id)
        first, second, *places = pair
        at = [int(self.house.candidates[name, place]) for name, place in zip((first, second), places, strict=True)]
        self.state = State(ingredients=[Ingredient(first, at[0]), Ingredient(second, at[1])])
        return Start(instruct(self.dish, first, second), describe(self.state, False))

    def step(self, action: str) -> Outcome:
        before = self.score()
        valid = action in self.admissible_actions()
        if valid:
            self._carry_out(action)
        return Outcome(describe(self.state, not valid), self.state.served, self.score() - before, valid)

    def _carry_out(self, action: str) -> None:
        verb, _, noun = action.partition(" ")
        item = self.state.on_counter
        if verb == "open":
            self.state.opened[PLACES.index(noun)] = True
        elif verb == "take":
            next(one for one in self.state.ingredients if INGREDIENTS[one.name] == noun).where = COUNTER
        elif verb == "serve":
            self.state.served = True
        elif item is not None:
            if verb in CUTS:
                item.cut = CUTS.index(verb)
            elif verb in COOKS:
                item.cooked = COOKS.index(verb)
            else:
                item.where = PLATE

    def score(self) -> float:
        points = self._points()
        return (points + (self.state.served and points == POINTS - 1)) / POINTS

    def success(self) -> bool:
        return self.score() == 1.0

    def _points(self) -> int:
        """Points of both ingredients: found, cut well, cooked well, plated."""
        return sum(
            (item.where != NOWHERE)
            + bool(item.cut == self.house.cut[item.name, self.dish])
            + bool(item.cooked == self.house.cook[item.name, self.dish])
            + (item.where == PLATE)
            for item in self.state.ingredients
        )

    def admissible_actions(self) -> list[str]:
        """Nothing is cut or cooked twice, or cut once it is hot; one ingredient is on the counter at a time."""
        state, item = self.state, self.state.on_counter
        possible = [f"open {place}" for place, opened in zip(PLACES, state.opened, strict=True) if not opened]
        if item is None:
            waiting = [one for one in state.ingredients if one.where == NOWHERE and state.opened[one.place]]
            possible += [f"take {INGREDIENTS[one.name]}" for one in waiting]
        else:
            possible += CUTS if item.cut == UNCUT and item.cooked == RAW else ()
            possible += COOKS if item.cooked == RAW else ()
            possible.append("plate")
        if any(one.where == PLATE for one in state.ingredients):
            possible.append("serve")
        return possible

    def expert_actions(self, task_id: str) -> list[str] | None:
        """One ingredient after the other; it is looked for where it usually is, then in the other place, without looking ahead."""
        kitchen, (dish, first, second, *places) = locate(task_id)
        opened: set[int] = set()
        actions: list[str] = []
        for name, place in zip((first, second), places, strict=True):
            usual, other = map(int, kitchen.candidates[name])
            needed = [usual] if place == 0 else [*([] if other in opened else [usual]), other]
            actions += [f"open {PLACES[at]}" for at in needed if at not in opened]
            opened.update(needed)
            actions += [f"take {INGREDIENTS[name]}", CUTS[kitchen.cut[name, dish]], COOKS[kitchen.cook[name, dish]], "plate"]
        return [*actions, "serve"]

    def close(self) -> None:
        """Does nothing: there is nothing to close."""


def locate(task_id: str) -> tuple[House, list[int]]:
    """The galley of a task, and the task in its order."""
    seed, _, rest = task_id.partition("/")
    split, _, number = rest.partition("/")
    known = SPLITS.get(split, range(0))
    if not (seed.isdecimal() and number.isdecimal() and int(number) < len(known)):
        raise unknown_task("Galley", task_id, "0/train/0")
    found = house(int(seed))
    return found, [int(value) for value in found.order[known[int(number)]]]
