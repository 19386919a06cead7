"""Verbs that publish a dataset, change one, or make one from others: publish, export, merge, split, filter, delete, vacuum."""

from typing import Annotated

import typer

from tratree_data.cli.verbs import AnyDataset, Dataset, app, report, verb
from tratree_data.releases.settings import PublishSettings

PANEL = "Publish and edit"


@verb(PublishSettings, PANEL)
def publish(
    directory: Dataset, target: Annotated[str, typer.Argument(metavar="TARGET", help="A folder, s3://bucket/name, or hub:org/name.")]
) -> None:
    """Publish the dataset as a version that never changes, laid out like a Hub dataset repository.

    Example: `tratree publish demo releases/demo --version 1.0.0 --license cc-by-4.0`
    """


@app.command(rich_help_panel=PANEL)
def withdraw(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A release's folder, s3://bucket/name, or hub:org/name.")],
    version: Annotated[str, typer.Option(help="The version to withdraw, X.Y.Z.")],
    reason: Annotated[str, typer.Option(help="The reason, shown to readers who ask for this version.")] = "",
) -> None:
    """Withdraw a published version: remove the files that no other version uses, and never reuse its number.

    Example: `tratree withdraw releases/demo --version 1.0.0 --reason "contains a password"`
    """
    from tratree_data.releases.withdraw import withdraw

    report(withdraw(target, version, reason=reason))


@app.command(rich_help_panel=PANEL)
def export(
    directory: AnyDataset,
    out: Annotated[str, typer.Argument(metavar="OUT", help="A new folder.")],
    format: Annotated[str, typer.Option(help="trl, credits, adp, sts, atif, verifiers or agenttraj.")],
) -> None:
    """Write the trajectories (with trl and credits: training rows) in the format of another tool.

    Example: `tratree export demo atif-files --format atif`
    """
    from tratree_data.exporters import export

    report(export(directory, out, format))


@app.command(rich_help_panel=PANEL)
def merge(
    first: Annotated[str, typer.Argument(metavar="A", help="A dataset's folder, a release, or hub:org/name@v1.0.0.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="The new dataset's folder.")],
) -> None:
    """Combine the rollouts of two datasets in a new one; a rollout that is in both is kept once.

    Example: `tratree merge demo mine both`
    """
    from tratree_data.editing.derive import merge as run_merge

    report(run_merge(first, second, out))


@app.command(rich_help_panel=PANEL)
def split(
    directory: AnyDataset,
    out: Annotated[str, typer.Argument(metavar="OUT", help="The new dataset's folder.")],
    fraction: Annotated[list[str], typer.Option(help="name=share, once for each split; the shares add up to 1.")],
    by: Annotated[str, typer.Option(help="task, or instruction: tasks with the same instruction stay together.")] = "task",
    seed: Annotated[int, typer.Option(help="Seed for assigning tasks to splits.")] = 0,
) -> None:
    """Assign each task to a split at random; a task keeps its split when the dataset grows.

    Example: `tratree split demo divided --fraction train=0.9 --fraction test=0.1 --by instruction`
    """
    from tratree_data.editing.derive import parse_fractions
    from tratree_data.editing.derive import split as run_split

    report(run_split(directory, out, parse_fractions(fraction), by=by, seed=seed))


@app.command(rich_help_panel=PANEL)
def filter(
    directory: AnyDataset,
    out: Annotated[str, typer.Argument(metavar="OUT", help="The new dataset's folder.")],
    where: Annotated[str, typer.Option(help="SQL condition over the columns of rollouts.")] = "true",
    exclude: Annotated[
        str | None, typer.Option(help="A table of rollout_ids to leave out, such as the output of audit --duplicates.")
    ] = None,
) -> None:
    """Copy the rollouts that match a condition to a new dataset, except those that a table lists.

    Example: `tratree filter demo scored --where "environment = 'webshop' AND score > 0"`
    """
    from tratree_data.editing.derive import filter as run_filter

    report(run_filter(directory, out, where, exclude=exclude))


@app.command(rich_help_panel=PANEL)
def delete(
    directory: Dataset,
    task: Annotated[list[str], typer.Option(help="A task's name, or the id of its tree; may be repeated.")],
    environment: Annotated[str, typer.Option(help="The task's environment, if several have a task of this name.")] = "",
    purge: Annotated[bool, typer.Option("--purge", help="Also remove the files of all earlier versions; cannot be undone.")] = False,
) -> None:
    """Delete tasks from a dataset, with everything made from them.

    Example: `tratree delete demo --task B01BTGZLSG-2 --task B021E72XTX-5`
    """
    from tratree_data.editing.derive import delete as run_delete

    report(run_delete(directory, task, environment=environment, purge=purge))


@app.command(rich_help_panel=PANEL)
def vacuum(
    directory: Dataset,
    keep_days: Annotated[float, typer.Option(min=0, help="Keep versions that were current within this many days.")] = 7,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be removed.")] = False,
) -> None:
    """Remove files that only old versions need and what killed commands left behind, and combine small files.

    Example: `tratree vacuum demo --keep-days 30 --dry-run`
    """
    from tratree_data.store.upkeep.vacuum import vacuum as run_vacuum

    report(run_vacuum(directory, keep_days, dry_run=dry_run))
