"""Publishing releases on the Hugging Face Hub: one commit per version, whose tag is created last.

The commit is atomic and names its parent, so a reader of `main` never sees half a release and two publishers cannot mix theirs. What was
uploaded before an interruption is not uploaded again.
"""

import shutil
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tratree_data.errors import BadInputError, NotFoundError, TratreeError, suggest
from tratree_data.store.published.hub import KIND, check_name, explained, open_hub_release, versions_of
from tratree_data.store.published.manifest import Manifest, Shard
from tratree_data.store.published.withdrawals import WITHDRAWN, Withdrawal, Withdrawals, parse_withdrawals, withdrawals_text
from tratree_data.store.reader import Store
from tratree_data.system.scratch import scratch_folder

OURS = ("data/", "traces/", "schemas/", "sql/", "reports/", "images/")
"""Folders that belong to the release; other files that someone keeps in the repository stay."""
TOP = ("README.md", "croissant.json", "lineage.json", "SHA256SUMS", "recipe.toml")
"""Files of a release beside its folders."""
COMPARED = ["schemas/**", "lineage.json", "SHA256SUMS", "reports/release.json"]
"""Texts of the previous version that are always fetched for comparison; shards are fetched only if they differ."""


class HubTarget:
    linked = True

    def __init__(self, repo: str, private: bool, gated: bool) -> None:
        from huggingface_hub import HfApi, get_token

        self.repo = check_name(repo)
        self.private = private
        self.gated = gated
        self.head: str | None = None  # what `main` was when publishing began: who commits meanwhile is never overwritten
        self.api = HfApi(library_name="tratree-data")
        if get_token() is None:
            raise BadInputError(f"Publishing to hub:{repo} needs a token, and none was found.\nNext: hf auth login, or export HF_TOKEN=…")

    def versions(self) -> list[str]:
        from huggingface_hub.errors import RepositoryNotFoundError

        with explained(self.repo):
            try:
                self.head = self.api.repo_info(self.repo, repo_type=KIND, revision="main").sha  # before the tags, so that none is missed
                return versions_of(self.api, self.repo)
            except RepositoryNotFoundError:
                return []

    def fetch(self, version: str) -> Path:
        with explained(self.repo):
            return Path(self.api.snapshot_download(self.repo, repo_type=KIND, revision=f"v{version}", allow_patterns=COMPARED))

    def fetch_shards(self, version: str, shards: Sequence[Shard]) -> None:
        if shards:
            with explained(self.repo):
                paths = [shard.path for shard in shards]
                self.api.snapshot_download(self.repo, repo_type=KIND, revision=f"v{version}", allow_patterns=paths)

    def open(self, version: str, manifest: Manifest) -> Store:
        return open_hub_release(f"{self.repo}@v{version}")

    def trouble(self, version: str, shards: Sequence[Shard]) -> tuple[str, str] | None:
        """The Hub knows the hashes of its files."""
        there = self._hashes(f"v{version}") if shards else {}
        for shard in shards:
            if there.get(shard.path) != shard.sha256:
                return f"hub:{self.repo}@v{version}: {shard.path}", "is truncated or changed" if shard.path in there else "is gone"
        return None

    def _hashes(self, revision: str) -> dict[str, str]:
        with explained(self.repo):
            entries = self.api.list_repo_tree(self.repo, recursive=True, revision=revision, repo_type=KIND)
            return {entry.path: getattr(getattr(entry, "lfs", None), "sha256", "") for entry in entries}

    def withdrawals(self) -> Withdrawals:
        return self._read_withdrawals(self.head) if self.head else {}

    def _read_withdrawals(self, revision: str) -> Withdrawals:
        with explained(self.repo):
            if not self.api.file_exists(self.repo, WITHDRAWN, repo_type=KIND, revision=revision):
                return {}
            path = self.api.hf_hub_download(self.repo, WITHDRAWN, repo_type=KIND, revision=revision)
        return parse_withdrawals(Path(path).read_text(encoding="utf-8"), f"{WITHDRAWN} of hub:{self.repo}")

    def withdraw(self, version: str, reason: str) -> bool:
        """Makes `main` show the previous version, marks the number, and removes the tag last; False if that was done before."""
        published = self.versions()
        withdrawals = self.withdrawals()
        if version not in published:
            if version in withdrawals:
                return False
            raise NotFoundError(f"hub:{self.repo} has no version {version}.{suggest(version, published)}")
        left = [other for other in published if other != version]
        with explained(self.repo):
            marked = {**withdrawals, version: withdrawals.get(version, Withdrawal(reason))}
            if version == published[-1]:
                self._show(left[-1] if left else None, marked, f"Withdraw version {version}")
            else:
                self._mark(marked, f"Withdraw version {version}")
            self.api.delete_tag(self.repo, tag=f"v{version}", repo_type=KIND)
        return True

    def _show(self, version: str | None, marked: Withdrawals, message: str) -> None:
        """`main` as this version had it, or without any release."""
        with scratch_folder("tratree-release-") as folder:
            if version is not None:
                self.api.snapshot_download(self.repo, repo_type=KIND, revision=f"v{version}", local_dir=folder / "release")
                shutil.rmtree(folder / "release" / ".cache", ignore_errors=True)
            else:
                (folder / "release").mkdir()
            (folder / "release" / WITHDRAWN).write_text(withdrawals_text(marked), encoding="utf-8")
            self._commit(folder / "release", message, gone=(*OURS, *TOP))

    def _mark(self, marked: Withdrawals, message: str) -> None:
        from huggingface_hub import CommitOperationAdd

        operation = CommitOperationAdd(WITHDRAWN, withdrawals_text(marked).encode())
        self.api.create_commit(self.repo, [operation], commit_message=message, repo_type=KIND, parent_commit=self.head)

    @contextmanager
    def scratch(self, version: str) -> Iterator[Path]:
        with scratch_folder("tratree-release-") as folder:
            release = folder / version
            release.mkdir()
            yield release

    def put(self, release: Path, version: str, since: str, kept: Sequence[Shard]) -> None:
        with explained(self.repo):
            self._open_repository()
            if version in versions_of(self.api, self.repo):
                raise TratreeError(f"hub:{self.repo}: someone else has just published version {version}.\nNext: run the same command again")
            commit = self._commit(release, f"Version {version}", kept=self._kept_files(release, since, kept))
            self.api.create_tag(self.repo, tag=f"v{version}", tag_message=f"Version {version}", revision=commit, repo_type=KIND)

    def _open_repository(self) -> None:
        """Creates the repository if it does not exist; refuses a public one if a private one was requested."""
        self.api.create_repo(self.repo, repo_type=KIND, private=self.private or None, exist_ok=True)
        if self.private and not self.api.repo_info(self.repo, repo_type=KIND).private:
            raise BadInputError(f"hub:{self.repo} is public, but --private was given.\nNext: make it private on its settings page first")
        if self.gated:
            self.api.update_repo_settings(self.repo, repo_type=KIND, gated="auto")

    def _kept_files(self, release: Path, since: str, kept: Sequence[Shard]) -> set[str]:
        """The paths of the shards that `main` has unchanged; others, which someone removed there, are added to the release."""
        there = self._hashes(self.head) if kept and self.head else {}
        missing = [shard for shard in kept if there.get(shard.path) != shard.sha256]
        for shard in missing:
            if not (release / shard.path).is_file():
                self.api.hf_hub_download(self.repo, shard.path, repo_type=KIND, revision=f"v{since}", local_dir=release)
        shutil.rmtree(release / ".cache", ignore_errors=True)
        return {shard.path for shard in kept} - {shard.path for shard in missing}

    def _commit(self, release: Path, message: str, gone: tuple[str, ...] = OURS, kept: Set[str] = frozenset()) -> str:
        """One commit that makes `main` hold this release; the same commit again is none. Files at `gone` that it lacks are removed.

        Files at `kept` are in `main` and stay.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        head = self.head or self.api.repo_info(self.repo, repo_type=KIND, revision="main").sha
        files = {path.relative_to(release).as_posix(): path for path in sorted(release.rglob("*")) if path.is_file()}
        there = self.api.list_repo_files(self.repo, repo_type=KIND, revision=head)
        operations: list[Any] = [CommitOperationAdd(name, path) for name, path in files.items() if name not in kept]
        operations += [CommitOperationDelete(name) for name in sorted(there) if name.startswith(gone) and name not in {*files, *kept}]
        info = self.api.create_commit(self.repo, operations, commit_message=message, repo_type=KIND, parent_commit=head)
        return str(info.oid)
