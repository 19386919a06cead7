"""How the environments of a dataset were explored: the name that finds each one's class, and the options it was given.

Explore records both in the lineage of `rollouts`, and verbs that make datasets from datasets keep them (`exploration_lineage`), because a
path must be replayed in the environment in which it was found. Lineage may come from anyone, so nothing in it is ever imported: a name
resolves to an installed environment, or to a "module:Class" that the user typed in this command.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow.compute as pc

from tratree_data.environments import environment_class, installed_environment_class, is_adapted
from tratree_data.errors import TratreeError
from tratree_data.store.log import Lineage, Tables
from tratree_data.store.reader import Store

LIMITS = ("max_steps", "max_invalid_actions")
"""Names of the recorded limits."""


@dataclass(frozen=True)
class ExplorationOptions:
    """How to find an environment's class, and the options that it was given."""

    environment: str
    """A name of the entry points, or "module:Class"."""
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    """The environment's own name, in `rollouts.environment`."""
    limits: Mapping[str, int | None] = field(default_factory=dict)
    """The recorded limits of its rollouts."""


def exploration_options(store: Store, typed: Sequence[str] = ()) -> dict[str, ExplorationOptions]:
    """Each environment of the rollouts as it was last explored; one that was only imported has its name and no options.

    `typed` are the names, written as "module:Class" or "adapter:target", that the user named in this command.
    """
    found = {}
    explored = _recorded(store)
    for name, recorded in explored.items():
        reference = _typed_for(name, typed, list(explored)) or (recorded.environment if recorded else name)
        found[name] = ExplorationOptions(reference, recorded.options if recorded else {}, name)
    return found


def _typed_for(name: str, typed: Sequence[str], names: Sequence[str]) -> str | None:
    """The typed name of an environment. A command or address behind an adapter names the only environment of that adapter."""
    for one in typed:
        adapter = f"{one.partition(':')[0]}:"
        if is_adapted(one) and (one == name or [other for other in names if other.startswith(adapter)] == [name]):
            return one
        if not is_adapted(one) and str(getattr(environment_class(one), "name", one)) == name:
            return one
    return None


def recorded_limits(store: Store, name: str) -> list[Mapping[str, int | None]]:
    """The limits under which an environment was explored so far, one mapping per exploration; names are those of `Limits`."""
    return [one.limits for lineage in _lineages(store) for one in _in_lineage(lineage) if one.name == name and one.limits]


def exploration_lineage(stores: Sequence[Store]) -> list[dict[str, Any]]:
    """The same for the lineage of a dataset made from these; where they differ, the first that was explored counts."""
    found = [one for store in stores for one in _recorded(store).values() if one is not None]
    return [
        {"environment": one.environment, "environment_name": one.name, "environment_options": dict(one.options), **one.limits}
        for one in found
    ]


def _recorded(store: Store) -> dict[str, ExplorationOptions | None]:
    """By the environment's name; None where no lineage mentions it."""
    names = sorted(pc.unique(store.read("rollouts", ["environment"]).column("environment")).to_pylist())
    found: dict[str, ExplorationOptions] = {}
    for lineage in _lineages(store):
        for one in _in_lineage(lineage):
            found.setdefault(one.name, one)
        if found.keys() >= set(names):
            break
    return {name: found.get(name) for name in names}


def _lineages(store: Store) -> Iterator[Lineage]:
    """The explorations that made the rollouts, the newest first. A release knows only the last one."""
    if not store.label:
        yield from (lineage for _, lineage in Tables(store.path).visible_versions("rollouts"))
    elif (lineage := store.sources["rollouts"].lineage) is not None:
        yield lineage


def _in_lineage(lineage: Lineage) -> Iterator[ExplorationOptions]:
    """Recorded by explore itself, or by the verb that made this dataset from others. Explore records no data folder: one is ignored."""
    recorded = [lineage.settings] if lineage.stage == "explore" else lineage.settings.get("explored", [])
    for one in recorded:
        if "environment" in one:
            reference = str(one["environment"])
            options = {name: value for name, value in one.get("environment_options", {}).items() if name != "data"}
            limits = {name: one[name] for name in LIMITS if name in one}
            yield ExplorationOptions(reference, options, str(one.get("environment_name") or _own_name(reference)), limits)


def _own_name(reference: str) -> str:
    """The environment's own name, for lineages that do not record it; its reference if it is not installed."""
    try:
        return str(getattr(installed_environment_class(reference), "name", reference))
    except TratreeError:
        return reference
