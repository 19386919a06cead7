"""Child processes that play attempts, and their parent's end of the line: for agents that keep a core busy.

The child is started by module name, not forked, and talks over a socket: it dies when its parent does, however the parent dies, and a
script that calls `explore` needs no main guard.
"""

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, Pipe

from tratree_data.agents import make_agent
from tratree_data.environments import make_environment
from tratree_data.errors import TratreeError
from tratree_data.exploration.episode import Attempt, Finished, rollout_row
from tratree_data.exploration.pool import ATTEMPTS_PER_MESSAGE, Players, Results, Seat, Setting, in_threads

DEATHS_PER_ATTEMPT = 2


def play_in_processes(setting: Setting, attempts: Iterable[Attempt], processes: int, stop: threading.Event) -> Results:
    """Attempts in the order in which they end, with one child process behind every thread."""
    yield from in_threads([PlayerProcess(setting) for _ in range(processes)], attempts, ATTEMPTS_PER_MESSAGE, stop)


class PlayerProcess:
    """Plays attempts in a child; when it dies, a new one goes on with what is missing."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.process: subprocess.Popen[bytes] | None = None
        self.line: Connection | None = None

    def play(self, attempts: list[Attempt]) -> Iterator[Finished]:
        missing, deaths = list(attempts), 0
        while missing:
            try:
                line = self._open()
                line.send(missing)
                while missing:
                    answer = line.recv()
                    if isinstance(answer, BaseException):
                        raise answer
                    missing.pop(0)
                    deaths = 0
                    yield answer
            except (EOFError, OSError):
                status = self._end()
                deaths += 1
                if deaths == DEATHS_PER_ATTEMPT:
                    yield self._killed(missing.pop(0), status)
                    deaths = 0

    def _open(self) -> Connection:
        if self.line is None:
            self.line, child = Pipe()
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
            command = [sys.executable, "-m", "tratree_data.exploration.player_process", str(child.fileno())]
            self.process = subprocess.Popen(command, pass_fds=[child.fileno()], env=environment, start_new_session=True)
            child.close()
            self.line.send(self.setting)
        return self.line

    def _killed(self, attempt: Attempt, status: int | None) -> Finished:
        """The row of an attempt that took its process down each time."""
        environment = make_environment(self.setting.environment, **self.setting.environment_options)
        try:
            rollout = rollout_row(
                environment, make_agent(self.setting.agents[attempt.agent]), attempt, self.setting.limits, "environment_error"
            )
        finally:
            environment.close()
        return Finished(attempt, rollout, trouble=f"its process died {DEATHS_PER_ATTEMPT} times, with status {status}")

    def close(self) -> None:
        self._end()

    def _end(self) -> int | None:
        """How the child ended; it is given a moment to do so."""
        if self.line is not None:
            self.line.close()
            self.line = None
        status = None
        if self.process is not None:
            try:
                status = self.process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                self.process.kill()
                status = self.process.wait()
            self.process = None
        return status


def serve(line: Connection) -> None:
    """The child: makes the agents and an environment, then plays until the parent hangs up."""
    setting: Setting = line.recv()
    seat: Seat | None = None
    try:
        seat = Seat(setting, Players(setting))
        while True:
            for finished in seat.play(line.recv()):
                line.send(finished)
    except TratreeError as error:
        line.send(error)
    finally:
        if seat is not None:
            seat.close()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        serve(Connection(int(sys.argv[1])))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except pickle.PicklingError as error:
        sys.exit(f"tratree: a result could not be sent: {error}")


if __name__ == "__main__":
    main()
