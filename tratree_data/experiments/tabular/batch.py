"""The galley for thousands of episodes at once: the dynamics of `environments/galley.py` on arrays, and what a network reads of a state.

An episode is a place in arrays of shape [seeds, tasks]; `Kitchens.step` moves all of them. `tests/test_tabular.py` plays both versions
side by side, and compares `features` with what is read from the texts that datasets hold.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tratree_data.environments.galley import (
    ACTIONS,
    COOKED,
    COUNTER,
    CUT,
    DISHES,
    INGREDIENTS,
    NOWHERE,
    PLACES,
    PLATE,
    POINTS,
    UNCUT,
    Galley,
    Ingredient,
    State,
    describe,
    house,
)
from tratree_data.errors import BadInputError

Array = np.ndarray[Any, Any]
MOST_STEPS = Galley.max_steps
TAKE = len(PLACES)
CUTTING = TAKE + len(INGREDIENTS)
COOKING = CUTTING + len(CUT)
PLATING = COOKING + len(COOKED)
SERVING = PLATING + 1
NUMBERS = {action: number for number, action in enumerate(ACTIONS)}

BLOCKS = {
    "dish": len(DISHES),
    "first": len(INGREDIENTS),
    "second": len(INGREDIENTS),
    "refused": 1,
    "counter": len(INGREDIENTS),
    "cut": 1 + len(CUT),
    "cooked": 1 + len(COOKED),
    "empty": 1,
    "plate": len(INGREDIENTS),
    "opened": len(PLACES),
    "seen": len(INGREDIENTS),
}
"""What a network reads, each a block of zeros and ones."""
OFFSETS = dict(zip(BLOCKS, np.cumsum([0, *BLOCKS.values()]).tolist(), strict=False))
FEATURES = sum(BLOCKS.values())
OF_INSTRUCTION = OFFSETS["refused"]
RADICES = (2, 2, 2, 2, 2, 4, 4, 3, 3, 4, 4, 4, 4, 8, 8)
"""A visible state as one number: refused, opened, place, where, cut, cooked, name."""


class Kitchens:
    """Episodes of tasks given as seeds [S] and their numbers in the seed's order [S, N]."""

    def __init__(self, seeds: Sequence[int], numbers: Array) -> None:
        houses = [house(seed) for seed in seeds]
        tasks = np.stack([found.order[own] for found, own in zip(houses, numbers, strict=True)])
        self.dish, self.name = tasks[..., 0], tasks[..., 1:3]
        each = np.arange(len(houses))[:, None, None]
        self.place = np.stack([found.candidates for found in houses])[each, self.name, tasks[..., 3:5]]
        self.right_cut = np.stack([found.cut for found in houses])[each, self.name, self.dish[..., None]]
        self.right_cook = np.stack([found.cook for found in houses])[each, self.name, self.dish[..., None]]
        self.where = np.full(self.name.shape, NOWHERE)
        self.cut, self.cooked = (np.full(self.name.shape, UNCUT) for _ in range(2))
        self.opened = np.zeros((*self.dish.shape, len(PLACES)), bool)
        self.served, self.refused = (np.zeros(self.dish.shape, bool) for _ in range(2))

    def valid(self, action: Array) -> Array:
        """Whether the game accepts each action."""
        on_counter = self.where == COUNTER
        busy = on_counter.any(-1)
        opening = ~np.take_along_axis(self.opened, np.clip(action, 0, TAKE - 1)[..., None], -1)[..., 0]
        taking = self._takes(action).any(-1) & ~busy
        cooking = (on_counter & (self.cooked == UNCUT)).any(-1)
        cutting = cooking & (on_counter & (self.cut == UNCUT)).any(-1)
        serving = (self.where == PLATE).any(-1)
        kinds = [action < TAKE, action < CUTTING, action < COOKING, action < PLATING, action < SERVING]
        accepted: Array = np.select(kinds, [opening, taking, cutting, cooking, busy], serving)
        return accepted

    def _takes(self, action: Array) -> Array:
        """[…, 2]: the ingredients that an action would take, if the counter is free."""
        visible = np.take_along_axis(self.opened, self.place, -1) & (self.where == NOWHERE)
        found: Array = visible & (self.name == (action - TAKE)[..., None])
        return found

    def step(self, action: Array, playing: Array | None = None) -> None:
        """Moves every episode that is not over, and of these only the ones still `playing`."""
        going = ~self.served if playing is None else ~self.served & playing
        valid = self.valid(action) & going
        self.refused = np.where(going, ~valid, self.refused)
        opens = valid[..., None] & (action[..., None] == np.arange(len(PLACES)))
        takes = valid[..., None] & self._takes(action)
        handled = valid[..., None] & (self.where == COUNTER)
        kind = action[..., None]
        self.opened |= opens
        self.cut = np.where(handled & (kind >= CUTTING) & (kind < COOKING), kind - CUTTING, self.cut)
        self.cooked = np.where(handled & (kind >= COOKING) & (kind < PLATING), kind - COOKING, self.cooked)
        self.where = np.where(takes, COUNTER, np.where(handled & (kind == PLATING), PLATE, self.where))
        self.served |= valid & (action == SERVING)

    def score(self) -> Array:
        found, plated = self.where != NOWHERE, self.where == PLATE
        points = (found * 1 + plated + (self.cut == self.right_cut) + (self.cooked == self.right_cook)).sum(-1)
        scores: Array = (points + (self.served & (points == POINTS - 1))) / POINTS
        return scores

    def features(self) -> Array:
        """[S, N, FEATURES], as `features_of_instruction` and `features_of_observation` read them from the texts."""
        x = np.zeros((*self.dish.shape, FEATURES), np.float32)
        counter = self.where == COUNTER
        busy = counter.any(-1)
        _mark(x, "dish", self.dish)
        _mark(x, "first", self.name[..., 0])
        _mark(x, "second", self.name[..., 1])
        x[..., OFFSETS["refused"]] = self.refused
        x[..., OFFSETS["empty"]] = ~busy
        x[..., OFFSETS["opened"] : OFFSETS["opened"] + len(PLACES)] = self.opened
        seen = np.take_along_axis(self.opened, self.place, -1) & (self.where == NOWHERE)
        for item in (0, 1):
            _mark(x, "counter", self.name[..., item], counter[..., item])
            _mark(x, "cut", self.cut[..., item] + 1, counter[..., item])
            _mark(x, "cooked", self.cooked[..., item] + 1, counter[..., item])
            _mark(x, "plate", self.name[..., item], self.where[..., item] == PLATE)
            _mark(x, "seen", self.name[..., item], seen[..., item])
        return x

    def codes(self) -> Array:
        """One number for each state as it is described."""
        parts = [self.refused, *np.moveaxis(self.opened, -1, 0)]
        for values, shift in ((self.place, 0), (self.where, 0), (self.cut, 1), (self.cooked, 1), (self.name, 0)):
            parts += [values[..., item] + shift for item in (0, 1)]
        return np.ravel_multi_index([np.asarray(part, np.int64) for part in parts], RADICES)


def _mark(x: Array, block: str, which: Array, wanted: Array | None = None) -> None:
    """Sets the feature `which` of a block to one, where it is wanted."""
    at = (OFFSETS[block] + which)[..., None]
    values = np.ones(which.shape, x.dtype) if wanted is None else np.maximum(np.take_along_axis(x, at, -1)[..., 0], wanted)
    np.put_along_axis(x, at, values[..., None], -1)


@lru_cache(maxsize=200_000)
def text_of_code(code: int) -> str:
    """The observation of a state."""
    refused, *rest = (int(value) for value in np.unravel_index(code, RADICES))
    opened, values = rest[:4], rest[4:]
    items = [
        Ingredient(name=values[8 + i], place=values[i], where=values[2 + i], cut=values[4 + i] - 1, cooked=values[6 + i] - 1)
        for i in (0, 1)
    ]
    return describe(State([bool(value) for value in opened], items), bool(refused))


INSTRUCTION = re.compile(r"Cook a (\w+) of (\w+) and (\w+)\.")
OBSERVATION = re.compile(r"(That does not work\. )?Counter: ([^.]*)\. Plate: ([^.]*)\. In the ([^.]*)\.(?: A clock shows \w+\.)?")


@lru_cache(maxsize=100_000)
def features_of_instruction(instruction: str) -> Array:
    """[OF_INSTRUCTION], the first part of `features`."""
    x = np.zeros(OF_INSTRUCTION, np.float32)
    dish, first, second = _parts(INSTRUCTION, instruction)
    for block, names, word in (("dish", DISHES, dish), ("first", INGREDIENTS, first), ("second", INGREDIENTS, second)):
        x[OFFSETS[block] + names.index(word)] = 1
    return x


@lru_cache(maxsize=100_000)
def features_of_observation(observation: str) -> Array:
    """The rest of `features`."""
    x = np.zeros(FEATURES, np.float32)
    refused, counter, plate, places = _parts(OBSERVATION, observation)
    x[OFFSETS["refused"]] = refused is not None
    x[OFFSETS["empty"]] = counter == "empty"
    if counter != "empty":
        cut, cooked, name = counter.split()
        x[OFFSETS["counter"] + INGREDIENTS.index(name)] = 1
        x[OFFSETS["cut"] + ("whole", *CUT).index(cut)] = 1
        x[OFFSETS["cooked"] + ("raw", *COOKED).index(cooked)] = 1
    for item in plate.split(", ") if plate != "empty" else ():
        x[OFFSETS["plate"] + INGREDIENTS.index(item.split()[-1])] = 1
    for number, part in enumerate(places.split("; ")):
        inside = part.partition(": ")[2]
        x[OFFSETS["opened"] + number] = inside != "closed"
        for item in inside.split(", ") if inside not in ("closed", "empty") else ():
            x[OFFSETS["seen"] + INGREDIENTS.index(item)] = 1
    return x[OF_INSTRUCTION:]


def _parts(pattern: re.Pattern[str], text: str) -> tuple[Any, ...]:
    match = pattern.fullmatch(text)
    if match is None:
        raise BadInputError(f"{text!r} is not a text of the galley.\nNext: explore galley, in this version of tratree")
    return match.groups()
