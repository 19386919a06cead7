"""The state graph of a task as a figure: progress runs from left to right, and the solved end is at the right edge.

A state's column is its distance to a solved end, so arrows to the right are progress. States from which no attempt solved the task are
drawn below the line, near their most frequent predecessor. The most visited states are shown; the legend gives their texts.
"""

from dataclasses import dataclass
from typing import Any

from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import Store
from tratree_data.system.plain_text import one_line, shorten
from tratree_data.viewing.briefs import from_difference
from tratree_data.viewing.colours import FAINT, GREY, INK, LINE, SOFT, value_colour
from tratree_data.viewing.figure_plots import new_figure
from tratree_data.viewing.tree_shapes import pale

MOST_STATES = 24
SOLVED, FAILED = "solved", "failed"
LEGEND_CHARACTERS = 64


@dataclass(frozen=True)
class StateGraph:
    """The shown states by id, most visited first; arrows between them and to both ends: (from, to, visits, mean score)."""

    states: dict[str, dict[str, Any]]
    arrows: list[tuple[str, str, int, float | None]]
    left_out: int


def read_state_graph(store: Store, tree_id: str, most: int = MOST_STATES) -> StateGraph:
    rows = query(store, "page_states", tree_id=tree_id, limit=1_000_000).to_pylist()
    shown = {row["state_id"]: row for row in rows[:most]}
    joined: dict[tuple[str, str], list[tuple[int, float | None]]] = {}
    for move in query(store, "page_transitions", tree_id=tree_id).to_pylist():
        ends = {SOLVED: move["solved_ends"], FAILED: move["ends"] - move["solved_ends"]}
        ways = {move["next_state_id"]: move["visits"] - move["ends"], **ends}
        for target, visits in ways.items():
            if visits and move["state_id"] in shown and (target in shown or target in ends):
                joined.setdefault((move["state_id"], target), []).append((visits, move["mean"]))
    arrows = [(start, end, sum(visits for visits, _ in moves), _mean(moves)) for (start, end), moves in sorted(joined.items())]
    return StateGraph(shown, arrows, len(rows) - len(shown))


def _mean(moves: list[tuple[int, float | None]]) -> float | None:
    known = [(visits, mean) for visits, mean in moves if mean is not None]
    return sum(visits * mean for visits, mean in known) / sum(visits for visits, _ in known) if known else None


def place_states(graph: StateGraph) -> dict[str, tuple[float, float]]:
    """(x, y) of every state and end that arrows reach; those above 0 lead to a solved end, and the most visited are nearest to the line."""
    farthest = max((row["distance"] or 0 for row in graph.states.values()), default=0)
    columns = {name: farthest - row["distance"] for name, row in graph.states.items() if row["distance"]}
    before: dict[str, tuple[int, str]] = {}
    for start, end, visits, _ in graph.arrows:
        if start != end and end in graph.states and not graph.states[end]["distance"]:
            before[end] = max(before.get(end, (0, "")), (visits, start))
    waiting = [name for name in graph.states if name not in columns]
    while waiting:
        name = next((name for name in waiting if before.get(name, (0, ""))[1] in columns), waiting[0])
        columns[name] = columns.get(before.get(name, (0, ""))[1], -1) + 1
        waiting.remove(name)
    reached = {end for _, end, _, _ in graph.arrows}
    if FAILED in reached:
        columns[FAILED] = max(columns.values(), default=0)
    if SOLVED in reached:
        columns[SOLVED] = farthest
    taken: dict[tuple[int, bool], int] = {}
    places = {}
    for name, column in columns.items():
        above = name == SOLVED or bool(name in graph.states and graph.states[name]["distance"])
        row = taken[column, above] = taken.get((column, above), 0) + 1
        places[name] = (float(column), row - 0.5 if above else 0.5 - row)
    return places


def plot_states(graph: StateGraph, title: str) -> Any:
    """Circles by visits, arrows by how often they were taken, both in the colour of the mean score."""
    places = place_states(graph)
    wide = max((x for x, _ in places.values()), default=0) + 1
    tall = max((y for _, y in places.values()), default=1) - min((y for _, y in places.values()), default=-1) + 1
    lines = len(graph.states) + 1
    figure = new_figure(figsize=(max(5.5, 1.15 * wide), 0.85 * tall + 0.19 * lines + 0.9))
    from matplotlib.patches import FancyArrowPatch

    share = 0.19 * lines / figure.get_figheight()
    axes = figure.add_axes((0.02, share + 0.03, 0.96, 0.9 - share))
    axes.set(xlim=(-0.7, wide - 0.3), ylim=(min(y for _, y in places.values()) - 0.6, max(y for _, y in places.values()) + 0.6))
    axes.axis("off")
    axes.set_title(shorten(one_line(title), int(14 * figure.get_figwidth())))
    if any(y < 0 for _, y in places.values()):
        axes.axhline(0, color=LINE, linewidth=1, zorder=0)
        axes.text(-0.65, -0.06, "no attempt solved the task from here", color=FAINT, fontsize=7.5, va="top")
    most = max((visits for _, _, visits, _ in graph.arrows), default=1)
    for start, end, visits, mean in graph.arrows:
        if start == end:
            continue
        bend = 0.12 if places[start][0] < places[end][0] else 0.32
        look = {"arrowstyle": "-|>", "mutation_scale": 8, "shrinkA": 11, "shrinkB": 11, "zorder": 1}
        width = 0.7 + 3 * (visits / most) ** 0.5
        axes.add_patch(
            FancyArrowPatch(places[start], places[end], connectionstyle=f"arc3,rad={bend}", color=pale(mean), linewidth=width, **look)
        )
    busiest = max((row["visits"] for row in graph.states.values()), default=1)
    texts = []
    for number, (name, row) in enumerate(graph.states.items(), 1):
        size = 13 + 11 * (row["visits"] / busiest) ** 0.5
        axes.plot(*places[name], "o", markersize=size, color=value_colour(row["mean"]) or GREY, markeredgecolor="white", zorder=2)
        axes.text(*places[name], str(number), color="white", fontsize=7.5, weight="bold", ha="center", va="center", zorder=3)
        score = "" if row["mean"] is None else f", mean score {row['mean']:.2f}"
        visits = f"{row['visits']:,} visit" + "s" * (row["visits"] != 1)
        seen = from_difference(row["observation"], [other["observation"] for other in graph.states.values() if other is not row])
        texts.append(f"{number:>2}  {visits}{score}: {shorten(one_line(seen), LEGEND_CHARACTERS)}")
    for end, value in ((SOLVED, 1.0), (FAILED, 0.0)):
        if end in places:
            axes.plot(*places[end], "s", markersize=13, color=value_colour(value), zorder=2)
            axes.text(places[end][0], places[end][1] - 0.34, end, color=SOFT, fontsize=8, ha="center", va="top", zorder=3)
    if graph.left_out:
        texts.append(f"{graph.left_out:,} less visited states are not shown")
    figure.text(0.03, share, "\n".join(texts), fontsize=7.5, color=INK, va="top", linespacing=1.45)
    return figure
