"""Secrets and personal data out of texts before they are published, the same way in every table.

What is looked for stands in publish/scrub.toml. A text is redacted by itself, by rules that look at nothing else, so equal texts stay
equal wherever they occur: nodes still rebuild their steps, and both sides of a pair keep one prompt. The replacement names only the
kind, never anything derived from the secret. Identifiers are hashes and stay.

Clean text is the rule, so it must be cheap: one pass for anchor texts over distinct texts, and each distinct text only once.
"""

import re
import socket
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.files import read_text
from tratree_data.store.schemas import table_schema

UNTOUCHED = {"split", "kind", "end_reason", "role"}
REMEMBERED = 5_000_000
LONG = 128
"""Bytes from which on hashing a text to see whether it is known is cheaper than looking through it."""
ANY_CASE = "(?i)"
BEGINS = r"(?:(?<![A-Za-z0-9_])|(?<=\\[nrt])|(?<=\\u[0-9A-Fa-f]{4})|(?<=[0-9]m)|(?<=\[[Km]))"
"""What a leading \\b of a rule means: an escaped end of line or a terminal's colour may stand before a secret, too."""
BEGINS_FOR_RUST = r"(?:^|[^A-Za-z0-9_]|\\[nrt]|\\u[0-9A-Fa-f]{4}|[0-9]m|\[[Km])"
"""The same without look-around; it also takes what stands before, so it says whether, and not where."""


@dataclass(frozen=True)
class Rule:
    kind: str
    find: str
    """For Rust, to choose texts; `pattern` is the same for Python, to change them."""
    anchors: tuple[str, ...]
    any_case: bool
    let_through: re.Pattern[str] | None
    instead: str
    pattern: re.Pattern[str]

    def redact(self, text: str) -> tuple[str, int]:
        """The text without what the rule finds, and how often it was found."""
        found = 0

        def replace(match: re.Match[str]) -> str:
            nonlocal found
            if self.let_through is not None and self.let_through.fullmatch(match[0].strip()):
                return match[0]
            found += 1
            return match.expand(self.instead)

        return self.pattern.sub(replace, text), found


@dataclass(frozen=True)
class Finding:
    """What was found in one column; `first` says where to look, in the source, not what it is."""

    kind: str
    table: str
    column: str
    count: int
    first: str


def load_rules() -> list[Rule]:
    rules = [
        _rule(entry["kind"], entry["find"], entry["anchors"], entry.get("except"), entry.get("instead"))
        for entry in tomllib.loads(read_text("publish", "scrub.toml"))["rule"]
    ]
    return rules + list(_rules_of_this_machine())


def _rule(kind: str, find: str, anchors: list[str], let_through: str | None = None, instead: str | None = None) -> Rule:
    free = re.compile(let_through) if let_through else None
    any_case = find.startswith(ANY_CASE)
    seen = tuple(anchor.lower() if any_case else anchor for anchor in anchors)
    pattern = re.compile(_boundaries(find, BEGINS, r"(?a:\b)"))
    return Rule(kind, _boundaries(find, BEGINS_FOR_RUST, r"(?-u:\b)"), seen, any_case, free, instead or f"[redacted:{kind}]", pattern)


def _boundaries(find: str, begins: str, elsewhere: str) -> str:
    head, rest = (ANY_CASE, find.removeprefix(ANY_CASE)) if find.startswith(ANY_CASE) else ("", find)
    begins, rest = (begins, rest.removeprefix(r"\b")) if rest.startswith(r"\b") else ("", rest)
    return head + begins + rest.replace(r"\b", elsewhere)


def _rules_of_this_machine() -> Iterator[Rule]:
    """The home folder and the host name of whoever publishes, where they are names of their own and not everybody's word."""
    home = str(Path.home())
    if home.count("/") >= 2 and not home.startswith(("/home/", "/Users/")):
        yield _rule("home", re.escape(home).replace("\\-", "-"), [home])
    host = socket.gethostname()
    if len(host) >= 6 and re.search(r"[0-9-]", host) and re.fullmatch(r"[A-Za-z0-9.-]+", host):
        yield _rule("host", rf"\b{host.replace('.', '[.]')}\b", [host])


class Scrubber:
    """Redacts table after table and remembers what it found."""

    def __init__(self, rules: list[Rule] | None = None) -> None:
        self.rules = load_rules() if rules is None else rules
        self.exact = sorted({anchor for rule in self.rules if not rule.any_case for anchor in rule.anchors})
        self.loose = sorted({anchor for rule in self.rules if rule.any_case for anchor in rule.anchors})
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.lock = Lock()
        self.first: dict[tuple[str, str, str], str] = {}
        self.clean = pl.Series([], dtype=pl.UInt64)

    def redact_table(self, table: str, rows: pa.Table) -> pa.Table:
        for i, field in enumerate(rows.schema):
            if _holds_text(field.name, field.type):
                column = rows.column(i)
                changed = self._redact_array(column, rows, table, field.name)
                if changed is not column:
                    rows = rows.set_column(i, field, changed)
        return rows

    def _redact_array(self, column: Any, rows: pa.Table, table: str, name: str) -> Any:
        """The same array where nothing was found, whatever its nesting."""
        if isinstance(column, pa.ChunkedArray) and pa.types.is_nested(column.type):
            column = column.combine_chunks()
        if pa.types.is_list(column.type):
            values = column.flatten()
            changed = self._redact_array(values, rows, table, name)
            return column if changed is values else pa.ListArray.from_arrays(_offsets(column), changed, column.type, mask=_mask(column))
        if pa.types.is_struct(column.type):
            fields = [column.field(i) for i in range(column.type.num_fields)]
            done = [
                self._redact_array(values, rows, table, name) if _holds_text(column.type.field(i).name, values.type) else values
                for i, values in enumerate(fields)
            ]
            if all(new is old for new, old in zip(done, fields, strict=True)):
                return column
            return pa.StructArray.from_arrays(done, fields=list(column.type), mask=_mask(column))
        return self._redact_texts(column, rows, table, name)

    def _redact_texts(self, texts: pa.Array | pa.ChunkedArray, rows: pa.Table, table: str, name: str) -> pa.Array | pa.ChunkedArray:
        series = pl.Series(pl.from_arrow(texts))
        looked_at = series
        hashes: pl.Series | None = None
        if texts.nbytes > LONG * len(texts):
            every = series.hash()
            first = every.arg_unique()
            hashes = every.gather(first)
            new = ~self._known(hashes)
            looked_at, hashes = series.gather(first.filter(new)), hashes.filter(new)
        suspects = self._suspects(looked_at)
        redacted = self._redact_distinct(series, suspects, rows, table, name) if len(suspects) else {}
        if hashes is not None:
            self._remember(hashes, redacted)
        if not redacted:
            return texts
        return series.replace(list(redacted), list(redacted.values())).to_arrow().cast(texts.type)

    def _redact_distinct(self, series: pl.Series, suspects: pl.Series, rows: pa.Table, table: str, name: str) -> dict[str, str]:
        """{text: redacted text} for those that a rule changes."""
        changed: dict[str, str] = {}
        found: list[tuple[str, str, int]] = []
        exact = set(suspects.str.extract_many(self.exact, overlapping=True).explode())
        loose = set(suspects.str.to_lowercase().str.extract_many(self.loose, overlapping=True).explode())
        for rule in self.rules:
            if (loose if rule.any_case else exact).isdisjoint(rule.anchors):
                continue
            for text in suspects.filter(suspects.str.contains(rule.find)):
                result, times = rule.redact(changed.get(text, text))
                if times:
                    changed[text] = result
                    found.append((rule.kind, text, times))
        counted = series.filter(series.is_in(list(changed))).value_counts(name="count") if changed else None
        counts = dict(zip(counted.to_series(0), counted["count"], strict=True)) if counted is not None else {}
        for kind, text, times in found:
            with self.lock:
                self.counts[kind, table, name] += times * counts[text]
            self.first.setdefault((kind, table, name), _place(rows, table, name, text))
        return changed

    def _suspects(self, texts: pl.Series) -> pl.Series:
        """Distinct texts with an anchor: one pass over all of them in any case of letters, a closer look at the few that it leaves."""
        few = texts.filter(texts.str.contains_any(self.exact + self.loose, ascii_case_insensitive=True)).unique()
        return few.filter(few.str.contains_any(self.exact) | few.str.contains_any(self.loose, ascii_case_insensitive=True))

    def _known(self, hashes: pl.Series) -> pl.Series:
        """Which are among those that `_remember` keeps in order; looking them up there is cheaper than making a set of all each time."""
        clean = self.clean
        if not len(clean):
            return pl.repeat(False, len(hashes), eager=True)
        places = clean.search_sorted(hashes).clip(upper_bound=len(clean) - 1)
        return clean.gather(places) == hashes

    def _remember(self, hashes: pl.Series, redacted: dict[str, str]) -> None:
        """Texts without findings are not looked at again."""
        if len(self.clean) < REMEMBERED:
            dirty = pl.Series(list(redacted), dtype=pl.String).hash()
            self.clean = pl.concat([self.clean, hashes.filter(~hashes.is_in(dirty.implode()))]).sort()

    def redact_text(self, text: str, place: str) -> str:
        """A text outside the tables: a recipe, a setting."""
        for rule in self.rules:
            text, found = rule.redact(text)
            if found:
                self.counts[rule.kind, place, ""] += found
                self.first.setdefault((rule.kind, place, ""), "")
        return text

    def redact_settings(self, value: Any, place: str) -> Any:
        """Settings of stages as they stand in the lineage; whatever is called a key or a password goes, whatever it looks like."""
        if isinstance(value, dict):
            return {
                key: f"[redacted:{key}]"
                if isinstance(item, str) and item and re.search(r"(?i)api_?key|token$|secret|password", key)
                else self.redact_settings(item, place)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self.redact_settings(item, place) for item in value]
        return self.redact_text(value, place) if isinstance(value, str) else value

    def findings(self) -> list[Finding]:
        return [
            Finding(kind, table, column, count, self.first[kind, table, column])
            for (kind, table, column), count in sorted(self.counts.items())
        ]


def _holds_text(name: str, kind: pa.DataType) -> bool:
    """Texts that someone or something wrote; identifiers are hashes, but a task's id is a name that a log chose."""
    if name in UNTOUCHED or (name.endswith(("_id", "_ids")) and name != "task_id"):
        return False
    if pa.types.is_list(kind):
        return _holds_text(name, kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_struct(kind))


def _offsets(column: pa.ListArray) -> pa.Array:
    """Offsets that start at 0, as `flatten` leaves the values."""
    lengths = pc.fill_null(pc.list_value_length(column), 0)
    return pa.concat_arrays([pa.array([0], pa.int32()), pc.cast(pc.cumulative_sum(lengths), pa.int32())])


def _mask(column: pa.Array) -> pa.Array | None:
    return column.is_null() if column.null_count else None


def _place(rows: pa.Table, table: str, name: str, text: str) -> str:
    """The key of the first row that holds the text."""
    column = rows.column(name).combine_chunks()
    if pa.types.is_string(column.type):
        index = pc.index(column, text).as_py()
    else:
        index = next((i for i, value in enumerate(column) if any(text in item.values() for item in value.as_py() or [])), -1)
    keys = table_schema(table).primary_key
    return " ".join(f"{key}={rows.column(key)[index].as_py()}" for key in keys) if index >= 0 else ""
