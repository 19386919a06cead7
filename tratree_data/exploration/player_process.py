"""Child processes that play attempts, for agents that keep a core busy, and their parent's end of the connection."""

import threading
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection

from tratree_data.agents import make_agent
from tratree_data.environments import make_environment
from tratree_data.errors import TratreeError
from tratree_data.exploration.attempt import Attempt, Finished
from tratree_data.exploration.episode import rollout_row
from tratree_data.exploration.pool import ATTEMPTS_PER_MESSAGE, EpisodePlayer, EpisodeSettings, Results, SharedAgents, in_threads
from tratree_data.system.workers import Child

DEATHS_PER_ATTEMPT = 2
CLOSE_SECONDS = 2.0


def play_in_processes(settings: EpisodeSettings, attempts: Iterable[Attempt], processes: int, stop: threading.Event) -> Results:
    """Attempts in the order in which they end, with one child process behind every thread."""
    yield from in_threads([PlayerProcess(settings) for _ in range(processes)], attempts, ATTEMPTS_PER_MESSAGE, stop)


class PlayerProcess:
    """Plays attempts in a child; when it dies, a new one resumes with what is missing."""

    def __init__(self, settings: EpisodeSettings) -> None:
        self.settings = settings
        self.child: Child | None = None

    def play(self, attempts: list[Attempt]) -> Iterator[Finished]:
        missing, deaths = list(attempts), 0
        while missing:
            try:
                connection = self._open()
                connection.send(missing)
                while missing:
                    answer = connection.recv()
                    if isinstance(answer, BaseException):
                        raise answer
                    missing.pop(0)
                    deaths = 0
                    yield answer
            except (EOFError, OSError):
                status = self._end()
                deaths += 1
                if deaths == DEATHS_PER_ATTEMPT:
                    trouble = f"its process died {DEATHS_PER_ATTEMPT} times, with status {status}"
                    yield record_death(self.settings, missing.pop(0), trouble)
                    deaths = 0

    def _open(self) -> Connection:
        if self.child is None:
            self.child = Child(f"{__name__}:serve")
            self.child.connection.send(self.settings)
        return self.child.connection

    def close(self) -> None:
        self._end()

    def _end(self) -> int | None:
        """How the child ended, after a moment to do so by itself."""
        child, self.child = self.child, None
        return child.end(CLOSE_SECONDS)[0] if child else None


def record_death(settings: EpisodeSettings, attempt: Attempt, trouble: str) -> Finished:
    """The row of an attempt that killed its process each time."""
    environment = make_environment(settings.environment, **settings.environment_options)
    try:
        row = rollout_row(environment, make_agent(settings.agents[attempt.agent]), attempt, settings.limits, "environment_error")
    finally:
        environment.close()
    return Finished(attempt, row, trouble=trouble)


def serve(connection: Connection) -> None:
    """The child: makes the agents and an environment, then plays until the parent closes the connection."""
    settings: EpisodeSettings = connection.recv()
    player: EpisodePlayer | None = None
    try:
        player = EpisodePlayer(settings, SharedAgents(settings))
        while True:
            for finished in player.play(connection.recv()):
                connection.send(finished)
    except TratreeError as error:
        connection.send(error)
    finally:
        if player is not None:
            player.close()
