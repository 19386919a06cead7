"""The one seam through which stages run on many cores or machines.

`run_each` runs a pure function over independent items: in threads, in processes or on a cluster, with the same results. `run_actors` is for
work that keeps state between calls, such as a loaded model.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol, TypeVar

from tratree_data.system import ray_cluster
from tratree_data.system.settings import Engine
from tratree_data.system.workers import run_in_processes

Item = TypeVar("Item")
Result = TypeVar("Result")
Made_co = TypeVar("Made_co", covariant=True)
CLUSTERS: dict[str, Any] = {"ray": ray_cluster}
"""Engines whose workers may be on other machines, each a module with `run_remotely` and `actors`."""


class Actors(Protocol[Item, Made_co]):
    """Workers on a cluster that keep state between calls; one that dies is replaced."""

    idle: list[Any]
    running: dict[Any, tuple[Any, Item]]

    def submit(self, item: Item) -> None:
        """Gives the item to an idle worker; `idle` must not be empty."""

    def next_result(self, seconds: float) -> tuple[Item, Made_co | None, str] | None:
        """(item, its result, "") or (item, None, how its worker died); None when `seconds` passed without either."""


def is_cluster(engine: str) -> bool:
    """Whether workers may be on other machines, which share neither memory nor files."""
    return engine in CLUSTERS


def run_each(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    engine: Engine | Literal["threads"],
    workers: int | None = None,
    remedy: str = "Next: the same command with --workers 1",
    use_gpu: bool = False,
    name: str = "",
) -> Iterator[Result]:
    """`function` of every item, in the order in which they finish; one worker per core by default, in processes of this machine if `local`.

    But for threads, function, items and results travel between processes: pass a module's function, and files instead of big tables.
    """
    count = workers or os.cpu_count() or 1
    if engine == "threads":
        with ThreadPoolExecutor(count) as pool:
            yield from pool.map(function, items)
    elif is_cluster(engine):
        yield from CLUSTERS[engine].run_remotely(function, items, workers, use_gpu, name or function.__name__)
    else:
        yield from run_in_processes(function, items, count, remedy)


def run_actors(
    engine: Engine, make_worker: Callable[[], Callable[[Item], Result]], workers: int | None, needs_gpu: bool
) -> AbstractContextManager[Actors[Item, Result]]:
    """Workers on a cluster that each call what `make_worker` makes once."""
    started: AbstractContextManager[Actors[Item, Result]] = CLUSTERS[engine].actors(make_worker, workers, needs_gpu)
    return started
