"""All blocks of seeds, some at once, and the table; what is finished is not repeated."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tratree_data.errors import BadInputError, suggest
from tratree_data.experiments.recipe import Recipe
from tratree_data.experiments.run_experiment import end_with
from tratree_data.experiments.tabular.figure import draw_differences, shown_rows
from tratree_data.experiments.tabular.results import collect
from tratree_data.results import StageResult


def is_tabular(plan: Recipe) -> bool:
    """Whether a recipe's models are networks of so many units."""
    return all("units" in model for model in plan["models"].values())


def run_tabular(plan: Recipe, directory: Path, seeds: Sequence[int], processes: int, arms: Sequence[str]) -> StageResult:
    """All arms (or those named) for all seeds; the results are written after every block."""
    for arm in arms:
        if arm not in plan["arms"]:
            raise BadInputError(f"The recipe has no arm {arm!r}.{suggest(arm, plan['arms'])}")
    directory.mkdir(parents=True, exist_ok=True)
    started, chosen = time.monotonic(), tuple(arms) or tuple(plan["arms"])
    blocks = blocks_of(seeds, int(plan["environment"]["block"]))
    tasks = [(plan, directory / f"block-{number}", own, chosen) for number, own in blocks]
    for _ in _finished(tasks, processes):
        write_results(plan, directory)
    results = write_results(plan, directory)
    counts = {"seeds": len(set(seeds)), "arms": len(results["arms"])}
    notes = [f"{time.monotonic() - started:.0f} s; the table is in {directory / 'results.json'}"]
    if shown_rows(results) and find_spec("matplotlib") is not None:
        draw_differences(results, directory / "differences.svg")
        notes.append(f"the figure is {directory / 'differences.svg'}")
    return StageResult("experiment", True, counts, tuple(notes))


def _finished(tasks: Sequence[tuple[Recipe, Path, Sequence[int], Sequence[str]]], processes: int) -> Iterator[None]:
    """Runs the blocks, and yields after each."""
    if processes == 1 or len(tasks) == 1:
        for task in tasks:
            run_block(*task)
            yield
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=end_with, initargs=(os.getpid(),)) as pool:
        for done in as_completed([pool.submit(run_block, *task) for task in tasks]):
            done.result()
            yield


def run_block(plan: Recipe, folder: Path, seeds: Sequence[int], arms: Sequence[str]) -> None:
    """One block; torch is imported where it is needed."""
    from tratree_data.experiments.tabular.block import Block

    Block(plan, folder, seeds).run(arms)


def write_results(plan: Recipe, directory: Path) -> dict[str, Any]:
    results = collect(plan, directory)
    whole = directory / "results.json.part"
    whole.write_text(json.dumps(results, indent=1), encoding="utf-8")
    whole.rename(directory / "results.json")
    return results


def blocks_of(seeds: Sequence[int], size: int) -> list[tuple[int, tuple[int, ...]]]:
    """Seeds in blocks that do not depend on which others are asked for: a block starts at a multiple of its size."""
    blocks: dict[int, list[int]] = {}
    for seed in sorted(set(seeds)):
        blocks.setdefault(seed // size, []).append(seed)
    return [(number, tuple(own)) for number, own in blocks.items()]
