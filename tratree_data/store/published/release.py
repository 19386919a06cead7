"""Opening what was published: a release as the same read-only `Store` as a local dataset, from a folder or from the Hub.

A folder holds its latest version at the top, laid out like a Hub dataset repository, and every version whole under `versions/`.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from packaging.version import Version

from tratree_data.errors import BadInputError, NotFoundError, quoted, suggest
from tratree_data.store.buckets.bucket_paths import BucketPath, entries_of, hash_of, is_address, parse_address
from tratree_data.store.published.hub import corrupt_on_hub, open_hub_release
from tratree_data.store.published.manifest import (
    CHECKSUMS,
    MANIFEST,
    file_hash,
    parse_checksums,
    read_checksums,
    read_manifest,
    release_store,
)
from tratree_data.store.published.withdrawals import read_withdrawals
from tratree_data.store.reader import Store, open_store
from tratree_data.system.progress import progress
from tratree_data.system.safe_paths import inside, is_plain_file

VERSIONS = "versions"
HUB = "hub:"


def open_dataset(path_or_release: str | Path) -> Store:
    """For every verb that only reads: a dataset's folder or bucket, a release's folder (or folder@version), or hub:org/name@v1.0.0."""
    text = str(path_or_release)
    refuse_address(text)
    _refuse_bare_name(text)
    return open_release(text) if names_release(text) else open_store(text)


def names_release(text: str) -> bool:
    if is_address(text):
        where, version = _versioned_bucket(text)
        return bool(version) or VERSIONS in entries_of(where)[0]
    return text.startswith(HUB) or is_release(Path(text)) or _versioned_folder(text) is not None


def refuse_address(text: str) -> None:
    """Suggests hub:org/name to someone who typed a web address of the Hub."""
    if is_address(text):
        return
    match = re.fullmatch(r"[a-z][a-z0-9]+:/{1,2}(?:.*/)?datasets/([^/@]+/[^/@]+)(?:[/@].*)?|[a-z][a-z0-9]+:/{1,2}.*", text)
    if match:
        meant = f"{HUB}{match[1]}" if match[1] else f"{HUB}org/name"
        raise BadInputError(f"{text} is a web address, not a folder or a repository's name.\nNext: {meant}")


def _refuse_bare_name(text: str) -> None:
    """Suggests hub:org/name for `org/name`, if that is not a folder."""
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*(@v?\d+\.\d+\.\d+)?", text, flags=re.ASCII) and not Path(text).parent.exists():
        raise NotFoundError(
            f"No such folder: {text}.\nNext: {HUB}{text}, if it is a repository on the Hub; or tratree import FILE {quoted(text)}"
        )


def is_release(folder: Path) -> bool:
    return is_plain_file(folder / MANIFEST) or bool(local_versions(folder))


def open_release(release: str | Path) -> Store:
    """'hub:org/name@v1.0.0', 'folder' or 'folder@1.0.0' as a read-only store; files are read when a query needs them."""
    text = str(release)
    if text.startswith(HUB):
        return open_hub_release(text.removeprefix(HUB))
    if is_address(text):
        return _open_bucket_release(text)
    folder = release_folder(text)
    return release_store(read_manifest((folder / MANIFEST).read_text(encoding="utf-8"), text), str(folder.resolve()), Path(text))


def corrupt_files(release: str | Path) -> list[str]:
    """What differs from what was published, file by file. The Hub knows the hashes of its files, so nothing is downloaded."""
    text = str(release)
    if text.startswith(HUB):
        return corrupt_on_hub(text.removeprefix(HUB))
    if is_address(text):
        return _corrupt_in_bucket(text)
    folder = release_folder(text)
    top = Path(text)
    places = [folder, top] if folder.parent == top / VERSIONS and (top / MANIFEST).is_file() else [folder]
    inside(folder, CHECKSUMS)
    checksums = read_checksums(folder)
    found: list[str] = []
    with progress("check", len(checksums), "files") as advance:
        for name, digest in checksums.items():
            found += _trouble(places, name, digest)
            advance(1)
    return found


def _trouble(places: Sequence[Path], name: str, digest: str) -> Iterator[str]:
    """Checks the version's folder and, if files there are separate copies, the top folder, which `datasets` loads."""
    seen: set[tuple[int, int]] = set()
    for path in (inside(place, name) for place in places):
        if not path.is_file():
            yield f"{path} is gone"
            continue
        file = path.stat()
        if (file.st_dev, file.st_ino) not in seen and file_hash(path) != digest:
            yield f"{path} is changed"
        seen.add((file.st_dev, file.st_ino))


def versions_in_bucket(where: BucketPath) -> list[str]:
    """A version exists if its manifest does, which is written last and removed first."""
    folders, _ = entries_of(where / VERSIONS)
    named = [name for name in folders if re.fullmatch(r"\d+\.\d+\.\d+", name)]
    return sorted((name for name in named if (where / VERSIONS / name / MANIFEST).is_file()), key=Version)


def _versioned_bucket(text: str) -> tuple[BucketPath, str]:
    """'s3://bucket/name@1.0.0' as (s3://bucket/name, 1.0.0); '' if no version is named."""
    name, _, version = text.partition("@")
    named = re.fullmatch(r"v?(\d+\.\d+\.\d+)", version)
    return (parse_address(name), named[1]) if named else (parse_address(text), "")


def _bucket_version(text: str) -> tuple[BucketPath, BucketPath]:
    """(the release, the named version in it or the latest)."""
    where, version = _versioned_bucket(text)
    published = versions_in_bucket(where)
    if not published or version not in ("", *published):
        raise NotFoundError(
            f"{where} has no version {version or 'yet'}.{suggest(version, published)}"
            if published
            else f"{where} is not a release: it has no version.\nNext: tratree publish DIR {quoted(where)} --version 0.1.0"
        )
    return where, where / VERSIONS / (version or published[-1])


def _open_bucket_release(text: str) -> Store:
    where, home = _bucket_version(text)
    return release_store(read_manifest((home / MANIFEST).read_text(), text), str(home), where)


def _corrupt_in_bucket(text: str) -> list[str]:
    """Fetches every file, because a bucket does not know the hashes that were published."""
    _, home = _bucket_version(text)
    found = []
    checksums = parse_checksums((home / CHECKSUMS).read_text() if (home / CHECKSUMS).is_file() else "")
    with progress("check", len(checksums), "files") as advance:
        for name, digest in checksums.items():
            try:
                if hash_of(home / name) != digest:
                    found.append(f"{home / name} is changed")
            except FileNotFoundError:
                found.append(f"{home / name} is gone")
            advance(1)
    return found


def release_folder(text: str) -> Path:
    """The folder of the named version, or the latest, of a local release."""
    refuse_address(text)
    _refuse_bare_name(text)
    folder, version = _versioned_folder(text) or (Path(text), "")
    if not folder.is_dir():
        raise NotFoundError(f"No release in {folder}.\nNext: tratree publish DIR {quoted(folder)} --version 0.1.0")
    published = local_versions(folder)
    if not version:
        found = folder / VERSIONS / published[-1] if published else folder
        if not inside(found, MANIFEST).is_file():
            raise NotFoundError(
                f"{folder} is not a release: it has no {MANIFEST}.\nNext: tratree publish DIR {quoted(folder)} --version 0.1.0"
            )
        return found
    if version in published:
        return folder / VERSIONS / version
    if is_plain_file(folder / MANIFEST) and read_manifest((folder / MANIFEST).read_text(encoding="utf-8"), text).version == version:
        return folder
    withdrawn = read_withdrawals(folder / VERSIONS)
    if version in withdrawn:
        raise NotFoundError(f"Version {version} of {folder} was withdrawn: {withdrawn[version].reason or 'no reason given'}.")
    raise NotFoundError(f"{folder} has no version {version}.{suggest(version, published)}")


def _versioned_folder(text: str) -> tuple[Path, str] | None:
    match = re.fullmatch(r"(.+)@v?(\d+\.\d+\.\d+)", text)
    return (Path(match[1]), match[2]) if match and not Path(text).exists() else None


def local_versions(folder: Path) -> list[str]:
    """Published versions in a folder, oldest first; what a killed publish left behind is not one."""
    names = [path.name for path in inside(folder, VERSIONS).glob("*") if re.fullmatch(r"\d+\.\d+\.\d+", path.name)]
    return sorted((name for name in names if inside(folder, Path(VERSIONS, name, MANIFEST)).is_file()), key=Version)
