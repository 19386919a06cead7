"""Verbs that make tables of tables: run, build, search, replay, pairs, demonstrations."""

from typing import Annotated, Any

import typer

from tratree_data.cli.app import Dataset, app, messages, report, verb
from tratree_data.tree_search.settings import SearchSettings

PANEL = "Make trees, pairs and demonstrations"


@app.command(rich_help_panel=PANEL)
def run(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe's name, or a .toml file.")],
    directory: Dataset,
) -> None:
    """Runs everything a recipe names, in order, and only what is out of date.

    Example: `tratree run demo demo`
    """
    from tratree_data.pipelines import run as run_recipe
    from tratree_data.viewing.run_summary import summarise_run
    from tratree_data.viewing.show import print_text

    for result in run_recipe(recipe, directory):
        report(result)
    messages.print()
    print_text(lambda columns: summarise_run(directory, columns))


@app.command(rich_help_panel=PANEL)
def build(
    directory: Dataset,
    embedder: Annotated[
        str, typer.Option(help="exact, lexical, minilm, or any sentence-transformers model; auto: minilm if installed, else lexical.")
    ] = "auto",
    min_similarity: Annotated[
        str | None, typer.Option(help="Cosine from which observations are alike, or auto; the embedder's default without it.")
    ] = None,
    normalise: Annotated[
        list[str] | None, typer.Option(help="What comparing sees through: a preset or PATTERN=>REPLACEMENT; may be repeated.")
    ] = None,
    engine: Annotated[str, typer.Option(help="local (a process pool), or ray.")] = "local",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core without it.")] = None,
    bucket_steps: Annotated[int, typer.Option(min=1, help="Steps that a worker holds in memory at once.")] = 150_000,
) -> None:
    """Merges rollouts into trajectory trees: equal actions from similar observations become one node.

    Example: `tratree build demo --embedder lexical --min-similarity auto --normalise numbers`
    """
    from tratree_data.trees.build import build as run_build

    settings: dict[str, Any] = {"embedder": embedder, "min_similarity": min_similarity, "normalise": normalise or ()}
    report(run_build(directory, **settings, engine=engine, workers=workers, bucket_steps=bucket_steps))


@verb(SearchSettings, PANEL)
def search() -> None:
    """Values every node of every tree, and extracts the best paths.

    Example: `tratree search demo --chance expected --paths 3`
    """


@app.command(rich_help_panel=PANEL)
def replay(
    directory: Dataset,
    environment_data: Annotated[
        list[str] | None, typer.Option(metavar="[NAME=]FOLDER", help="An environment's data folder; may be repeated.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Environments at once; one per core without it.")] = None,
    time_out: Annotated[float, typer.Option(help="Seconds after which an environment that does not answer is replaced.")] = 120.0,
) -> None:
    """Walks the extracted paths in the real environment: do the observations come back, and what score do they earn?

    Example: `tratree replay demo`
    """
    from tratree_data.tree_search.replay import replay

    report(replay(directory, environment_data=environment_data or (), workers=workers, time_out_seconds=time_out))


@app.command(rich_help_panel=PANEL)
def pairs(
    directory: Dataset,
    kind: Annotated[
        list[str] | None, typer.Option(help="divergence (the default), step, siblings, unstructured, expert; may be repeated.")
    ] = None,
    siblings: Annotated[str, typer.Option(help="Which pairs of kind siblings: adjacent (by value) or all.")] = "adjacent",
    min_margin: Annotated[float, typer.Option(help="Smallest difference of scores.")] = 0.0,
    min_visits: Annotated[int, typer.Option(help="Scored rollouts that each side needs.")] = 1,
    separated_only: Annotated[bool, typer.Option("--separated-only", help="Only sides whose 95 % intervals do not overlap.")] = False,
    max_steps: Annotated[int | None, typer.Option(help="Longest continuation, in steps.")] = None,
    max_pairs_per_node: Annotated[int | None, typer.Option(help="Of each kind, the widest margins first.")] = None,
    max_pairs_per_task: Annotated[int | None, typer.Option(help="Of each kind, the widest margins first.")] = None,
    balance: Annotated[bool, typer.Option("--balance", help="Of each kind, no more pairs a task than the median task has.")] = False,
    keep_duplicates: Annotated[bool, typer.Option("--keep-duplicates", help="Keep pairs of a task that say the same.")] = False,
    labels: Annotated[str, typer.Option(help="Steps that get a label: contrast, all, none.")] = "contrast",
    expert: Annotated[str, typer.Option(help="The agent that counts as expert.")] = "expert",
    seed: Annotated[int, typer.Option(help="Of the random partners in unstructured pairs.")] = 0,
) -> None:
    """Makes preference pairs where rollouts part, and step labels; ends with a table of what was left out and why.

    Example: `tratree pairs demo --kind divergence --kind step --min-margin 0.2`
    """
    from tratree_data.preferences.pairs import pairs as run_pairs

    limits = {"max_steps": max_steps, "max_pairs_per_node": max_pairs_per_node, "max_pairs_per_task": max_pairs_per_task}
    controls = {"separated_only": separated_only, "balance": balance, "keep_duplicates": keep_duplicates}
    choices = {"siblings": siblings, "labels": labels, "expert": expert}
    settings: dict[str, Any] = {**limits, **controls, **choices, "kinds": kind or ["divergence"]}
    report(run_pairs(directory, min_margin=min_margin, min_visits=min_visits, seed=seed, **settings))


@app.command(rich_help_panel=PANEL)
def demonstrations(
    directory: Dataset,
    kind: Annotated[list[str] | None, typer.Option(help="path (the default), best, success, expert; may be repeated.")] = None,
    max_refused: Annotated[int | None, typer.Option(help="Only trajectories with at most so many refused actions.")] = None,
    success_only: Annotated[bool, typer.Option("--success-only", help="Only trajectories that solved their task.")] = False,
    min_score: Annotated[float | None, typer.Option(help="Smallest score.")] = None,
    replayed_only: Annotated[bool, typer.Option("--replayed-only", help="Only paths that a replay confirmed.")] = False,
    keep_duplicates: Annotated[bool, typer.Option("--keep-duplicates", help="Keep trajectories of a task that say the same.")] = False,
    expert: Annotated[str, typer.Option(help="The agent that counts as expert.")] = "expert",
) -> None:
    """Makes trajectories to imitate: extracted paths, best attempts, successes, experts.

    Example: `tratree demonstrations demo --kind path --min-score 0.5`
    """
    from tratree_data.preferences.demonstrations import demonstrations as run_demonstrations

    controls = {"success_only": success_only, "replayed_only": replayed_only, "keep_duplicates": keep_duplicates}
    report(run_demonstrations(directory, kinds=kind or ["path"], min_score=min_score, max_refused=max_refused, expert=expert, **controls))
