"""Environments in child processes: they die, hang and raise; the caller learns why and continues."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tratree_data.environments import EnvironmentFailure, Outcome, Start
from tratree_data.environments.requirements import java_path, package_version
from tratree_data.environments.worker import Worker
from tratree_data.errors import BadInputError, NotFoundError

needs_express = pytest.mark.skipif(
    java_path() is None or not package_version("textworld-express"), reason="textworld-express or Java is not installed"
)


@pytest.fixture
def counter() -> Iterator[Worker]:
    worker = Worker("helpers.plug_ins:Counter", {"goal": 2}, 1.0)
    yield worker
    worker.close()
    assert worker.pid is None


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition, seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


def children(pid: int) -> list[int]:
    """All descendants, in any depth."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid:
            child = int(entry.parent.name)
            found += [child, *children(child)]
    return found


def test_answers_as_the_environment_itself_would(counter: Worker) -> None:
    assert (counter.name, counter.version, counter.prompt, counter.max_steps) == (
        "helpers.plug_ins:Counter",
        "counter 1",
        "Count to three.",
        5,
    )
    assert counter.splits() == {"train": 2}
    assert counter.tasks("train") == ["up", "down"]
    assert counter.reset("down", 3) == Start("Count down.", "0")
    assert counter.max_steps == 7, "a limit may depend on the task"
    assert counter.step("jump") == Outcome("0", False, 0.0, False)
    assert counter.step("count") == Outcome("1", False, 0.0, True)
    assert (counter.score(), counter.success()) == (0.5, False)
    assert counter.admissible_actions() == ["count"]
    assert counter.expert_actions("up") == ["count", "count"]


@pytest.mark.parametrize("action", ["sleep", "spin"])
def test_what_hangs_is_ended_and_replaced(counter: Worker, action: str) -> None:
    counter.reset("up")
    pid = counter.pid
    assert pid is not None
    started = time.monotonic()
    with pytest.raises(EnvironmentFailure, match="did not answer 'step' within 1 seconds") as caught:
        counter.step(action)
    assert caught.value.reason == "time_out"
    assert time.monotonic() - started < 5
    assert not is_running(pid)
    with pytest.raises(EnvironmentFailure, match="call reset first"):
        counter.step("count")
    assert counter.reset("up").observation == "0"
    assert counter.pid != pid
    assert counter.step("count").observation == "1"


def test_what_dies_says_its_last_words(counter: Worker) -> None:
    counter.reset("up")
    with pytest.raises(EnvironmentFailure, match="died during 'step': out of memory, says the simulator") as caught:
        counter.step("die")
    assert caught.value.reason == "environment_error"
    counter.reset("up")
    assert counter.pid is not None
    os.kill(counter.pid, signal.SIGKILL)
    with pytest.raises(EnvironmentFailure, match="signal 9"):
        counter.step("count")


def test_what_raises_is_told_from_what_the_user_must_change(counter: Worker) -> None:
    counter.reset("up")
    with pytest.raises(EnvironmentFailure, match="RuntimeError: a wheel came off"):
        counter.step("raise")
    assert counter.step("count").observation == "1", "the process lives on"
    with pytest.raises(NotFoundError, match="no task 'sideways'"):
        counter.reset("sideways")
    with pytest.raises(BadInputError, match="does not accept its options"):
        Worker("helpers.plug_ins:Counter", {"goals": 2})
    with pytest.raises(NotFoundError, match="No environment is called 'webshopp'"):
        Worker("webshopp")


@needs_express
def test_a_jvm_killed_in_a_worker_ends_the_episode_only() -> None:
    worker = Worker("textworldexpress", {"games": "coin"})
    try:
        worker.reset("coin/train/0")
        assert worker.pid is not None
        (jvm,) = children(worker.pid)
        os.kill(jvm, signal.SIGKILL)
        with pytest.raises(EnvironmentFailure, match="Java process has died") as caught:
            worker.step("look around")
        assert caught.value.reason == "environment_error"
        assert worker.reset("coin/train/0").observation
        (jvm,) = children(worker.pid)
    finally:
        worker.close()
    assert wait_until(lambda: not is_running(jvm)), "closing a worker ends its JVM"


PARENT = """
import sys, time
from tratree_data.environments.worker import Worker
sys.path.insert(0, {tests!r})
idle, busy = Worker({name!r}), Worker("helpers.plug_ins:Counter")
idle.reset({task!r}); busy.reset("up")
print(idle.pid, busy.pid, flush=True)
{last}
"""


@pytest.mark.parametrize("last", ["time.sleep(600)", "busy.step('spin')"])
def test_a_killed_parent_leaves_nothing_behind(last: str) -> None:
    """kill -9 of the caller: idle and busy workers, and their JVMs, are gone soon after."""
    java = java_path() is not None and package_version("textworld-express")
    name, task = ("textworldexpress", "coin/train/0") if java else ("helpers.plug_ins:Counter", "up")
    code = PARENT.format(tests=str(Path(__file__).parent), name=name, task=task, last=last)
    if name != "textworldexpress":
        code = code.replace("from tratree", f"sys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom tratree", 1)
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(text) for text in parent.stdout.readline().split()]
    assert len(pids) == 2
    time.sleep(0.2)
    family = children(parent.pid)
    assert set(pids) <= set(family)
    assert len(family) == (3 if java else 2)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until(lambda: not any(is_running(pid) for pid in family)), [pid for pid in family if is_running(pid)]
