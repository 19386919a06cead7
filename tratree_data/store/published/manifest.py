"""What a release contains and what made it: its lineage.json and SHA256SUMS, in a folder or on the Hub.

`lineage.json` names the format, the tables, their files by split, and what made each table.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tratree_data.errors import BadInputError
from tratree_data.store import shapes
from tratree_data.store.locations import Place, below, place
from tratree_data.store.log import Lineage, Source
from tratree_data.store.reader import Store
from tratree_data.store.schemas import FORMAT_VERSION, table_names
from tratree_data.store.shapes import need_shape

MANIFEST = "lineage.json"
CHECKSUMS = "SHA256SUMS"
DROPPED = "reports/dropped.parquet"
LONGEST_NAME = 255


@dataclass(frozen=True)
class Shard:
    """One Parquet file of a release; `path` is relative to the release."""

    path: str
    split: str
    rows: int
    bytes: int
    memory_bytes: int
    sha256: str
    longest_row: int | None = None
    """Upper bound of its rows' size as JSON, in bytes; unknown in older releases."""


@dataclass(frozen=True)
class Manifest:
    """lineage.json: what a release holds and what made it."""

    version: str
    format: int
    code: str
    tables: dict[str, dict[str, Any]]
    splits: dict[str, str]
    dropped: bool = False
    made_from: str = ""
    """What the release was made from (releases/versions/grown.py); unknown in older releases."""

    def shards(self, table: str) -> list[Shard]:
        shards = self.tables[table]["shards"] if table in self.tables else []
        return [Shard(**{field.name: _field(shard, field.name) for field in fields(Shard)}) for shard in shards]

    def files(self, table: str) -> list[str]:
        return [shard.path for shard in self.shards(table)]


def _field(shard: Mapping[str, Any], name: str) -> Any:
    if name == "longest_row":
        return longest if type(longest := shard.get(name)) is int else None
    return _inside(shard[name]) if name == "path" else shard[name]


def read_manifest(text: str, name: str) -> Manifest:
    try:
        content = json.loads(text)
        need_shape(content, {"format": int, "code": str}, MANIFEST)
        if content["format"] > FORMAT_VERSION:
            raise BadInputError(
                f"{name} was published in format {content['format']} by tratree-data {content['code']}; "
                f"this version reads up to {FORMAT_VERSION}.\nNext: pip install --upgrade tratree-data"
            )
        need_shape(content, shapes.MANIFEST, MANIFEST)
        names = ("version", "format", "code", "tables", "splits", "dropped")
        return Manifest(**{name: content[name] for name in names}, made_from=str(content.get("made_from", "")))
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{name} has a {MANIFEST} that cannot be read: {error}.\nNext: download or publish it again") from error


def release_store(manifest: Manifest, root: str, path: Place, filesystem: Any = None, elsewhere: Mapping[str, str] | None = None) -> Store:
    """`elsewhere` has the addresses of files that are not below `root`."""
    sources = {}
    for table, entry in manifest.tables.items():
        if table in table_names():
            made = entry.get("lineage")
            lineage = Lineage(made["stage"], made["settings"], made["reads"], {}, table, "", made["code"], made["format"]) if made else None
            files = tuple((elsewhere or {}).get(file) or _address(root, file, filesystem) for file in manifest.files(table))
            sources[table] = Source(files, int(entry["store_version"]), lineage)
    if manifest.dropped:
        sources["dropped"] = Source((_address(root, DROPPED, filesystem),), 0, None)
    return Store(path, sources, label=f"version {manifest.version}", filesystem=filesystem)


def _address(root: str, file: str, filesystem: Any) -> str:
    """Hash of a release's file; links are refused in folders, but the Hub's client has links of its own."""
    return str(below(place(root), _inside(file))) if filesystem is None else f"{root}/{_inside(file)}"


def read_checksums(folder: Path) -> dict[str, str]:
    """{file: hash} from SHA256SUMS; a corrupt line counts as a file of that name."""
    path = folder / CHECKSUMS
    return parse_checksums(path.read_text(encoding="utf-8", errors="replace") if path.is_file() else "")


def parse_checksums(text: str) -> dict[str, str]:
    lines = text.splitlines()
    pairs = [line.split("  ", 1) if "  " in line else ["", line] for line in lines]
    return {_inside(name): digest for digest, name in pairs} or {CHECKSUMS: ""}


def file_hash(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _inside(file: str) -> str:
    """Refuses paths that lead out of the release: a manifest may come from strangers."""
    if file.startswith("/") or any(part in ("", ".", "..", "~") or len(part.encode()) > LONGEST_NAME for part in file.split("/")):
        raise BadInputError(f"The release names a file outside itself: {file!r}.\nNext: do not trust this release")
    return file
