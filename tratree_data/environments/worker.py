"""An environment in a child process, with a time-out on every call.

A simulator that crashes, hangs or leaks ends its own process, not the run: the caller gets an EnvironmentFailure, and the next
`reset` starts a new process. Whatever the child started (a JVM) ends with it (system/workers.py).
"""

import os
import pickle
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from tratree_data.environments import EnvironmentFailure, Outcome, Start, make_environment
from tratree_data.errors import TratreeError
from tratree_data.system.workers import Child

START_SECONDS = 120.0
"""For imports, data and a JVM on a busy machine; a shorter time-out of the calls does not apply to the start."""
CLOSE_SECONDS = 5.0


class Worker:
    """Satisfies `Environment`. It starts its process at once, so a missing package, Java or folder raises here."""

    def __init__(self, name: str, options: Mapping[str, Any] | None = None, time_out_seconds: float = 120.0) -> None:
        self.environment, self.options, self.time_out_seconds = name, dict(options or {}), time_out_seconds
        self.name, self.version, self.prompt, self.max_steps = name, "", "", 0
        self.child: Child | None = None
        self.playing = False
        self._start()

    def splits(self) -> dict[str, int]:
        splits: dict[str, int] = self._call("splits")
        return splits

    def tasks(self, split: str) -> list[str]:
        tasks: list[str] = self._call("tasks", split)
        return tasks

    def reset(self, task_id: str, seed: int = 0) -> Start:
        self.playing = False
        start: Start
        start, facts = self._call("reset", task_id, seed)
        vars(self).update(facts)
        self.playing = True
        return start

    def step(self, action: str) -> Outcome:
        outcome: Outcome = self._in_episode("step", action)
        return outcome

    def score(self) -> float | None:
        score = self._in_episode("score")
        return None if score is None else float(score)

    def success(self) -> bool | None:
        success = self._in_episode("success")
        return None if success is None else bool(success)

    def admissible_actions(self) -> list[str] | None:
        actions: list[str] | None = self._in_episode("admissible_actions")
        return actions

    def expert_actions(self, task_id: str) -> list[str] | None:
        actions: list[str] | None = self._call("expert_actions", task_id)
        return actions

    def close(self) -> None:
        """Gives the environment a little time to close itself."""
        if self.child is None:
            return
        with suppress(OSError):  # it has already ended
            self.child.connection.send(("close",))
            self.child.connection.poll(CLOSE_SECONDS)
        self._kill()

    def end(self) -> None:
        """Ends the process at once, from any thread: a call in progress raises."""
        if child := self.child:
            child.kill()

    @property
    def pid(self) -> int | None:
        return self.child.pid if self.child else None

    def _start(self) -> None:
        self.child = Child(f"{__name__}:serve", quiet=True)
        seconds = max(START_SECONDS, self.time_out_seconds)
        try:
            vars(self).update(self._ask(seconds, "make", self.environment, self.options))
        except TratreeError:
            self._kill()
            raise

    def _in_episode(self, method: str, *arguments: Any) -> Any:
        if self.child is None or not self.playing:
            raise EnvironmentFailure("environment_error", f"{self.environment} has no episode in progress: call reset first")
        return self._call(method, *arguments)

    def _call(self, method: str, *arguments: Any) -> Any:
        if self.child is None:
            self._start()
        return self._ask(self.time_out_seconds, method, *arguments)

    def _ask(self, seconds: float, *request: Any) -> Any:
        assert self.child is not None
        connection = self.child.connection
        try:
            connection.send(request)
            if not connection.poll(seconds):
                self._kill()
                raise EnvironmentFailure(
                    "time_out", f"{self.environment} did not answer {request[0]!r} within {seconds:g} seconds and was ended"
                )
            answer = connection.recv()
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            words = self._kill()
            raise EnvironmentFailure(
                "environment_error", f"{self.environment}'s process died during {request[0]!r}: {words or error}"
            ) from error
        except BaseException:  # Ctrl-C between request and answer: the next answer would belong to the wrong request
            self._kill()
            raise
        if isinstance(answer, TratreeError):
            raise answer
        return answer

    def _kill(self) -> str:
        """Ends the process and all it started; returns the end of what it wrote to stderr."""
        child, self.child, self.playing = self.child, None, False
        if child is None:
            return ""
        status, words = child.end()
        return words or (f"signal {-status}" if status < 0 else f"exit code {status}")


def serve(connection: Connection) -> None:
    """The child: makes the environment, then answers one request after the other until the connection closes."""
    environment: Any = None
    while True:
        try:
            method, *arguments = connection.recv()
        except (EOFError, OSError):
            break
        if method == "close":
            break
        if method == "make":
            environment, answer = _make(*arguments)
        else:
            answer = _answer(environment, method, arguments)
        connection.send(answer)
        os.ftruncate(2, 0)  # what was written before a good answer does not explain a later death
    if environment is not None:
        environment.close()


def _make(name: str, options: dict[str, Any]) -> tuple[Any, Any]:
    made: list[Any] = []

    def make() -> Any:
        environment = make_environment(name, **options)
        made.append(environment)
        return _facts(environment)

    answer = _guarded(make)
    return (made[0] if made else None), answer


def _facts(environment: Any) -> dict[str, Any]:
    """Attributes for the parent; a task may have its own prompt, limit and tools."""
    facts = {name: getattr(environment, name) for name in ("name", "version", "prompt", "max_steps")}
    return facts | {hook: getattr(environment, hook) for hook in ("tools", "tool_prompt") if hasattr(environment, hook)}


def _answer(environment: Any, method: str, arguments: list[Any]) -> Any:
    if method == "reset":
        return _guarded(lambda: (environment.reset(*arguments), _facts(environment)))
    return _guarded(lambda: getattr(environment, method)(*arguments))


def _guarded(call: Any) -> Any:
    """The answer or the error. Errors of this package travel as they are; others are the environment's failure."""
    try:
        return call()
    except TratreeError as error:
        return error if type(error).__module__.startswith("tratree_data.") else TratreeError(str(error))
    except Exception as error:
        return EnvironmentFailure("environment_error", f"{type(error).__name__}: {error}")
