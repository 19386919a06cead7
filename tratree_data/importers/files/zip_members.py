"""Zip archives from strangers: which members can be read safely, and each as a stream that yields no more than it declares.

Nothing is ever unpacked to disk. A member is refused by name if it is a link, leaves its folder, is encrypted, or unpacks to far more than
it takes; an archive is refused if its directory is huge or its members share their bytes. Zstandard, which Python's zipfile reads from
3.14 on, is unpacked by Arrow.
"""

import io
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import pyarrow as pa

from tratree_data.importers.files.log_files import READ_ERRORS, Window
from tratree_data.importers.log_records import Unusable

ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
ZSTANDARD = 93
LOCAL_HEADER = 30
MOST_DIRECTORY_BYTES = 32 * 2**20
"""Bytes; Python needs about 600 in memory for every 100."""
MOST_MEMBER_BYTES = 4 * 2**30
FREE_BYTES = 2**20
MOST_RATIO = 500
"""Members that unpack to more than FREE_BYTES may not take up more than this many times their packed size: logs reach 20 to 100."""
END, END_64 = b"PK\x05\x06", b"PK\x06\x06"
LONGEST_END = 2**16 + 22 + 20 + 56
ZIP_ERRORS = (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, ValueError, *READ_ERRORS)


def open_archive(handle: BinaryIO) -> zipfile.ZipFile:
    """The archive; its directory is measured before Python reads it."""
    if directory_bytes(handle) > MOST_DIRECTORY_BYTES:
        raise Unusable("unsafe_archive", f"the archive's directory has more than {MOST_DIRECTORY_BYTES:,} bytes")
    try:
        archive = zipfile.ZipFile(handle)
    except (*ZIP_ERRORS, OverflowError, UnicodeDecodeError) as error:
        raise Unusable("damaged_archive", f"the archive is cut off or damaged ({error}); copy it again") from error
    if sum(member.compress_size for member in archive.filelist) > handle.seek(0, io.SEEK_END):
        raise Unusable("unsafe_archive", "the archive's members overlap, so they unpack to more than they can hold")
    return archive


def directory_bytes(handle: BinaryIO) -> int:
    """Upper bound of the directory's length, as the archive declares it."""
    handle.seek(max(0, handle.seek(0, io.SEEK_END) - LONGEST_END))
    tail = handle.read()
    short = [tail[at + 12 : at + 16] for at in _places(tail, END)]
    long = [tail[at + 40 : at + 48] for at in _places(tail, END_64)]
    sizes = [int.from_bytes(size, "little") for size in (*short, *long)]
    return max((size for size in sizes if size != 2**32 - 1), default=0)


def _places(data: bytes, mark: bytes) -> Iterator[int]:
    at = data.find(mark)
    while at >= 0:
        yield at
        at = data.find(mark, at + 1)


def refusal(member: zipfile.ZipInfo) -> str:
    """Why a member must not be read; '' if it may be."""
    name = member.orig_filename
    if stat.S_ISLNK(member.external_attr >> 16):
        return "it is a symbolic link"
    if name.startswith("/") or name[1:2] == ":" or "\\" in name or "\0" in name or ".." in name.split("/"):
        return "its name leaves the archive's folder"
    if member.flag_bits & 1:
        return "it is encrypted"
    if member.file_size > MOST_MEMBER_BYTES:
        return f"it unpacks to {member.file_size:,} bytes, more than the limit of {MOST_MEMBER_BYTES:,}"
    if member.file_size > max(FREE_BYTES, MOST_RATIO * member.compress_size):
        return f"it unpacks from {member.compress_size:,} to {member.file_size:,} bytes, as a zip bomb does"
    return ""


@contextmanager
def open_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[BinaryIO]:
    """The member's bytes; raises an error if they are damaged."""
    try:
        with _unpacked(archive, member) as stream:
            yield cast(BinaryIO, _Bounded(stream, member.file_size))
    except (UnicodeDecodeError, RecursionError):
        raise
    except ZIP_ERRORS as error:
        raise Unusable("damaged_archive", f"{member.filename} is damaged ({error}); copy the archive again") from error


@contextmanager
def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[BinaryIO]:
    if member.compress_type != ZSTANDARD:
        with archive.open(member) as stream:
            yield cast(BinaryIO, stream)
        return
    handle = cast(BinaryIO, archive.fp)
    handle.seek(member.header_offset)
    header = handle.read(LOCAL_HEADER)
    if len(header) < LOCAL_HEADER or not header.startswith(ZIP_MAGICS[0]):
        raise zipfile.BadZipFile("no header in its place")
    handle.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), io.SEEK_CUR)
    with pa.CompressedInputStream(pa.PythonFile(Window(handle, member.compress_size), "r"), "zstd") as stream:
        yield cast(BinaryIO, _Checked(stream, member.CRC))


class _Checked:
    """A stream whose checksum is compared at its end, as zipfile does."""

    def __init__(self, stream: BinaryIO, expected: int) -> None:
        self.stream, self.expected, self.checksum = stream, expected, 0

    def read(self, size: int = -1) -> bytes:
        data = bytes(self.stream.read(size) if size >= 0 else self.stream.read())
        self.checksum = zlib.crc32(data, self.checksum)
        if not data and size and self.checksum != self.expected:
            raise zipfile.BadZipFile("its checksum differs")
        return data


class _Bounded:
    """A stream that may not yield more than it declares."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream, self.left = stream, size

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(self.left + 1 if size < 0 else size)
        self.left -= len(data)
        if self.left < 0:
            raise Unusable("unsafe_archive", "it unpacks to more than it declares, as a zip bomb does")
        return data
