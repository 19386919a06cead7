"""JSON text of any size, decoded value by value: only one value of at most MAX_RECORD_BYTES is in memory."""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from tratree_data.importers.files.quick_json import keeps_every_key
from tratree_data.importers.log_records import KeyWatch, Unusable, repeated_key

MAX_RECORD_BYTES = 32 * 2**20
CHUNK = 2**20
"""Bytes that are read at once."""
LONGEST_WORD = len("-Infinity") + len("\\u0000")
UNFINISHED_NUMBER = len("e-")
NOT_SPACE = re.compile(r"[^ \t\r\n]")


class JsonStream:
    """The values of a file of JSON text, one after the other.

    `names` and `elements` stop before a value, which must be taken before the next one.
    """

    def __init__(self, handle: BinaryIO) -> None:
        self.watch = KeyWatch()
        self.decoder = json.JSONDecoder(object_pairs_hook=self.watch)
        self.quick = json.JSONDecoder()
        self.handle = handle
        self.utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self.buffer = ""
        self.position = 0
        self.line = 1
        self.counted = 0
        self.taken = 0
        """Bytes that were read."""
        self.ended = False

    def fill(self, size: int = CHUNK) -> None:
        self.line_here()
        self.counted = 0
        data = self.handle.read(size)
        self.taken += len(data)
        self.ended = not data
        self.buffer = self.buffer[self.position :] + self.utf8.decode(data, self.ended)
        self.position = 0

    def line_here(self) -> int:
        """The line of the position; each line break is counted once."""
        self.line += self.buffer.count("\n", self.counted, self.position)
        self.counted = self.position
        return self.line

    def next(self) -> str:
        """The next character that is not white space, '' at the end; it is not taken."""
        while True:
            match = NOT_SPACE.search(self.buffer, self.position)
            if match is not None:
                self.position = match.start()
                return match[0]
            self.position = len(self.buffer)
            if self.ended:
                return ""
            self.fill()

    def take(self, expected: str) -> str:
        found = self.next()
        if not found or found not in expected:
            raise Unusable("not_json", f"not valid JSON: expected {' or '.join(expected)}, not {found or 'the end of the file'}")
        self.position += 1
        return found

    def value(self) -> Any:
        self.next()
        while True:
            self.watch.repeated = None
            try:
                value, end = self.quick.raw_decode(self.buffer, self.position)
                if not keeps_every_key(value, self.buffer[self.position : end]):
                    value, end = self.decoder.raw_decode(self.buffer, self.position)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos >= len(self.buffer) - LONGEST_WORD
                if self.ended or not cut:
                    raise Unusable("not_json", f"not valid JSON: {error.msg}") from error
            except (ValueError, RecursionError) as error:
                raise Unusable("not_json", f"unreadable JSON: {error}") from error
            else:
                after = UNFINISHED_NUMBER if isinstance(value, int | float) else 0
                if len(self.buffer) - end > after or self.ended:
                    self.position = end
                    return value
            waiting = len(self.buffer) - self.position
            if waiting > MAX_RECORD_BYTES:
                raise Unusable("too_long", f"one value is longer than {MAX_RECORD_BYTES:,} characters")
            self.fill(max(CHUNK, waiting))

    def names(self) -> Iterator[str]:
        """The names of an object's members, each before its value."""
        self.take("{")
        mark = self.take("}") if self.next() == "}" else ","
        while mark == ",":
            if self.next() != '"':
                raise Unusable("not_json", "not valid JSON: expected a key")
            key = self.value()
            self.take(":")
            yield key
            mark = self.take(",}")

    def elements(self) -> Iterator[int]:
        """The places in a list, each before its value."""
        self.take("[")
        index = 0
        mark = self.take("]") if self.next() == "]" else ","
        while mark == ",":
            self.next()
            yield index
            index += 1
            mark = self.take(",]")

    def item(self, where: str) -> Any:
        """The next value, or a Problem in its place."""
        value = self.value()
        return value if self.watch.repeated is None else repeated_key(where, self.watch.repeated)
