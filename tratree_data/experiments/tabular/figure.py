"""The experiment's figures: how far each way of training is from more training on the expert's demonstrations, and where it helps.

`python -m tratree_data.experiments.tabular.figure RESULTS.json FIGURE.svg` draws either, by what the results are of.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tratree_data.viewing.colours import FAINT, INK, LINE, SOFT
from tratree_data.viewing.figure_plots import BLUE, ORANGE, new_figure

NOT_SHOWN = "#8b867e"
"""The colour of a difference that the corrected test does not show."""
ALPHA = 0.05
MOST = 12.0
"""Points at which the colours of the phase diagram end."""


def draw_differences(results: dict[str, Any], path: Path) -> None:
    """One row per arm that is compared with the control, in the groups and with the labels of the recipe."""
    recipe = results["recipe"]
    rows = shown_rows(results)
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(recipe["arms"][row["arm"]]["group"], []).append(row)
    count = len(rows) + 1.1 * len(groups)
    figure = new_figure(figsize=(7.4, 0.27 * count + 0.9))
    axes = figure.subplots()
    axes.axvline(0, color=SOFT, linewidth=1)
    place = 0.0
    for group, members in groups.items():
        heading = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "center", "fontweight": "bold"}
        axes.text(-0.01, -place, group, color=INK, fontsize=9.5, **heading)
        place += 1
        for row in sorted(members, key=lambda row: -row["value"]):
            _draw_row(axes, row, recipe["arms"][row["arm"]]["label"], -place)
            place += 1
        place += 0.1
    axes.set(yticks=[], ylim=(-place + 0.3, 0.7), xlabel="points of reward (0 to 100), 95 % interval over seeds")
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    seeds = min(row["runs"] for row in rows)
    axes.set_title(f"Points above SFT strong with as many more steps ({seeds} seeds)", loc="right")
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def shown_rows(results: dict[str, Any]) -> list[dict[str, Any]]:
    """The comparisons that the figure shows."""
    recipe = results["recipe"]
    against = recipe.get("protocol", {}).get("figure_against", ())
    return [row for row in results["comparisons"] if row["against"] in against and "label" in recipe["arms"][row["arm"]]]


def _draw_row(axes: Any, row: dict[str, Any], label: str, at: float) -> None:
    value, low, high = (100 * row[name] for name in ("value", "low", "high"))
    shown = row["p_holm"] < ALPHA
    colour = NOT_SHOWN if not shown else BLUE if value > 0 else ORANGE
    axes.axhline(at, color=LINE, linewidth=0.5, zorder=0)
    axes.plot([low, high], [at, at], color=colour, linewidth=2.2, solid_capstyle="round")
    axes.plot([value], [at], marker="o" if shown else "D", markersize=5, color=colour, markerfacecolor=colour if shown else "white")
    beside = {"transform": axes.get_yaxis_transform(), "va": "center"}
    axes.text(-0.01, at, label, ha="right", fontsize=9, color=INK, **beside)
    axes.text(1.02, at, f"{value:+.1f}".replace("-", "−"), fontsize=8.5, color=colour if shown else FAINT, **beside)


def draw_phase(results: dict[str, Any], path: Path) -> None:
    """A panel per comparison: the difference at every combination of the two numbers that were varied."""
    from matplotlib.colors import LinearSegmentedColormap

    cells = {tuple(cell["at"]): cell for cell in results["cells"]}
    upward, rightward = (sorted({key[axis] for key in cells}) for axis in (0, 1))
    rows = next(iter(cells.values()))["comparisons"]
    colours = LinearSegmentedColormap.from_list("differences", [ORANGE, "#ffffff", BLUE])
    figure = new_figure(figsize=(7.6, 5.0), layout="constrained")
    grid = figure.subplots(2, -(-len(rows) // 2), sharex=True, sharey=True)
    for axes, row in zip(grid.flat, rows, strict=True):
        shown = {key: next(one for one in cell["comparisons"] if one["arm"] == row["arm"]) for key, cell in cells.items()}
        values = [[100 * shown[n, m]["value"] for m in rightward] for n in upward]
        axes.imshow(values, cmap=colours, vmin=-MOST, vmax=MOST, origin="lower", aspect="auto")
        for (n, m), found in shown.items():
            text = f"{100 * found['value']:+.1f}\n± {100 * found['standard_error']:.1f}".replace("-", "−")
            dark = abs(100 * found["value"]) > 0.7 * MOST
            axes.text(rightward.index(m), upward.index(n), text, ha="center", va="center", fontsize=8, color="white" if dark else INK)
        axes.set_title(results["labels"][row["arm"]], fontsize=9.5)
        axes.set_xticks(range(len(rightward)), rightward)
        axes.set_yticks(range(len(upward)), upward)
        axes.grid(visible=False)
    figure.supxlabel(results["axes"][1], fontsize=9.5, color=SOFT)
    figure.supylabel(results["axes"][0], fontsize=9.5, color=SOFT)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    found = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    (draw_phase if "cells" in found else draw_differences)(found, Path(sys.argv[2]))
