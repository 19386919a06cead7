"""Reading releases on the Hugging Face Hub: only the data that a query needs is fetched.

The Hub's client takes the token from `hf auth login` or HF_TOKEN; this code never handles it.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packaging.version import Version

from tratree_data.errors import BadInputError, NotFoundError, TratreeError, suggest
from tratree_data.store.published.manifest import MANIFEST, Manifest, file_hash, read_manifest, release_store
from tratree_data.store.reader import Store

KIND = "dataset"
PATIENCE = 300
"""Seconds without an answer (TRATREE_HUB_TIMEOUT sets another number); the client's own requests would wait forever."""
EXPLANATIONS = {
    401: ("does not know this token", "hf auth login, or export HF_TOKEN=…"),
    403: ("does not let this token write there", "name a repository of yours, or take a token with write access"),
    404: ("has no such repository, or hides it from this token", "check the name, and hf auth login"),
    409: ("has it already: someone published at the same moment", "run the same command again"),
    412: ("was changed by someone else at the same moment", "run the same command again"),
    429: ("asks to wait: too many requests", "run the same command in a few minutes"),
}
READING = {
    401: ("does not let this token read it", "check the name, and hf auth login"),
    403: ("does not let this token read it", "ask for access on its page, then hf auth login"),
}
"""Answers that mean something else when reading."""


def open_hub_release(name: str) -> Store:
    """'org/name@v1.0.0', or the latest version of 'org/name'; of the data, only what a query needs is fetched."""
    repo, version, commit, manifest = _find(name)
    return release_store(manifest, f"hf://datasets/{repo}@{commit}", Path(f"hub:{repo}@v{version}"), _filesystem(repo))


def corrupt_on_hub(name: str) -> list[str]:
    """The shards that are missing on the Hub or differ from what was published; it reports a large file's hash without sending the file."""
    from huggingface_hub import HfApi

    repo, _, commit, manifest = _find(name)
    expected = {shard.path: shard.sha256 for table in manifest.tables for shard in manifest.shards(table)}
    api = HfApi(library_name="tratree-data")
    with explained(repo, reading=True):
        entries = api.list_repo_tree(repo, recursive=True, revision=commit, repo_type=KIND)
        there = {entry.path: getattr(getattr(entry, "lfs", None), "sha256", "") for entry in entries}
        for path in sorted(path for path in expected if there.get(path) == ""):  # files uploaded by hand need not be marked as large
            there[path] = file_hash(Path(api.hf_hub_download(repo, path, repo_type=KIND, revision=commit)))
    gone = [f"{path} is gone" for path in sorted(expected) if path not in there]
    return gone + [f"{path} is changed" for path in sorted(expected) if path in there and there[path] != expected[path]]


def _find(name: str) -> tuple[str, str, str, Manifest]:
    """Repository, version, commit and manifest of 'org/name@v1.0.0', or of the latest version of 'org/name'."""
    from huggingface_hub import HfApi

    repo, _, requested = name.partition("@")
    check_name(repo)
    api = HfApi(library_name="tratree-data")
    with explained(repo, reading=True):
        published = versions_of(api, repo)
        version = requested.removeprefix("v") or (published[-1] if published else "")
        if version not in published:
            raise NotFoundError(f"hub:{repo} has no version {requested or 'yet'}.{suggest(version, published)}")
        commit = str(api.repo_info(repo, repo_type=KIND, revision=f"v{version}").sha)
        manifest = Path(api.hf_hub_download(repo, MANIFEST, repo_type=KIND, revision=commit)).read_text(encoding="utf-8")
    return repo, version, commit, read_manifest(manifest, f"hub:{name}")


def check_name(repo: str) -> str:
    """Checks that the text has the form user/name; the Hub's client checks the rest."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo, flags=re.ASCII):
        raise BadInputError(f"hub:{repo} does not name a repository of a user or organization.\nNext: hub:org/name")
    return repo


def versions_of(api: Any, repo: str) -> list[str]:
    tags = [tag.name for tag in api.list_repo_refs(repo, repo_type=KIND).tags]
    return sorted((tag[1:] for tag in tags if re.fullmatch(r"v\d+\.\d+\.\d+", tag)), key=Version)


def _filesystem(repo: str) -> Any:
    """The Hub's files for DuckDB and Arrow. Errors are rephrased; the client has already retried."""
    from huggingface_hub import HfFileSystem
    from huggingface_hub.hf_file_system import HfFileSystemFile

    class HubFile(HfFileSystemFile):
        def _fetch_range(self, start: int, end: int) -> bytes:
            with self.fs.remembered():
                return bytes(super()._fetch_range(start, end))

    class HubFiles(HfFileSystem):
        """DuckDB needs this beyond what fsspec defines; a commit's files never change."""

        trouble: TratreeError | None = None
        """The original error of the last read, which DuckDB does not pass on."""

        @contextmanager
        def remembered(self) -> Iterator[None]:
            try:
                with explained(repo, reading=True):
                    yield
            except TratreeError as error:
                self.trouble = error
                raise

        def modified(self, path: str, **_: Any) -> datetime:
            return datetime.fromtimestamp(0, UTC)

        def info(self, path: str, refresh: bool = False, revision: str | None = None, **options: Any) -> dict[str, Any]:
            with self.remembered():
                return dict(super().info(path, refresh=refresh, revision=revision, **options))

        def _open(
            self, path: str, mode: str = "rb", block_size: int | None = None, revision: str | None = None, **options: Any
        ) -> HfFileSystemFile:
            if mode != "rb":
                raise PermissionError("a query can only read")
            with self.remembered():
                return HubFile(self, path, mode=mode, block_size=block_size or self.block_size or "default", revision=revision, **options)

    return HubFiles()


@contextmanager
def explained(repo: str, *, reading: bool = False) -> Iterator[None]:
    """Rephrases the Hub's answer; repeats nothing of the request, which could contain a token."""
    import httpx2
    from huggingface_hub import get_session
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    kept = "Nothing was changed." if reading else "Nothing was tagged, and what was uploaded is not uploaded again."
    explanations = EXPLANATIONS | READING if reading else EXPLANATIONS
    session = get_session()
    before = session.timeout
    session.timeout = httpx2.Timeout(float(os.environ.get("TRATREE_HUB_TIMEOUT", PATIENCE)))
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise TratreeError(f"hub:{repo}: not looked up, because HF_HUB_OFFLINE is set. {kept}\nNext: unset HF_HUB_OFFLINE") from error
    except (HfHubHTTPError, httpx2.HTTPError, RuntimeError, FileNotFoundError) as error:
        first = _cause(error, (HfHubHTTPError, httpx2.HTTPError))
        if isinstance(first, HfHubHTTPError):
            status = first.response.status_code
            what, advice = explanations.get(status, ("failed", "run the same command again"))
            raise TratreeError(f"hub:{repo}: the Hub {what} ({status}). {kept}\nNext: {advice}") from error
        if first is None:
            raise
        name = type(first).__name__
        raise TratreeError(f"hub:{repo}: the Hub cannot be reached ({name}). {kept}\nNext: run the same command again") from error
    except HFValidationError as error:
        raise BadInputError(f"hub:{repo} is not the name of a repository: {error}\nNext: hub:org/name") from error
    finally:
        session.timeout = before


def _cause(error: BaseException, kinds: tuple[type[BaseException], ...]) -> BaseException | None:
    """Unwraps the client's error for a failed upload."""
    at: BaseException | None = error
    while at is not None and not isinstance(at, kinds):
        at = at.__cause__ or at.__context__
    return at
