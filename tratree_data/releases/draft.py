"""The files of a release, as publish/layout.md shows them, and what they are made from."""

import json
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tratree_data import __version__
from tratree_data.files import file_names, read_text
from tratree_data.releases.about import About, read_about
from tratree_data.releases.card import write_card
from tratree_data.releases.leaks import Leak, find_leaks
from tratree_data.releases.redaction import Finding, Redactor
from tratree_data.releases.row_sizes import longest_row
from tratree_data.releases.settings import PublishSettings
from tratree_data.releases.shards import write_tables
from tratree_data.releases.traces import TABLE, write_traces
from tratree_data.releases.version_numbers import Diff
from tratree_data.store.locations import Place, read_plain
from tratree_data.store.log import Lineage
from tratree_data.store.manifest import CHECKSUMS, DROPPED, MANIFEST, Shard, file_hash, read_checksums
from tratree_data.store.parquet_files import write_parquet
from tratree_data.store.reader import Store
from tratree_data.store.schemas import FORMAT_VERSION
from tratree_data.system.safe_paths import is_plain_file

WARNING = "Rules do not find every secret, and code and texts in sessions may be proprietary: publish only what you may."
REPORT = "reports/release.json"
CHANGES = "reports/changes.json"
OWN_TO_PER_VERSION = {MANIFEST, CHECKSUMS, CHANGES}


@dataclass
class Draft:
    """A release while it is made."""

    store: Store
    folder: Path
    license: str
    title: str
    place: str
    shards: dict[str, list[Shard]]
    splits: dict[str, str]
    lineage: dict[str, Any]
    findings: list[Finding]
    leaks: list[Leak]
    about: About
    longest: dict[str, int]
    """Of each table, how many bytes a row has as JSON, at most."""
    diff: Diff | None = None

    def counts(self) -> dict[str, int]:
        return {table: sum(shard.rows for shard in shards) for table, shards in self.shards.items()}

    def default_table(self) -> str:
        return "pairs" if self.shards.get("pairs") else "rollouts"

    @contextmanager
    def spill(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix=".sorting-") as name:
            yield Path(name)


def write_data(store: Store, folder: Path, settings: PublishSettings, *, title: str, place: str) -> Draft:
    """Everything that does not depend on the version's number."""
    redactor = Redactor()
    redactor.number_secrets(store)
    longest: dict[str, int] = {}

    def redact(table: str, rows: pa.Table) -> pa.Table:
        redacted = redactor.redact_table(table, rows)
        longest[table] = max(longest.get(table, 0), longest_row(redacted))
        return redacted

    with ThreadPoolExecutor(1) as beside:
        found = beside.submit(find_leaks, store)
        shards, splits = write_tables(
            store, folder, redact, settings.shard_bytes, rename=lambda split: redactor.redact_text(split, "split")
        )
    if store.has("dropped"):
        (folder / DROPPED).parent.mkdir(exist_ok=True)
        rows = redactor.redact_table("dropped", store.read("dropped"))
        write_parquet(rows.sort_by([(name, "ascending") for name in rows.column_names]), "dropped", folder / DROPPED)
    _copy_texts(store, folder, redactor)
    lineage = {table: redactor.redact_settings(_lineage(store, table), "lineage.json") for table in shards}
    leaks = [_redact_leak(leak, redactor) for leak in found.result()]
    title = redactor.redact_text(title, "title")
    about = read_about(settings, redactor.redact_settings)
    if settings.traces:
        shards[TABLE] = write_traces(folder, shards, splits, settings.traces, settings.shard_bytes)
        lineage[TABLE] = asdict(Lineage("publish", {"traces": settings.traces}, {}, {}, TABLE, "", __version__, FORMAT_VERSION))
    return Draft(store, folder, settings.license, title, place, shards, splits, lineage, redactor.findings(), leaks, about, longest)


def _redact_leak(leak: Leak, redactor: Redactor) -> Leak:
    tasks = {name: redactor.redact_task(getattr(leak, name)) for name in ("task_id", "other_task_id")}
    return Leak(**redactor.redact_settings(asdict(leak), "leaks") | tasks)


def write_texts(draft: Draft, version: str) -> None:
    """Card, lineage, reports and checksums, for the number that the release gets."""
    (draft.folder / "reports").mkdir(exist_ok=True)
    report = {
        "warning": WARNING,
        "redacted": [asdict(finding) for finding in draft.findings],
        "leaks": [asdict(leak) for leak in draft.leaks],
    }
    _write_json(draft.folder / REPORT, report)
    if draft.diff is not None:
        _write_json(draft.folder / CHANGES, asdict(draft.diff))
    _write_json(draft.folder / MANIFEST, _manifest(draft, version))
    write_card(draft.folder, draft.title, draft.license, report, draft.place, draft.about, draft.longest)
    write_checksums(draft)


def different_files(before: Path, now: Path) -> list[str]:
    """Where two releases differ; the numbers by which a store counts its own versions say nothing about its content."""
    old, new = _checksums(before), _checksums(now)
    names = {name for name in set(old) | set(new) if old.get(name) != new.get(name)}
    return sorted(names | ({MANIFEST} if _content(before) != _content(now) else set()))


def _checksums(folder: Path) -> dict[str, str]:
    return {name: digest for name, digest in read_checksums(folder).items() if name not in OWN_TO_PER_VERSION}


def _content(folder: Path) -> Any:
    content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    for entry in content["tables"].values():
        entry.pop("store_version")
        (entry["lineage"] or {}).pop("reads", None)
    return content


def _copy_texts(store: Store, folder: Path, redactor: Redactor) -> None:
    """The meaning of every column, the named queries and the recipe travel with the data."""
    for source in ("schemas", "sql", "sql/views", "sql/checks"):
        (folder / source).mkdir(parents=True, exist_ok=True)
        for name in file_names(source, ".sql"):
            (folder / source / f"{name}.sql").write_text(read_text(source, f"{name}.sql"), encoding="utf-8")
        if not any((folder / source).iterdir()):
            shutil.rmtree(folder / source)
    recipe = _read_recipe(store.path / "recipe.toml")
    if recipe is not None:
        (folder / "recipe.toml").write_text(redactor.redact_text(recipe, "recipe.toml"), encoding="utf-8")


def _read_recipe(path: Place) -> str | None:
    """The recipe that made the dataset; anything else under its name, such as a link to another file, is not published."""
    if not (is_plain_file(path) if isinstance(path, Path) else path.is_file()):
        return None
    text = read_plain(path)
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
    return text


def _lineage(store: Store, table: str) -> dict[str, Any] | None:
    made = store.sources[table].lineage
    return {name: asdict(made)[name] for name in ("stage", "settings", "reads", "code", "format")} if made else None


def _manifest(draft: Draft, version: str) -> dict[str, Any]:
    tables = {
        table: {
            "rows": sum(shard.rows for shard in shards),
            "shards": [asdict(shard) for shard in shards],
            "store_version": draft.store.version(table) if draft.store.has(table) else 0,
            "lineage": draft.lineage[table],
        }
        for table, shards in draft.shards.items()
    }
    dropped = draft.store.version("dropped") if draft.store.has("dropped") else None
    return {
        "format": FORMAT_VERSION,
        "version": version,
        "code": __version__,
        "splits": draft.splits,
        "tables": tables,
        "dropped": dropped is not None,
    }


def write_checksums(draft: Draft) -> None:
    """`sha256sum -c SHA256SUMS` checks a copy; shards were hashed when they were written."""
    known = {shard.path: shard.sha256 for shards in draft.shards.values() for shard in shards}
    paths = sorted(path for path in draft.folder.rglob("*") if path.is_file() and path.name != CHECKSUMS)
    names = [path.relative_to(draft.folder).as_posix() for path in paths]
    lines = [f"{known.get(name) or file_hash(path)}  {name}\n" for name, path in zip(names, paths, strict=True)]
    (draft.folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
