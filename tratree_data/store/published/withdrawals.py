"""Which versions were withdrawn, and why: withdrawn.json in `versions/` of a folder, or at the top of a Hub repository.

A number that is in it is never published again. `files` lists what an unfinished withdrawal of a folder still has to remove.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from packaging.version import Version

from tratree_data.errors import BadInputError
from tratree_data.store.locations import sync
from tratree_data.store.shapes import need_shape
from tratree_data.system.safe_paths import is_plain_file

WITHDRAWN = "withdrawn.json"
SHAPE = {str: {"reason": str, "files": {str: str}}}


@dataclass(frozen=True)
class Withdrawal:
    reason: str
    files: dict[str, str] = field(default_factory=dict)
    """{file: hash} of the version's files that are not removed yet."""


Withdrawals = dict[str, Withdrawal]


def parse_withdrawals(text: str, where: object) -> Withdrawals:
    try:
        said = json.loads(text)
        need_shape(said, SHAPE, WITHDRAWN)
        for version in said:
            Version(version)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{where} cannot be read: {error}.\nNext: restore it from a copy of the release") from error
    return {version: Withdrawal(entry["reason"], entry["files"]) for version, entry in said.items()}


def withdrawals_text(withdrawals: Withdrawals) -> str:
    listed: dict[str, Any] = {version: asdict(withdrawals[version]) for version in sorted(withdrawals, key=Version)}
    return json.dumps(listed, indent=1, ensure_ascii=False) + "\n"


def read_withdrawals(versions: Path) -> Withdrawals:
    path = versions / WITHDRAWN
    return parse_withdrawals(path.read_text(encoding="utf-8"), path) if is_plain_file(path) else {}


def write_withdrawals(versions: Path, withdrawals: Withdrawals) -> None:
    """In one replacement, so that a kill leaves the old list or the new one."""
    new = versions / f".{WITHDRAWN}-new"
    new.unlink(missing_ok=True)
    new.write_text(withdrawals_text(withdrawals), encoding="utf-8")
    sync(new)
    os.replace(new, versions / WITHDRAWN)
    sync(versions)
