"""Verbs that bring rollouts in: explore, import, environments."""

from typing import Annotated, Any

import typer

from tratree_data.cli.app import Dataset, app, report, verb
from tratree_data.importers.settings import ImportSettings

PANEL = "Bring rollouts in"

Agents = Annotated[
    list[str] | None,
    typer.Option(help="name:key=value,… of scripted (the default), openai, vllm, transformers, expert, transcript; may be repeated."),
]
Options = Annotated[list[str] | None, typer.Option(help="key=value for the environment itself, e.g. noise=true; may be repeated.")]
Expand = Annotated[
    str | None,
    typer.Option(help="Start from nodes of the trees instead: divergences, uncertain, unsolved, or a SELECT of node_id and priority."),
]


@app.command(rich_help_panel=PANEL)
def explore(
    environment: Annotated[str, typer.Argument(metavar="ENVIRONMENT", help="What to act in; `tratree environments` lists them.")],
    directory: Dataset,
    agent: Agents = None,
    attempts: Annotated[int, typer.Option(min=1, help="Attempts of each agent at each task.")] = 7,
    tasks: Annotated[int | None, typer.Option(min=1, help="The first N tasks of the split; all without it.")] = None,
    split: Annotated[str, typer.Option(help="The split of tasks.")] = "train",
    engine: Annotated[str, typer.Option(help="local, or ray.")] = "local",
    data: Annotated[str | None, typer.Option(help="The environment's data folder.")] = None,
    option: Options = None,
    temperature: Annotated[str, typer.Option(help="0.7, or a list 0.2,0.7,1.0 or ramp 0.2..1.4/7 that the attempts go through.")] = "1.0",
    top_p: Annotated[str, typer.Option(help="The same for top-p.")] = "1.0",
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens of one answer.")] = 512,
    seed: Annotated[int, typer.Option(help="Seeds every request.")] = 0,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Fewer steps than the environment's own limit.")] = None,
    concurrent: Annotated[int | None, typer.Option(min=1, help="Episodes at once; 32, or fewer where each needs a process.")] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="Processes for scripted agents, or Ray's workers; one per core.")] = None,
    time_out: Annotated[float, typer.Option(help="Seconds after which an environment that does not answer is replaced.")] = 120.0,
    commit_rollouts: Annotated[int, typer.Option(min=1, help="Finished rollouts are committed when there are so many …")] = 1000,
    commit_seconds: Annotated[float, typer.Option(help="… or after so many seconds.")] = 10.0,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try again what failed for other reasons than skill.")] = False,
    expand: Expand = None,
    budget: Annotated[int, typer.Option(min=1, help="Attempts that --expand spreads, at most --attempts of them from one node.")] = 100,
) -> None:
    """Lets agents act in an environment; every attempt becomes a rollout. The same command goes on where it was stopped.

    Example: `tratree explore webshop shop --agent scripted:skill=0.6 --attempts 7 --tasks 50`
    """
    asked: dict[str, Any] = dict(locals())  # the options are called as the function's parameters are
    from tratree_data.agents import read_options
    from tratree_data.exploration.explore import explore

    asked |= {"agent": agent or ["scripted"], "options": read_options(asked.pop("option") or [], "--option")}
    report(explore(**asked))


@verb(ImportSettings, PANEL)
def import_(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file, a folder of files, or hub:org/name.")],
    directory: Dataset,
    **given: Any,
) -> None:
    """Imports other tools' logs; what cannot be used goes to the table `dropped` with file, line and reason.

    Example: `tratree import trajectories.jsonl mine`
    """
    from tratree_data.importers.import_log import import_log

    report(import_log(directory, path, **given))


@app.command(rich_help_panel=PANEL)
def environments() -> None:
    """Lists which environments can run here, what was found, and the command that brings what is missing.

    Example: `tratree environments`
    """
    from tratree_data.environments import list_environments

    for status in list_environments():
        print(f"{status.name:18}{'ready' if status.ready else 'missing':9}{', '.join(status.found)}".rstrip())
        for what, command in status.missing:
            print(f"{'':18}{what}: {command}")
