"""Files of any size as streams of JSON values: each value comes with its file and line, each fault as a Problem in its place. Memory is
bounded: only one value of at most MAX_RECORD_BYTES is kept. Packed files are unpacked on the way.
"""

import codecs
import io
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, cast

from tratree_data.importers.files.json_stream import CHUNK, MAX_RECORD_BYTES, JsonStream
from tratree_data.importers.files.packed_files import PACK_ERRORS, plain_name, unpacked_stream
from tratree_data.importers.files.quick_json import UNSURE, quick_value
from tratree_data.importers.log_records import LONGEST_KEY, Item, KeyWatch, Problem, TooLong, Unusable, repeated_key

BOM = b"\xef\xbb\xbf"
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
READ_ERRORS = (OSError, EOFError, zlib.error, *PACK_ERRORS)


@dataclass
class LogFile:
    """One file of a log: its path, its name in messages, and how far it has been read."""

    path: Path
    name: str
    raw: BinaryIO | None = None
    start: int = 0
    end: int | None = None
    """The range of bytes that `byte_lines` reads: whole lines of a file that is not packed."""
    lines_read: int = 0
    """The number of lines that `byte_lines` has read."""

    @property
    def position(self) -> int:
        """Bytes of the file on disk that have been read."""
        return self.raw.tell() if self.raw is not None and not self.raw.closed else 0

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        with self.path.open("rb") as raw:
            self.raw = raw
            beginning = raw.read(2)
            raw.seek(0)
            if beginning in UTF_16:
                raise Unusable("not_utf8", "the file is UTF-16, and must be UTF-8")
            with unpacked_stream(raw) as stream:
                yield stream

    @property
    def stem(self) -> str:
        """The file's name without folders and endings."""
        return plain_name(self.path.name).rsplit(".", 1)[0]


def byte_lines(file: LogFile) -> Iterator[tuple[str, bytes | Problem]]:
    """Lines with content. A line that is too long is skipped without being kept in memory."""
    line_number = 0
    try:
        with file.open() as handle:
            handle.seek(file.start)
            while (file.end is None or handle.tell() < file.end) and (line := handle.readline(MAX_RECORD_BYTES + 1)):
                line_number += 1
                file.lines_read = line_number
                if line.isspace():
                    continue
                where = f"{file.name}:{line_number}"
                if len(line) > MAX_RECORD_BYTES:
                    start = handle.tell() - len(line)
                    length = len(line) + _skip_line(handle, line)
                    detail = f"the line has {length:,} bytes, more than the limit of {MAX_RECORD_BYTES:,}"
                    yield where, TooLong(where, "too_long", detail, start, length)
                    continue
                line = line.removeprefix(BOM) if line_number == 1 else line
                if line.strip():
                    yield where, line
    except Unusable as error:
        yield f"{file.name}:1", Problem(f"{file.name}:1", error.reason, error.detail)
    except READ_ERRORS as error:
        where = f"{file.name}:{line_number + 1}"
        yield where, Problem(where, "unreadable", f"the file is unreadable from here on: {error}")


def _skip_line(handle: BinaryIO, line: bytes) -> int:
    skipped = 0
    while not line.endswith(b"\n") and (line := handle.readline(CHUNK)):
        skipped += len(line)
    return skipped


def json_lines(file: LogFile) -> Iterator[Item]:
    """One JSON value a line."""
    for where, line in byte_lines(file):
        yield where, line if isinstance(line, Problem) else json_value(where, line)


def json_value(where: str, data: bytes) -> Any:
    value = quick_value(data)
    if value is not UNSURE:
        return value
    watch = KeyWatch()
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=watch)
        return value if watch.repeated is None else repeated_key(where, watch.repeated)
    except UnicodeDecodeError as error:
        return Problem(where, "not_utf8", f"byte {error.start + 1} is not UTF-8")
    except RecursionError:
        return Problem(where, "not_json", "nested too deeply")
    except ValueError as error:
        return Problem(where, "not_json", f"not valid JSON: {error}")


def json_records(file: LogFile) -> Iterator[Item]:
    """The records of a JSON list, of a file with one value a line, or of a file that is one value."""
    if plain_name(file.path.name).endswith((".jsonl", ".ndjson")) or _one_value_a_line(file):
        yield from json_lines(file)
    else:
        yield from _streamed(file, _elements)


def json_members(file: LogFile, inside: tuple[str, ...] = ()) -> Iterator[Item]:
    """The members of a JSON object, as (key, value) pairs.

    Of members named in `inside`, objects give way to their own members, and lists come as one pair for each element.
    """
    yield from _streamed(file, lambda file, stream: _members(file, stream, inside))


class Window(io.RawIOBase):
    """A range of a file's bytes, as a file."""

    def __init__(self, handle: BinaryIO, length: int) -> None:
        self.handle, self.left = handle, length

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self.handle.read(self.left if size < 0 else min(size, self.left))
        self.left -= len(data)
        return data


def members_of_line(file: LogFile, line: TooLong, inside: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """The members of the object in a line of any length, as `json_members` gives them; what is wrong with it is raised."""
    try:
        with file.open() as handle:
            handle.seek(line.start)
            stream = JsonStream(cast(BinaryIO, Window(handle, line.length)))
            for _, item in _members(file, stream, inside, set()):
                if isinstance(item, Problem):
                    raise Unusable(item.reason, item.detail)
                yield item
            if stream.next():
                raise Unusable("not_json", "not valid JSON: the line continues after its value")
    except UnicodeDecodeError as error:
        raise Unusable("not_utf8", f"a byte is not UTF-8 ({error.reason})") from error
    except READ_ERRORS as error:
        raise Unusable("unreadable", f"the file is unreadable: {error}") from error


def is_one_object(file: LogFile) -> bool:
    """Whether the file is one JSON object over several lines, or the only line."""
    try:
        with file.open() as handle:
            start = handle.read(CHUNK).removeprefix(BOM).lstrip()
            rest = handle.read(1)
    except (Unusable, *READ_ERRORS):
        return False
    lines = start.split(b"\n", 1)
    alone = not rest and not (lines[1:] and lines[1].strip())
    return start.startswith(b"{") and (alone or not _one_value_a_line(file))


def is_line_of_json(file: LogFile) -> bool:
    """Whether the file's values are its lines."""
    return file.path.name.endswith((".jsonl", ".ndjson")) or (plain_name(file.path.name) == file.path.name and _one_value_a_line(file))


def _one_value_a_line(file: LogFile) -> bool:
    """Whether the first line is a JSON object of its own."""
    for where, line in byte_lines(file):
        return isinstance(line, bytes) and line.lstrip().startswith(b"{") and isinstance(json_value(where, line), dict)
    return False


def _streamed(file: LogFile, read: Callable[[LogFile, JsonStream], Iterator[Item]]) -> Iterator[Item]:
    """What `read` finds; a fault ends the file, because it is unknown where the next value begins."""
    line = 1
    try:
        with file.open() as handle:
            stream = JsonStream(handle)
            try:
                for item in read(file, stream):
                    line = stream.line
                    yield item
                    if file.end is not None and stream.taken > file.end:
                        return
            except (Unusable, UnicodeDecodeError) as error:
                where = f"{file.name}:{stream.line_here()}"
                fault = error if isinstance(error, Unusable) else Unusable("not_utf8", f"a byte is not UTF-8 ({error.reason})")
                yield where, Problem(where, fault.reason, f"{fault}; the rest of the file was not read")
    except Unusable as error:
        yield f"{file.name}:1", Problem(f"{file.name}:1", error.reason, error.detail)
    except READ_ERRORS as error:
        where = f"{file.name}:{line}"
        yield where, Problem(where, "unreadable", f"the file is unreadable from here on: {error}")


def _elements(file: LogFile, stream: JsonStream) -> Iterator[Item]:
    if stream.next() == "[":
        yield from _list(file, stream)
    else:
        begins_too_long = file.path.is_file() and _begins_too_long(file.path, *_state_of(file.path))
        if begins_too_long:
            raise Unusable("too_long", begins_too_long)
        while stream.next():
            where = f"{file.name}:{stream.line_here()}"
            yield where, stream.item(where)


def _state_of(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns


@lru_cache(64)
def _begins_too_long(path: Path, size: int, changed: int) -> str:
    """Why the first value of a large file is longer than a record; '' if it is not. Every format's reader would ask again."""
    if size > MAX_RECORD_BYTES:
        with suppress(UnicodeDecodeError, *READ_ERRORS), LogFile(path, path.name).open() as handle:
            try:
                JsonStream(handle).value()
            except Unusable as error:
                return error.detail if error.reason == "too_long" else ""
    return ""


def _list(file: LogFile, stream: JsonStream) -> Iterator[Item]:
    for index in stream.elements():
        where = f"{file.name}:{stream.line_here()}[{index}]"
        yield where, stream.item(where)


def _members(file: LogFile, stream: JsonStream, inside: tuple[str, ...], seen: set[str] | None = None) -> Iterator[Item]:
    """With `seen`, a key that appears twice raises an error; otherwise the reader decides."""
    for key in stream.names():
        if seen is not None:
            if key in seen:
                raise Unusable("repeated_key", repeated_key("", key).detail)
            seen.add(key)
        if key in inside and stream.next() == "{":
            yield from _members(file, stream, ())
        elif key in inside and stream.next() == "[":
            yield from ((where, item if isinstance(item, Problem) else (key, item)) for where, item in _list(file, stream))
        else:
            stream.next()
            where = f"{file.name}:{stream.line_here()}[{key[:LONGEST_KEY]}]"
            item = stream.item(where)
            yield where, item if isinstance(item, Problem) else (key, item)
