"""Compressed files as streams: gzip, Zstandard, bzip2 and xz, known by their first bytes."""

import bz2
import gzip
import io
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import pyarrow as pa

GZIP_MAGIC, ZSTANDARD_MAGIC, BZIP2_MAGIC, XZ_MAGIC = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\x00"
MAGICS = (GZIP_MAGIC, ZSTANDARD_MAGIC, BZIP2_MAGIC, XZ_MAGIC)
ENDINGS = (".gz", ".zst", ".bz2", ".xz")
PACK_ERRORS = (lzma.LZMAError, pa.ArrowException)


def plain_name(name: str) -> str:
    """The name without the packer's ending."""
    return next((name.removesuffix(ending) for ending in ENDINGS if name.endswith(ending)), name)


def is_packed(beginning: bytes) -> bool:
    return beginning.startswith(MAGICS)


@contextmanager
def unpacked_stream(raw: BinaryIO) -> Iterator[BinaryIO]:
    """The unpacked bytes; the file's own if it is not packed."""
    beginning = raw.read(len(XZ_MAGIC))
    raw.seek(0)
    if beginning.startswith(GZIP_MAGIC):
        with gzip.open(raw) as stream:
            yield cast(BinaryIO, stream)
    elif beginning.startswith(ZSTANDARD_MAGIC):
        with pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd") as stream:
            yield cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, _Zstandard(stream))))
    elif beginning.startswith(BZIP2_MAGIC):
        with bz2.open(raw) as stream:
            yield cast(BinaryIO, stream)
    elif beginning.startswith(XZ_MAGIC):
        with lzma.open(raw) as stream:
            yield cast(BinaryIO, stream)
    else:
        yield raw


class _Zstandard(io.RawIOBase):
    """Arrow's stream as a Python stream, with lines and the position that readers need."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self.stream = stream
        self.at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Seeks only forwards, because a packed file is read from its beginning."""
        if whence != io.SEEK_SET or offset < self.at:
            raise OSError("a packed file cannot be read backwards")
        while self.at < offset and (data := self.stream.read(min(offset - self.at, 2**20))):
            self.at += len(data)
        return self.at

    def readinto(self, buffer: Any) -> int:
        data = self.stream.read(len(buffer))
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)
