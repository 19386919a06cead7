"""Answers an agent's SQL in a child process, which can be ended at any time and whose memory is limited."""

from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tratree_data.errors import BadInputError, TratreeError
from tratree_data.store.published.release import names_release, open_dataset
from tratree_data.store.queries.named_queries import run
from tratree_data.system.limits import GRACE, limit_memory, memory_for_queries
from tratree_data.system.workers import Child, sendable
from tratree_data.viewing.mcp_answers import answer_rows

STARTED_WITHIN = 120.0


class Queries:
    """Queries on one dataset or release, one at a time; the child starts with the first, and again after one that ended it."""

    def __init__(self, directory: str | Path, time_limit: float) -> None:
        self.directory, self.time_limit = directory, time_limit
        self.child: Child | None = None

    def answer(self, text: str, parameters: dict[str, Any], max_rows: int) -> str:
        try:
            child = self.child = self.child or self._start()
            child.connection.send((text, parameters, max_rows))
            if not child.connection.poll(self.time_limit + GRACE):
                raise BadInputError(
                    f"The query took longer than {self.time_limit:g} s and was stopped.\nNext: ask for fewer rows or shorter texts"
                )
            answer = child.connection.recv()
        except (EOFError, OSError) as error:
            self._end()
            raise BadInputError("The query ended the process that answered it, probably for lack of memory.\nNext: ask for less") from error
        except BadInputError:
            self._end()
            raise
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    def _start(self) -> Child:
        child = Child(f"{__name__}:answer_questions")
        child.connection.send((str(self.directory), self.time_limit))
        if not child.connection.poll(STARTED_WITHIN):
            child.end()
            raise BadInputError("The process that answers queries did not start.\nNext: ask again")
        child.connection.recv()
        return child

    def _end(self) -> None:
        child, self.child = self.child, None
        if child is not None:
            with suppress(OSError):
                child.end()


def answer_questions(connection: Connection) -> None:
    """The child. A dataset is opened anew for each question, a release once."""
    directory, time_limit = connection.recv()
    limit_memory(memory_for_queries())
    release = open_dataset(directory) if names_release(directory) else None
    connection.send("ready")
    while True:
        text, parameters, max_rows = connection.recv()
        try:
            rows = run(release or open_dataset(directory), text, parameters, "the query", time_limit, max_rows + 1)
            connection.send(answer_rows(rows, max_rows))
        except TratreeError as error:
            connection.send(sendable(error))
