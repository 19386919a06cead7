"""A dataset as readers see it: a Delta table for each table of schemas/, and queries over all of them (query_session.py).

Reading takes no lock and is never blocked; what is written meanwhile is seen by the next `open_store` (writer.py writes).
"""

import re
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from tratree_data.errors import BadInputError, NotFoundError, TratreeError, quoted, suggest
from tratree_data.stages import COLLECTED, STAGES, command_for
from tratree_data.store.locations import Place, is_far, place, query_addresses
from tratree_data.store.log import Source, Tables, delta_tables
from tratree_data.store.queries.query_session import QuerySession, explain_absence
from tratree_data.store.schemas import (
    arrow_schema,
    changed_since,
    empty_table,
    scan_sql,
    table_names,
)
from tratree_data.system.parquet_sizes import trouble_of_file

if TYPE_CHECKING:  # a query without tables needs neither
    import pyarrow.dataset as ds

    from tratree_data.store.queries.query_files import QueryFiles

CHECKED_AT_ONCE = 16
"""Files of a bucket whose ends are fetched at the same time."""
MARKS_OF_RELEASES = ("lineage.json", "versions")


@dataclass(repr=False)
class Store:
    """A read-only view of a dataset or a release at one moment."""

    path: Place
    sources: dict[str, Source]
    label: str = ""
    filesystem: Any = None
    """Where a release on the Hub is read from."""
    outdated: dict[str, Source] = field(init=False)
    """Derived tables in an older format, treated as missing; `need` names the command that makes them again."""
    most_memory: int | None = None
    """Bytes of memory that a query may use, beyond which it uses the disk; by default a share of the machine's memory."""
    held: bool = False
    """Whether to load the rows into memory: for small datasets that are queried often."""
    _whole: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """The tables of one stage were made together, and are outdated together."""
        changed = {table for table, source in self.sources.items() if source.lineage and changed_since(table, source.lineage.format)}
        together = {table for stage in STAGES if changed & set(stage.writes) for table in stage.writes} - set(COLLECTED)
        self.outdated = {table: source for table, source in self.sources.items() if table in together}
        self.sources = {table: source for table, source in self.sources.items() if table not in together}

    def __repr__(self) -> str:
        version = f" ({self.label})" if self.label else ""
        return f"<Store {self.path}{version}: {', '.join(sorted(self.sources)) or 'no tables'}>"

    def _repr_html_(self) -> str:
        """What a notebook displays: one row per table. Remote tables are not counted, because that fetches something of every file."""
        rows = "".join(
            f"<tr><td>{table}</td><td>{'' if self.is_far else f'{self.count(table):,}'}</td>"
            f"<td>{source.version}</td><td>{escape(source.lineage.stage) if source.lineage else ''}</td></tr>"
            for table, source in sorted(self.sources.items())
        )
        title = escape(f"{self.path} {self.label}".strip())
        header = "<tr><th>table</th><th>rows</th><th>version</th><th>written by</th></tr>"
        return f"<table><caption>{title}</caption>{header}{rows}</table>"

    @property
    def is_far(self) -> bool:
        """Whether opening a file takes requests."""
        return self.filesystem is not None or is_far(self.path)

    def has(self, table: str) -> bool:
        return table in self.sources

    def need(self, *tables: str) -> None:
        """Each table must be there; the error names the verb that makes it."""
        for table in tables:
            if not self.has(table):
                if table not in table_names():
                    raise NotFoundError(f"Unknown table {table!r}.{suggest(table, table_names())}")
                raise NotFoundError(explain_absence(self, table))
            if self.filesystem is None and table not in self._whole:
                self._need_whole_files(table)
                self._whole.add(table)

    def _need_whole_files(self, table: str) -> None:
        """Reports a removed or truncated Parquet file before a library fails on it."""
        files = self.sources[table].files
        with ThreadPoolExecutor(CHECKED_AT_ONCE if self.is_far else 1) as pool:
            troubles = pool.map(self._trouble_of, self.addresses(table))
        for file, trouble in zip(files, troubles, strict=True):
            if trouble:
                make = f", or remove {self.path / table} and run {command_for(table, self.path)}"
                again = "" if table in COLLECTED or self.label else make
                kind = "release" if self.label else "dataset"
                raise BadInputError(f"{file}, part of {table}, {trouble}.\nNext: restore it from a copy of the {kind}{again}")

    def _trouble_of(self, address: str) -> str:
        return trouble_of_file(lambda: self.opened_by.open(address))

    def version(self, table: str) -> int:
        self.need(table)
        return self.sources[table].version

    def count(self, table: str) -> int:
        return int(self.sql(f"SELECT count(*) AS n FROM {table}").column("n")[0].as_py()) if self.has(table) else 0

    def read(self, table: str, columns: Sequence[str] | None = None, filter: "ds.Expression | None" = None) -> pa.Table:
        """The whole table, or some columns and rows of it, as Arrow."""
        self.need(table)
        try:
            return self.dataset(table).to_table(columns=list(columns) if columns else None, filter=filter)
        except pa.ArrowException as error:
            reason = str(error).splitlines()[0]
            raise BadInputError(
                f"{table} of {self.path} does not hold what its columns say: {reason}.\nNext: restore it from a copy"
            ) from error

    def dataset(self, table: str) -> "ds.Dataset":
        import pyarrow.dataset as ds

        self.need(table)
        files = self._files(table)
        if not files:
            return ds.dataset(empty_table(table))
        filesystem = self._query_files if is_far(self.path) else self.filesystem
        return ds.dataset(files, schema=arrow_schema(table), format="parquet", filesystem=filesystem)

    def scan(self, table: str) -> str:
        """The table as SQL, for another connection after `let_read`."""
        return scan_sql(table, self._files(table))

    def let_read(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Lets a DuckDB connection read the dataset: it reads local files by itself, and those of a bucket through us."""
        if is_far(self.path):
            connection.register_filesystem(self._query_files)

    def _files(self, table: str) -> list[str]:
        return list(self.addresses(table) if is_far(self.path) else self.sources[table].files)

    @cached_property
    def queries(self) -> QuerySession:
        return QuerySession(weakref.proxy(self))  # a cycle would keep DuckDB's session until the next garbage collection

    def sql(
        self, query: str, parameters: Mapping[str, Any] | None = None, time_limit: float | None = None, limit: int | None = None
    ) -> pa.Table:
        """DuckDB's answer as Arrow, at most `limit` rows of it; `$name` is bound from `parameters`. Stopped after `time_limit` seconds."""
        return self.queries.answer(query, parameters, time_limit, limit)

    def stream(self, query: str, rows: int) -> pa.RecordBatchReader:
        """DuckDB's answer in batches of at most `rows` rows, for what is larger than memory."""
        return self.queries.stream(query, rows)

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """DuckDB with every table and view, for reading only."""
        return self.queries.connection

    def take_trouble(self) -> TratreeError | None:
        """The error of the last file that could not be read, if any, once: DuckDB passes on only a text with a traceback."""
        if self.filesystem is None and "_query_files" not in vars(self):  # no query has opened a file yet
            return None
        trouble: TratreeError | None = self.opened_by.trouble
        self.opened_by.trouble = None
        return trouble

    @cached_property
    def _query_files(self) -> "QueryFiles | None":
        """The dataset's files, for reading only; those of a release on the Hub are opened by the Hub's own read-only file system."""
        from tratree_data.store.queries.query_files import QueryFiles

        return QueryFiles({table: source.files for table, source in self.sources.items()}) if self.filesystem is None else None

    @property
    def opened_by(self) -> Any:
        """The file system through which DuckDB reads."""
        return self.filesystem if self._query_files is None else self._query_files

    def addresses(self, table: str) -> Sequence[str]:
        """The table's files as a query names them."""
        files = self.sources[table].files
        return files if self.filesystem is not None else query_addresses(table, files)


def open_store(path: str | Place, versions: Mapping[str, int] | None = None) -> Store:
    """A dataset as it is now, or with some tables at the named versions."""
    folder = place(path)
    if isinstance(folder, Path):
        _refuse_what_is_no_dataset(folder)
    tables = Tables(folder)
    if not tables.names:
        raise NotFoundError(
            f"{folder} is not a dataset: it contains no table.\n"
            f"Next: tratree import FILE {quoted(folder)}, or tratree run demo {quoted(folder)}"
        )
    for table in versions or {}:
        if table not in tables.names:
            raise NotFoundError(f"{folder} has no table {table!r}.{suggest(table, tables.names)}")
    return Store(folder, tables.sources(versions))


def _refuse_what_is_no_dataset(folder: Path) -> None:
    """The error for something that is not a dataset: a release (with or without its version), a file, or nothing."""
    named = folder if folder.exists() else folder.with_name(re.sub(r"(?<=.)@v?\d+\.\d+\.\d+$", "", folder.name))
    if any((named / name).exists() for name in MARKS_OF_RELEASES) and not delta_tables(named):
        raise BadInputError(
            f"{folder} is a release, and releases never change.\nNext: tratree filter {quoted(folder)} DIR --where true, then work in DIR"
        )
    if not folder.exists():
        raise NotFoundError(f"No such folder: {folder}.\nNext: tratree import FILE {quoted(folder)}, or tratree run demo {quoted(folder)}")
    if folder.is_file():
        raise BadInputError(f"{folder} is a file, but a dataset is a folder.\nNext: tratree import {quoted(folder)} DIR")
