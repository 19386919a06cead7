"""The one list of stages: what each reads, what it writes, and what to type to run it. Data only.

Stages run in this order. A stage's tables become visible together, with the commit to the last table that it writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """`command` makes the stage's tables; a stage that works `by_tree` can keep its rows for every tree that did not change."""

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    command: str
    by_tree: bool = False
    repeatable: bool = False
    """A recipe may name it several times."""


STAGES = (
    Stage("import", (), ("steps", "rollouts"), "tratree import PATH DIR", repeatable=True),
    Stage("explore", (), ("steps", "rollouts"), "tratree explore ENVIRONMENT DIR", repeatable=True),
    Stage("embed", ("steps",), ("embeddings",), "tratree build DIR --embedder minilm"),
    Stage("build", ("rollouts", "steps"), ("nodes", "edges", "step_nodes"), "tratree build DIR", by_tree=True),
    Stage("search", ("nodes", "step_nodes", "rollouts"), ("node_values", "paths"), "tratree search DIR", by_tree=True),
    Stage("replay", ("paths", "nodes", "rollouts"), ("replays",), "tratree replay DIR"),
    Stage("pairs", ("nodes", "step_nodes", "rollouts", "steps"), ("step_labels", "pairs"), "tratree pairs DIR", by_tree=True),
    Stage("demonstrations", ("paths", "nodes", "rollouts", "steps"), ("demonstrations",), "tratree demonstrations DIR", by_tree=True),
    Stage("evaluate", (), ("evaluations",), "tratree evaluate MODEL ENVIRONMENT --directory DIR"),
    Stage("publish", (), (), "tratree publish DIR TARGET --version X.Y.Z"),
)

COLLECTED = ("rollouts", "steps", "evaluations")
"""Tables that no stage can derive again from the others."""


def stage(name: str) -> Stage:
    return next(stage for stage in STAGES if stage.name == name)


def stages_of_recipes() -> list[Stage]:
    """What a recipe may name, in the order in which it runs."""
    return [stage for stage in STAGES if stage.name not in ("embed", "evaluate")]


def stages_by_tree() -> list[Stage]:
    return [stage for stage in STAGES if stage.by_tree]


def command_for(table: str, directory: object = "DIR") -> str:
    """What to type so that a dataset gets this table."""
    commands = [stage.command for stage in STAGES if table in stage.writes]
    return (commands[0] if commands else "tratree run RECIPE DIR").replace("DIR", str(directory))


def written_tables(stages: Sequence[Stage] = STAGES) -> list[str]:
    """Every table that these stages write, once, in the order in which readers meet them."""
    return list(dict.fromkeys(table for stage in stages for table in stage.writes))
