"""Secrets and personal data out of everything that is published, the same way in every table.

A secret becomes `[redacted:<kind>:<number>]`. Numbers count the secrets of a task, so two actions that differ only in a secret stay
different, and a dataset that grows by tasks keeps its shards. They are given before anything is written, in the order of the attempts
(`number_secrets`); nothing in them is derived from the secret. What names things across tasks (GLOBAL) is numbered per release.

Most text is clean, so looking must be cheap: one regular expression over each distinct text finds where any rule may find something.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.releases.redaction_rules import Rule, Span, find_secrets, load_rules
from tratree_data.store.reader import Store
from tratree_data.store.schemas import arrow_schema, table_schema

GLOBAL = {"environment", "environment_version", "split", "agent", "model", "sampling", "format", "license", "source_url", "attribution"}
EVERYWHERE = ""
"""The scope of what is numbered per release."""
REMEMBERED = 5_000_000
LONG = 128
"""Bytes from which on hashing a text to see whether it is known is cheaper than looking through it."""
NAMED_SECRET = re.compile(r"(?i)api_?key|token$|secret|password")
TREE_DIGITS = 12

Rows = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Finding:
    """What was found in one column; `first` says where to look, in the source, not what it is: the first place by name."""

    kind: str
    table: str
    column: str
    count: int
    first: str


@dataclass(frozen=True)
class Dirty:
    """A text with secrets, and where they are."""

    text: str
    spans: tuple[Span, ...]

    def secrets(self) -> list[tuple[str, str]]:
        return [(span.kind, _plain(self.text[span.start : span.end])) for span in self.spans]

    def render(self, name: Callable[[str, str], str]) -> str:
        pieces, at = list[str](), 0
        for span, (kind, secret) in zip(self.spans, self.secrets(), strict=True):
            placeholder = name(kind, secret)
            pieces += [self.text[at : span.start], f'"{placeholder}"' if span.quoted else placeholder]
            at = span.end
        return "".join([*pieces, self.text[at:]])


class Redactor:
    """Redacts table after table, and remembers what it found."""

    def __init__(self, rules: list[Rule] | None = None) -> None:
        self.rules = load_rules() if rules is None else rules
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.first: dict[tuple[str, str, str], str] = {}
        self.names: dict[tuple[str, str], str] = {}
        """(scope, secret) → its placeholder."""
        self.numbers: Counter[tuple[str, str]] = Counter()
        self.spans: dict[str, tuple[Span, ...]] = {}  # of texts outside the tables, which repeat: names of settings, splits
        """(scope, kind) → the last number given."""
        self.scopes: dict[str, str] = {}
        """rollout_id → tree_id."""
        self.task_names: dict[str, str] = {}
        self.lock = Lock()
        self.clean = pl.Series([], dtype=pl.UInt64)

    def number_secrets(self, store: Store, of_tasks: Store | None = None) -> None:
        """Numbers the secrets of every task in the order of its attempts and steps, and learns which task a rollout belongs to.

        With `of_tasks`, only those of its tasks; what names things across tasks is numbered in `store`.
        """
        self.number_shared_secrets(store)
        store = of_tasks or store
        keys = store.read("rollouts", ["rollout_id", "tree_id", "attempt"])
        rollouts, trees, attempts = (keys[name].to_pylist() for name in ("rollout_id", "tree_id", "attempt"))
        self.scopes = dict(zip(rollouts, trees, strict=True))
        self._number(_batches(store, "rollouts", "steps", but=GLOBAL), self.scopes, dict(zip(rollouts, attempts, strict=True)))

    def number_shared_secrets(self, store: Store) -> None:
        self._number(_batches(store, "rollouts", columns=GLOBAL), {}, {})

    def _number(self, batches: Iterable[tuple[str, pa.Table]], scopes: Mapping[str, str], attempt_of: Mapping[str, int]) -> None:
        places: dict[tuple[str, str, str], tuple[int, str, int, int]] = {}
        taken: Counter[tuple[str, str]] = Counter()
        for number, (name, table) in enumerate(batches):
            steps = table["step"].to_pylist() if name == "steps" else [-1] * table.num_rows
            ids = table["rollout_id"].to_pylist()
            for place, (row, text) in enumerate(self._dirty_cells(table)):
                scope = scopes.get(ids[row], EVERYWHERE)
                order = (attempt_of.get(ids[row], 0), ids[row], steps[row], place) if scope else (number, "", row, place)
                for kind, secret in text.secrets():
                    key = (scope, kind, secret)
                    places[key] = min(order, places.get(key, order))
                for kind, value in re.findall(r"\[redacted:([A-Za-z0-9_-]+):(?:[a-z_]*)([0-9]{1,9})\]", text.text):
                    taken[scope, kind] = max(taken[scope, kind], int(value))
        for scope, kind in taken:
            self.numbers[scope, kind] = max(self.numbers[scope, kind], taken[scope, kind])
        for scope, kind, secret in sorted(places, key=lambda key: (key[0], places[key], key[1])):
            self._name(scope, kind, secret, "")

    def redact_table(self, table: str, rows: pa.Table) -> pa.Table:
        for i, field in enumerate(rows.schema):
            if _holds_text(field.type):
                column = rows.column(i).combine_chunks() if pa.types.is_nested(field.type) else rows.column(i)
                changed = self._redact_array(column, None, _Cells(self, table, rows, field.name))
                if changed is not column:
                    rows = rows.set_column(i, field, changed)
        return rows

    def redact_text(self, text: str, place: str) -> str:
        """A text outside the tables: a recipe, a setting."""
        if text not in self.spans:
            self.spans[text] = find_secrets(pl.Series([text]), self.rules).get(text, ())
        spans = self.spans[text]
        for span in spans:
            self._count(span.kind, place, "", 1, "")
        return Dirty(text, spans).render(lambda kind, secret: self._name(EVERYWHERE, kind, secret, ""))

    def redact_settings(self, value: Any, place: str) -> Any:
        """Settings of stages as the lineage has them; whatever is called a key or a password goes, whatever it looks like."""
        if isinstance(value, dict):
            return {
                self.redact_text(key, place): f"[redacted:{key}]"
                if isinstance(item, str) and item and NAMED_SECRET.search(key)
                else self.redact_settings(item, place)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.redact_settings(item, place) for item in value]
        return self.redact_text(value, place) if isinstance(value, str) else value

    def redact_task(self, task_id: str) -> str:
        """A task's name as the tables have it."""
        return self.task_names.get(task_id) or self.redact_text(task_id, "leaks")

    def findings(self) -> list[Finding]:
        return [
            Finding(kind, table, column, count, self.first[kind, table, column])
            for (kind, table, column), count in sorted(self.counts.items())
        ]

    def dirty_texts(self, texts: pl.Series) -> dict[str, Dirty]:
        """The distinct texts that hold a secret, or a placeholder of before."""
        looked_at, hashes = texts, None
        if texts.estimated_size() > LONG * len(texts):
            every = texts.hash()
            first = every.arg_unique()
            hashes = every.gather(first)
            new = ~self._known(hashes)
            looked_at, hashes = texts.gather(first.filter(new)), hashes.filter(new)
        spans = find_secrets(looked_at, self.rules)
        named = looked_at.filter(looked_at.str.contains("[redacted:", literal=True))
        dirty = {text: Dirty(text, spans.get(text, ())) for text in [*spans, *named]}
        if hashes is not None:
            self._remember(hashes, dirty)
        return dirty

    def _dirty_cells(self, rows: pa.Table) -> Iterable[tuple[int, Dirty]]:
        for field in rows.schema:
            if _holds_text(field.type):
                for values, parents in _strings(rows.column(field.name).combine_chunks(), None):
                    series = pl.Series(pl.from_arrow(values))
                    dirty = self.dirty_texts(series)
                    if dirty:
                        for i in series.is_in(list(dirty)).arg_true():
                            yield int(i if parents is None else parents[i]), dirty[series[i]]

    def _redact_array(self, column: Any, parents: Rows | None, cells: "_Cells") -> Any:
        """The same array where nothing was found, whatever its nesting; `parents` are the rows that its values belong to."""
        if pa.types.is_list(column.type):
            values, rows = column.flatten(), _rows_of(column, parents)
            changed = self._redact_array(values, rows, cells)
            return column if changed is values else pa.ListArray.from_arrays(_offsets(column), changed, column.type, mask=_mask(column))
        if pa.types.is_struct(column.type):
            fields = [column.field(i) for i in range(column.type.num_fields)]
            done = [self._redact_array(values, parents, cells) if _holds_text(values.type) else values for values in fields]
            if all(new is old for new, old in zip(done, fields, strict=True)):
                return column
            return pa.StructArray.from_arrays(done, fields=list(column.type), mask=_mask(column))
        return cells.redact(column, parents)

    def _name(self, scope: str, kind: str, secret: str, table: str) -> str:
        """The placeholder of a secret in its scope; one that only a derived table has is counted within that table."""
        counted = f"{scope}/{table}" if scope and table else scope
        name = self.names.get((scope, secret)) or self.names.get((counted, secret))
        if name is None:
            with self.lock:
                if (counted, secret) in self.names:
                    return self.names[counted, secret]
                self.numbers[counted, kind] += 1
                name = f"[redacted:{kind}:{table if scope else ''}{self.numbers[counted, kind]}]"
                self.names[counted, secret] = name
        return name

    def _count(self, kind: str, table: str, column: str, times: int, first: str) -> None:
        with self.lock:
            self.counts[kind, table, column] += times
            self.first[kind, table, column] = min(first, self.first.get((kind, table, column), first))

    def _known(self, hashes: pl.Series) -> pl.Series:
        """Which are among those that `_remember` keeps in order; a search in them is cheaper than a set of all each time."""
        clean = self.clean
        if not len(clean):
            return pl.repeat(False, len(hashes), eager=True)
        places = clean.search_sorted(hashes).clip(upper_bound=len(clean) - 1)
        return clean.gather(places) == hashes

    def _remember(self, hashes: pl.Series, dirty: Mapping[str, Dirty]) -> None:
        """Texts without findings are not looked at again."""
        if len(self.clean) < REMEMBERED:
            found = pl.Series(list(dirty), dtype=pl.String).hash()
            self.clean = pl.concat([self.clean, hashes.filter(~hashes.is_in(found.implode()))]).sort()


@dataclass(frozen=True)
class _Cells:
    """One column of some rows."""

    redactor: Redactor
    table: str
    rows: pa.Table
    column: str

    def redact(self, texts: pa.Array | pa.ChunkedArray, parents: Rows | None) -> pa.Array | pa.ChunkedArray:
        series = pl.Series(pl.from_arrow(texts))
        dirty = {text: found for text, found in self.redactor.dirty_texts(series).items() if found.spans}
        if not dirty:
            return texts
        at = series.is_in(list(dirty)).arg_true()
        rows = (at.to_numpy() if parents is None else parents[at.to_numpy()]).tolist()
        values = [self._value(dirty[series[i]], row, place) for i, row, place in zip(at, rows, self._places(rows), strict=True)]
        return series.scatter(at, values).to_arrow().cast(texts.type)

    def _value(self, text: Dirty, row: int, place: str) -> str:
        redactor, scope = self.redactor, self._scope(row)
        for kind, times in Counter(span.kind for span in text.spans).items():
            redactor._count(kind, self.table, self.column, times, place)
        done = text.render(lambda kind, secret: redactor._name(scope, kind, secret, self.table))
        if self.column != "task_id" or not scope:
            return done
        done = f"{done}#{scope[:TREE_DIGITS]}"
        redactor.task_names[text.text] = done
        return done

    def _scope(self, row: int) -> str:
        names = self.rows.column_names
        if self.column in GLOBAL:
            return EVERYWHERE
        if "tree_id" in names:
            return str(self.rows["tree_id"][row].as_py())
        if "rollout_id" in names:
            return self.redactor.scopes.get(self.rows["rollout_id"][row].as_py(), EVERYWHERE)
        return EVERYWHERE

    def _places(self, rows: list[int]) -> list[str]:
        keys = [key for key in table_schema(self.table).primary_key if key in self.rows.column_names]
        columns = [self.rows[key].take(rows).cast(pa.string()).to_pylist() for key in keys]
        named = [[f"{key}={value}" for value in column] for key, column in zip(keys, columns, strict=True)]
        return [" ".join(parts) for parts in zip(*named, strict=True)] if named else [""] * len(rows)


def _holds_text(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind):
        return _holds_text(kind.value_type)
    if pa.types.is_struct(kind):
        return any(_holds_text(field.type) for field in kind)
    return bool(pa.types.is_string(kind))


def _batches(
    store: Store, *tables: str, columns: Collection[str] | None = None, but: Collection[str] = ()
) -> Iterable[tuple[str, pa.Table]]:
    """The texts of a table and what orders them, in the order in which they were written."""
    keys = {"rollout_id", "step"}
    for table in tables:
        texts = {field.name for field in arrow_schema(table) if _holds_text(field.type)} - {*but}
        wanted = keys | (texts if columns is None else texts & {*columns})
        for batch in store.dataset(table).to_batches(columns=[name for name in arrow_schema(table).names if name in wanted]):
            yield table, pa.Table.from_batches([batch])


def _strings(column: Any, parents: Rows | None) -> Iterable[tuple[Any, Rows | None]]:
    """Every array of texts within a column, and the rows that they belong to."""
    if pa.types.is_list(column.type):
        yield from _strings(column.flatten(), _rows_of(column, parents))
    elif pa.types.is_struct(column.type):
        for i in range(column.type.num_fields):
            yield from _strings(column.field(i), parents)
    elif pa.types.is_string(column.type):
        yield column, parents


def _rows_of(column: pa.ListArray, parents: Rows | None) -> Rows:
    """For each value of the lists, the row."""
    lists = np.repeat(np.arange(len(column)), pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False))
    return lists if parents is None else parents[lists]


def _plain(secret: str) -> str:
    """One secret is one secret, however often it is escaped."""
    return re.sub(r"\\+/", "/", secret) if "\\" in secret else secret


def _offsets(column: pa.ListArray) -> pa.Array:
    """Offsets that start at 0, as `flatten` leaves the values."""
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    return pa.concat_arrays([pa.array([0], pa.int32()), pc.cast(pc.cumulative_sum(lengths), pa.int32())])


def _mask(column: pa.Array) -> pa.Array | None:
    return column.is_null() if column.null_count else None
