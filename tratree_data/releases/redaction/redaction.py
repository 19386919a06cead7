"""Removes secrets and personal data from everything that is published, in the same way in every table.

A secret becomes `[redacted:<kind>:<number>]`. Numbers count the secrets of a task, so two actions that differ only in a secret stay
different, and a dataset that grows by tasks keeps its shards. They are given before anything is written, in the order of the attempts
(`number_secrets`); nothing in them is derived from the secret. What names things across tasks (GLOBAL) is numbered per release.

Most text is clean, so searching must be cheap: each distinct text is looked at once for the words that
rules need (secret_search.py).
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import polars as pl
import pyarrow as pa

from tratree_data.releases.redaction.found_secrets import Secrets
from tratree_data.releases.redaction.nested_texts import Rows, are_identifiers, holds_text, mask, offsets, rows_of, strings
from tratree_data.releases.redaction.redaction_rules import Rule, Span, load_rules
from tratree_data.releases.redaction.secret_search import FEW_TEXTS, find_secrets
from tratree_data.releases.shards.ordering import batches_of_size
from tratree_data.store.reader import Store
from tratree_data.store.schemas import arrow_schema, table_schema

GLOBAL = {"environment", "environment_version", "split", "agent", "model", "sampling", "format", "license", "source_url", "attribution"}
EVERYWHERE = ""
"""The scope of secrets that are numbered per release."""
REMEMBERED = 5_000_000
LONG = 128
"""From this length, hashing a text to see whether it is known is cheaper than searching it."""
BYTES_AT_ONCE = 32 * 2**20
"""Fewer texts at a time take longer."""
NAMED_SECRET = re.compile(r"(?i)api_?key|token$|secret|password")
TREE_DIGITS = 12


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
        self.spans: dict[str, tuple[Span, ...]] = {}  # for texts outside the tables, which repeat: names of settings, splits
        """(scope, kind) → the last number given."""
        self.rollouts = pl.DataFrame(schema={"rollout_id": pl.String, "tree_id": pl.String, "attempt": pl.Int32})
        self.task_names: dict[str, str] = {}
        self.lock = Lock()
        self.clean = pl.Series([], dtype=pl.UInt64)
        self.plain: set[str] = set()
        """Texts without findings, of columns that have few: kinds, names of splits."""

    def number_secrets(self, store: Store, of_tasks: Store | None = None) -> None:
        """Numbers the secrets of every task in the order of its attempts and steps, and learns which task a rollout belongs to.

        With `of_tasks`, only those of its tasks; what names things across tasks is numbered in `store`.
        """
        self.number_shared_secrets(store)
        self.learn_rollouts(of_tasks or store)
        self.number(self.find_secrets(of_tasks or store, "rollouts", "steps"))

    def learn_rollouts(self, store: Store) -> None:
        self.rollouts = pl.DataFrame(pl.from_arrow(store.read("rollouts", ["rollout_id", "tree_id", "attempt"])))

    def number_shared_secrets(self, store: Store) -> None:
        self.number(self._secrets(_batches(store, "rollouts", columns=GLOBAL), of_tasks=False))

    def find_secrets(self, store: Store, *tables: str) -> Secrets:
        """Those of tasks, for `number`; what several of these found can be joined."""
        return self._secrets(_batches(store, *tables, but=GLOBAL), of_tasks=True)

    def _secrets(self, batches: Iterable[tuple[str, pa.Table]], *, of_tasks: bool) -> Secrets:
        found = Secrets()
        for number, (name, table) in enumerate(batches):
            cells = list(self._dirty_cells(table))
            if not cells:
                continue
            rows = [row for row, _ in cells]
            ids = table["rollout_id"].take(rows).to_pylist()
            steps = table["step"].take(rows).to_pylist() if name == "steps" else [-1] * len(rows)
            tasks = self._rollouts_of(ids) if of_tasks else {}
            for place, (rollout, step, (row, text)) in enumerate(zip(ids, steps, cells, strict=True)):
                scope, attempt = tasks.get(rollout, (EVERYWHERE, 0))
                order = (attempt, rollout, step, place) if scope else (number, "", row, place)
                for kind, secret in text.secrets():
                    found.add((scope, kind, secret), order)
                for kind, value in re.findall(r"\[redacted:([A-Za-z0-9_-]+):(?:[a-z_]*)([0-9]{1,9})\]", text.text):
                    found.taken[scope, kind] = max(found.taken[scope, kind], int(value))
        return found

    def _rollouts_of(self, ids: Sequence[str]) -> dict[str, tuple[str, int]]:
        """{rollout_id: (tree_id, attempt)}"""
        if not ids:
            return {}
        near = self.rollouts.filter(pl.col("rollout_id").is_in(pl.Series(ids).unique().implode()))
        return {rollout: (tree, attempt) for rollout, tree, attempt in near.iter_rows()}

    def number(self, found: Secrets) -> None:
        for scope, kind in found.taken:
            self.numbers[scope, kind] = max(self.numbers[scope, kind], found.taken[scope, kind])
        for scope, kind, secret in sorted(found.first, key=lambda key: (key[0], found.first[key], key[1])):
            self._name(scope, kind, secret, "")

    def join(self, counts: Counter[tuple[str, str, str]], first: Mapping[tuple[str, str, str], str], task_names: Mapping[str, str]) -> None:
        """What a worker found in other tables."""
        self.counts += counts
        self.first |= first
        self.task_names |= task_names

    def redact_table(self, table: str, rows: pa.Table) -> pa.Table:
        for i, field in enumerate(rows.schema):
            if holds_text(field.type):
                column = rows.column(i).combine_chunks() if pa.types.is_nested(field.type) else rows.column(i)
                changed = self._redact_array(column, None, _Cells(self, table, rows, field.name))
                if changed is not column:
                    rows = rows.set_column(i, field, changed)
        return rows

    def redact_text(self, text: str, place: str) -> str:
        """A text outside the tables: a recipe, a setting."""
        self._learn_spans([text])
        spans = self.spans[text]
        for span in spans:
            self._count(span.kind, place, "", 1, "")
        return Dirty(text, spans).render(lambda kind, secret: self._name(EVERYWHERE, kind, secret, ""))

    def redact_settings(self, value: Any, place: str) -> Any:
        """Settings of stages as the lineage has them; whatever is called a key or a password goes, whatever it looks like."""
        self._learn_spans(_texts_in(value))
        return self._redact_setting(value, place)

    def _learn_spans(self, texts: Iterable[str]) -> None:
        """All at once: the rules take as long for one text as for a hundred short ones."""
        new = [text for text in dict.fromkeys(texts) if text not in self.spans]
        if new:
            found = find_secrets(pl.Series(new), self.rules)
            self.spans |= {text: found.get(text, ()) for text in new}

    def _redact_setting(self, value: Any, place: str) -> Any:
        if isinstance(value, dict):
            return {
                self.redact_text(key, place): f"[redacted:{key}]"
                if isinstance(item, str) and item and NAMED_SECRET.search(key)
                else self._redact_setting(item, place)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._redact_setting(item, place) for item in value]
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
        """The distinct texts that contain a secret or an earlier placeholder."""
        if texts.estimated_size() > LONG * len(texts):
            every = texts.hash()
            first = every.arg_unique()
            hashes = every.gather(first)
            new = ~self._known(hashes)
            dirty = self._look(texts.gather(first.filter(new)))
            self._remember(hashes.filter(new), dirty)
            return dirty
        distinct = texts.drop_nulls().unique()
        if len(distinct) >= FEW_TEXTS:
            return self._look(distinct)
        dirty = self._look(pl.Series([text for text in distinct if text not in self.plain], dtype=pl.String))
        self.plain.update(text for text in distinct if text not in dirty)
        return dirty

    def _look(self, texts: pl.Series) -> dict[str, Dirty]:
        spans = find_secrets(texts, self.rules)
        named = texts.filter(texts.str.contains("[redacted:", literal=True))
        return {text: Dirty(text, spans.get(text, ())) for text in [*spans, *named]}

    def _dirty_cells(self, rows: pa.Table) -> Iterable[tuple[int, Dirty]]:
        for field in rows.schema:
            if holds_text(field.type):
                for values, parents in strings(rows.column(field.name).combine_chunks(), None):
                    if are_identifiers(values):
                        continue
                    series = pl.Series(pl.from_arrow(values))
                    dirty = self.dirty_texts(series)
                    if dirty:
                        for i in series.is_in(list(dirty)).arg_true():
                            yield int(i if parents is None else parents[i]), dirty[series[i]]

    def _redact_array(self, column: Any, parents: Rows | None, cells: "_Cells") -> Any:
        """The same array if nothing was found, whatever its nesting; `parents` are the rows that its values belong to."""
        if pa.types.is_list(column.type):
            values, rows = column.flatten(), rows_of(column, parents)
            changed = self._redact_array(values, rows, cells)
            return column if changed is values else pa.ListArray.from_arrays(offsets(column), changed, column.type, mask=mask(column))
        if pa.types.is_struct(column.type):
            fields = [column.field(i) for i in range(column.type.num_fields)]
            done = [self._redact_array(values, parents, cells) if holds_text(values.type) else values for values in fields]
            if all(new is old for new, old in zip(done, fields, strict=True)):
                return column
            return pa.StructArray.from_arrays(done, fields=list(column.type), mask=mask(column))
        return column if are_identifiers(column) else cells.redact(column, parents)

    def _name(self, scope: str, kind: str, secret: str, table: str) -> str:
        """The placeholder of a secret in its scope; one that is only in a derived table is counted within that table."""
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
        found = pl.Series(list(dirty), dtype=pl.String).hash()
        self.remember(hashes.filter(~hashes.is_in(found.implode())))

    def remember(self, clean: pl.Series) -> None:
        """Remembers the hashes of texts without findings, which are not searched again."""
        if len(self.clean) < REMEMBERED:
            more = clean.filter(~self._known(clean)).sort()
            self.clean = self.clean.to_frame("hash").merge_sorted(more.to_frame("hash"), "hash")["hash"]


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
        places = zip(at, self._scopes(rows), self._places(rows), strict=True)
        values = [self._value(dirty[series[i]], scope, place) for i, scope, place in places]
        return series.scatter(at, values).to_arrow().cast(texts.type)

    def _value(self, text: Dirty, scope: str, place: str) -> str:
        redactor = self.redactor
        for kind, times in Counter(span.kind for span in text.spans).items():
            redactor._count(kind, self.table, self.column, times, place)
        done = text.render(lambda kind, secret: redactor._name(scope, kind, secret, self.table))
        if self.column != "task_id" or not scope:
            return done
        done = f"{done}#{scope[:TREE_DIGITS]}"
        redactor.task_names[text.text] = done
        return done

    def _scopes(self, rows: list[int]) -> list[str]:
        names = self.rows.column_names
        if self.column not in GLOBAL and "tree_id" in names:
            trees: list[str] = self.rows["tree_id"].take(rows).to_pylist()
            return trees
        if self.column not in GLOBAL and "rollout_id" in names:
            ids = self.rows["rollout_id"].take(rows).to_pylist()
            tasks = self.redactor._rollouts_of(ids)
            return [tasks.get(rollout, (EVERYWHERE, 0))[0] for rollout in ids]
        return [EVERYWHERE] * len(rows)

    def _places(self, rows: list[int]) -> list[str]:
        keys = [key for key in table_schema(self.table).primary_key if key in self.rows.column_names]
        columns = [self.rows[key].take(rows).cast(pa.string()).to_pylist() for key in keys]
        named = [[f"{key}={value}" for value in column] for key, column in zip(keys, columns, strict=True)]
        return [" ".join(parts) for parts in zip(*named, strict=True)] if named else [""] * len(rows)


def _batches(
    store: Store, *tables: str, columns: Collection[str] | None = None, but: Collection[str] = ()
) -> Iterable[tuple[str, pa.Table]]:
    """The texts of a table and what orders them, in the order in which they were written."""
    keys = {"rollout_id", "step"}
    for table in tables:
        texts = {field.name for field in arrow_schema(table) if holds_text(field.type)} - {*but}
        wanted = keys | (texts if columns is None else texts & {*columns})
        batches = store.dataset(table).to_batches(columns=[name for name in arrow_schema(table).names if name in wanted])
        for some in batches_of_size(batches, BYTES_AT_ONCE):
            yield table, pa.Table.from_batches(some)


def _plain(secret: str) -> str:
    """The secret without escapes: however often it is escaped, it is the same secret."""
    return re.sub(r"\\+/", "/", secret) if "\\" in secret else secret


def _texts_in(value: Any) -> Iterator[str]:
    """The texts of settings, names included."""
    if isinstance(value, dict):
        yield from _texts_in([*value, *value.values()])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts_in(item)
    elif isinstance(value, str):
        yield value
