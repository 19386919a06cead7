"""A zip or tar archive of logs, unpacked into a scratch folder while an import reads it.

An archive is refused if a member is a link, leaves the folder, or unpacks to far more than it takes; the error names the member.
Inspect's logs are also zip archives, but are read in place (inspect_log.py).
"""

import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from tratree_data.errors import BadInputError
from tratree_data.importers.files.log_files import READ_ERRORS
from tratree_data.importers.files.packed_files import is_packed, plain_name, unpacked_stream
from tratree_data.importers.files.zip_members import (
    FREE_BYTES,
    MOST_MEMBER_BYTES,
    MOST_RATIO,
    ZIP_MAGICS,
    open_archive,
    open_member,
    refusal,
)
from tratree_data.importers.log_records import Unusable
from tratree_data.system.scratch import scratch_folder

SCRATCH = "tratree-archive-"
INSPECTS = ("header.json", "_journal/start.json")
TAR_MAGIC, TAR_MAGIC_AT = b"ustar", 257
MOST_MEMBERS = 100_000
ARCHIVE_ENDINGS = (".zip", ".tar", ".tgz")


@contextmanager
def unpacked_archive(path: str | Path) -> Iterator[Path | None]:
    """The folder with the archive's files; None if the path is not an archive."""
    read = _kind(Path(path))
    if read is None:
        yield None
        return
    with scratch_folder(SCRATCH) as folder:
        top = folder / (_stem(Path(path).name) or "log")
        top.mkdir()
        try:
            with Path(path).open("rb") as handle:
                read(handle, top)
        except Unusable as error:
            raise BadInputError(
                f"{path} was not imported: {error.detail} ({error.reason}).\nNext: unpack it yourself, and import what you trust"
            ) from error
        except (tarfile.TarError, *READ_ERRORS) as error:
            raise BadInputError(f"{path} is cut off or damaged ({error}).\nNext: copy it again from where it was written") from error
        yield top


def _stem(name: str) -> str:
    name = plain_name(name)
    return next((name.removesuffix(ending) for ending in ARCHIVE_ENDINGS if name.endswith(ending)), name).strip(". ")


def _kind(path: Path):  # type: ignore[no-untyped-def]
    try:
        if not path.is_file() or path.name.endswith(".eval"):
            return None
        with path.open("rb") as handle:
            beginning = handle.read(8)
            handle.seek(0)
            if beginning.startswith(ZIP_MAGICS):
                return None if _is_inspects(handle) else _unpack_zip
            if is_packed(beginning) or path.suffix == ".tar":
                with unpacked_stream(handle) as stream:
                    return _unpack_tar if stream.read(512)[TAR_MAGIC_AT:].startswith(TAR_MAGIC) else None
    except (Unusable, *READ_ERRORS):
        return None
    return None


def _is_inspects(handle: BinaryIO) -> bool:
    with open_archive(handle) as archive:
        return any(name in INSPECTS for name in archive.namelist())


def _unpack_zip(handle: BinaryIO, top: Path) -> None:
    total = 0
    with open_archive(handle) as archive:
        for count, member in enumerate(archive.infolist()):
            if member.is_dir() or member.filename.startswith("__MACOSX/"):
                continue
            total += member.file_size
            _check(member.filename, refusal(member), count, total)
            with open_member(archive, member) as stream, _new_file(top, member.filename) as file:
                shutil.copyfileobj(stream, file)


def _unpack_tar(handle: BinaryIO, top: Path) -> None:
    packed = handle.seek(0, 2)
    handle.seek(0)
    total = 0
    with unpacked_stream(handle) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for count, member in enumerate(archive):
            if member.isdir():
                continue
            total += member.size
            leaves = member.name.startswith("/") or "\0" in member.name or ".." in member.name.split("/")
            why = "it is a link or a device" if not member.isfile() else "its name leaves the archive's folder" if leaves else ""
            why = why or (
                "it unpacks to far more than its size, as a zip bomb does" if total > max(FREE_BYTES, MOST_RATIO * packed) else ""
            )
            _check(member.name, why, count, total)
            with _new_file(top, member.name) as file:
                shutil.copyfileobj(cast(BinaryIO, archive.extractfile(member)), file)


def _check(name: str, why: str, count: int, total: int) -> None:
    if count >= MOST_MEMBERS or total > MOST_MEMBER_BYTES:
        why = (
            f"the archive has more than {MOST_MEMBERS:,} files"
            if count >= MOST_MEMBERS
            else f"the archive unpacks to more than {MOST_MEMBER_BYTES:,} bytes"
        )
        raise Unusable("unsafe_archive", why)
    if why:
        raise Unusable("unsafe_archive", f"{name[:200]!r} cannot be read: {why}")


def _new_file(top: Path, name: str) -> BinaryIO:
    target = top / name
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.open("xb")
