"""Rollouts that repeat one of another task or log are found, others are not; and those of a benchmark's tasks."""

import json
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tratree_data import duplicates, filter, import_log, open_store
from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.system.hashing import text_buffers
from tratree_data.trees.shingles import BINS, shingle_sets, sign_texts

SEED = 11
WORDS = [f"{a}{b}{c}" for a in "bdfgklmn" for b in "aeiou" for c in "lnrst"]


def rollout(chance: random.Random, task: str, log: str = "a", steps: int = 12) -> dict:
    said = [
        {"observation": " ".join(chance.choices(WORDS, k=40)), "thought": "", "action": " ".join(chance.choices(WORDS, k=4))}
        for _ in range(steps)
    ]
    return {"task_id": task, "env": "e", "instruction": f"Do {task}.", "reward": 1.0, "trajectory_id": f"{log}-{task}", "steps": said}


def changed(chance: random.Random, original: dict, task: str, share: float) -> dict:
    """The same with this share of its words replaced."""

    def change(text: str) -> str:
        return " ".join(chance.choice(WORDS) if chance.random() < share else word for word in text.split())

    steps = [{**step, "observation": change(step["observation"]), "action": change(step["action"])} for step in original["steps"]]
    return {**original, "task_id": task, "trajectory_id": task, "steps": steps}


def write(path: Path, rollouts: list[dict]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in rollouts))
    return path


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 rollouts that share nothing; copies and near copies of some, and others that share half their words with one."""
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    folder = tmp_path_factory.mktemp("planted")
    originals = [rollout(chance, f"task-{i}") for i in range(200)]
    exact = [{**one, "task_id": f"exact-{i}", "trajectory_id": f"exact-{i}"} for i, one in enumerate(originals[:20])]
    near = [changed(chance, one, f"near-{i}", 0.01) for i, one in enumerate(originals[20:60])]
    far = [changed(chance, one, f"far-{i}", 0.2) for i, one in enumerate(originals[60:100])]
    twice = [{**originals[150], "trajectory_id": "again"}]
    import_log(folder / "d", write(folder / "first.jsonl", originals + twice))
    import_log(folder / "d", write(folder / "second.jsonl", exact + near + far))
    return folder


def test_planted_repetitions_are_found_and_nothing_else(planted: Path) -> None:
    found = duplicates(planted / "d", min_similarity=0.8)
    rows = {row["task_id"]: row for row in found.found.to_pylist()}
    truth = {f"exact-{i}": f"task-{i}" for i in range(20)} | {f"near-{i}": f"task-{i + 20}" for i in range(40)}
    right = {task for task, row in rows.items() if truth.get(task) == row["other_task_id"]}
    assert len(right) / len(rows) == 1.0, "precision"
    assert len(right) / len(truth) >= 0.95, "recall"
    assert {row["kind"] for task, row in rows.items() if task.startswith("exact")} == {"exact"}
    assert {row["kind"] for task, row in rows.items() if task.startswith("near")} == {"near"}
    assert "20 of 301 rollouts repeat another one word for word" in found.notes
    assert "task-150" not in rows, "attempts at one task in one log may be equal"


def test_the_command_in_the_report_leaves_them_out(planted: Path, tmp_path: Path) -> None:
    found = duplicates(planted / "d", min_similarity=0.8)
    assert "tratree filter" in found.notes[-1]
    listed = tmp_path / "duplicates.csv"
    listed.write_text("rollout_id,kind\n" + "".join(f"{row['rollout_id']},{row['kind']}\n" for row in found.found.to_pylist()))
    filter(planted / "d", tmp_path / "out", exclude=listed)
    assert open_store(tmp_path / "out").count("rollouts") == 301 - found.found.num_rows
    assert duplicates(tmp_path / "out", min_similarity=0.8).found.num_rows == 0
    with pytest.raises(NotFoundError, match=r"No such file: .*\nNext: tratree audit .*planted.* --duplicates"):
        filter(planted / "d", tmp_path / "none", exclude=tmp_path / "missing.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BadInputError, match=r"has no column rollout_id \(a, b\)"):
        filter(planted / "d", tmp_path / "none", exclude=tmp_path / "other.csv")


def test_a_signature_estimates_how_much_two_texts_share() -> None:
    chance = random.Random(SEED)
    base = chance.choices(WORDS, k=2_000)
    noisy = [" ".join(chance.choice(WORDS) if chance.random() < share else word for word in base) for share in (0.01, 0.05, 0.2)]
    texts = [" ".join(base), *noisy]
    texts += ["One word", "one WORD!", "", "another one word"]
    signatures = sign_texts(*text_buffers(pa.array(texts)), 4)
    hashes, starts = shingle_sets(*text_buffers(pa.array(texts)), 4)
    sets = [set(hashes[a:b].tolist()) for a, b in pairwise(starts)]
    for other in (1, 2, 3):
        true = len(sets[0] & sets[other]) / len(sets[0] | sets[other])
        assert abs((signatures[0] == signatures[other]).mean() - true) < 4 * np.sqrt(true * (1 - true) / BINS) + 0.02
    assert (signatures[4] == signatures[5]).all()
    assert not (signatures[4] == signatures[7]).any()
    assert not sets[6]


def test_tasks_of_a_benchmark_are_found_by_id_and_in_other_frames(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    issues = [" ".join(chance.choices(WORDS, k=60)) for _ in range(60)]
    template = "You are given a repository and have to solve this problem in it without help:"
    instructions = [f"{template} {issue} Good luck." for issue in issues]
    rollouts = [{**rollout(chance, f"repo-{i}", steps=2), "instruction": said} for i, said in enumerate(instructions)]
    import_log(tmp_path / "d", write(tmp_path / "log.jsonl", rollouts))
    listed = tmp_path / "test.jsonl"
    others = [f"{template} {' '.join(chance.choices(WORDS, k=60))}" for _ in range(60)]
    others[3] = f"{template} {issues[3]}"
    tasks = [{"instance_id": f"x-{i}", "problem_statement": said} for i, said in enumerate(others)]
    listed.write_text("".join(json.dumps(row) + "\n" for row in [*tasks, {"instance_id": "repo-7"}, {"id": 5}]))
    found = duplicates(tmp_path / "d", benchmark=[listed])
    assert {(row["task_id"], row["other_task_id"], row["kind"]) for row in found.found.to_pylist()} == {
        ("repo-3", "x-3", "benchmark"),
        ("repo-7", "repo-7", "benchmark"),
    }
    assert "2 of 60 rollouts belong to a task of the benchmark" in found.notes
    with pytest.raises(NotFoundError, match="No such benchmark"):
        duplicates(tmp_path / "d", benchmark=["nothing.csv"])


def test_an_environments_own_split_is_a_benchmark(tmp_path: Path) -> None:
    from tratree_data.environments import make_environment

    kitchen = make_environment("kitchen")
    split, *_ = kitchen.splits()
    task = kitchen.tasks(split)[0]
    chance = random.Random(SEED)
    rollouts = [{**rollout(chance, task, steps=2), "env": env, "trajectory_id": env} for env in ("kitchen", "elsewhere")]
    import_log(tmp_path / "d", write(tmp_path / "log.jsonl", rollouts))
    found = duplicates(tmp_path / "d", benchmark=[f"kitchen:{split}"]).found.to_pylist()
    assert [(row["task_id"], row["other_source"]) for row in found] == [(task, f"kitchen:{split}")]
