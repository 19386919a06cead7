"""Draws figures: one style, and one function per figure, from a table to a matplotlib figure.

Colours come from the scale of values (orange, grey, blue), which colour-blind readers can distinguish; lines also differ in style.
"""

from collections.abc import Callable
from itertools import cycle
from typing import Any

import pyarrow as pa

from tratree_data.errors import BadInputError, missing_package
from tratree_data.system.plain_text import shorten
from tratree_data.viewing.colours import value_colour
from tratree_data.viewing.tree_drawing import GREY, HEIGHT, STAR, Box, Drawing, pale

INK, SOFT, FAINT, LINE = "#1f1d1a", "#5d5953", "#77726a", "#e3e0da"
BLUE, ORANGE = "#1861a8", "#c25514"
LINES = ((BLUE, "-", "o"), (ORANGE, "--", "s"), (SOFT, ":", "^"), (INK, "-.", "D"))
PANELS_PER_ROW, MOST_PANELS = 3, 12
FONTS = ("Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans")
"""The last one comes with matplotlib and has glyphs that the others lack."""
STYLE = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": "#c9c4bb",
    "axes.labelcolor": SOFT,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "font.size": 9.5,
    "text.parse_math": False,
    "svg.hashsalt": "tratree",
    "svg.fonttype": "none",
    "savefig.dpi": 200,
    "savefig.bbox": "tight",
}


def new_figure(**options: Any) -> Any:
    """An empty matplotlib figure in our style; without pyplot, which takes half a second to import and opens windows."""
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise missing_package("matplotlib", "view") from error
    from matplotlib import font_manager
    from matplotlib.figure import Figure

    known = {font.name for font in font_manager.fontManager.ttflist}
    mpl.rcParams.update(STYLE | {"font.family": [name for name in FONTS if name in known]})
    return Figure(**options)


def columns(table: pa.Table, *names: str) -> list[list[Any]]:
    missing = [name for name in names if name not in table.column_names]
    if missing:
        raise BadInputError(
            f"The table lacks {', '.join(missing)}; it has {', '.join(table.column_names)}.\n"
            "Next: leave out --table, or write the table with --format csv"
        )
    return [table.column(name).to_pylist() for name in names]


def plot_scores(table: pa.Table) -> Any:
    """bin_from, bin_to, rollouts → a histogram in which each bar has the colour of its scores."""
    low, high, counts = columns(table, "bin_from", "bin_to", "rollouts")
    figure = new_figure(figsize=(5.2, 2.9))
    axes = figure.subplots()
    for start, end, count in zip(low, high, counts, strict=True):
        axes.bar((start + end) / 2, count, (end - start) * 0.86, color=value_colour((start + end) / 2))
    axes.set(xlim=(-0.01, 1.01), xlabel="score", ylabel="rollouts", title=f"Scores of {sum(counts):,} rollouts")
    axes.grid(axis="x", visible=False)
    return figure


def plot_attempts(table: pa.Table) -> Any:
    """attempts, best, best_low, best_high, solved, mean → the expected score of the best of k attempts."""
    attempts, best, low, high, solved, mean = columns(table, "attempts", "best", "best_low", "best_high", "solved", "mean")
    figure = new_figure(figsize=(5.2, 3.1))
    axes = figure.subplots()
    axes.fill_between(attempts, low, high, color=BLUE, alpha=0.14, linewidth=0)
    axes.plot(attempts, best, color=BLUE, marker="o", markersize=4.5, label="best score (95 % interval)")
    axes.plot(attempts, solved, color=ORANGE, marker="s", markersize=4, linestyle="--", label="solved at least once")
    axes.plot(attempts, mean, color=SOFT, linestyle=":", label="mean score")
    axes.set(ylim=(0, 1.02), xlabel="attempts at a task (k)", ylabel="score", title="Best of k attempts")
    _whole_numbers(axes)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, columnspacing=1.2, handlelength=2.0)
    return figure


def plot_quality(table: pa.Table) -> Any:
    """attempts, breadth, depth, divergences_per_tree, steps_per_node → the paper's three criteria of a good tree, and merging, over M."""
    panels = (
        ("Diversity", "breadth", "breadth"),
        ("Representativeness", "depth", "depth"),
        ("Informativeness", "divergences_per_tree", "divergences per tree"),
        ("Merging", "steps_per_node", "steps per node"),
    )
    return _small_multiples(table, "attempts", "attempts at a task (M)", panels)


def plot_sweep(table: pa.Table) -> Any:
    """min_similarity, nodes, merged_by_similarity, divergences, other_states → how the trees depend on the threshold."""
    panels = (
        ("Nodes", "nodes", "nodes"),
        ("Merged", "merged_by_similarity", "steps merged by similarity"),
        ("Divergences", "divergences", "divergences"),
        ("States", "other_states", "nodes in other states"),
    )
    figure = _small_multiples(table, "min_similarity", "minimum similarity of a merge", panels, whole=False)
    for axes in figure.axes:
        axes.invert_xaxis()
    return figure


def plot_steps(table: pa.Table) -> Any:
    """model, task_id, step, score → the score after each step, per task and model, as in the paper's figure 3."""
    models, tasks, steps, scores = columns(table, "model", "task_id", "step", "score")
    lines: dict[tuple[str, str], tuple[list[int], list[float]]] = {}
    for model, task, step, score in zip(models, tasks, steps, scores, strict=True):
        at, earned = lines.setdefault((task, model), ([0], [0.0]))
        at.append(step)
        earned.append(score)
    names, shown = list(dict.fromkeys(models)), list(dict.fromkeys(tasks))[:MOST_PANELS]
    looks = dict(zip(names, cycle(LINES), strict=False))
    rows = -(-len(shown) // PANELS_PER_ROW)
    figure = new_figure(figsize=(7.4, 2.1 * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, min(len(shown), PANELS_PER_ROW), sharex=True, sharey=True, squeeze=False)
    for axes, task in zip(grid.flat, shown, strict=False):
        for name in names:
            if (task, name) in lines:
                colour, dashes, marker = looks[name]
                at, earned = lines[task, name]
                axes.plot(at, earned, color=colour, linestyle=dashes, marker=marker, markersize=3.2, label=shorten(name, 28))
        axes.set(title=shorten(task, 28), ylim=(-0.03, 1.03))
        _whole_numbers(axes)
    for axes in list(grid.flat)[len(shown) :]:
        axes.set_visible(False)
    known = dict(zip(*reversed(grid.flat[0].get_legend_handles_labels()), strict=True))
    figure.legend(known.values(), known.keys(), loc="outside upper center", ncols=4)
    for axes in grid[-1]:
        axes.set_xlabel("steps")
    for axes in grid[:, 0]:
        axes.set_ylabel("score")
    return figure


def _small_multiples(table: pa.Table, x: str, x_label: str, panels: tuple[tuple[str, str, str], ...], whole: bool = True) -> Any:
    figure = new_figure(figsize=(2.35 * len(panels), 2.4), layout="constrained")
    grid = figure.subplots(1, len(panels))
    for axes, (title, name, label) in zip(grid, panels, strict=True):
        at, values = columns(table, x, name)
        axes.plot(at, values, color=BLUE, marker="o", markersize=4)
        axes.set(title=title, ylabel=label)
        axes.set_ylim(0, max((value or 0 for value in values), default=0) * 1.12 or 1)
        if whole:
            _whole_numbers(axes)
    figure.supxlabel(x_label, fontsize=9.5, color=SOFT)
    return figure


def _whole_numbers(axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


PLOTS: dict[str, Callable[[pa.Table], Any]] = {
    "scores": plot_scores,
    "attempts": plot_attempts,
    "quality": plot_quality,
    "sweep": plot_sweep,
    "steps": plot_steps,
}


def plot_tree(drawing: Drawing, title: str) -> Any:
    """The same drawing as the SVG, for the other formats."""
    figure = new_figure(figsize=((drawing.width + 40) / 96, (drawing.height + 70) / 96))
    from matplotlib.patches import FancyBboxPatch, PathPatch, Rectangle
    from matplotlib.path import Path

    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-20, drawing.width + 20), ylim=(drawing.height + 20, -50))
    axes.axis("off")
    axes.text(0, -28, shorten(title, max(int(drawing.width / 7), 40)), fontsize=10, weight="bold", color=INK)
    for casing in (True, False):
        for box in drawing.boxes:
            start = box.parent
            if start is None or (casing and not box.on_path):
                continue
            left, middle = start.x + start.width, (start.x + start.width + box.x) / 2
            path = Path([(left, start.y), (middle, start.y), (middle, box.y), (box.x, box.y)], [Path.MOVETO, *[Path.CURVE4] * 3])
            shade = STAR if casing else GREY if box.kind == "state" else pale(box.node.mean)
            width = (drawing.thickness(box) + (3 if casing else 0)) * 0.75
            axes.add_patch(PathPatch(path, fill=False, edgecolor=shade, linewidth=width, linestyle="--" if box.kind == "state" else "-"))
    for box in drawing.boxes:
        if box.kind == "state":
            axes.plot(box.x + 7, box.y, marker="D", markersize=6, color="white", markeredgecolor=SOFT)
        else:
            edge = STAR if box.on_path else "#c9c4bb"
            outline = FancyBboxPatch(
                (box.x, box.y - HEIGHT / 2),
                box.width,
                HEIGHT,
                boxstyle="round,pad=0,rounding_size=4",
                facecolor="white",
                edgecolor=edge,
                zorder=3,
            )
            axes.add_patch(outline)
            axes.add_patch(
                Rectangle((box.x, box.y - HEIGHT / 2), 4, HEIGHT, color=value_colour(box.node.mean) or GREY, zorder=4, linewidth=0)
            )
        _box_text(axes, box)
    return figure


def _box_text(axes: Any, box: Box) -> None:
    common = {"va": "center", "family": "monospace", "zorder": 5}
    x = box.x + (19 if box.kind == "state" else 12)
    axes.text(x, box.y, box.label, fontsize=8.6, color=INK, weight="bold" if box.on_path else "normal", **common)
    x += len(box.label) * 7.3
    axes.text(x, box.y, box.more, fontsize=8.6, color=FAINT, **common)
    x += len(box.more) * 7.3 + 8
    axes.text(x, box.y, box.mean, fontsize=8, color=FAINT, **common)
    if box.ends:
        x += len(box.mean) * 6.6 + 8 if box.mean else 0
        axes.plot(x + 4, box.y, marker="s", markersize=5.5, color=value_colour(box.node.end_score) or GREY, markeredgewidth=0, zorder=5)
        axes.text(x + 12, box.y, box.ends, fontsize=8, color=INK, **common)
    if box.hidden:
        axes.text(box.x + box.width + 5, box.y - (9 if box.below else 0), f"+{box.hidden}", fontsize=8, color=FAINT, **common)
