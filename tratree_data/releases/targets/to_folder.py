"""Versions of a release in a local folder.

    TARGET/README.md, data/, schemas/, …     the latest version, laid out like a Hub dataset repository
    TARGET/versions/1.0.0/                   each version, whole; its files are hard links where the file system has them

A version is published when its folder gets its name, in one rename. Then the top is updated: new files first, then README.md, which
names the files to load, in one step, and stale files last. If the process is killed in between, the next publish finishes its work.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tratree_data.errors import BadInputError, StoreBusyError
from tratree_data.releases.versions.diff import link
from tratree_data.store.locations import sync
from tratree_data.store.published.manifest import CHECKSUMS, Manifest, Shard, file_hash, read_checksums, release_store
from tratree_data.store.published.release import VERSIONS, local_versions
from tratree_data.store.published.withdrawals import WITHDRAWN, Withdrawals, read_withdrawals
from tratree_data.store.reader import Store
from tratree_data.system.safe_paths import inside, is_plain_file, is_plain_folder, open_lock_file

PARTIAL = ".partial-"


class FolderTarget:
    linked = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()  # Arrow takes a:b/c for an address
        if folder.exists() and not folder.is_dir():
            raise BadInputError(f"{folder} is a file, but a release is a folder.\nNext: name another folder")
        if folder.is_dir() and not self.versions() and not _holds_nothing(folder):
            raise BadInputError(f"{folder} contains other files and is not a release.\nNext: name a new or an empty folder")
        for version in self.versions():
            self._need_checksums(self.fetch(version))

    def versions(self) -> list[str]:
        return local_versions(self.folder)

    def _need_checksums(self, version: Path) -> None:
        """Only files that a publish listed are ever replaced or removed, so every version must list its files."""
        if not is_plain_file(version / CHECKSUMS):
            raise BadInputError(
                f"{version} has no {CHECKSUMS}, so it is corrupt or is not a release.\n"
                "Next: restore it from a copy of the release, or publish to a new place"
            )

    def fetch(self, version: str) -> Path:
        return self.folder / VERSIONS / version

    def fetch_shards(self, version: str, shards: Sequence[Shard]) -> None:
        """Nothing to do: they are in the folder."""

    def open(self, version: str, manifest: Manifest) -> Store:
        return release_store(manifest, str(self.fetch(version).resolve()), self.fetch(version))

    def trouble(self, version: str, shards: Sequence[Shard]) -> tuple[str, str] | None:
        for path, shard in ((inside(self.fetch(version), shard.path), shard) for shard in shards):
            if not path.is_file() or path.stat().st_size != shard.bytes:
                return str(path), "is truncated or changed" if path.is_file() else "is gone"
        return None

    def withdrawals(self) -> Withdrawals:
        return read_withdrawals(self.folder / VERSIONS)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One process publishes or withdraws at a time."""
        (self.folder / VERSIONS).mkdir(parents=True, exist_ok=True)
        with open_lock_file(self.folder / VERSIONS / ".lock", self.folder) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StoreBusyError(
                    f"Another process is publishing to {self.folder}.\nNext: wait for it, then run the same command"
                ) from error
            yield

    @contextmanager
    def scratch(self, version: str) -> Iterator[Path]:
        """A folder on the same file system; it disappears unless `put` has moved it."""
        with self.locked():
            for left in filter(is_plain_folder, (self.folder / VERSIONS).glob(f"{PARTIAL}*")):
                shutil.rmtree(left)
            self.show_latest()
            with tempfile.TemporaryDirectory(dir=self.folder / VERSIONS, prefix=PARTIAL) as name:
                release = Path(name) / version
                release.mkdir()
                yield release

    def put(self, release: Path, version: str, since: str, kept: Sequence[Shard]) -> None:
        """Shards of an earlier version are already hard links in the release."""
        for path in release.rglob("*"):
            sync(path)
        release.rename(self.folder / VERSIONS / version)
        sync(self.folder / VERSIONS)
        self.show_latest()

    def show_latest(self) -> None:
        """Updates the top of the folder to the latest version, if it is not up to date."""
        published = self.versions()
        if not published:
            return
        latest = self.folder / VERSIONS / published[-1]
        shown = {CHECKSUMS, *read_checksums(latest)}
        for name in sorted(shown, key=lambda name: (name == "README.md", name)):
            if is_plain_file(inside(latest, name)):  # what is missing is reported before anything is compared with it
                link(latest / name, inside(self.folder, name))
        for version in published[:-1]:
            for name, digest in read_checksums(self.folder / VERSIONS / version).items():
                if name not in shown:
                    self._remove_stale(name, digest)

    def remove_from_top(self, files: Mapping[str, str]) -> None:
        """Files of a version that is gone, unless the latest version has one of that name."""
        published = self.versions()
        shown = {CHECKSUMS, *read_checksums(self.folder / VERSIONS / published[-1])} if published else set()
        for name, digest in files.items():
            if name not in shown:
                self._remove_stale(name, digest)

    def _remove_stale(self, name: str, digest: str) -> None:
        """Removes a file that an earlier version put at the top, unless it has changed, and folders that become empty."""
        path = inside(self.folder, name)
        if not is_plain_file(path) or file_hash(path) != digest:
            return
        path.unlink()
        for folder in path.parents:
            if folder == self.folder or any(folder.iterdir()):
                break
            folder.rmdir()


def _holds_nothing(folder: Path) -> bool:
    """Whether it contains only hidden files and what a publish left that was killed before its first version."""
    names = {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}
    if names != {VERSIONS}:
        return not names
    return all(entry.name.startswith(".") or entry.name == WITHDRAWN for entry in (folder / VERSIONS).iterdir())
