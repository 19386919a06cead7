"""Vectors that the datasets of one machine share: a folder per model with files that are written once.

Keyed by the model's fingerprint, so vectors of another model are never read. Each process adds a file under a name of its own, in one
move, so that any number of them may read and write at the same time; many small files are joined into one. TRATREE_CACHE names another
folder, or `off`.
"""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tratree_data.ids import content_id

VARIABLE = "TRATREE_CACHE"
OFF = "off"
LARGEST = 200_000_000
"""Bytes of a model's files; above them the oldest vectors are dropped when files are joined, so that reading stays quick."""
JOINED_FROM = 32
"""Files from which on they are joined."""


def folder_of(fingerprint: str) -> Path | None:
    """Where vectors of this model are shared; None where they are not."""
    chosen = os.environ.get(VARIABLE, "")
    if chosen == OFF or not fingerprint:
        return None
    base = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tratree"
    return base / "vectors" / fingerprint


def read_vectors(fingerprint: str) -> pa.Table | None:
    """Rows of `embeddings` that any process shared; a file that another process has just joined, or cut off, is left out."""
    folder = folder_of(fingerprint)
    tables = [table for file in _files(folder) if (table := _read(file)) is not None]
    return pa.concat_tables(tables) if tables else None


def share_vectors(fingerprint: str, rows: pa.Table) -> None:
    """Adds rows of `embeddings`. A full or read-only disk costs the sharing, never the build."""
    folder = folder_of(fingerprint)
    if folder is None or not rows.num_rows:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = _files(folder)
        is_full = sum(file.stat().st_size for file in before) > LARGEST
        if len(before) >= JOINED_FROM and not is_full:
            rows = pa.concat_tables([rows, *(table for file in before if (table := _read(file)) is not None)])
        name = content_id(*sorted(set(rows["text_id"].to_pylist())))
        target, draft = folder / f"{name}.parquet", folder / f".{name}.{os.getpid()}"
        pq.write_table(rows, draft, compression="zstd")
        draft.replace(target)
        for file in before if is_full or len(before) >= JOINED_FROM else []:
            if file != target:
                file.unlink(missing_ok=True)
    except OSError:
        return


def _files(folder: Path | None) -> list[Path]:
    return sorted(folder.glob("*.parquet")) if folder is not None and folder.is_dir() else []


def _read(file: Path) -> pa.Table | None:
    try:
        return pq.read_table(file, columns=["model", "text_id", "vector"], partitioning=None)
    except (OSError, pa.ArrowException):
        return None
