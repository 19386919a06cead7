"""The summary that a run ends with: counts, one tree, one pair, and what to type next."""

from pathlib import Path

from rich.text import Text

from tratree_data.errors import quoted
from tratree_data.messages import row_text
from tratree_data.results import counted
from tratree_data.stages import written_tables
from tratree_data.store.published.release import open_dataset
from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import Store
from tratree_data.system.plain_text import shorten
from tratree_data.trees.stats import graph_advice
from tratree_data.viewing.show import show

DEPTH, TREE_LINES, ANSWER_LINES = 5, 40, 6


def summarise_run(directory: str | Path, width: int = 100) -> Text:
    store = open_dataset(directory)
    counts = [f"  {table:<16}{store.count(table):>8,}" for table in written_tables() if store.has(table)]
    parts = [Text("\n".join([f"Tables in {directory}:", *counts]))]
    task = _example_task(store) if store.has("nodes") else None
    if task is not None:
        parts.append(_small(directory, task, width))
    if store.has("pairs") and store.count("pairs"):
        parts.append(Text(_example_pair(store, width)))
    parts += [Text(f"! {text}") for text in graph_advice(store)]
    return Text("\n\n").join([*parts, Text(_next(store, task))])


def _small(directory: str | Path, task: str, width: int) -> Text:
    """The tree down to a depth that takes few lines; a very wide one only fits the page."""
    for depth in range(DEPTH, 0, -1):
        drawn = show(directory, task, depth=depth, width=width)
        if drawn.plain.count("\n") <= TREE_LINES:
            return drawn
    return Text(f"The tree of {task} is too wide for a summary.")


def _example_task(store: Store) -> str | None:
    """A task with a small tree, solved by some attempts and not by others."""
    found = query(store, "example_task").to_pylist()
    return str(found[0]["task_id"]) if found else None


def _example_pair(store: Store, width: int) -> str:
    row = query(store, "example_pair").to_pylist()[0]
    room = width - 12
    lines = [
        f"A preference pair ({row['kind']}, margin {row['margin']:.2f}). "
        f"Both sides share a prompt of {counted(row['turns'], 'messages')}, which ends:"
    ]
    lines.append(f"  {shorten(row['prompt'], room)}")
    for side in ("chosen", "rejected"):
        said = row_text(row[side]).splitlines()
        said = said if len(said) <= ANSWER_LINES else [*said[:ANSWER_LINES], f"… {len(said) - ANSWER_LINES:,} more lines"]
        lines += [f"  {side if i == 0 else '':<8}  {shorten(line, room)}" for i, line in enumerate(said)]
    return "\n".join(lines)


def _next(store: Store, task: str | None) -> str:
    scored = query(store, "overview")["scored"][0].as_py()
    commands = [
        f"tratree show {quoted(store.path)} {quoted(task) if task else ''}".rstrip(),
        f"tratree sql {quoted(store.path)} {'divergences' if scored else 'decisions'}",
        f"tratree view {quoted(store.path)} --out page.html",
    ]
    if not scored:
        commands.append(f"tratree score {quoted(store.path)} --with scores.csv, or judge:model=NAME: best paths and pairs need scores")
    return "\n".join(["Next:", *(f"  {command}" for command in commands)])
