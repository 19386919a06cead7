"""What a version number promises about the data (publish/versioning.md), and whether a number keeps the promise."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
from packaging.version import InvalidVersion, Version

from tratree_data.errors import BadInputError
from tratree_data.releases.versions.diff import Change
from tratree_data.store.published.withdrawals import Withdrawals
from tratree_data.system.safe_paths import inside, read_plain_text

LEVELS = ("patch", "minor", "major")
TEXT = re.compile(r"--[^\n]*|'(?:[^']|'')*'")
FILLS = re.compile(r"(?i)\b(AS|SELECT|FROM|VALUES|SET|PRAGMA|CALL|ATTACH|INSTALL|LOAD|COPY|INSERT)\b|\$|/\*")
"""Outside comments and texts: anything beyond a list of columns, or another way to write a text."""


@dataclass
class Diff:
    """What changed since the version before: rows of tables, (level, what) for columns and tables, and files."""

    since: str
    tables: dict[str, Change] = field(default_factory=dict)
    schema: list[tuple[str, str]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def level(self) -> str:
        """The smallest step that is honest."""
        levels = [level for level, _ in self.schema]
        levels += ["minor" for change in self.tables.values() if change.added or change.removed or change.moved]
        return max(levels, key=LEVELS.index, default="patch")

    def next_version(self) -> str:
        return bump(self.since, self.level())

    def summary(self) -> str:
        parts = [what for _, what in self.schema]
        for table, change in self.tables.items():
            words = {"added": change.added, "removed": change.removed, "changed": change.changed, "moved to another split": change.moved}
            parts.append(f"{table} " + ", ".join(f"{count:,} {word}" for word, count in words.items() if count))
        if not self.files:
            return "nothing; the same data, with the promises of 1.0"
        return "; ".join(parts) or f"no row, but {', '.join(self.files[:3])}{' …' if len(self.files) > 3 else ''}"


def check_version(version: str) -> str:
    """X.Y.Z, plain; a leading v belongs to the tag."""
    if not _is_plain(version):
        plain = [str(int(number)) for number in re.findall(r"[0-9]+", version)[:3]]
        meant = ".".join([*plain, "0", "0"][:3]) if plain else "0.1.0"
        raise BadInputError(f"{version!r} is not a version: it must be X.Y.Z in plain numbers.\nNext: --version {meant}")
    return version


def _is_plain(version: str) -> bool:
    try:
        release = Version(version).release
    except InvalidVersion:
        return False
    return len(release) == 3 and version == ".".join(map(str, release))


def bump(version: str, level: str) -> str:
    """The next version of a level; before 1.0 nothing is promised beyond the minor number."""
    major, minor, patch = Version(version).release
    if level == "major" and major:
        return f"{major + 1}.0.0"
    if level in ("major", "minor"):
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{patch + 1}"


def promises(version: str, since: str) -> bool:
    """Refuses a number that breaks the rules by itself; from 1.0 on, readers rely on them."""
    return Version(since).major == 0 and Version(version).major > 0


def check_newer(version: str, published: Sequence[str]) -> None:
    if published and Version(version) < max(map(Version, published)):
        latest = max(published, key=Version)
        raise BadInputError(
            f"Version {version} is not above {latest}, which is already published.\nNext: --version {bump(latest, 'patch')} or higher"
        )


def check_not_withdrawn(version: str, withdrawals: Withdrawals) -> None:
    if version in withdrawals:
        latest = max(withdrawals, key=Version)
        raise BadInputError(
            f"Version {version} was withdrawn ({withdrawals[version].reason or 'no reason given'}), and its number is never used again.\n"
            f"Next: --version {bump(latest, 'patch')}"
        )


def check_level(version: str, diff: Diff) -> None:
    if Version(version) < Version(diff.next_version()):
        raise BadInputError(
            f"Version {version} promises less than changed since {diff.since}: {diff.summary()}. That is a {diff.level()} change.\n"
            f"Next: --version {diff.next_version()}"
        )


def compare_splits(old: Mapping[str, set[str]], new: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """Splits that a table no longer has: loading one by its name would fail."""
    tables_without: dict[str, list[str]] = {}
    for table in sorted(set(old) & set(new)):
        for split in old[table] - new[table]:
            tables_without.setdefault(split, []).append(table)
    return [("major", f"split {split} is gone from {', '.join(tables)}") for split, tables in sorted(tables_without.items())]


def compare_schemas(before: Path, old: Mapping[str, Any], new: Iterable[str], *, linked: bool = False) -> list[tuple[str, str]]:
    """Tables and columns of two releases, by the schemas they contain; `linked`: those of `before` are links, of the Hub client's cache."""
    changes: list[tuple[str, str]] = []
    for table in sorted(set(old) | set(new)):
        if table not in new:
            changes.append(("major", f"table {table} is gone"))
        elif table not in old:
            changes.append(("minor", f"table {table} is new"))
        elif (texts := _two_schemas(before, table, linked))[0] != texts[1]:
            changes += _compare_columns(table, *(_columns(table, text) for text in texts))
    return changes


def _two_schemas(before: Path, table: str, linked: bool) -> tuple[str, str]:
    from tratree_data.files import read_text

    path = Path("schemas", f"{table}.sql")
    old = (before / path).read_text(encoding="utf-8") if linked else read_plain_text(inside(before, path))
    return old, read_text("schemas", path.name)


def _columns(table: str, text: str) -> dict[str, tuple[str, bool]]:
    """{column: (type, may be NULL)}; the text may come from a stranger, so DuckDB may define columns and fill none."""
    if "\\" in text or FILLS.search(TEXT.sub("", text)):
        raise BadInputError(f"schemas/{table}.sql of the previous version is not only a list of columns.\nNext: publish to a new place")
    columns = "SELECT column_name, data_type, is_nullable FROM duckdb_columns() WHERE table_name = $name"
    try:
        with duckdb.connect(config={"enable_external_access": "false"}) as connection:
            connection.execute(text)
            return {name: (kind, bool(nullable)) for name, kind, nullable in connection.execute(columns, {"name": table}).fetchall()}
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise BadInputError(f"schemas/{table}.sql of the previous version is unreadable: {reason}\nNext: publish to a new place") from error


def _compare_columns(table: str, old: dict[str, tuple[str, bool]], new: dict[str, tuple[str, bool]]) -> list[tuple[str, str]]:
    changes = [("major", f"column {table}.{name} is gone") for name in sorted(set(old) - set(new))]
    changes += [("minor", f"column {table}.{name} is new") for name in sorted(set(new) - set(old))]
    for name in sorted(set(old) & set(new)):
        if old[name][0] != new[name][0]:
            changes.append(("major", f"column {table}.{name} was {old[name][0]} and is {new[name][0]}"))
        elif new[name][1] and not old[name][1]:
            changes.append(("major", f"column {table}.{name} may now be NULL"))
    return changes
