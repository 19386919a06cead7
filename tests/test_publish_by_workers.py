"""Several workers make the release that one process makes, byte for byte, whoever found which secret first."""

import json
from pathlib import Path

import pytest

from tratree_data import build, import_log, open_dataset, publish
from tratree_data.system import workers


def add(directory: Path, number: int) -> None:
    """Each import is a file of its own; all of them tell of the same tasks, and of secrets that others have, too."""
    lines = [
        {
            "task_id": f"t{task}" if task else "mail ada@lovelace.org",
            "env": "house",
            "model": f"model-of-{(number + task) % 3}@babbage.org",
            "instruction": f"Find {task}.",
            "split": "train" if task % 2 else "test",
            "reward": 1.0,
            "trajectory_id": f"x{number}-{task}",
            "steps": [
                {
                    "observation": f"/home/ada{(number * task + n) % 4}/notes of {n}",
                    "action": f"mail user{(task + number) % 3}@lovelace.org",
                }
                for n in range(3)
            ],
        }
        for task in range(4)
    ]
    log = directory.with_suffix(".jsonl")
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    import_log(directory, log)


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data") / "d"
    for number in range(3):
        add(directory, number)
    build(directory, embedder="exact")
    return directory


def content(release: Path) -> dict[str, bytes]:
    return {path.relative_to(release).as_posix(): path.read_bytes() for path in release.rglob("*") if path.is_file()}


def test_the_release_is_the_one_that_a_single_process_makes(leaky: Path, tmp_path: Path) -> None:
    alone = publish(leaky, tmp_path / "alone", "1.0.0", title="It")
    together = publish(leaky, tmp_path / "together", "1.0.0", title="It", workers=2)
    assert together.counts == alone.counts
    assert together.counts["steps"] == 36
    assert content(tmp_path / "together") == content(tmp_path / "alone")
    seen = open_dataset(tmp_path / "together").read("steps")["observation"].to_pylist()
    assert not any("ada" in text for text in seen)
    assert any("[redacted:" in text for text in seen)


def test_a_worker_that_dies_costs_its_work_only(leaky: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first worker to be asked dies with what it was doing."""
    started = workers._start_server
    dead: list[int] = []

    def start_and_kill(function):
        child = started(function)
        if not dead:
            dead.append(child.pid)
            child.kill()
        return child

    publish(leaky, tmp_path / "alone", "1.0.0", title="It")
    monkeypatch.setattr(workers, "_start_server", start_and_kill)
    publish(leaky, tmp_path / "together", "1.0.0", title="It", workers=2)
    assert len(dead) == 1
    assert content(tmp_path / "together") == content(tmp_path / "alone")
