"""Verbs that only read: show, view, sql, mcp, stats, audit, check, figure."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from tratree_data.cli.verbs import AnyDataset, Format, app, messages, verb
from tratree_data.errors import BadInputError
from tratree_data.system.settings import EngineSettings

PANEL = "Ask and look"
LONGEST_EXAMPLE = 1_000


@app.command(rich_help_panel=PANEL)
def show(
    directory: AnyDataset,
    task: Annotated[
        str | None, typer.Argument(metavar="TASK", help="A task, the id of its tree, or the beginning of either. Default: list all tasks.")
    ] = None,
    depth: Annotated[int | None, typer.Option(min=0, help="Fold nodes deeper than this many steps.")] = None,
    width: Annotated[
        int | None, typer.Option(min=40, help="Width of the output in characters. Default: that of the terminal, or 80 in a pipe.")
    ] = None,
) -> None:
    """Show the tree of a task as text, or list all tasks.

    Example: `tratree show demo B021E72XTX-5 --depth 3`
    """
    from tratree_data.viewing.show import print_text, show

    print_text(lambda columns: show(directory, task, depth=depth, width=width or columns))


@app.command(rich_help_panel=PANEL)
def view(
    directory: AnyDataset,
    task: Annotated[str | None, typer.Option(help="Show only the tree of this task.")] = None,
    out: Annotated[
        str | None, typer.Option(metavar="PAGE.html", help="Where to write the page. Default: a file named after the dataset.")
    ] = None,
    trees: Annotated[int, typer.Option(min=1, help="The maximum number of trees in the page.")] = 200,
    serve: Annotated[bool, typer.Option("--serve", help="Serve the page to this machine instead, reading data on demand.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to serve on; 0 picks a free one.")] = 0,
    annotate: Annotated[
        str | None, typer.Option(metavar="NAME", help="Let readers of the served page add labels and notes, stored under this name.")
    ] = None,
    open_browser: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Open the page in the browser. Default: only in a terminal.")
    ] = None,
) -> None:
    """Show trees in the browser: as one self-contained page or, for large datasets, served by this machine.

    Example: `tratree view demo --out demo.html` or `tratree view demo --serve`
    """
    from tratree_data.viewing.view import show_page

    show_page(directory, task, out=out, trees=trees, serve=serve, port=port, browser=open_browser, annotate=annotate)


@app.command(rich_help_panel=PANEL, context_settings={"ignore_unknown_options": True})  # a query may begin with a comment
def sql(
    directory: AnyDataset,
    query: Annotated[
        str,
        typer.Argument(
            metavar="QUERY_OR_NAME",
            help="SQL, a .sql file, or the name of a query: `queries` lists them, `columns` explains every column.",
        ),
    ],
    param: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Bind $NAME in the query; may be repeated.")] = None,
    format: Format = "table",
    time_limit: Annotated[float, typer.Option(min=0.001, help="Stop the query after this many seconds.")] = 60.0,
) -> None:
    """Query the dataset in SQL. A query can read the tables and views of the dataset and nothing else.

    Example: `tratree sql demo divergences --format csv`
    """
    from tratree_data.cli.tables import print_table
    from tratree_data.store.published.release import open_dataset
    from tratree_data.store.queries.named_queries import query_or_text
    from tratree_data.system.limits import GRACE, memory_for_queries, memory_limited, process_ended_after

    too_long = f"tratree: The query took longer than {time_limit:g} s and was stopped.\nNext: ask for fewer rows or shorter texts"
    with memory_limited(memory_for_queries()):
        store = open_dataset(directory)
        with process_ended_after(time_limit + GRACE, too_long):
            rows = query_or_text(store, query, parse_parameters(param or []), time_limit)
    print_table(rows, format)


@app.command(rich_help_panel=PANEL)
def mcp(
    directory: AnyDataset,
    http: Annotated[bool, typer.Option("--http", help="Serve over HTTP to this machine only, instead of over stdin and stdout.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port for --http; 0 picks a free one.")] = 0,
    time_limit: Annotated[float, typer.Option(min=0.001, help="Stop a query after this many seconds.")] = 60.0,
) -> None:
    """Answer an agent's questions about the dataset over the Model Context Protocol: read-only SQL, trees, statistics.

    Example: `tratree mcp demo`, started by an agent: `claude mcp add demo -- tratree mcp demo`
    """
    from tratree_data.viewing.mcp_server import serve_http, serve_stdio

    if http:
        serve_http(directory, time_limit, port=port)
    else:
        serve_stdio(directory, time_limit)


@app.command(rich_help_panel=PANEL)
def stats(
    directory: AnyDataset,
    attempts: Annotated[
        str | None, typer.Option(metavar="M-N", help="Rebuild the trees from the first M attempts, for each M: 3-10, or 3,5,7.")
    ] = None,
    format: Format = "table",
) -> None:
    """Report how good the trees are: breadth, depth and divergences, with advice.

    Example: `tratree stats demo --attempts 3-9`
    """
    from tratree_data.cli.tables import print_record, print_table
    from tratree_data.store.published.release import open_dataset
    from tratree_data.trees.stats import SWEEP_COLUMNS, advice, stats_by_attempts
    from tratree_data.trees.stats import stats as run_stats

    if attempts is not None:
        sweep = stats_by_attempts(directory, parse_numbers(attempts))
        print_table(sweep.select(SWEEP_COLUMNS) if format == "table" else sweep, format)
        return
    quality = run_stats(directory)
    print_record(quality, format)
    for text in advice(open_dataset(directory)):
        messages.print(f"! {text}", markup=False, soft_wrap=True)


@app.command(rich_help_panel=PANEL)
def audit(
    directory: AnyDataset,
    embedder: Annotated[
        str | None, typer.Option(help="The embedder, as in build. Default: the one that the trees were built with.")
    ] = None,
    calls: Annotated[int, typer.Option(min=0, help="The number of close calls to show on each side of the threshold.")] = 5,
    trees: Annotated[int, typer.Option(min=1, help="The number of trees to examine.")] = 500,
    suggest: Annotated[bool, typer.Option("--suggest", help="Suggest normalisers that the log supports instead.")] = False,
    actions: Annotated[
        bool, typer.Option("--actions", help="Suggest normalisers of actions; with --suggest, of observations and actions in turn.")
    ] = False,
    duplicates: Annotated[bool, typer.Option("--duplicates", help="List rollouts that repeat a rollout of another task or log.")] = False,
    min_similarity: Annotated[float, typer.Option(help="With --duplicates: the minimum share of common 4-word sequences, from 0.5.")] = 0.8,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(help="With --duplicates: also list rollouts of these tasks; a file, a folder, or environment:split.", metavar="TASKS"),
    ] = None,
    format: Format = "table",
) -> None:
    """Show whether merges by similarity were right: the closest calls, and the effect of other thresholds.

    Example: `tratree audit demo --calls 3`, `tratree audit demo --suggest`, `--actions`, or `--duplicates`
    """
    if duplicates or benchmark:
        _print_duplicates(directory, min_similarity, benchmark or [], format)
        return
    if suggest or actions:
        _print_suggestions(directory, actions, suggest, trees, format)
        return
    from tratree_data.cli.tables import print_calls, print_state_merges, print_table
    from tratree_data.store.published.release import open_dataset
    from tratree_data.trees.audit import audit as run_audit

    found = run_audit(directory, embedder=embedder, calls=calls, trees=trees)
    if format == "table":
        print_calls(found.calls)
    print_table(found.sweep, format)
    if format == "table" and calls:
        print_state_merges(open_dataset(directory), calls)
    messages.print(
        f"{found.settings.embedder} merges from {found.settings.min_similarity:g}; --min-similarity auto would choose {found.chosen:g}"
    )


def _print_duplicates(directory: str, min_similarity: float, benchmark: list[str], format: str) -> None:
    from tratree_data.cli.tables import print_table
    from tratree_data.trees.duplicates import duplicates

    found = duplicates(directory, min_similarity=min_similarity, benchmark=benchmark)
    print_table(found.found, format)
    for note in found.notes:
        messages.print(note, markup=False, soft_wrap=True)


def _print_suggestions(directory: str, actions: bool, observations: bool, trees: int, format: str) -> None:
    from tratree_data.cli.tables import print_suggestions, print_table
    from tratree_data.trees.rules.suggest import suggest

    found = suggest(directory, actions=actions, observations=observations, trees=trees)
    if format == "table":
        print_suggestions(found.rules)
    else:
        print_table(found.rules, format)
    messages.print(found.advice, markup=False, soft_wrap=True)


@verb(EngineSettings, PANEL)
def check(directory: AnyDataset, format: Format = "table", **given: Any) -> None:
    """Check that a dataset follows every rule and a release's files are intact; exit code 1 if not.

    Example: `tratree check demo-release`
    """
    from tratree_data.cli.tables import print_table
    from tratree_data.store.checks import check as run_check
    from tratree_data.system.plain_text import shorten

    rules = run_check(directory, **given)
    broken = [row for row in rules.to_pylist() if row["offending_rows"]]
    if format != "table":
        print_table(rules, format)
    for row in broken if format == "table" else []:
        print(f"{row['check']}: {row['offending_rows']:,} rows. {row['rule']}\n  first: {shorten(row['example'], LONGEST_EXAMPLE)}")
    messages.print(f"{rules.num_rows} rules checked, {len(broken)} broken")
    if broken:
        raise typer.Exit(1)


@app.command(rich_help_panel=PANEL)
def figure(
    directory: AnyDataset,
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="The figure, such as attempts or tree. Default: list all figures."),
    ] = None,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="Where to write the figure: .svg, .png or .pdf.")] = None,
    task: Annotated[
        str | None, typer.Option(help="The task to draw, for tree and states. Default: the one with the most divergences.")
    ] = None,
    table: Annotated[str | None, typer.Option(metavar="FILE", help="Draw a saved table (.csv, .json, .parquet) instead of DIR.")] = None,
    style: Annotated[str, typer.Option(help="page, or paper: sized for the columns of a two-column paper.")] = "page",
) -> None:
    """Draw a figure for papers and cards, in colours that colour-blind readers can distinguish.

    Example: `tratree figure demo attempts --out attempts.png`
    """
    from tratree_data.viewing.figures import figure, shown_by_figures

    if name is None:
        print("\n".join(f"{known:<10}{shows}" for known, shows in shown_by_figures().items()))
        return
    print(figure(directory, name, out, task=task, table=table, style=style))


def parse_parameters(given: Sequence[str]) -> dict[str, str]:
    parameters = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BadInputError(f"--param takes NAME=VALUE, not {text!r}.\nNext: --param node_id=0123456789abcdef")
        parameters[name.removeprefix("$")] = value
    return parameters


def parse_numbers(text: str) -> list[int]:
    """'3-6' or '3,5,7' → a list of whole numbers."""
    try:
        if "-" in text:
            low, high = (int(part) for part in text.split("-"))
            return list(range(low, high + 1))
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise BadInputError(f"{text!r} is not a list of whole numbers.\nNext: 3-10, or 3,5,7") from error
