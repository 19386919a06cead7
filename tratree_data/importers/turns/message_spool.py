"""Messages of a conversation that may be too long to hold: the latest in memory, those before in a file without a name."""

import pickle
import tempfile
from collections.abc import Iterator
from typing import IO, Any

HELD_MESSAGES = 1_000
HELD_CHARACTERS = 4 * 2**20
LONG_MESSAGES = 5_000
LONG_CHARACTERS = 32 * 2**20


class MessageSpool:
    """Grows by `append`, and can be iterated over any number of times."""

    def __init__(self) -> None:
        self.count = self.characters = 0
        self._waiting: list[Any] = []
        self._held = 0
        self._file: IO[bytes] | None = None

    def append(self, message: Any) -> None:
        size = _characters_of(message)
        self.count += 1
        self.characters += size
        self._held += size
        self._waiting.append(message)
        if len(self._waiting) >= HELD_MESSAGES or self._held >= HELD_CHARACTERS:
            self._file = self._file or tempfile.TemporaryFile()  # noqa: SIM115 - closed with the last that refers to it
            self._file.seek(0, 2)
            pickle.dump(self._waiting, self._file)
            self._waiting, self._held = [], 0

    @property
    def is_long(self) -> bool:
        """Whether what is made from the messages is also too large for memory."""
        return self.count > LONG_MESSAGES or self.characters > LONG_CHARACTERS

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Any]:
        at = 0
        while self._file is not None and at < self._file.seek(0, 2):
            self._file.seek(at)
            messages = pickle.load(self._file)
            at = self._file.tell()
            yield from messages
        yield from self._waiting


def _characters_of(message: Any) -> int:
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        return len(content) if isinstance(content, str) else 0
    return sum(len(text) for part in content if isinstance(part, dict) for text in part.values() if isinstance(text, str))
