"""Many attempts at once: which process plays which attempts, and what happens when a process dies.

Threads play attempts and wait for their environments and agents: each has an environment of its own, in a child process unless the
environment says that it is cheap and safe (`in_process`). Agents that gain from batches get all waiting requests at once. Agents that
only compute (`computed`: scripted, expert, transcript) are played in child processes, one per core, so that no core idles.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol, cast

from tratree_data.agents import Agent, AgentHooks, AgentSpecification, Request, Response, agent_class, make_agent
from tratree_data.environments import (
    Environment,
    EnvironmentChoice,
    EnvironmentFailure,
    EnvironmentHooks,
    environment_class,
    make_environment,
)
from tratree_data.exploration.attempt import Attempt, Finished, Limits
from tratree_data.exploration.episode import play

BATCH_WAIT_SECONDS = 0.02
Results = Generator[Finished | None, None, None]
"""Finished attempts in the order in which they end; None when a second passed without one."""
ATTEMPTS_PER_MESSAGE = 16
"""Sent to another process or machine together."""
HEARTBEAT_SECONDS = 1.0
STOP_SECONDS = 5.0
CLOSE_SECONDS = 30.0
OPENING_PAUSES_SECONDS = (1.0, 5.0)


@dataclass(frozen=True)
class EpisodeSettings:
    """Everything that a process needs to play attempts."""

    environment: EnvironmentChoice
    environment_options: dict[str, Any]
    agents: tuple[AgentSpecification, ...]
    limits: Limits
    concurrent: int = 32
    time_out_seconds: float = 120.0


def is_in_process(environment: EnvironmentChoice) -> bool:
    """May be a class or an instance that the user passed and that exists only in this process."""
    return not isinstance(environment, str) or bool(getattr(environment_class(environment), "in_process", EnvironmentHooks.in_process))


def open_environment(settings: EpisodeSettings) -> Environment:
    """One environment of its own for a thread or process."""
    if not isinstance(settings.environment, str | type):
        kept: Any = NeverClosed(settings.environment)
        return cast(Environment, kept)
    if is_in_process(settings.environment):
        return make_environment(settings.environment, **settings.environment_options)
    from tratree_data.environments.worker import Worker

    assert isinstance(settings.environment, str)
    worker: Environment = Worker(settings.environment, settings.environment_options, settings.time_out_seconds)
    return worker


class NeverClosed:
    """An instance that the user passed and will close."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    def __getattr__(self, name: str) -> Any:
        return getattr(self.environment, name)

    def close(self) -> None:
        """Does nothing: its owner closes it."""


class AgentBatches:
    """Collects the requests of all waiting episodes for an agent that answers them together."""

    def __init__(self, agent: Agent, most: int) -> None:
        self.agent, self.most = agent, most
        self.waiting: queue.SimpleQueue[tuple[Request, Future[Response]] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._serve, daemon=True, name=f"batches of {agent.name}")
        self.thread.start()

    def act(self, request: Request) -> Response:
        future: Future[Response] = Future()
        self.waiting.put((request, future))
        return future.result()

    def close(self) -> None:
        """Lets the current batch end, but does not wait for it forever."""
        self.waiting.put(None)
        self.thread.join(CLOSE_SECONDS)

    def _serve(self) -> None:
        while (first := self.waiting.get()) is not None:
            batch = [first]
            ended = False
            while len(batch) < self.most and not ended:
                try:
                    item = self.waiting.get(timeout=BATCH_WAIT_SECONDS)
                except queue.Empty:
                    break
                if item is None:
                    ended = True
                else:
                    batch.append(item)
            self._answer(batch)
            if ended:
                return

    def _answer(self, batch: list[tuple[Request, "Future[Response]"]]) -> None:
        try:
            responses = self.agent.act([request for request, _ in batch])
            if len(responses) != len(batch):
                raise ValueError(f"{self.agent.name} gave {len(responses)} answers to {len(batch)} requests")
        except Exception as error:
            for _, future in batch:
                future.set_exception(error)
            return
        for (_, future), response in zip(batch, responses, strict=True):
            future.set_result(response)


@dataclass
class SharedAgents:
    """The agents of a process, made once, each behind a function that answers one request."""

    settings: EpisodeSettings
    agents: list[Agent] = field(init=False)
    batches: dict[int, AgentBatches] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.agents = [make_agent(specification) for specification in self.settings.agents]
        for number, agent in enumerate(self.agents):
            if agent.batched:
                self.batches[number] = AgentBatches(agent, self.settings.concurrent)

    def play(self, environment: Environment, attempt: Attempt) -> Finished:
        agent = self.agents[attempt.agent]
        if hasattr(agent, "begin"):
            reason = agent.begin(environment, attempt.task_id, attempt.attempt)
            if reason:
                return Finished(attempt, dropped=reason)
        batches = self.batches.get(attempt.agent)
        finished = play(
            environment, agent, batches.act if batches else lambda request: agent.act([request])[0], attempt, self.settings.limits
        )
        if hasattr(agent, "keep") and finished.dropped is None:
            reason = agent.keep(finished.rollout)
            if reason:
                return Finished(attempt, dropped=reason)
        return finished

    def close(self) -> None:
        for batches in self.batches.values():
            batches.close()
        for agent in self.agents:
            agent.close()


class Player(Protocol):
    """What a thread plays attempts with."""

    def play(self, attempts: list[Attempt]) -> Iterator[Finished]: ...

    def close(self) -> None: ...


class EpisodePlayer:
    """A player in this process: an environment of its own, replaced when it fails."""

    def __init__(self, settings: EpisodeSettings, agents: SharedAgents) -> None:
        self.settings, self.agents = settings, agents
        self.environment: Environment | None = None

    def play(self, attempts: list[Attempt]) -> Iterator[Finished]:
        for attempt in attempts:
            if self.environment is None:
                self.environment = self._open()
            finished = self.agents.play(self.environment, attempt)
            if finished.rollout.get("end_reason") in {"environment_error", "time_out"}:
                self.close()
            yield finished

    def _open(self) -> Environment:
        """Retries an environment that does not start: a busy machine may manage it a moment later."""
        for pause in OPENING_PAUSES_SECONDS:
            try:
                return open_environment(self.settings)
            except EnvironmentFailure:
                time.sleep(pause)
        return open_environment(self.settings)

    def close(self) -> None:
        if self.environment is not None:
            environment, self.environment = self.environment, None
            environment.close()


class EpisodePool:
    """Players that share the agents, each with an environment of its own: plays as many episodes at once."""

    def __init__(self, settings: EpisodeSettings) -> None:
        self.agents = SharedAgents(settings)
        self.players = [EpisodePlayer(settings, self.agents) for _ in range(1 if is_computed(settings.agents) else settings.concurrent)]

    def play(self, attempts: Iterable[Attempt], stop: threading.Event | None = None) -> Results:
        yield from in_threads(self.players, attempts, 1, stop or threading.Event())

    def close(self) -> None:
        self.agents.close()


def play_attempts(settings: EpisodeSettings, attempts: Iterable[Attempt], stop: threading.Event) -> Results:
    """Attempts in the order in which they end, played by `concurrent` threads that share the agents."""
    pool = EpisodePool(settings)
    try:
        yield from pool.play(attempts, stop)
    finally:
        pool.close()


def in_threads(players: Sequence[Player], attempts: Iterable[Attempt], at_once: int, stop: threading.Event) -> Results:
    """Each player in a thread takes the next attempts, plays them and hands the results over; an error in one ends all."""
    results: queue.Queue[Finished | BaseException | None] = queue.Queue(maxsize=4 * len(players) * at_once)
    lock, source = threading.Lock(), iter(attempts)

    def take() -> list[Attempt]:
        with lock:
            return [] if stop.is_set() else list(islice(source, at_once))

    for number, player in enumerate(players):
        threading.Thread(target=_work, args=(player, take, results, stop), daemon=True, name=f"episodes {number}").start()
    running = len(players)
    try:
        while running:
            try:
                item = results.get(timeout=HEARTBEAT_SECONDS)
            except queue.Empty:
                yield None
                continue
            if item is None:
                running -= 1
            elif isinstance(item, BaseException):
                raise item
            else:
                yield item
    finally:
        stop.set()
        patience = time.monotonic() + STOP_SECONDS
        while running and time.monotonic() < patience:  # let every thread close its environment; unfinished attempts are discarded
            with suppress(queue.Empty):
                running -= results.get(timeout=0.1) is None


def _work(player: Player, take: Callable[[], list[Attempt]], results: "queue.Queue[Any]", stop: threading.Event) -> None:
    """One thread: results, then the error that ended it if there was one, then None."""
    try:
        while taken := take():
            for finished in player.play(taken):
                results.put(finished)
                if stop.is_set():
                    break
    except BaseException as error:
        results.put(error)
    finally:
        try:
            player.close()
        finally:
            results.put(None)


def is_computed(agents: Iterable[AgentSpecification]) -> bool:
    return all(agent.given is None and getattr(agent_class(agent.name), "computed", AgentHooks.computed) for agent in agents)


def default_concurrent(environment: EnvironmentChoice) -> int:
    """32 episodes; fewer if each needs its own process, as the machine's cores allow; one for an instance that was passed."""
    if not isinstance(environment, str | type):
        return 1
    return 32 if is_in_process(environment) else min(32, 4 * (os.cpu_count() or 1))
