"""The folder of a training: one run, owned by one process, distinguished from other runs, and resumed after a stop.

Under `accelerate launch` every process does the same up to the trainer; only the first holds the lock and writes.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tratree_data.errors import BadInputError
from tratree_data.models.find import RECORD
from tratree_data.store.writing.writer import writing
from tratree_data.training.settings import HOW_ONLY


def processes() -> int:
    """How many processes train together; the launcher sets it in each one's environment."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def training_in(folder: Path) -> Iterator[None]:
    """Locks the folder for this run while the block runs."""
    if not is_first():
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInputError(f"{folder} cannot be created: {error.strerror}.\nNext: name another folder with --out") from error
    with writing(folder):
        yield


def find_run(folder: Path, plan: dict[str, Any]) -> dict[str, Any] | None:
    """The record of this same run, if `folder` holds it; refuses a folder with another run or anything else."""
    file = folder / RECORD
    if not file.is_file():
        if folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
            raise BadInputError(f"{folder} contains other files.\nNext: name an empty or a new folder with --out")
        return None
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    changed = differences(record, json.loads(json.dumps(plan)))
    if changed:
        raise BadInputError(
            f"{folder} contains a run with a different {' and '.join(changed)}.\nNext: name another folder with --out, or remove that one"
        )
    return record


def differences(record: dict[str, Any], plan: dict[str, Any]) -> list[str]:
    """The settings in which two trainings differ."""
    found = [key for key in ("method", "model", "data") if record.get(key) != plan[key]]
    old, new = record.get("settings", {}), plan["settings"]
    return found + [name for name in sorted({*old, *new} - {*HOW_ONLY}) if old.get(name) != new.get(name)]


def last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written completely: a trainer's state is its last file."""
    done = [path for path in folder.glob("checkpoint-*") if _is_whole(path / "trainer_state.json")]
    return str(max(done, key=lambda path: int(path.name.split("-")[1]))) if done else None


def _is_whole(file: Path) -> bool:
    try:
        json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return True


def write_record(folder: Path, record: dict[str, Any]) -> None:
    temporary = (folder / RECORD).with_suffix(".new")
    temporary.write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")
    os.replace(temporary, folder / RECORD)
