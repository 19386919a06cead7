"""The verb `withdraw`: removes a published version, with every file that no other version has."""

import shutil
from dataclasses import replace
from pathlib import Path

from tratree_data.errors import BadInputError, NotFoundError, suggest
from tratree_data.releases.targets.to_bucket import BucketTarget
from tratree_data.releases.targets.to_folder import FolderTarget
from tratree_data.releases.versions.version_numbers import check_version
from tratree_data.results import StageResult
from tratree_data.store.buckets.bucket_paths import is_address, parse_address
from tratree_data.store.published.manifest import CHECKSUMS, file_hash, read_checksums
from tratree_data.store.published.release import HUB, VERSIONS, refuse_address
from tratree_data.store.published.withdrawals import Withdrawal, Withdrawals, read_withdrawals, write_withdrawals
from tratree_data.system.safe_paths import inside, is_plain_file, is_plain_folder

LONGEST_REASON = 500
HISTORY = (
    "The Hub keeps the files in the history of `main` until it is squashed. To remove them for good:",
    "  HfApi().super_squash_history(REPO, repo_type='dataset'), then delete its large files under Settings → Storage",
    "Copies that others downloaded stay with them; if secrets leaked, replace them.",
)

COPIES = "Copies that others made stay with them; if secrets leaked, replace them."


def withdraw(target: str | Path, version: str, *, reason: str = "") -> StageResult:
    """Removes a version from a release's folder or from the Hub, and marks its number as withdrawn. Other versions stay as they are.

    A withdrawal that was killed is finished by the same call.
    """
    text, version = str(target), check_version(version)
    if len(reason) > LONGEST_REASON:
        raise BadInputError(f"The reason has {len(reason):,} characters, but at most {LONGEST_REASON} are kept.\nNext: shorten it")
    if text.startswith(HUB):
        from tratree_data.releases.targets.to_hub import HubTarget

        place = HubTarget(text.removeprefix(HUB), private=False, gated=False)
        if not place.withdraw(version, reason):
            return _nothing_to_do(version, text)
        notes = tuple(line.replace("REPO", repr(place.repo)) for line in HISTORY)
        return StageResult("withdraw", True, {"versions": 1}, (f"version {version} is no longer in {text}", *notes))
    refuse_address(text)
    if is_address(text):
        if not BucketTarget(parse_address(text)).withdraw(version, reason):
            return _nothing_to_do(version, text)
        return StageResult(
            "withdraw", True, {"versions": 1}, (f"version {version} is withdrawn, and its number is never used again", COPIES)
        )
    return _withdraw_from_folder(Path(text), version, reason)


def _nothing_to_do(version: str, target: str) -> StageResult:
    return StageResult("withdraw", False, {"versions": 0}, (f"version {version} of {target} was withdrawn before",))


def _withdraw_from_folder(folder: Path, version: str, reason: str) -> StageResult:
    if not is_plain_folder(folder / VERSIONS):
        raise NotFoundError(f"{folder} is not a release: it has no versions.\nNext: name the folder that tratree publish wrote")
    place = FolderTarget(folder)
    with place.locked():
        withdrawals, published = read_withdrawals(place.folder / VERSIONS), place.versions()
        before = withdrawals.get(version)
        if before is not None and not before.files and version not in published:
            return _nothing_to_do(version, str(folder))
        if before is None and version not in published:
            raise NotFoundError(f"{folder} has no version {version}.{suggest(version, published)}")
        _remove(place, version, before or Withdrawal(reason), withdrawals)
    left = place.versions()
    now = f"{folder} now shows version {left[-1]}" if left else f"no version is left in {folder}"
    return StageResult(
        "withdraw", True, {"versions": 1}, (f"version {version} is withdrawn, and its number is never used again; {now}", COPIES)
    )


def _remove(place: FolderTarget, version: str, withdrawal: Withdrawal, withdrawals: Withdrawals) -> None:
    """The mark comes first, with what is to be removed; then the version, then what it left at the top, then the mark is closed."""
    versions = place.folder / VERSIONS
    there = inside(versions, version)
    if there.is_dir():
        if not withdrawal.files:  # else the version was named before, and may have lost its checksums
            named = read_checksums(there)
            if is_plain_file(there / CHECKSUMS):
                named[CHECKSUMS] = file_hash(there / CHECKSUMS)
            withdrawal = replace(withdrawal, files=named)
            write_withdrawals(versions, {**withdrawals, version: withdrawal})
        _remove_version(there)
    place.show_latest()
    place.remove_from_top(withdrawal.files)
    write_withdrawals(versions, {**withdrawals, version: replace(withdrawal, files={})})


def _remove_version(there: Path) -> None:
    """The checksums go last: without them, nobody could say that the rest is a version's."""
    for path in there.iterdir():
        if is_plain_folder(path):
            shutil.rmtree(path)
        elif path.name != CHECKSUMS:
            path.unlink()
    shutil.rmtree(there)
