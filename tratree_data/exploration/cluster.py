"""Exploration on a cluster: each worker plays shares of the plan.

Each worker is an actor with agents and environments of its own: a model in process is loaded once per worker. Rollouts come back to the
driver, which commits them. A share whose worker dies is played again; a share that kills its worker each time is played one attempt
after the other, and the attempt that does it ends with environment_error.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice

from tratree_data.exploration.attempt import Attempt, Finished
from tratree_data.exploration.player_process import record_death
from tratree_data.exploration.pool import ATTEMPTS_PER_MESSAGE, HEARTBEAT_SECONDS, EpisodePool, EpisodeSettings, Results, is_computed
from tratree_data.system.engine import Actors, run_actors
from tratree_data.system.settings import Engine

DEATHS_PER_SHARE = 2
EPISODES_PER_PLAYER = 4
"""Attempts per share and concurrent episode, so that a slow attempt leaves few players idle for long."""
IN_PROCESS_MODELS = ("cached", "transformers", "vllm")


@dataclass
class Share:
    """Attempts that one worker plays in one call."""

    attempts: list[Attempt]
    deaths: int = 0


def make_player(settings: EpisodeSettings) -> Callable[[Share], list[Finished]]:
    """Runs in the worker: what plays its shares."""
    pool = EpisodePool(settings)
    return lambda share: [finished for finished in pool.play(share.attempts) if finished is not None]


def play_on_cluster(
    engine: Engine, settings: EpisodeSettings, attempts: Iterable[Attempt], workers: int | None, stop: threading.Event
) -> Results:
    """Attempts, as soon as their shares come back."""
    needs_gpu = any(agent.name in IN_PROCESS_MODELS for agent in settings.agents)
    with run_actors(engine, partial(make_player, settings), workers, needs_gpu) as actors:
        yield from _play_shares(actors, settings, attempts, stop)


def _play_shares(
    actors: Actors[Share, list[Finished]], settings: EpisodeSettings, attempts: Iterable[Attempt], stop: threading.Event
) -> Results:
    size = ATTEMPTS_PER_MESSAGE if is_computed(settings.agents) else EPISODES_PER_PLAYER * settings.concurrent
    source = iter(attempts)
    again: deque[Share] = deque()
    while not stop.is_set():
        while actors.idle:
            share = again.popleft() if again else Share(list(islice(source, size)))
            if not share.attempts:
                break
            actors.submit(share)
        if not actors.running:
            return
        found = actors.next_result(HEARTBEAT_SECONDS)
        if found is None:
            yield None
            continue
        share, finished, death = found
        yield from _after_death(settings, share, again, death) if finished is None else finished


def _after_death(settings: EpisodeSettings, share: Share, again: "deque[Share]", death: str) -> Results:
    """The share once more; if it kills its worker again, attempt by attempt, until the cause is found."""
    share.deaths += 1
    if share.deaths < DEATHS_PER_SHARE:
        again.append(share)
    elif len(share.attempts) > 1:
        again.extend(Share([attempt]) for attempt in share.attempts)
    else:
        yield record_death(settings, share.attempts[0], f"its worker died {share.deaths} times: {death}")
