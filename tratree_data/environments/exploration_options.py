"""How the environments of a dataset were explored: what finds each one's class, and the options that it was given.

Explore writes both into the lineage of `rollouts`. Verbs that make datasets of datasets hand them on (`explored_settings`), because whoever
walks a path again must meet the environment that the path was found in.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow.compute as pc

from tratree_data.environments import environment_class
from tratree_data.errors import TratreeError
from tratree_data.store.log import Lineage, Tables
from tratree_data.store.reader import Store


@dataclass(frozen=True)
class Explored:
    """What finds an environment's class, and the options that it was given."""

    reference: str
    options: Mapping[str, Any] = field(default_factory=dict)


def explored_environments(store: Store) -> dict[str, Explored]:
    """Each environment of the rollouts as it was explored last; one that was only imported has its name and no options."""
    return {name: found or Explored(name) for name, found in _found(store).items()}


def explored_settings(stores: Sequence[Store]) -> list[dict[str, Any]]:
    """The same for the lineage of a dataset that is made from these; where they differ, the first that was explored counts."""
    found = [one for store in stores for one in _found(store).values() if one is not None]
    return [{"environment": one.reference, "environment_options": dict(one.options)} for one in found]


def _found(store: Store) -> dict[str, Explored | None]:
    """By the environment's name; None where no lineage tells of it."""
    names = sorted(pc.unique(store.read("rollouts", ["environment"]).column("environment")).to_pylist())
    found: dict[str, Explored] = {}
    for lineage in _lineages(store):
        for explored in _said(lineage):
            found.setdefault(_name(explored.reference), explored)
        if found.keys() >= set(names):
            break
    return {name: found.get(name) for name in names}


def _lineages(store: Store) -> Iterator[Lineage]:
    """Of the rollouts, the newest first. A release knows the last one only."""
    if not store.label:
        yield from (lineage for _, lineage in Tables(store.path).visible_versions("rollouts"))
    elif (lineage := store.sources["rollouts"].lineage) is not None:
        yield lineage


def _said(lineage: Lineage) -> list[Explored]:
    """By explore itself, or by the verb that made this dataset from others."""
    told = [lineage.settings] if lineage.stage == "explore" else lineage.settings.get("explored", [])
    return [Explored(one["environment"], one.get("environment_options", {})) for one in told if "environment" in one]


def _name(reference: str) -> str:
    """What the environment calls itself; a plug-in that is gone is called as it was referred to."""
    try:
        return str(getattr(environment_class(reference), "name", reference))
    except TratreeError:
        return reference
