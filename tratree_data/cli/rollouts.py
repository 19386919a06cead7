"""Verbs that bring rollouts in: explore, import, environments."""

from typing import Annotated, Any

import typer

from tratree_data.cli.verbs import Dataset, app, report, verb
from tratree_data.exploration.settings import ExploreSettings, VerifySettings
from tratree_data.importers.settings import ImportSettings

PANEL = "Bring rollouts in"


@verb(ExploreSettings, PANEL)
def explore(
    environment: Annotated[
        str,
        typer.Argument(metavar="ENVIRONMENT", help="A name from `tratree environments`, or your own module:Class or file.py:Class."),
    ],
    directory: Dataset,
    **given: Any,
) -> None:
    """Run agents in an environment; every attempt becomes a rollout. The same command resumes a stopped run.

    Example: `tratree explore webshop shop --agent scripted:skill=0.6 --attempts 7 --tasks 50`
    """
    from tratree_data.exploration.explore import explore

    report(explore(directory, environment, **given))


@verb(VerifySettings, PANEL)
def verify(
    environment: Annotated[
        str,
        typer.Argument(metavar="ENVIRONMENT", help="A name from `tratree environments`, or your own module:Class or file.py:Class."),
    ],
    directory: Dataset,
    **given: Any,
) -> None:
    """Branch from both sides of each decision until their scores differ for certain, or the budget is spent.

    Example: `tratree verify webshop shop --agent scripted:skill=0.6 --tasks 50 --budget 20`
    """
    from tratree_data.verification import verify

    report(verify(directory, environment, **given))


@verb(ImportSettings, PANEL)
def import_(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file, a folder of files, hub:org/name or hf://datasets/org/name/path.")],
    directory: Dataset,
    **given: Any,
) -> None:
    """Import other tools' logs; what cannot be used is listed in the table `dropped`, with file, line and reason.

    Example: `tratree import trajectories.jsonl mine`
    """
    from tratree_data.importers.import_log import import_log

    report(import_log(directory, path, **given))


@app.command(rich_help_panel=PANEL)
def environments() -> None:
    """List which environments can run here, what was found, and the command that installs what is missing.

    Example: `tratree environments`
    """
    from tratree_data.environments import list_environments

    found = list_environments()
    width = max(len(status.name) for status in found) + 2
    for status in found:
        print(f"{status.name:{width}}{'ready' if status.ready else 'missing':9}{', '.join(status.found)}".rstrip())
        for command in dict.fromkeys(command for _, command in status.missing):
            missing = ", ".join(what for what, its in status.missing if its == command)
            print(f"{'':{width}}{missing}: {command}")
