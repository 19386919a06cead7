"""Versions of a release in a bucket.

    TARGET/versions/1.0.0/      each version, whole

A version is published when its lineage.json is there: it is written last, and only if there is none. A bucket cannot replace several
objects at once, so there is no copy of the latest version at the top, as in a folder.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from tratree_data.errors import BadInputError, NotFoundError, TratreeError, suggest
from tratree_data.store.buckets.bucket_paths import BucketPath, copy, delete, entries_of, list_below, put_if_absent, read, write
from tratree_data.store.buckets.lease import confirm_lease, leased
from tratree_data.store.published.manifest import MANIFEST, Manifest, Shard, release_store
from tratree_data.store.published.release import VERSIONS, versions_in_bucket
from tratree_data.store.published.withdrawals import WITHDRAWN, Withdrawal, Withdrawals, parse_withdrawals, withdrawals_text
from tratree_data.store.reader import Store
from tratree_data.system.scratch import scratch_folder

COMPARED = ("schemas/*", MANIFEST, "SHA256SUMS", "reports/release.json")
"""Texts of the previous version that are always fetched for comparison; shards are fetched only if they differ."""
AT_ONCE = 8


class BucketTarget:
    linked = False

    def __init__(self, where: BucketPath) -> None:
        self.where = where
        self._before: Path | None = None
        folders, objects = entries_of(where)
        foreign = [name for name in [*folders, *(one.path.name for one in objects)] if name != VERSIONS and not name.startswith(".")]
        if foreign:
            raise BadInputError(f"{where} contains other files ({sorted(foreign)[0]}) and is not a release.\nNext: name another place")

    def versions(self) -> list[str]:
        return versions_in_bucket(self.where)

    def withdrawals(self) -> Withdrawals:
        path = self.where / VERSIONS / WITHDRAWN
        try:
            return parse_withdrawals(path.read_text(), path)
        except FileNotFoundError:
            return {}

    def fetch(self, version: str) -> Path:
        home = self._home(version)
        names = [str(found.path).removeprefix(f"{home}/") for found in list_below(home)]
        return self._download(version, [name for name in names if any(fnmatch(name, pattern) for pattern in COMPARED)])

    def fetch_shards(self, version: str, shards: Sequence[Shard]) -> None:
        self._download(version, [shard.path for shard in shards])

    def open(self, version: str, manifest: Manifest) -> Store:
        return release_store(manifest, str(self._home(version)), self.where)

    def trouble(self, version: str, shards: Sequence[Shard]) -> tuple[str, str] | None:
        home = self._home(version)
        sizes = {str(found.path): found.size for found in list_below(home / "data")} if shards else {}
        for path, shard in ((str(home / shard.path), shard) for shard in shards):
            if sizes.get(path) != shard.bytes:
                return path, "is truncated or changed" if path in sizes else "is gone"
        return None

    def _home(self, version: str) -> BucketPath:
        return self.where / VERSIONS / version

    def _download(self, version: str, names: Sequence[str]) -> Path:
        assert self._before is not None, "versions are compared in a scratch folder"
        folder = self._before / version

        def bring(name: str) -> None:
            if (folder / name).is_file():
                return
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(read(self._home(version) / name))

        folder.mkdir(exist_ok=True)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(bring, names))
        return folder

    @contextmanager
    def scratch(self, version: str) -> Iterator[Path]:
        """On this machine; one process publishes to this place at a time."""
        with leased(self.where), scratch_folder("tratree-release-") as folder:
            self._before = folder / "before"
            for name in ("before", version):
                (folder / name).mkdir()
            yield folder / version

    def put(self, release: Path, version: str, since: str, kept: Sequence[Shard]) -> None:
        """The bucket itself copies what an earlier version has."""
        home, copied = self._home(version), {shard.path for shard in kept}
        names = [path.relative_to(release).as_posix() for path in sorted(release.rglob("*")) if path.is_file()]
        if version in self.versions():
            raise TratreeError(f"{self.where}: someone else has just published version {version}.\nNext: run the same command again")
        for left in list(list_below(home)):  # of a publish that was killed: what counts is not there yet
            delete(left.path)

        def send(name: str) -> None:
            write(home / name, release / name)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(send, [name for name in names if name != MANIFEST and name not in copied]))
            list(pool.map(lambda name: copy(self._home(since) / name, home / name), sorted(copied)))
        confirm_lease(self.where)
        if put_if_absent(home / MANIFEST, (release / MANIFEST).read_bytes()) is None:
            raise TratreeError(f"{self.where}: someone else has just published version {version}.\nNext: run the same command again")

    def withdraw(self, version: str, reason: str) -> bool:
        """The mark first, then lineage.json, so that the version is gone, then the rest; False if all that was done before."""
        with leased(self.where):
            withdrawals, published = self.withdrawals(), self.versions()
            left = list(list_below(self._home(version)))
            if version not in published and version not in withdrawals:
                raise NotFoundError(f"{self.where} has no version {version}.{suggest(version, published)}")
            if version in withdrawals and not left:
                return False
            marked = {**withdrawals, version: withdrawals.get(version, Withdrawal(reason))}
            (self.where / VERSIONS / WITHDRAWN).write_text(withdrawals_text(marked))
            for path in [self._home(version) / MANIFEST, *(found.path for found in left)]:
                delete(path)
        return True
