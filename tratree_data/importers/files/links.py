"""Links in a folder of logs that lead out of it: whoever made the folder could have had the reader's own files imported, and published."""

from collections.abc import Iterator
from pathlib import Path

from tratree_data.importers.log_records import Problem
from tratree_data.store.writing.storable_text import storable


def leads_out(file: Path, folder: Path) -> bool:
    home, real = folder.resolve(), file.resolve()
    return not any(real.is_relative_to(place) for place in (home, *_blobs_of(home)))


def _blobs_of(folder: Path) -> Iterator[Path]:
    """In the Hub's cache, the files of a snapshot are links to a folder beside the snapshots."""
    yield from (parent.parent / "blobs" for parent in (folder, *folder.parents) if parent.name == "snapshots")


def links_out(path: Path) -> Iterator[Problem]:
    """A problem for each, with the file to name instead."""
    for link in sorted(link for link in path.rglob("*") if link.is_symlink() and leads_out(link, path)):
        name = f"{path.resolve().name}/{link.relative_to(path).as_posix()}:1"
        detail = f"it leads out of the folder, to {link.readlink()}; import that itself, if it is yours"
        yield Problem(storable(name), "symbolic_link", detail)
