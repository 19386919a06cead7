"""Verbs that only read: show, view, sql, stats, audit, check, figure."""

from typing import Annotated

import typer

from tratree_data.cli.app import AnyDataset, Format, app, messages

PANEL = "Ask and look"


@app.command(rich_help_panel=PANEL)
def show(
    directory: AnyDataset,
    task: Annotated[
        str | None, typer.Argument(metavar="TASK", help="A task, its tree's id, or the beginning of either; without it the list of tasks.")
    ] = None,
    depth: Annotated[int | None, typer.Option(min=0, help="Fold what lies deeper than this many steps.")] = None,
    width: Annotated[int | None, typer.Option(min=40, help="Columns to use; the terminal's width, or 80 in a pipe.")] = None,
) -> None:
    """Shows the tree of a task as text, or the list of tasks.

    Example: `tratree show demo B021E72XTX-5 --depth 3`
    """
    from tratree_data.viewing.show import print_text, show

    print_text(lambda columns: show(directory, task, depth=depth, width=width or columns))


@app.command(rich_help_panel=PANEL)
def view(
    directory: AnyDataset,
    task: Annotated[str | None, typer.Option(help="Only the tree of this task, opened.")] = None,
    out: Annotated[str | None, typer.Option(metavar="PAGE.html", help="Where to write the page; the dataset's name without it.")] = None,
    trees: Annotated[int, typer.Option(min=1, help="How many trees the page may hold.")] = 200,
    serve: Annotated[bool, typer.Option("--serve", help="Serve it on this machine instead, rows read as they are looked at.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to serve on; 0 takes a free one.")] = 0,
    open_browser: Annotated[bool | None, typer.Option("--open/--no-open", help="Open it in the browser; done in a terminal.")] = None,
) -> None:
    """Shows trees in the browser: one self-contained page, or served on this machine for large datasets.

    Example: `tratree view demo --out demo.html` or `tratree view demo --serve`
    """
    from tratree_data.viewing.view import show_page

    show_page(directory, task, out=out, trees=trees, serve=serve, port=port, browser=open_browser)


@app.command(rich_help_panel=PANEL, context_settings={"ignore_unknown_options": True})  # a query may begin with a comment
def sql(
    directory: AnyDataset,
    query: Annotated[
        str,
        typer.Argument(
            metavar="QUERY_OR_NAME",
            help="SQL, a .sql file, or a query's name: `queries` lists them, `columns` says what every column means.",
        ),
    ],
    param: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Binds $NAME in the query; may be repeated.")] = None,
    format: Format = "table",
) -> None:
    """Asks the dataset in SQL. It can read the dataset's tables and nothing else.

    Example: `tratree sql demo divergences --format csv`
    """
    from tratree_data.cli.tables import parse_parameters, print_table
    from tratree_data.store.queries import query_or_text
    from tratree_data.store.release import open_dataset

    print_table(query_or_text(open_dataset(directory), query, parse_parameters(param or [])), format)


@app.command(rich_help_panel=PANEL)
def stats(
    directory: AnyDataset,
    attempts: Annotated[
        str | None, typer.Option(metavar="M-N", help="Trees of the first M attempts only, for each M: 3-10, or 3,5,7.")
    ] = None,
    format: Format = "table",
) -> None:
    """Says how good the trees are: breadth, depth, informativeness, with what to do about it.

    Example: `tratree stats demo --attempts 3-9`
    """
    from tratree_data.cli.tables import parse_numbers, print_record, print_table
    from tratree_data.trees.stats import SWEEP_COLUMNS, stats_by_attempts, warnings
    from tratree_data.trees.stats import stats as run_stats

    if attempts is not None:
        sweep = stats_by_attempts(directory, parse_numbers(attempts))
        print_table(sweep.select(SWEEP_COLUMNS) if format == "table" else sweep, format)
        return
    quality = run_stats(directory)
    print_record(quality, format)
    for warning in warnings(quality.to_pylist()[0]):
        messages.print(f"! {warning}", markup=False, soft_wrap=True)


@app.command(rich_help_panel=PANEL)
def audit(
    directory: AnyDataset,
    embedder: Annotated[str | None, typer.Option(help="As in build; the one the trees were built with without it.")] = None,
    calls: Annotated[int, typer.Option(min=0, help="How many close calls to show on each side of the threshold.")] = 5,
    trees: Annotated[int, typer.Option(min=1, help="How many trees to look at.")] = 500,
    format: Format = "table",
) -> None:
    """Shows whether the merges by similarity were right: the closest calls, and what other thresholds would do.

    Example: `tratree audit demo --calls 3`
    """
    from tratree_data.cli.tables import print_calls, print_table
    from tratree_data.trees.audit import audit as run_audit

    found = run_audit(directory, embedder=embedder, calls=calls, trees=trees)
    if format == "table":
        print_calls(found.calls)
    print_table(found.sweep, format)
    messages.print(
        f"{found.settings.embedder} merges from {found.settings.min_similarity:g} on; --min-similarity auto would choose {found.chosen:g}"
    )


@app.command(rich_help_panel=PANEL)
def check(directory: AnyDataset, format: Format = "table") -> None:
    """Checks every rule that a dataset keeps, and every file of a release; exit code 1 if one is broken.

    Example: `tratree check demo-release`
    """
    from tratree_data.cli.tables import print_table
    from tratree_data.store.checks import check as run_check

    rules = run_check(directory)
    broken = [row for row in rules.to_pylist() if row["offending_rows"]]
    if format != "table":
        print_table(rules, format)
    for row in broken if format == "table" else []:
        print(f"{row['check']}: {row['offending_rows']:,} rows. {row['rule']}\n  first: {row['example']}")
    messages.print(f"{rules.num_rows} rules checked, {len(broken)} broken")
    if broken:
        raise typer.Exit(1)


@app.command(rich_help_panel=PANEL)
def figure(
    directory: AnyDataset,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="scores, attempts, quality, sweep, steps (of several DIRs with commas) or tree.")
    ],
    out: Annotated[str | None, typer.Option(metavar="FILE", help="Where to write it: .svg, .png or .pdf.")] = None,
    task: Annotated[str | None, typer.Option(help="For tree: whose; the one with most divergences without it.")] = None,
    table: Annotated[str | None, typer.Option(metavar="FILE", help="Draw this table (.csv, .json, .parquet) instead.")] = None,
) -> None:
    """Draws figures for papers and cards, in one style that the colour-blind can read.

    Example: `tratree figure demo attempts --out attempts.png`
    """
    from tratree_data.viewing.figures import figure

    print(figure(directory, name, out, task=task, table=table))
