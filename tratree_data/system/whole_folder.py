"""A folder that appears whole or not at all: exports and datasets made from others are written this way."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tratree_data.errors import BadInputError, unwritten
from tratree_data.system.safe_paths import is_plain_file, is_plain_folder, need_local, plain_files_below
from tratree_data.system.scratch import LIVES, is_left_behind, remove_left_behind, scratch_folder


@contextmanager
def whole_folder(target: Path, what: str) -> Iterator[Path]:
    """A folder beside `target` that takes its name when the block ends; an error leaves nothing behind.

    `what` names the result ('an export') in the error for a target that already contains something. The result is marked as unfinished
    until the end; the same command replaces one that a killed command left marked, if nobody has changed it since.
    """
    need_local(target, what)
    beside = f".{target.name}-"
    if target.parent.is_dir():
        remove_left_behind(target.parent, beside)
    again = _is_marked(target)
    if not again and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadInputError(f"{target} exists, but {what} needs a new folder.\nNext: name another folder, or remove this one")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(beside, target.parent) as scratch:
            folder = scratch / "whole"
            folder.mkdir()
            yield folder
            (folder / LIVES).touch()
            if again:
                target.rename(scratch / "before")
            folder.replace(target)
        (target / LIVES).unlink()
    except OSError as error:
        raise unwritten(target, error) from error


def _is_marked(target: Path) -> bool:
    mark = target / LIVES
    if not (is_plain_folder(target) and is_plain_file(mark) and is_left_behind(mark)):
        return False
    return all(file.stat().st_ctime_ns <= mark.stat().st_ctime_ns for file in plain_files_below(target))
