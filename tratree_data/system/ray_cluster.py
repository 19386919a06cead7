"""Ray: independent calls on the machines of a cluster, and workers that keep state between calls.

The cluster is the one that this process or RAY_ADDRESS names, or one that is started here. The work of a dead worker is repeated, a dead
head is reported, and errors of this package arrive as they were raised.
"""

import os
import pickle
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, Generic, TypeVar

from tratree_data.errors import TratreeError, missing_package
from tratree_data.system.workers import TRIES, sendable

Item = TypeVar("Item")
Result = TypeVar("Result")
ANSWER_SECONDS = 20
LOOK_SECONDS, GONE_SECONDS = 5, 20
"""How often the head of a cluster is checked, and how long it may be unreachable; Ray itself gives up after 60 seconds."""
QUEUED_PER_CORE = 2
"""Items queued per core, so that a core that has finished one finds the next one waiting."""


def run_remotely(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None, use_gpu: bool, name: str
) -> Iterator[Result]:
    """`function` of every item; only a few are in progress at a time, so that a long queue need not be in memory.

    Each call gets a GPU if it can use one and the cluster has some; `name` is what Ray's own tools display.
    """
    with ray_session(workers) as ray:
        resources = ray.cluster_resources()
        gpus = 1 if use_gpu and resources.get("GPU", 0) >= 1 else 0
        task = ray.remote(max_retries=TRIES)(_call).options(name=name, num_gpus=gpus).remote
        at_once = workers or QUEUED_PER_CORE * max(1, int(resources.get("GPU" if gpus else "CPU", 1)))
        queue, head = iter(items), Head(ray.get_runtime_context().gcs_address)
        waiting = [task(list(sys.path), pickle.dumps((function, item))) for item in islice(queue, at_once)]
        try:
            while waiting:
                ready, waiting = ray.wait(waiting, num_returns=1, timeout=LOOK_SECONDS)
                head.need_alive()
                if not ready:
                    continue
                succeeded, answer = ray.get(ready[0])
                if not succeeded:
                    raise answer
                waiting += [task(list(sys.path), pickle.dumps((function, item))) for item in islice(queue, 1)]
                yield answer
        except HeadGoneError:
            waiting = []
            raise
        finally:
            for left in waiting:
                ray.cancel(left)


def need_answer(address: str) -> None:
    """Connects to the head of a cluster directly: Ray itself would try for minutes."""
    if not _answers(address):
        raise TratreeError(
            f"No Ray cluster answers at {address}, which RAY_ADDRESS names.\n"
            "Next: ray start --head there, or export RAY_ADDRESS=HOST:PORT of one that runs, or --engine local"
        )


def _answers(address: str) -> bool:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS):
            return True
    except (OSError, ValueError):
        return False


class Head:
    """Watches the head of a cluster: if it is gone, Ray ends this process after a minute, with a message of its own."""

    def __init__(self, address: str) -> None:
        self.address, self.seen = address, time.monotonic()
        self.looked = self.seen

    def need_alive(self) -> None:
        now = time.monotonic()
        if now - self.looked < LOOK_SECONDS:
            return
        self.looked = now
        if _answers(self.address):
            self.seen = time.monotonic()
        elif now - self.seen > GONE_SECONDS:
            raise HeadGoneError(
                f"The head of the Ray cluster, {self.address}, has not answered for {GONE_SECONDS} seconds; nothing was committed.\n"
                "Next: ray start --head there, and the nodes, then the same command; or --engine local"
            )


class HeadGoneError(TratreeError):
    """Ray's own clean-up would also wait for the head."""


def _call(path: list[str], work: bytes) -> tuple[bool, Any]:
    """An error travels as a value, without Ray's traceback."""
    sys.path[:] = [*path, *(entry for entry in sys.path if entry not in path)]
    try:
        function, item = pickle.loads(work)
        return True, function(item)
    except Exception as error:  # raised again by the driver
        return False, sendable(error)


@contextmanager
def ray_session(workers: int | None) -> Iterator[Any]:
    """Ray, on the cluster that this process or RAY_ADDRESS names, or one of `workers` cores that is started here and stopped afterwards."""
    try:
        import ray
    except ImportError as error:
        raise missing_package("ray", "ray") from error
    ours = not ray.is_initialized()
    if ours:
        address = os.environ.get("RAY_ADDRESS", "")
        if ":" in address:
            need_answer(address)
        start = {} if address else {"address": "local", "num_cpus": workers, "include_dashboard": False}
        try:
            ray.init(**start, log_to_driver=False, configure_logging=False)
        except ConnectionError as error:
            raise TratreeError(
                f"Ray found no cluster (RAY_ADDRESS={address}).\nNext: ray start --head, or export RAY_ADDRESS=HOST:PORT, or --engine local"
            ) from error
        except Exception as error:  # Ray has no class of its own for this
            why = str(error).partition(". ")[0] or type(error).__name__
            raise TratreeError(
                f"Ray could not start: {why}.\nNext: the same command when this machine is less busy, or --engine local"
            ) from error
    try:
        yield ray
    except HeadGoneError:
        ours = False
        raise
    except ray.exceptions.RayError as error:
        said = [line.strip(" .") for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        why = said[-1 if isinstance(error, ray.exceptions.RayTaskError) else 0]
        raise TratreeError(f"Ray failed: {why}.\nNext: the same command, or --engine local") from error
    finally:
        if ours:
            ray.shutdown()


class _Actor:
    """What runs in a Ray actor: the worker that it makes lives as long as the actor."""

    def __init__(self, path: list[str], make_worker: Callable[[], Callable[[Any], Any]]) -> None:
        sys.path[:] = [*path, *(entry for entry in sys.path if entry not in path)]
        self.make_worker = make_worker
        self.worker: Callable[[Any], Any] | None = None

    def call(self, item: Any) -> tuple[bool, Any]:
        try:
            self.worker = self.worker or self.make_worker()
            return True, self.worker(item)
        except TratreeError as error:
            return False, error


class RayActors(Generic[Item, Result]):
    """Workers under Ray, each made once by `make_worker` and then called with items. One that dies is replaced."""

    def __init__(
        self, ray: Any, make_worker: Callable[[], Callable[[Item], Result]], workers: int | None = None, needs_gpu: bool = False
    ) -> None:
        """By default one worker per GPU where they need one and the cluster has some, else one per CPU."""
        resources = ray.cluster_resources()
        on_gpu = needs_gpu and resources.get("GPU", 0) >= 1
        actor = ray.remote(num_cpus=1, num_gpus=1 if on_gpu else 0)(_Actor)
        self.ray = ray
        self._start: Callable[[], Any] = partial(actor.remote, list(sys.path), make_worker)
        count = workers or max(1, int(resources.get("GPU" if on_gpu else "CPU", 1)))
        self.idle = [self._start() for _ in range(count)]
        self.running: dict[Any, tuple[Any, Item]] = {}

    def submit(self, item: Item) -> None:
        """Gives the item to an idle worker; `idle` must not be empty."""
        actor = self.idle.pop()
        self.running[actor.call.remote(item)] = actor, item

    def next_result(self, seconds: float) -> tuple[Item, Result | None, str] | None:
        """(item, its result, "") or (item, None, how its worker died); None when `seconds` passed without either."""
        ready, _ = self.ray.wait(list(self.running), num_returns=1, timeout=seconds)
        if not ready:
            return None
        actor, item = self.running.pop(ready[0])
        try:
            succeeded, answer = self.ray.get(ready[0])
        except self.ray.exceptions.RayActorError as error:
            self.idle.append(self._start())
            return item, None, str(error).splitlines()[0]
        self.idle.append(actor)
        if not succeeded:
            raise answer
        return item, answer, ""


@contextmanager
def actors(
    make_worker: Callable[[], Callable[[Item], Result]], workers: int | None, needs_gpu: bool
) -> "Iterator[RayActors[Item, Result]]":
    """Workers that are each made once by `make_worker`, for as long as the block lasts."""
    with ray_session(workers) as ray:
        yield RayActors(ray, make_worker, workers, needs_gpu)
