"""Verbs that make tables from tables: run, score, build, search, replay, pairs, demonstrations."""

from typing import Annotated

import typer

from tratree_data.cli.verbs import Dataset, app, messages, report, verb
from tratree_data.preferences.settings import DemonstrationSettings, PairSettings
from tratree_data.scoring.settings import ScoreSettings
from tratree_data.state_graphs.settings import StatesSettings
from tratree_data.tree_search.settings import ReplaySettings, SearchSettings
from tratree_data.trees.settings import BuildSettings

PANEL = "Make trees, pairs and demonstrations"


@app.command(rich_help_panel=PANEL)
def run(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe's name, or a .toml file.")],
    directory: Dataset,
) -> None:
    """Run the stages of a recipe that are out of date, in order.

    Example: `tratree run demo demo`
    """
    from tratree_data.pipelines import run_stages
    from tratree_data.viewing.run_summary import summarise_run
    from tratree_data.viewing.show import print_text

    for result in run_stages(directory, recipe):
        report(result)
    messages.print()
    print_text(lambda columns: summarise_run(directory, columns))


@verb(ScoreSettings, PANEL)
def score() -> None:
    """Score rollouts with a table, a function, or a rubric that a model applies; their original scores are kept.

    Example: `tratree score demo --with judge:model=gpt-5-mini --rubric "Was every file restored?"`
    """


@verb(BuildSettings, PANEL)
def build() -> None:
    """Merge rollouts into trajectory trees: equal actions from similar observations become one node.

    Example: `tratree build demo --embedder lexical --min-similarity auto --normalise numbers`
    """


@verb(StatesSettings, PANEL)
def states() -> None:
    """Group equal observations of each task into states, and compute what each step contributed.

    Example: `tratree states demo --history 0 --history 2 --method gigpo --method hgpo`
    """


@verb(SearchSettings, PANEL)
def search() -> None:
    """Search every tree: value its nodes and extract the best paths.

    Example: `tratree search demo --chance expected --paths 3`
    """


@verb(ReplaySettings, PANEL)
def replay() -> None:
    """Replay the extracted paths in the real environment, to see whether they work there and what they score.

    Example: `tratree replay demo`
    """


@verb(PairSettings, PANEL)
def pairs() -> None:
    """Make preference pairs where rollouts diverge, and step labels; print what was left out and why.

    Example: `tratree pairs demo --kind divergence --kind step --min-margin 0.2`
    """


@verb(DemonstrationSettings, PANEL)
def demonstrations() -> None:
    """Make trajectories to imitate: extracted paths, best attempts, successes, experts.

    Example: `tratree demonstrations demo --kind path --min-score 0.5`
    """
