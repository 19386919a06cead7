"""A folder that appears whole or not at all: exports and datasets made from others are written this way."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tratree_data.errors import BadInputError, unwritten
from tratree_data.system.safe_paths import need_local
from tratree_data.system.scratch import scratch_folder


@contextmanager
def whole_folder(target: Path, what: str) -> Iterator[Path]:
    """A folder beside `target` that takes its name when the block ends; an error leaves nothing behind.

    `what` names the result in the message that refuses a target which already contains something ('an export').
    """
    need_local(target, what)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadInputError(f"{target} exists, but {what} needs a new folder.\nNext: name another folder, or remove this one")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(f".{target.name}-", target.parent) as scratch:
            folder = scratch / "whole"
            folder.mkdir()
            yield folder
            folder.replace(target)
    except OSError as error:
        raise unwritten(target, error) from error
