"""Where releases go: a folder, a bucket, or a repository on the Hub."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from tratree_data.errors import BadInputError
from tratree_data.releases.targets.to_bucket import BucketTarget
from tratree_data.releases.targets.to_folder import FolderTarget
from tratree_data.store.locations import place
from tratree_data.store.published.manifest import Manifest, Shard
from tratree_data.store.published.release import HUB
from tratree_data.store.published.withdrawals import Withdrawals
from tratree_data.store.reader import Store
from tratree_data.system.safe_paths import need_local


class Target(Protocol):
    """Where releases go: a folder or a repository on the Hub."""

    linked: bool
    """Whether `fetch` gives links: the Hub's client keeps its files elsewhere."""

    def versions(self) -> list[str]:
        """The published versions, oldest first."""

    def withdrawals(self) -> Withdrawals:
        """The withdrawn versions; call `versions` first."""

    def fetch(self, version: str) -> Path:
        """A folder with that version's lineage, checksums and schemas."""

    def fetch_shards(self, version: str, shards: Sequence[Shard]) -> None:
        """Adds shards to the folder of `fetch`."""

    def open(self, version: str, manifest: Manifest) -> Store:
        """The version's tables, for queries that read only what they need."""

    def trouble(self, version: str, shards: Sequence[Shard]) -> tuple[str, str] | None:
        """(file, what is wrong with it), as far as that is known without reading them."""

    def scratch(self, version: str) -> AbstractContextManager[Path]:
        """An empty folder to make a release in, which is removed afterwards."""

    def put(self, release: Path, version: str, since: str, kept: Sequence[Shard]) -> None:
        """Publishes what was made in the scratch folder, with shards from version `since`; all of it, or nothing."""


def find_target(target: str, *, private: bool = False, gated: bool = False) -> Target:
    if target.startswith(HUB):
        from tratree_data.releases.targets.to_hub import HubTarget

        return HubTarget(target.removeprefix(HUB), private=private, gated=gated)
    if private or gated:
        raise BadInputError(
            f"{target} is not on the Hub, and only a Hub repository can be private or gated.\nNext: name hub:org/name, or omit the flag"
        )
    where = place(target)
    return FolderTarget(need_local(where, "a release")) if isinstance(where, Path) else BucketTarget(where)
