"""The driver under Ray: the same function per share of the plan, on a cluster that runs already or one started here.

Each worker is an actor with agents and environments of its own: a model in process is loaded once per worker. Rollouts come back to the
driver, which commits them. A worker that dies is started again and gets its share anew; a share that kills its worker each time is
played one attempt after the other, and the attempt that does it ends with environment_error.
"""

import sys
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from tratree_data.agents import make_agent
from tratree_data.environments import make_environment
from tratree_data.errors import TratreeError, missing_package
from tratree_data.exploration.episode import Attempt, Finished, rollout_row
from tratree_data.exploration.pool import ATTEMPTS_PER_MESSAGE, HEARTBEAT_SECONDS, Results, Setting, Table, is_computed

DEATHS_PER_SHARE = 2
EPISODES_PER_SEAT = 4
"""A share holds so many attempts for each episode played at once, so that its slowest one leaves few seats empty for long."""
IN_PROCESS_MODELS = ("cached", "transformers", "vllm")


class Worker:
    """What runs in a Ray actor."""

    def __init__(self, setting: Setting, path: list[str]) -> None:
        sys.path[:] = [*path, *(entry for entry in sys.path if entry not in path)]
        self.setting = setting
        self.table: Table | None = None

    def play(self, attempts: list[Attempt]) -> "list[Finished] | TratreeError":
        """A share, finished; an error of the user's travels as a value, without Ray's traceback."""
        try:
            self.table = self.table or Table(self.setting)
            return [finished for finished in self.table.play(attempts) if finished is not None]
        except TratreeError as error:
            return error


@dataclass
class Share:
    """Attempts that one worker plays in one call."""

    attempts: list[Attempt]
    deaths: int = 0


def play_under_ray(setting: Setting, attempts: Iterable[Attempt], workers: int | None, stop: threading.Event) -> Results:
    """Attempts as their shares come back."""
    try:
        import ray
    except ImportError as error:
        raise missing_package("ray", "ray") from error
    ours = not ray.is_initialized()
    if ours:
        ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        yield from _shares(ray, setting, iter(attempts), workers, stop)
    finally:
        if ours:
            ray.shutdown()


def _shares(ray: Any, setting: Setting, attempts: Iterable[Attempt], workers: int | None, stop: threading.Event) -> Results:
    make_worker, count = _worker_maker(ray, setting, workers)
    size = ATTEMPTS_PER_MESSAGE if is_computed(setting.agents) else EPISODES_PER_SEAT * setting.concurrent
    source = iter(attempts)
    again: deque[Share] = deque()
    idle = [make_worker() for _ in range(count)]
    playing: dict[Any, tuple[Any, Share]] = {}
    while not stop.is_set():
        while idle:
            share = again.popleft() if again else Share(list(islice(source, size)))
            if not share.attempts:
                break
            worker = idle.pop()
            playing[worker.play.remote(share.attempts)] = (worker, share)
        if not playing:
            return
        ready, _ = ray.wait(list(playing), num_returns=1, timeout=HEARTBEAT_SECONDS)
        if not ready:
            yield None
            continue
        worker, share = playing.pop(ready[0])
        try:
            answer = ray.get(ready[0])
        except ray.exceptions.RayActorError as error:
            idle.append(make_worker())
            yield from _after_death(setting, share, again, error)
            continue
        if isinstance(answer, TratreeError):
            raise answer
        idle.append(worker)
        yield from answer


def _worker_maker(ray: Any, setting: Setting, workers: int | None) -> tuple[Any, int]:
    """A function that starts an actor, and how many there should be: one per GPU for models in process, else one per CPU."""
    resources = ray.cluster_resources()
    needs_gpu = any(agent.name in IN_PROCESS_MODELS for agent in setting.agents) and resources.get("GPU", 0) >= 1
    actor = ray.remote(num_cpus=1, num_gpus=1 if needs_gpu else 0)(Worker)
    count = workers or max(1, int(resources.get("GPU" if needs_gpu else "CPU", 1)))
    return (lambda: actor.remote(setting, list(sys.path))), count


def _after_death(setting: Setting, share: Share, again: "deque[Share]", error: Exception) -> Results:
    """The share once more; when it keeps killing its worker, attempt by attempt, until the one that does it is found."""
    share.deaths += 1
    if share.deaths < DEATHS_PER_SHARE:
        again.append(share)
    elif len(share.attempts) > 1:
        again.extend(Share([attempt]) for attempt in share.attempts)
    else:
        attempt = share.attempts[0]
        environment = make_environment(setting.environment, **setting.environment_options)
        try:
            agent = make_agent(setting.agents[attempt.agent])
            row = rollout_row(environment, agent, attempt, setting.limits, "environment_error")
        finally:
            environment.close()
        yield Finished(attempt, row, trouble=f"its worker died {share.deaths} times: {str(error).splitlines()[0]}")
