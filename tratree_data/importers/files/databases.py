"""SQLite databases: opened for reading only, with what a running program has not yet moved into them from its write-ahead log.

SQLite reads a write-ahead log only if it may write beside it, so a database that has one is copied to a temporary folder first.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tratree_data.importers.files.log_files import LogFile
from tratree_data.system.scratch import scratch_folder

SQLITE_MAGIC = b"SQLite format 3\0"
DATABASE_ERRORS = (sqlite3.Error, UnicodeDecodeError, OverflowError)
STEPS = 2_000_000_000
"""Of SQLite's virtual machine: a view in a stranger's database could compute forever."""
LOG_ENDING = "-wal"
MOST_OF_FREE = 0.5
MOST_COPIES = 5
"""Tries to copy a database between two writes of the program that uses it."""


def is_sqlite(file: LogFile) -> bool:
    try:
        with file.path.open("rb") as handle:
            return handle.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
    except OSError:
        return False


@contextmanager
def opened_database(file: LogFile) -> Iterator[sqlite3.Connection]:
    """Leaves the database as it is, and creates none of the files that SQLite keeps beside a database in use."""
    log = _log_of(file.path)
    if log is None:
        with _connected(f"{file.path.resolve().as_uri()}?mode=ro&immutable=1") as database:
            yield database
        return
    with scratch_folder("tratree-database-") as folder:
        copy = folder / "database"
        _copy(file.path.resolve(), log, copy)
        with _connected(copy.as_uri()) as database:
            yield database


@contextmanager
def _connected(address: str) -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(address, uri=True)
    try:
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA query_only = ON")
        steps = iter(range(0, STEPS, 1_000_000))
        database.set_progress_handler(lambda: next(steps, None) is None, 1_000_000)
        yield database
    finally:
        database.close()


def _log_of(path: Path) -> Path | None:
    """The database's write-ahead log, if there is anything in it; a link to one is not followed."""
    log = path.resolve()
    log = log.with_name(log.name + LOG_ENDING)
    return log if log.is_file() and not log.is_symlink() and log.stat().st_size else None


def _copy(path: Path, log: Path, copy: Path) -> None:
    if path.stat().st_size + log.stat().st_size > MOST_OF_FREE * shutil.disk_usage(copy.parent).free:
        raise sqlite3.OperationalError("a program has it open, and a copy does not fit on the disk: close the program, or set TMPDIR")
    for _ in range(MOST_COPIES):
        before = _states(path, log)
        with_log = _log_of(path) is not None
        try:
            shutil.copyfile(path, copy)
            if with_log:
                shutil.copyfile(log, copy.with_name(copy.name + LOG_ENDING), follow_symlinks=False)
        except FileNotFoundError:  # the program has closed the database
            copy.with_name(copy.name + LOG_ENDING).unlink(missing_ok=True)
            continue
        except OSError as error:
            raise sqlite3.OperationalError(f"a program has it open, and it could not be copied: {error.strerror}") from error
        if _states(path, log) == before:
            return
    raise sqlite3.OperationalError("a program keeps writing to the database: close it, or import a copy of the file")


def _states(*paths: Path) -> list[tuple[int, int] | None]:
    return [(path.stat().st_size, path.stat().st_mtime_ns) if path.exists() else None for path in paths]


def columns_of(database: sqlite3.Connection) -> dict[str, list[str]]:
    """Each table's columns; internal tables of full-text search are left out."""
    made = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    virtual = [row["name"] for row in made if "VIRTUAL TABLE" in (row["sql"] or "").upper()]
    tables = [row["name"] for row in made if not row["name"].startswith("sqlite_")]
    own = [name for name in tables if not any(name == other or name.startswith(f"{other}_") for other in virtual)]
    return {name: [column["name"] for column in database.execute(f"PRAGMA table_info({quoted_name(name)})")] for name in own}


def quoted_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
