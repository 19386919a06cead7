"""Figures for papers and cards: `tratree figure DIR NAME --out file.svg` (or .png, .pdf).

Each figure is the plot of a table, which is computed from the dataset or read from a file that an earlier command wrote
(`tratree stats --attempts 3-10 --format csv`), so that a figure can be redrawn without the dataset.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import comb, sqrt
from pathlib import Path, PosixPath
from typing import Any

import pyarrow as pa
from pyarrow import csv, json, parquet

from tratree_data.errors import BadInputError, NotFoundError, quoted, suggest
from tratree_data.store.locations import place
from tratree_data.store.published.release import open_dataset
from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import Store
from tratree_data.system.parquet_sizes import refuse_too_much
from tratree_data.system.safe_paths import need_local
from tratree_data.viewing.figure_plots import for_paper, plot_attempts, plot_quality, plot_scores, plot_steps, plot_sweep, plot_tree
from tratree_data.viewing.shown_trees import find_tree, read_tasks, read_tree, sample_tree
from tratree_data.viewing.state_drawing import plot_states, read_state_graph
from tratree_data.viewing.tree_shapes import draw_tree_svg, picture_svg, tree_picture

PICTURES = {"tree": "the tree of a task (--task)", "states": "the state graph of a task (--task), after tratree states DIR"}
"""Figures of one task, and what each shows; `FIGURES`, below, has those of a whole dataset."""
STYLES = ("page", "paper")
SUFFIXES = (".svg", ".png", ".pdf")
BINS = 20
MOST_ATTEMPTS = 16

__all__ = ["draw_tree_svg", "figure"]


class Figure(PosixPath):
    """The path of a figure that was drawn; a notebook displays the figure itself."""

    def _repr_svg_(self) -> str | None:
        return self.read_text(encoding="utf-8") if self.suffix == ".svg" else None

    def _repr_png_(self) -> bytes | None:
        return self.read_bytes() if self.suffix == ".png" else None


def figure(
    directory: str | Path,
    name: str,
    out: str | Path | None = None,
    *,
    task: str | None = None,
    table: str | Path | pa.Table | None = None,
    style: str = "page",
) -> Figure:
    """Draws a figure and returns its path; a notebook displays it. `task` is for `tree` and `states`, `table` for all other figures.

    The style `paper` is sized for the columns of a two-column paper.
    """
    if style not in STYLES:
        raise BadInputError(f"Unknown style {style!r}.{suggest(style, STYLES)}\nNext: --style {STYLES[1]}")
    if name not in (*FIGURES, *PICTURES):
        raise NotFoundError(f"Unknown figure {name!r}.{suggest(name, (*FIGURES, *PICTURES))}")
    path = need_local(out, "a figure") if out is not None else Path(f"{name}.svg")
    if path.suffix not in SUFFIXES:
        raise BadInputError(f"{path} must end in {', '.join(SUFFIXES)}.\nNext: --out {path.stem}.svg")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if name == "tree":
            _write_tree(open_dataset(directory), task, path, style)
        elif name == "states":
            _save(_draw_states(open_dataset(directory), task), path, style)
        else:
            rows = read_table(table) if table is not None and not isinstance(table, pa.Table) else table
            _save(FIGURES[name].plot(rows if rows is not None else make_table(directory, name)), path, style)
    except OSError as error:
        raise BadInputError(f"{path} cannot be written: {error.strerror}.\nNext: choose a writable place with --out") from error
    return Figure(path)


def shown_by_figures() -> dict[str, str]:
    """{figure: what it shows}"""
    return {name: figure.shows for name, figure in FIGURES.items()} | PICTURES


def make_table(directory: str | Path, name: str) -> pa.Table:
    """The table that a figure shows."""
    return FIGURES[name].table(str(directory))


def _score_table(directory: str) -> pa.Table:
    return score_table(_with_rollouts(directory))


def _attempt_table(directory: str) -> pa.Table:
    return attempt_table(_with_rollouts(directory))


def _with_rollouts(directory: str) -> Store:
    store = open_dataset(directory)
    store.need("rollouts")
    return store


def _quality_table(directory: str) -> pa.Table:
    from tratree_data.trees.stats import stats_by_attempts

    most = max(read_tasks(open_dataset(directory)).column("attempts").to_pylist(), default=1)
    return stats_by_attempts(directory, range(1, min(most, MOST_ATTEMPTS) + 1))


def _sweep_table(directory: str) -> pa.Table:
    from tratree_data.trees.audit import audit

    return audit(directory, calls=0).sweep


def score_table(store: Store) -> pa.Table:
    counts = {row["bin"]: row["rollouts"] for row in query(store, "score_counts", bins=BINS).to_pylist()}
    return pa.table(
        {
            "bin_from": [i / BINS for i in range(BINS)],
            "bin_to": [(i + 1) / BINS for i in range(BINS)],
            "rollouts": [counts.get(i, 0) for i in range(BINS)],
        }
    )


def step_table(named: str) -> pa.Table:
    """The score earned by each step: per model of one dataset, or per dataset of several ("DIR,DIR"), by the names of their folders."""
    tables, directories = [], named.split(",")
    for directory in directories:
        store = open_dataset(directory)
        store.need("rollouts", "steps")
        table = query(store, "score_by_step")
        if len(directories) > 1:
            table = table.set_column(0, "model", pa.array([place(directory).name] * table.num_rows, pa.string()))
        tables.append(table)
    return pa.concat_tables(tables)


def attempt_table(store: Store) -> pa.Table:
    """The expected score of the best of k attempts, exactly: over all ways to choose k attempts at a task.

    Every k uses the same tasks: k goes up to the number of scored attempts that four in five tasks have, and tasks with fewer are left out.
    """
    tasks = query(store, "scores_by_task").to_pylist()
    if not tasks:
        raise BadInputError(
            f"{store.path} has no rollout with a score, which this figure needs.\nNext: tratree figure {quoted(store.path)} tree"
        )
    counts = sorted((len(task["scores"]) for task in tasks), reverse=True)
    most = min(counts[int(0.8 * (len(counts) - 1))], MOST_ATTEMPTS)
    tasks = [task for task in tasks if len(task["scores"]) >= most]
    mean = sum(sum(task["scores"]) / len(task["scores"]) for task in tasks) / len(tasks)
    rows = []
    for attempts in range(1, most + 1):
        best = [best_of(attempts, task["scores"]) for task in tasks]
        solved = [best_of(attempts, [float(solved) for solved in task["solved"]]) for task in tasks]
        centre, margin = _interval(best)
        row = {"attempts": attempts, "best": centre, "best_low": max(centre - margin, 0.0), "best_high": min(centre + margin, 1.0)}
        rows.append(row | {"solved": sum(solved) / len(solved), "mean": mean, "tasks": len(tasks)})
    return pa.Table.from_pylist(rows)


def best_of(count: int, scores: list[float]) -> float:
    """The expected maximum of `count` of the scores, drawn without replacement."""
    total = comb(len(scores), count)
    return sum(score * comb(rank, count - 1) / total for rank, score in enumerate(sorted(scores)))


def _interval(values: list[float]) -> tuple[float, float]:
    """The mean, and half the width of its 95 % interval over tasks."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, 0.0
    return mean, 1.96 * sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))


@dataclass(frozen=True)
class Plotted:
    """A figure of a dataset: the plot of a table that is made from it."""

    shows: str
    table: Callable[[str], pa.Table]
    plot: Callable[[pa.Table], Any]


FIGURES = {
    "scores": Plotted("how many rollouts have which score", _score_table, plot_scores),
    "attempts": Plotted("the best score of k attempts, for each k", _attempt_table, plot_attempts),
    "quality": Plotted("breadth, depth, divergences and merging with more attempts", _quality_table, plot_quality),
    "sweep": Plotted("nodes, merges and divergences at each similarity threshold", _sweep_table, plot_sweep),
    "steps": Plotted("the mean score earned by each step, per model; DIR,DIR compares datasets", step_table, plot_steps),
}


def read_table(path: str | Path) -> pa.Table:
    """Reads a table that a command wrote with --format csv or json, or a Parquet file."""
    file = Path(path)
    readers: dict[str, Any] = {".csv": csv.read_csv, ".json": json.read_json, ".jsonl": json.read_json, ".parquet": parquet.read_table}
    if file.suffix not in readers:
        raise BadInputError(f"{file} must end in {', '.join(readers)}.\nNext: save the table with --format csv")
    try:
        if file.suffix == ".parquet":
            with file.open("rb") as raw:
                refuse_too_much(raw, file)
        return readers[file.suffix](file)
    except (pa.ArrowInvalid, FileNotFoundError) as error:
        raise BadInputError(
            f"{file} cannot be read as a table: {str(error).splitlines()[0]}.\nNext: save the table with --format csv"
        ) from error


def _find_task(store: Store, task: str | None) -> str:
    tree_id = sample_tree(read_tasks(store)) if task is None else find_tree(store, task)
    if tree_id is None:
        raise NotFoundError(f"{store.path} has no tree to draw.\nNext: tratree build {quoted(store.path)}")
    return tree_id


def _draw_states(store: Store, task: str | None) -> Any:
    store.need("states", "transitions")
    tree_id = _find_task(store, task)
    graph = read_state_graph(store, tree_id)
    if not graph.states:
        raise NotFoundError(f"{store.path} has no states of this task.\nNext: tratree states {quoted(store.path)}")
    instruction = store.sql("SELECT min(instruction) AS text FROM rollouts WHERE tree_id = $tree_id", {"tree_id": tree_id})
    return plot_states(graph, instruction["text"][0].as_py() or "")


def _write_tree(store: Store, task: str | None, path: Path, style: str) -> None:
    store.need("nodes")
    picture = tree_picture(read_tree(store, _find_task(store, task)))
    if path.suffix == ".svg" and style == "page":
        path.write_text(picture_svg(picture), encoding="utf-8")
    else:
        _save(plot_tree(picture), path, style)


def _save(drawn: Any, path: Path, style: str) -> None:
    drawn = for_paper(drawn) if style == "paper" else drawn
    when = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}, ".png": None}[path.suffix]
    drawn.savefig(path, metadata=when)
