"""A version of a grown dataset is made from the rows that changed, and is the version that all rows would make, byte for byte."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers.loopback_s3 import BUCKET, LoopbackS3, serving_s3

from tratree_data import build, check, delete, demonstrations, import_log, open_dataset, pairs, publish, score, search, states, vacuum
from tratree_data.releases import draft
from tratree_data.releases import publish as publishing
from tratree_data.releases.shards import shards
from tratree_data.releases.versions import diff
from tratree_data.store.published.manifest import Manifest, read_checksums, read_manifest

SECRETS = ("/home/ada{}/notes, mail ada{}@lovelace.org", "a hall")


def add(directory: Path, tasks: range, number: int, **named: str) -> None:
    chance = random.Random(number)
    lines: list[dict[str, Any]] = []
    for task in tasks:
        for attempt in range(3):
            seen = [SECRETS[chance.random() < 0.7].format(chance.randrange(3), chance.randrange(5)) for _ in range(3)]
            steps = [{"observation": f"{text} {chance.randrange(3)}", "action": f"go {chance.randrange(4)}"} for text in seen]
            one = {"task_id": f"t{task}", "env": "house", "instruction": f"Find {task}.", "split": "train" if task % 5 else "test"}
            lines.append(one | named | {"reward": float(attempt % 2), "steps": steps, "trajectory_id": f"x{number}-{task}-{attempt}"})
    log = directory.with_suffix(".jsonl")
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    import_log(directory, log)


def rescore(directory: Path, chance: random.Random) -> None:
    ids = open_dataset(directory).sql("SELECT trajectory_id FROM rollouts ORDER BY ALL")["trajectory_id"].to_pylist()
    table = directory.with_suffix(".csv")
    table.write_text("trajectory_id,score\n" + "".join(f"{one},{chance.random():.3f}\n" for one in chance.sample(ids, 2)))
    score(directory, str(table), override=True)


def work(directory: Path) -> None:
    build(directory, embedder="exact")
    search(directory, simulations=4)
    for stage in (states, pairs):
        stage(directory)
    demonstrations(directory, kinds=["path", "best"])


def content(release: Path) -> dict[str, bytes]:
    return {path.relative_to(release).as_posix(): path.read_bytes() for path in release.rglob("*") if path.is_file()}


def manifest_of(release: Path) -> Manifest:
    return read_manifest((release / "lineage.json").read_text(), str(release))


def publish_both_ways(directory: Path, target: Path, version: str, **options: Any) -> tuple[str, ...]:
    """The notes of publish, after comparing the version with the one that it makes of all rows."""
    other = target.with_name("all")
    shutil.rmtree(other, ignore_errors=True)
    shutil.copytree(target, other)
    notes = publish(directory, target, version, title="It", **options).notes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publishing, "find_growth", lambda *_, **__: None)
        publish(directory, other, version, title="It", **options)
    made, whole = (content(one / "versions" / version) for one in (target, other))
    assert made["SHA256SUMS"] == whole["SHA256SUMS"]
    assert made == whole
    return notes


def changed(notes: tuple[str, ...]) -> int | None:
    """How many trees publish looked at; None if all."""
    found = [note for note in notes if "new or changed" in note]
    return int(found[0].split()[0]) if found else None


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_random_changes_make_the_version_that_all_rows_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """With row groups of few rows and shards of few row groups, so that every border is met."""
    monkeypatch.setattr(shards, "ROW_GROUP_ROWS", 7)
    monkeypatch.setattr(draft, "write_card", lambda *_, **__: None)  # which is made of all that is compared here, and takes longest
    chance, directory, target = random.Random(seed), tmp_path / "d", tmp_path / "r"
    add(directory, range(16), 0)
    rescore(directory, chance)
    work(directory)
    publish(directory, target, "0.1.0", title="It", shard_bytes=6_000)
    looked_at: list[int | None] = []
    for number in range(2, 5):
        kinds = chance.sample(["tasks", "attempts", "delete", "rescore"], chance.randint(1, 2))
        if "tasks" in kinds:
            add(directory, range(100 * number, 100 * number + 2), number)
        if "attempts" in kinds:
            add(directory, range(start := chance.randrange(14), start + 2), 10 + number)
        if "delete" in kinds:
            delete(directory, [f"t{number}"])
        if "rescore" in kinds:
            rescore(directory, chance)
        work(directory)
        looked_at.append(changed(publish_both_ways(directory, target, f"0.{number}.0", shard_bytes=6_000)))
    assert any(trees is not None for trees in looked_at), "many of few trees changed each time, or old secrets had to be numbered anew"
    assert not publish(directory, target, "0.4.0", title="It", shard_bytes=6_000).changed
    assert not [row for row in check(target).to_pylist() if row["offending_rows"]]


def test_shards_of_unchanged_tasks_stay_and_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft, "write_card", lambda *_, **__: None)
    monkeypatch.setattr(diff, "SMALL_SHARDS", 2)
    directory, target = tmp_path / "d", tmp_path / "r"
    add(directory, range(20), 0)
    publish(directory, target, "0.1.0", title="It")
    before = manifest_of(target)
    for number in range(2, 6):
        add(directory, range(100 * number, 100 * number + 1), number)
        if number == 2:
            vacuum(directory)
        assert changed(publish_both_ways(directory, target, f"0.{number}.0")) == 1
        if number == 2:
            assert set(before.files("steps")) < set(manifest_of(target).files("steps"))
    assert len(manifest_of(target).files("rollouts")) < 5, "small shards became one"


def test_another_dataset_is_compared_row_by_row(tmp_path: Path) -> None:
    """Also where its tables have the same versions: the hash names commits."""
    for name in ("one", "other"):
        add(tmp_path / name, range(8), 0)
    publish(tmp_path / "one", tmp_path / "r", "0.1.0", title="It")
    add(tmp_path / "other", range(20, 21), 1)
    assert changed(publish(tmp_path / "other", tmp_path / "r", "0.2.0", title="It").notes) is None


def test_secrets_that_are_numbered_across_tasks(tmp_path: Path) -> None:
    """All rows are looked at only where a secret of before gets another number."""
    directory, target = tmp_path / "d", tmp_path / "r"
    add(directory, range(8), 0, agent="ada@lovelace.org")
    publish(directory, target, "0.1.0", title="It")
    add(directory, range(8, 9), 1, agent="ada@lovelace.org")
    assert changed(publish_both_ways(directory, target, "0.2.0")) == 1
    add(directory, range(9, 10), 2, agent="charles@babbage.org")
    assert changed(publish_both_ways(directory, target, "0.3.0")) in (None, 1)
    assert {row["agent"] for row in open_dataset(target).read("rollouts").to_pylist()} == {"[redacted:email:1]", "[redacted:email:2]"}


@pytest.fixture(scope="module")
def server() -> Any:
    with serving_s3() as running:
        yield running


def test_a_bucket_copies_what_stays_by_itself(tmp_path: Path, server: LoopbackS3) -> None:
    directory, target, folder = tmp_path / "d", f"s3://{BUCKET}/grown", tmp_path / "r"
    add(directory, range(20), 0)
    for place in (target, folder):
        publish(directory, place, "0.1.0", title="It")
    add(directory, range(30, 31), 1)
    publish(directory, folder, "0.2.0", title="It")
    server.whole()
    assert changed(publish(directory, target, "0.2.0", title="It").notes) == 1
    kept = manifest_of(folder / "versions/0.1.0").files("steps")
    sent = [path for method, path in server.requests() if method == "PUT"]
    assert all(any(path.endswith(name) for path in sent) for name in kept), "copied"
    assert read_checksums(folder) == dict(
        reversed(line.split("  ")) for line in (open_dataset(f"{target}@0.2.0").path / "versions/0.2.0/SHA256SUMS").read_text().splitlines()
    )
    assert not [row for row in check(f"{target}@0.2.0").to_pylist() if row["offending_rows"]]
