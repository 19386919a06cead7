"""Versions of a release in a local folder.

    TARGET/README.md, data/, schemas/, …     the latest version, laid out like a Hub dataset repository
    TARGET/versions/1.0.0/                   each version, whole; its files are hard links where the file system has them

A version is published when its folder gets its name, in one rename. The top is then brought up to it: new files first, README.md,
which names the files to load, in one replacement, stale files last. A process killed in between is finished by the next publish.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tratree_data.errors import BadInputError, StoreBusyError
from tratree_data.releases.diff import link
from tratree_data.store.release import VERSIONS, local_versions
from tratree_data.store.writer import sync

PARTIAL = ".partial-"


class FolderTarget:
    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()  # Arrow takes a:b/c for an address
        if folder.exists() and not folder.is_dir():
            raise BadInputError(f"{folder} is a file, and a release is a folder.\nNext: name another folder")
        if folder.is_dir() and not (folder / VERSIONS).is_dir() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise BadInputError(f"{folder} holds other files, and no release.\nNext: name an empty or a new folder")

    def versions(self) -> list[str]:
        return local_versions(self.folder)

    def fetch(self, version: str) -> Path:
        return self.folder / VERSIONS / version

    @contextmanager
    def scratch(self, version: str) -> Iterator[Path]:
        """A folder on the same file system; nothing of it stays unless `put` has moved it. One process publishes at a time."""
        (self.folder / VERSIONS).mkdir(parents=True, exist_ok=True)
        with open(self.folder / VERSIONS / ".lock", "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StoreBusyError(
                    f"Another process is publishing to {self.folder}.\nNext: wait for it, then run the same command"
                ) from error
            for left in (self.folder / VERSIONS).glob(f"{PARTIAL}*"):
                shutil.rmtree(left)
            self.show_latest()
            with tempfile.TemporaryDirectory(dir=self.folder / VERSIONS, prefix=PARTIAL) as name:
                release = Path(name) / version
                release.mkdir()
                yield release

    def put(self, release: Path, version: str) -> None:
        for path in release.rglob("*"):
            sync(path)
        release.rename(self.folder / VERSIONS / version)
        sync(self.folder / VERSIONS)
        self.show_latest()

    def show_latest(self) -> None:
        """Brings the top of the folder up to the latest version; does nothing where it is."""
        published = self.versions()
        if not published:
            return
        latest = self.folder / VERSIONS / published[-1]
        wanted = sorted(path.relative_to(latest) for path in latest.rglob("*") if path.is_file())
        for name in sorted(wanted, key=lambda name: (name == Path("README.md"), name)):
            link(latest / name, self.folder / name)
        for path in sorted(self.folder.rglob("*"), reverse=True):
            name = path.relative_to(self.folder)
            if name.parts[0] == VERSIONS or name.parts[0].startswith(".") or name in wanted:
                continue
            if path.is_file():
                path.unlink()
            elif not any(path.iterdir()):
                path.rmdir()
