"""Draws figures: one style, and one function per figure, from a table to a matplotlib figure.

Colours come from the scale of values (orange, grey, blue), which colour-blind readers can distinguish; lines also differ in style.
"""

from itertools import cycle
from typing import Any

import pyarrow as pa

from tratree_data.errors import BadInputError, missing_package
from tratree_data.system.plain_text import shorten
from tratree_data.viewing.colours import FAINT, INK, LINE, SOFT, value_colour
from tratree_data.viewing.tree_shapes import Diamond, Picture, Rectangle, Words

COLUMN, BOTH_COLUMNS, PAPER_TEXT = 3.33, 6.9, 7.0
"""Column widths of a two-column paper in inches, and the text size of its figures in points."""
LONGEST_BESIDE = 26
"""Two entries of a legend fit on a line if they have at most this many characters."""
PIXELS = 96
"""Pixels per inch of an SVG."""
BLUE, ORANGE = "#1861a8", "#c25514"
LINES = ((BLUE, "-", "o"), (ORANGE, "--", "s"), (SOFT, ":", "^"), (INK, "-.", "D"))
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
    "text.usetex": False,
    "svg.hashsalt": "tratree",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
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


def for_paper(drawn: Any) -> Any:
    """The figure in one column of a two-column paper, or across both if it is wide, without titles that a caption repeats."""
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

    width, height = drawn.get_size_inches()
    axes = [one for one in drawn.axes if one.axison]
    target = COLUMN if len(axes) == 1 else BOTH_COLUMNS
    drawn.set_size_inches(target, height * target / width)
    if len(axes) == 1 and axes[0].get_legend():
        handles, labels = axes[0].get_legend_handles_labels()
        beside = 1 if max(map(len, labels)) > LONGEST_BESIDE else 2
        axes[0].legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, -0.24), ncols=beside, handlelength=2.0)
    for text in drawn.findobj(Text):
        text.set_fontsize(PAPER_TEXT if axes else text.get_fontsize() * target / width)
    for line in drawn.findobj(Line2D):
        line.set_linewidth(min(line.get_linewidth(), 1.1))
        line.set_markersize(line.get_markersize() * min(1.0, target / width))
    if len(axes) == 1:
        axes[0].set_title("")
    return drawn


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
    """model, step, score, low, high, rollouts → what each model had earned by each step, with a 95 % interval."""
    models, steps, scores, low, high, rollouts = columns(table, "model", "step", "score", "low", "high", "rollouts")
    figure = new_figure(figsize=(5.2, 3.3))
    axes = figure.subplots()
    last = max(steps, default=1)
    for name, (colour, dashes, _) in zip(dict.fromkeys(models), cycle(LINES), strict=False):
        own = [row for row, model in enumerate(models) if model == name]
        own.append(own[-1])
        at = [*(steps[row] for row in own[:-1]), last + 1]
        label = f"{shorten(name, 30)} ({rollouts[own[0]]:,} rollouts)"
        axes.fill_between(at, [low[row] for row in own], [high[row] for row in own], step="post", color=colour, alpha=0.12, linewidth=0)
        axes.step(at, [scores[row] for row in own], where="post", color=colour, linestyle=dashes, linewidth=1.6, label=label)
    axes.set(
        xlim=(0, last + 0.6), ylim=(0, 1.02), xlabel="steps of an attempt", ylabel="mean score earned so far", title="Score over steps"
    )
    _whole_numbers(axes)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, columnspacing=1.4, handlelength=2.2)
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


def plot_tree(picture: Picture) -> Any:
    """The shapes of the SVG for the other formats; a pixel of the SVG is 1/96 inch."""
    figure = new_figure(figsize=(picture.width / PIXELS, picture.height / PIXELS))
    from matplotlib import patches
    from matplotlib.path import Path

    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, picture.width), ylim=(picture.height, 0))
    axes.axis("off")
    points = 72 / PIXELS
    for layer, shape in enumerate(picture.shapes):
        if isinstance(shape, Words):
            look = {"weight": "bold" if shape.bold else "normal", "style": "italic" if shape.italic else "normal"}
            family = {"family": "monospace"} if shape.mono else {}
            axes.text(
                shape.x, shape.y, shape.text, fontsize=shape.size * points, color=shape.shade, va="baseline", zorder=layer, **look, **family
            )
        elif isinstance(shape, Rectangle):
            outline = patches.FancyBboxPatch(
                (shape.x, shape.y),
                shape.width,
                shape.height,
                boxstyle=f"round,pad=0,rounding_size={shape.radius}" if shape.radius else "square,pad=0",
                facecolor=shape.fill,
                edgecolor=shape.edge or "none",
                linewidth=points,
                zorder=layer,
            )
            axes.add_patch(outline)
        elif isinstance(shape, Diamond):
            corners = [(shape.x, shape.y), (shape.x + 7, shape.y - 7), (shape.x + 14, shape.y), (shape.x + 7, shape.y + 7)]
            axes.add_patch(patches.Polygon(corners, facecolor="white", edgecolor=SOFT, linewidth=points, zorder=layer))
        else:
            middle = (shape.x + shape.to_x) / 2
            places = [(shape.x, shape.y), (middle, shape.y), (middle, shape.to_y), (shape.to_x, shape.to_y)]
            drawn: dict[str, Any] = {
                "edgecolor": shape.shade,
                "linewidth": shape.width * points,
                "linestyle": "--" if shape.dashed else "-",
            }
            axes.add_patch(
                patches.PathPatch(Path(places, [Path.MOVETO, *[Path.CURVE4] * 3]), fill=False, capstyle="butt", zorder=layer, **drawn)
            )
    return figure
