"""Verbs that bring rollouts in: explore, import, environments."""

from typing import Annotated, Any

import typer

from tratree_data.cli.app import Dataset, app, messages, report

PANEL = "Bring rollouts in"


LOG_FORMATS = (
    "jsonl (our own), eto, messages, react, sharegpt, agenttraj, atif, adp, verifiers, sts, sweagent, openhands, intercode, fireact, "
    "knowagent, history or table; docs/importing.md says what each reads."
)
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
    try:
        result = explore(**asked)
    except KeyboardInterrupt:
        messages.print("tratree: stopped. What was finished is kept; the same command goes on from there.", soft_wrap=True)
        raise typer.Exit(130) from None
    report(result)


@app.command("import", rich_help_panel=PANEL)
def import_(
    format: Annotated[str, typer.Argument(metavar="FORMAT", help=LOG_FORMATS)],
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file or a folder of files; table also reads hub:org/name.")],
    directory: Dataset,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad record, with nothing written.")] = False,
    environment: Annotated[str, typer.Option(help="The environment, where the log does not name it.")] = "",
    split: Annotated[str, typer.Option(help="The tasks' split, where the log does not name it (train by default).")] = "",
    agent: Annotated[str, typer.Option(help="What acted, where the log does not say.")] = "",
    model: Annotated[str, typer.Option(help="The model behind it, where the log does not say.")] = "",
    score_scale: Annotated[str, typer.Option(help="The rewards' scale: low,high or percent. Without it only 0 to 1 is taken.")] = "",
    column: Annotated[list[str] | None, typer.Option(help="OURS=THEIRS, which column of a table is which; may be repeated.")] = None,
) -> None:
    """Adds the trajectories of a log that others wrote; what cannot be used goes to `dropped` with file, line and reason.

    Example: `tratree import jsonl trajectories.jsonl mine`
    """
    from tratree_data.importers import import_log, parse_columns

    named = {"environment": environment, "split": split, "agent": agent, "model": model}
    columns = parse_columns(column or [])
    report(import_log(format, path, directory, strict=strict, score_scale=score_scale, columns=columns, **named))


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
