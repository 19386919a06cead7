"""The DuckDB session of a store: its tables and views, each made when a query first names it.

It sees exactly the Parquet files of one moment; nothing else on the machine can be read or written through it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.files import read_text
from tratree_data.stages import LATER_SCORES, command_for
from tratree_data.store.queries.views import create_views, mentions, tables_behind, view_names, views_for
from tratree_data.store.schemas import create_statement, quote, scan_sql, table_names, table_schema
from tratree_data.system.limits import interrupted_after, memory_for_queries, spill_folder

if TYPE_CHECKING:
    from tratree_data.store.reader import Store

MAY_BE_MISSING = LATER_SCORES
"""Tables that views read although most datasets lack them: missing ones count as empty."""


class QuerySession:
    def __init__(self, store: "Store") -> None:
        self.store = store
        self._defined: set[str] = set()
        self._explained: set[str] = set()

    def answer(
        self, query: str, parameters: Mapping[str, Any] | None = None, time_limit: float | None = None, limit: int | None = None
    ) -> pa.Table:
        """DuckDB's answer as Arrow, at most `limit` rows of it; `$name` is bound from `parameters`. Stopped after `time_limit` seconds."""
        self.store.take_trouble()  # of an earlier query
        try:
            self._define(query)
            cursor = self.session.cursor()
            with interrupted_after(time_limit, cursor.interrupt):
                relation = cursor.sql(query, params=dict(parameters)) if parameters else cursor.sql(query)
                if relation is None:
                    return pa.table({})
                result: pa.Table = (relation if limit is None else relation.limit(limit)).to_arrow_table()
                return result
        except duckdb.InterruptException as error:
            advice = f"narrow it with WHERE or LIMIT, or --time-limit {10 * (time_limit or 0):g}"
            raise BadInputError(f"The query took longer than {time_limit:g} s and was stopped.\nNext: {advice}") from error
        except (duckdb.OutOfMemoryException, MemoryError) as error:
            allowed = f"{self._memory() / 2**30:.1f} GiB"
            raise BadInputError(f"The query needs more than {allowed} of memory, the limit.\nNext: select fewer columns or rows") from error
        except duckdb.CatalogException as error:
            raise NotFoundError(_explain_missing_table(self.store, str(error))) from error
        except duckdb.Error as error:
            raise self.store.take_trouble() or BadInputError(f"DuckDB refused the query: {str(error).strip()}") from error

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        """Views over exactly the Parquet files of this moment; nothing else on the machine can be read or written through it."""
        return self._session_for(None)

    def stream(self, query: str, rows: int) -> pa.RecordBatchReader:
        """DuckDB's answer in batches of at most `rows` rows."""
        return self._session_for(query).cursor().sql(query).to_arrow_reader(rows)

    def _session_for(self, query: str | None) -> duckdb.DuckDBPyConnection:
        try:
            self._define(query)
        except duckdb.Error as error:
            raise self.store.take_trouble() or error from error
        return self.session

    def _memory(self) -> int:
        return min(memory_for_queries(), self.store.most_memory or memory_for_queries())

    @cached_property
    def session(self) -> duckdb.DuckDBPyConnection:
        session = duckdb.connect(
            config={"memory_limit": f"{self._memory() // 2**20}MiB", "temp_directory": str(spill_folder(gettempdir()))}
        )
        files = [file for table in self.store.sources for file in self.store.addresses(table)]
        session.execute("SET allowed_paths = $paths", {"paths": files})
        session.execute("SET enable_external_access = false")
        session.execute("SET python_enable_replacements = false")
        session.execute("SET lock_configuration = true")
        return session

    @cached_property
    def _reading_session(self) -> duckdb.DuckDBPyConnection:
        """Registers the file system through which the session reads.

        It takes long to import, and a query without tables does not need it.
        """
        self.session.register_filesystem(self.store.opened_by)
        return self.session

    def _add_lineage(self) -> None:
        """The table `lineage`: what made each table, with which settings, from which versions."""
        self.session.execute(read_text("schemas/virtual", "lineage.sql"))
        for table, source in sorted(self.store.sources.items()):
            if source.lineage is not None:
                made = source.lineage
                said = [json.dumps(part, sort_keys=True, ensure_ascii=False) for part in (made.settings, made.reads)]
                self.session.execute("INSERT INTO lineage VALUES (?, ?, ?, ?, ?, ?)", [table, source.version, made.stage, *said, made.code])

    def _define(self, query: str | None = None) -> None:
        """Makes the tables and views that a query names, or all of them if it lists tables."""
        views = views_for(query)
        behind = {table for view in views for table in tables_behind(view)}
        every = query is None or re.search(r"(?i)\b(information_schema|duckdb_\w+|pg_\w+|show|summarize|describe)\b", query)
        self.store.take_trouble()  # of an earlier query
        for table in sorted(self.store.sources):
            named = query is None or table in behind or mentions(query, table)
            if table in self._defined or not (every or named):
                continue
            try:
                self.store.need(table)
            except BadInputError:
                if named:
                    raise
                continue
            self._define_one(table, self.store.addresses(table))
            self._defined.add(table)  # only now, so that the next query retries a file that could not be opened this time
        for table in MAY_BE_MISSING:
            missing = table not in self.store.sources and table not in self._defined
            if missing and (query is None or table in behind or mentions(query, table)):
                self.session.execute(create_statement(table))
                self._defined.add(table)
        new = [view for view in views if view not in self._defined and tables_behind(view) <= self._defined]
        create_views(self.session, new)
        self._defined.update(new)
        if "lineage" not in self._defined and (every or mentions(query or "", "lineage")):
            self._add_lineage()
            self._defined.add("lineage")
        if every:
            self._explain_columns()

    def _define_one(self, table: str, files: Sequence[str]) -> None:
        if not files:
            self.session.execute(create_statement(table))
            return
        self._reading_session.execute(
            f"CREATE OR REPLACE {'TABLE' if self.store.held else 'VIEW'} {table} AS SELECT * FROM {scan_sql(table, files)}"
        )

    def _explain_columns(self) -> None:
        """Each table's comments, which only a query that lists tables or columns can see."""
        tables = (self._defined & self.store.sources.keys()) - self._explained
        comments = [(table, *item) for table in sorted(tables) for item in table_schema(table).comments.items()]
        self.session.execute(";\n".join(f"COMMENT ON COLUMN {table}.{column} IS {quote(comment)}" for table, column, comment in comments))
        self._explained |= tables


def explain_absence(store: "Store", table: str) -> str:
    if table in store.outdated:
        return (
            f"{table} of {store.path} is in an older format, in which some columns had other names.\n"
            f"Next: {command_for(table, store.path)}, which makes it again" + (" in a dataset" if store.label else "")
        )
    return f"{store.path} has no {table} yet.\nNext: {command_for(table, store.path)}"


def _explain_missing_table(store: "Store", message: str) -> str:
    missing = re.search(r"Table with name (\w+) does not exist", message)
    name = missing[1] if missing else ""
    for table in sorted(tables_behind(name)) if name in view_names() else [name]:
        if table in table_names() and table not in store.sources:
            return explain_absence(store, table)
    first = message.strip().splitlines()[0]
    return f"DuckDB refused the query: {first}\nAvailable: {', '.join(sorted([*store.sources, 'lineage', *view_names()]))}"
