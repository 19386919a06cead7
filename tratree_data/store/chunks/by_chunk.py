"""The one seam through which a stage works on its chunks: in this process, in worker processes or on a cluster, with the same rows.

A stage is a function `make(chunk, add)`: it reads what the chunk names, calls `add(table, rows)` for each piece of what it makes of that,
and returns what the report needs. Workers write the pieces as files where the tables live, and only the driver commits them. So machines
share nothing but the dataset, and whatever a dead worker left behind is invisible.
"""

import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import pyarrow as pa

from tratree_data.errors import BadInputError
from tratree_data.store.locations import Place, place
from tratree_data.store.writing.staged import Made, StagedFiles
from tratree_data.system.engine import run_each
from tratree_data.system.settings import Engine

Chunk = TypeVar("Chunk")
Facts = TypeVar("Facts")
Add = Callable[[str, pa.Table], None]
"""(table's name, some of its rows)"""
REMEDY = "Next: the same command with --workers 1"


def run_by_chunk(
    make: Callable[[Chunk, Add], Facts],
    chunks: Sequence[Chunk],
    parts: StagedFiles,
    engine: Engine | Literal["threads"] = "local",
    workers: int | None = None,
    *,
    remedy: str = REMEDY,
    use_gpu: bool = False,
) -> Iterator[tuple[Chunk, Facts]]:
    """Each chunk with what `make` returned for it, in the order in which they finish; all rows are in `parts`, in the order of the chunks.

    But for threads, `make` and its chunks travel: a module's function or a `partial` of one.
    """
    if is_alone(engine, workers):
        for chunk in chunks:
            yield chunk, make(chunk, parts.add)
        return
    folder = place(parts.directory)
    where = folder.absolute() if isinstance(folder, Path) else folder
    work = ((number, where, make, chunk) for number, chunk in enumerate(chunks))
    for number, made in run_each(_make_alone, work, engine=engine, workers=workers, remedy=remedy, use_gpu=use_gpu, name=_name_of(make)):
        parts.take(number, made)
        yield chunks[number], made.facts


def _name_of(make: Callable[..., object]) -> str:
    return str(getattr(make.func if isinstance(make, partial) else make, "__name__", "make"))


def is_alone(engine: str, workers: int | None) -> bool:
    """Whether all chunks are made in this process, which may then use every core for each."""
    return engine == "local" and (workers or 1) == 1


def _make_alone(work: tuple[int, Place, Callable[[Chunk, Add], Facts], Chunk]) -> tuple[int, Made]:
    """In a worker."""
    number, directory, make, chunk = work
    need_reachable(directory)
    with StagedFiles(directory) as parts:
        return number, parts.made(make(chunk, parts.add))


def need_reachable(directory: Place) -> None:
    """Reports a missing folder: a worker on another machine may see another disk."""
    if isinstance(directory, Path) and not directory.is_dir():
        raise BadInputError(
            f"The worker on {socket.gethostname()} has no folder {directory}.\n"
            "Next: keep the dataset in a bucket (s3://…), or in a folder that every machine of the cluster has"
        )
