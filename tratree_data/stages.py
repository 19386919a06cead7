"""The one list of stages: what each reads, what it writes, and what to type to run it. Data only.

Stages run in this order. A stage's tables become visible together, with the commit to the last table that it writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tratree_data.errors import quoted


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline: `reads` are the tables that make its rows out of date, `command` what people type to run it."""

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    """In the order in which readers meet them."""
    command: str
    may_read: tuple[str, ...] = ()
    """Tables that only some settings read, or that are read only if they exist."""
    committed_last: str = ""
    """The table whose commit makes them all visible; the last of `writes` unless named."""
    by_tree: bool = False
    """It works tree by tree, so its rows for a tree stay valid until the tree changes."""
    repeatable: bool = False
    """A recipe may name it several times."""
    published: bool = True
    """Its tables go into releases."""

    @property
    def last(self) -> str:
        return self.committed_last or self.writes[-1]

    @property
    def commit_order(self) -> tuple[str, ...]:
        return (*(table for table in self.writes if table != self.last), self.last)

    @property
    def function(self) -> str:
        """The name of the public function `tratree_data.<function>`; `import` is a word of Python's own."""
        return "import_log" if self.name == "import" else self.name


LATER_SCORES = ("rollout_scores",)
"""If this table exists, it decides which score a rollout has."""

STAGES = (
    Stage("import", (), ("rollouts", "steps"), "tratree import FILE DIR", committed_last="rollouts", repeatable=True),
    Stage("explore", (), ("rollouts", "steps"), "tratree explore ENVIRONMENT DIR", committed_last="rollouts", repeatable=True),
    Stage("score", ("rollouts", "steps"), ("rollout_scores",), "tratree score DIR --with FILE"),
    Stage("embed", ("steps",), ("embeddings",), "tratree build DIR --embedder minilm", published=False),
    Stage("build", ("rollouts", "steps"), ("nodes", "edges", "step_nodes"), "tratree build DIR", may_read=LATER_SCORES, by_tree=True),
    Stage(
        "search", ("nodes", "step_nodes", "rollouts"), ("node_values", "paths"), "tratree search DIR", may_read=LATER_SCORES, by_tree=True
    ),
    Stage("states", ("rollouts", "steps"), ("states", "transitions", "state_merges", "step_credits"), "tratree states DIR"),
    Stage("replay", ("paths", "nodes", "step_nodes", "rollouts"), ("replays",), "tratree replay DIR", may_read=LATER_SCORES, by_tree=True),
    Stage(
        "pairs",
        ("nodes", "step_nodes", "rollouts"),
        ("pairs", "step_labels"),
        "tratree pairs DIR",
        may_read=("steps", "states", "step_credits", *LATER_SCORES),
        committed_last="pairs",
        by_tree=True,
    ),
    Stage(
        "demonstrations",
        ("nodes", "step_nodes", "rollouts"),
        ("demonstrations",),
        "tratree demonstrations DIR",
        may_read=("paths", "replays", "steps", *LATER_SCORES),
        by_tree=True,
    ),
    Stage("evaluate", (), ("evaluations",), "tratree evaluate MODEL ENVIRONMENT DIR", published=False),
    Stage("annotate", (), ("annotations",), "tratree view DIR --serve --annotate NAME", published=False),
    Stage("publish", (), ("traces",), "tratree publish DIR TARGET --version X.Y.Z --traces 1000"),
)

COLLECTED = ("rollouts", "steps", "evaluations", "annotations")
"""Tables that no stage can derive again from the others."""

DISPLAYED = ("rollouts", "nodes", "step_nodes", "node_values", "paths", "pairs", "states", "transitions", "step_credits", "annotations")
"""Tables whose rows the page of a tree displays."""


def stage(name: str) -> Stage:
    return next(stage for stage in STAGES if stage.name == name)


def stages_of_recipes() -> list[Stage]:
    """What a recipe may name, in the order in which it runs."""
    return [stage for stage in STAGES if stage.name not in ("embed", "evaluate", "annotate")]


def stages_by_tree() -> list[Stage]:
    return [stage for stage in STAGES if stage.by_tree]


def command_for(table: str, directory: object = "DIR") -> str:
    """What to type so that a dataset gets this table."""
    commands = [stage.command for stage in STAGES if table in stage.writes]
    return (commands[0] if commands else "tratree run RECIPE DIR").replace("DIR", quoted(directory))


def written_tables(stages: Sequence[Stage] = STAGES) -> list[str]:
    """Every table that these stages write, once, in the order in which readers meet them."""
    return list(dict.fromkeys(table for stage in stages for table in stage.writes))


def published_tables() -> list[str]:
    """The tables of a release, in the order in which readers meet them."""
    return written_tables([stage for stage in STAGES if stage.published])
