"""A dataset in a bucket: the same rows as in a folder, one writer at a time, and no half of a commit, whatever the network does."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from threading import Thread

import pytest
from helpers.commits import append
from helpers.loopback_s3 import BUCKET, LoopbackS3, serving_s3

from tratree_data import (
    build,
    check,
    delete,
    demonstrations,
    export,
    filter,
    import_log,
    open_release,
    open_store,
    pairs,
    publish,
    score,
    search,
    show,
    states,
    stats,
    vacuum,
    withdraw,
)
from tratree_data.errors import BadInputError, NotFoundError, StoreBusyError, TratreeError
from tratree_data.store.buckets import bucket_providers, lease, log_mirror
from tratree_data.store.buckets.bucket_paths import list_below, parse_address
from tratree_data.store.chunks.tree_chunks import plan_step_chunks, read_step_chunk
from tratree_data.store.outcomes import read_outcomes
from tratree_data.store.published.release import open_dataset
from tratree_data.store.queries.named_queries import query_or_text
from tratree_data.store.upkeep.compact import FEW
from tratree_data.store.writing.staged import sorting_folder
from tratree_data.store.writing.writer import create_store, writing

ADDRESS = f"s3://{BUCKET}"


@pytest.fixture(scope="module")
def server() -> Iterator[LoopbackS3]:
    with serving_s3() as server:
        yield server


@pytest.fixture(autouse=True)
def quick(server: LoopbackS3, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One retry, so that a server that fails for good is given up soon; and no fault that another test left."""
    monkeypatch.setattr(bucket_providers, "RETRIES", 1)
    bucket_providers._client.cache_clear()
    yield
    server.whole()


def write_log(path: Path) -> Path:
    lines = [
        {
            "task_id": f"task-{task}",
            "env": "house",
            "instruction": f"Do {task}.",
            "reward": float(attempt == 1),
            "steps": [
                {"observation": f"hall of {task}", "thought": "left or right?", "action": f"door {attempt}"},
                {"observation": f"room {attempt}", "action": "open the box"},
            ],
        }
        for task in "abc"
        for attempt in (0, 1, 2)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def everything(directory: str | Path, log: Path) -> str | Path:
    import_log(directory, log)
    build(directory, embedder="lexical")
    for stage in (search, states, pairs, demonstrations):
        assert stage(directory).changed
    return directory


@pytest.fixture(scope="module")
def both(server: LoopbackS3, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The same log through every stage, in the bucket and in a folder."""
    folder = tmp_path_factory.mktemp("both")
    log = write_log(folder / "log.jsonl")
    return str(everything(f"{ADDRESS}/deep/both", log)), Path(everything(folder / "both", log))


def rows(directory: object, *names: str) -> dict[str, list[dict]]:
    """Of these tables, or of all."""
    store = open_dataset(str(directory))
    return {name: store.sql(f"SELECT * FROM {name} ORDER BY ALL").to_pylist() for name in names or sorted(store.sources)}


def objects(address: str) -> set[str]:
    return {str(found.path) for found in list_below(parse_address(address))}


@pytest.mark.slow
def test_every_stage_gives_the_rows_that_it_gives_in_a_folder(both: tuple[str, Path]) -> None:
    far, near = both
    there, here = rows(far), rows(near)
    assert len(there) >= 12
    assert there == here
    assert not search(far).changed, "nothing is to be done again"
    assert not [row for row in check(far).to_pylist() if row["offending_rows"]]
    assert check(far).num_rows == check(near).num_rows
    assert stats(far).equals(stats(near))
    assert str(show(far, "task-a")).splitlines()[1:] == str(show(near, "task-a")).splitlines()[1:]
    assert not [name for name in objects(far) if "/." in name], "no lock and nothing unfinished stays"


def test_a_release_of_it_is_the_release_of_the_folder(both: tuple[str, Path], tmp_path: Path) -> None:
    far, near = both
    for directory, target in ((far, tmp_path / "far"), (near, tmp_path / "near")):
        publish(directory, target, "1.0.0")
    assert rows(tmp_path / "far") == rows(tmp_path / "near")


@pytest.mark.slow
def test_a_release_can_be_published_to_a_bucket_read_there_and_withdrawn(
    both: tuple[str, Path], tmp_path: Path, server: LoopbackS3
) -> None:
    far, near = both
    target = f"{ADDRESS}/releases/r"
    server.fault("500", "lineage.json", method="PUT")
    with pytest.raises(TratreeError, match=r"the server failed"):
        publish(near, target, "1.0.0")
    server.whole()
    with pytest.raises(NotFoundError, match=r"is not a release: it has no version"):
        open_release(f"{target}@1.0.0")
    assert publish(near, target, "1.0.0").changed
    assert not publish(far, target, "1.0.0").changed
    assert rows(f"{target}@1.0.0") == rows(near) | {"dropped": rows(f"{target}@1.0.0", "dropped")["dropped"]}
    assert not [row for row in check(target).to_pylist() if row["offending_rows"]]
    filter(near, tmp_path / "less", "task_id <> 'task-c'")
    with pytest.raises(BadInputError, match=r"already published and cannot change"):
        publish(tmp_path / "less", target, "1.0.0")
    publish(tmp_path / "less", target, "2.0.0")
    assert open_release(target).count("rollouts") == 6
    shard = next(name for name in objects(f"{target}/versions/2.0.0") if name.endswith(".parquet"))
    parse_address(shard).write_text("changed")
    assert next(row for row in check(f"{target}@2.0.0").to_pylist() if row["offending_rows"])["example"] == f"{shard} is changed"
    assert withdraw(target, "2.0.0").changed
    assert not withdraw(target, "2.0.0").changed
    with pytest.raises(NotFoundError, match=r"has no version 2.0.0"):
        open_release(f"{target}@2.0.0")
    with pytest.raises(BadInputError, match=r"2\.0\.0"):
        publish(tmp_path / "less", target, "2.0.0")
    assert not [name for name in objects(target) if "versions/1.0.0/" not in name and "withdrawn.json" not in name]


def test_other_verbs_read_it_and_say_so_when_they_can_only_write_a_folder(both: tuple[str, Path], tmp_path: Path) -> None:
    far, near = both
    filter(far, tmp_path / "some", "score > 0")
    assert open_store(tmp_path / "some").count("rollouts") == 3
    assert export(far, tmp_path / "out", "atif").counts == export(near, tmp_path / "other", "atif").counts
    for verb in (lambda: filter(near, f"{ADDRESS}/x", "true"), lambda: export(near, f"{ADDRESS}/x", "atif")):
        with pytest.raises(BadInputError, match=r"is an address, but .* goes to a folder of this machine.\nNext: name another folder"):
            verb()


def test_a_query_opens_only_the_files_of_its_tables(both: tuple[str, Path], server: LoopbackS3) -> None:
    server.whole()
    open_dataset(both[0]).sql("SELECT count(*) FROM rollouts")
    opened = [path for path in server.paths() if path.endswith(".parquet") and "_delta_log" not in path]
    assert opened
    assert all("/rollouts/" in path for path in opened)


def test_opening_a_dataset_again_costs_one_listing(both: tuple[str, Path], server: LoopbackS3) -> None:
    """Entries of the logs never change, so each is fetched once; a commit adds what it wrote."""
    open_store(both[0])
    server.whole()
    assert len(open_store(both[0]).sources) >= 12
    assert len(server.paths()) == 1
    assert not search(both[0]).changed
    assert len(server.paths()) < 15


@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 1) TO '{}/stolen.parquet'",
        "SELECT * FROM read_parquet('{}/deep/both/rollouts/*.parquet')",
        "SELECT * FROM read_text('{}/deep/both/.lock')",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'dataset://rollouts/0.parquet' (FORMAT parquet)",
        "SELECT * FROM glob('{}/*')",
        "ATTACH '{}/x.db' AS other",
    ],
)
def test_a_query_cannot_write_to_the_bucket_or_read_anything_else_there(both: tuple[str, Path], query: str) -> None:
    before = objects(ADDRESS)
    store = open_dataset(both[0])
    with pytest.raises(TratreeError):
        query_or_text(store, query.format(ADDRESS))
    with pytest.raises(Exception, match=r"."):
        store.connection.execute(query.format(ADDRESS)).fetchall()
    assert objects(ADDRESS) == before
    said = store.connection.execute("SELECT sql FROM duckdb_views() WHERE view_name = 'rollouts'").fetchall()
    assert ADDRESS not in str(said), "nor learns where it is"


@pytest.mark.slow
def test_scores_deletions_purges_and_vacuum_work_there(server: LoopbackS3, tmp_path: Path) -> None:
    where = f"{ADDRESS}/edited"
    import_log(where, write_log(tmp_path / "log.jsonl"))
    build(where, embedder="exact")
    scores = tmp_path / "scores.csv"
    scores.write_text("task_id,score\ntask-b,0.25\n")
    score(where, source=str(scores), override=True)
    assert open_store(where).sql("SELECT count(*) AS n FROM effective_scores WHERE score = 0.25").to_pylist() == [{"n": 3}]
    delete(where, ["task-a"], purge=True)
    assert open_store(where).sql("SELECT DISTINCT task_id FROM rollouts ORDER BY ALL").to_pylist() == [
        {"task_id": "task-b"},
        {"task_id": "task-c"},
    ]
    (parse_address(where) / "nodes" / f"part-{'0' * 32}.parquet").write_text("left")
    assert vacuum(where, keep_days=0, dry_run=True).counts["files"] == 1
    vacuum(where, keep_days=0)
    named = {file for source in open_store(where).sources.values() for file in source.files}
    assert {name for name in objects(where) if name.endswith(".parquet") and "_delta_log" not in name} == named


# ---- one writer


def test_small_files_become_large_ones_there(server: LoopbackS3) -> None:
    where = f"{ADDRESS}/small"
    create_store(where)
    with writing(where):
        for number in range(FEW):
            append(where, number)  # type: ignore[arg-type]
    before = {table: open_store(where).read(table).to_pylist() for table in ("rollouts", "steps")}
    server.fault("500", "/rollouts/_delta_log/", method="PUT")
    with pytest.raises(TratreeError, match="the server failed"):
        vacuum(where)
    server.whole()
    assert {table: open_store(where).read(table).to_pylist() for table in before} == before
    assert "32 small files became 2" in vacuum(where, 0).notes
    assert {table: open_store(where).read(table).to_pylist() for table in before} == before
    assert len([name for name in objects(where) if "/part-" in name]) == 2


def test_threads_share_one_copy_of_the_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def slowly(prefix: str) -> object:
        time.sleep(0.05)
        made.append(prefix)
        return object()

    monkeypatch.setattr(log_mirror.tempfile, "TemporaryDirectory", slowly)
    monkeypatch.setattr(log_mirror, "_only_home", lru_cache(log_mirror._only_home.__wrapped__))
    threads = [Thread(target=log_mirror._home) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_a_second_writer_is_refused_while_the_first_writes(server: LoopbackS3) -> None:
    where = f"{ADDRESS}/one"
    create_store(where)
    with writing(where):
        with pytest.raises(StoreBusyError, match=r"Another process is writing to s3://shelf/one\.\nNext: wait"), writing(where):
            pass
        append(where, 1)  # type: ignore[arg-type]
    with writing(where):
        append(where, 2)  # type: ignore[arg-type]
    assert open_store(where).count("rollouts") == 2


@pytest.mark.slow
def test_many_writers_at_once_lose_nothing(server: LoopbackS3) -> None:
    where = f"{ADDRESS}/many"
    create_store(where)
    with writing(where):
        append(where, 0)  # type: ignore[arg-type]
    seen: set[tuple[int, int]] = set()
    done = []

    def write(first: int) -> None:
        for number in range(first, first + 2):
            while True:
                try:
                    with writing(where):
                        append(where, number)  # type: ignore[arg-type]
                    break
                except StoreBusyError:
                    time.sleep(0.05)
        done.append(first)

    threads = [Thread(target=write, args=(first,)) for first in (1, 4, 7)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        store = open_store(where)
        seen.add((store.count("rollouts"), store.count("steps")))
    assert sorted(done) == [1, 4, 7]
    assert open_store(where).count("rollouts") == 7
    assert all(steps == 2 * rollouts for rollouts, steps in seen), "readers see whole commits"


def test_a_killed_writer_leaves_nothing_visible_and_the_next_one_need_not_wait(server: LoopbackS3) -> None:
    where = f"{ADDRESS}/killed"
    create_store(where)
    with writing(where):
        append(where, 0)  # type: ignore[arg-type]
    code = f"""
import os, signal, sys
sys.path[:0] = {sys.path!r}
import tratree_data.store.writing.writer as committing
from helpers.commits import append
real = committing._commit_files
def dying(*arguments):
    real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
committing._commit_files = dying
with committing.writing({where!r}):
    append({where!r}, 1)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    store = open_store(where)
    assert (store.count("rollouts"), store.count("steps")) == (1, 2)
    assert f"{where}/.lock" in objects(where)
    with writing(where):
        append(where, 1)  # type: ignore[arg-type]
    store = open_store(where)
    assert (store.count("rollouts"), store.count("steps")) == (2, 4)
    assert f"{where}/.lock" not in objects(where)


def test_the_lock_of_another_machine_is_respected_until_its_lease_is_over(server: LoopbackS3, monkeypatch: pytest.MonkeyPatch) -> None:
    where = f"{ADDRESS}/elsewhere"
    lock = parse_address(where) / ".lock"
    lock.write_text(json.dumps({"owner": "them", "machine": "another", "process": 1}))
    with pytest.raises(StoreBusyError, match=r"if it was killed on another machine, in (59|60) s"), writing(where):
        pass
    assert lock.read_text().startswith('{"owner": "them"')
    monkeypatch.setattr(lease, "LEASE_SECONDS", -1.0)
    with writing(where):
        append(where, 0)  # type: ignore[arg-type]
    assert open_store(where).count("rollouts") == 1


def test_a_writer_that_lost_its_lease_commits_nothing(server: LoopbackS3) -> None:
    where = f"{ADDRESS}/lost"
    create_store(where)
    with writing(where):
        append(where, 0)  # type: ignore[arg-type]
        (parse_address(where) / ".lock").write_text("{}")
        with pytest.raises(StoreBusyError, match=r"has taken over s3://shelf/lost"):
            append(where, 1)  # type: ignore[arg-type]
    assert open_store(where).count("rollouts") == 1
    assert f"{where}/.lock" in objects(where), "it belongs to somebody else"


def test_a_commit_never_comes_on_top_of_a_version_that_the_writer_has_not_seen(server: LoopbackS3, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where both believe that the lock is theirs."""
    import tratree_data.store.writing.writer as committing

    where = f"{ADDRESS}/fenced"
    create_store(where)
    with writing(where):
        append(where, 0)  # type: ignore[arg-type]
    waiting = [lambda: append(where, 1)]  # type: ignore[arg-type]
    monkeypatch.setattr(committing, "confirm_lease", lambda folder: waiting and waiting.pop()())
    with pytest.raises(TratreeError, match=r"s3://shelf/fenced"):
        append(where, 2)  # type: ignore[arg-type]
    assert [row["rollout_id"] for row in rows(where, "rollouts")["rollouts"]] == ["r0", "r1"]


def test_a_server_that_ignores_conditions_is_refused(server: LoopbackS3) -> None:
    server.fault("unconditional")
    with (
        pytest.raises(BadInputError, match=r"its server ignores conditions on writes.*\nNext: use a bucket"),
        writing(f"{ADDRESS}/unsafe"),
    ):
        pass
    assert not objects(f"{ADDRESS}/unsafe")


# ---- faults


def test_a_server_that_fails_now_and_then_is_asked_again(server: LoopbackS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_providers, "RETRIES", 7)
    where = f"{ADDRESS}/flaky"
    server.fault("503", every=3, code="SlowDown")
    create_store(where)
    with writing(where):
        append(where, 0)  # type: ignore[arg-type]
    server.fault("cut", every=3)
    assert open_store(where).count("rollouts") == 1


@pytest.mark.parametrize("fault", ["500", "403", "cut"])
@pytest.mark.parametrize("when", ["steps/part-", "steps/_delta_log/", "rollouts/part-", "rollouts/_delta_log/"])
def test_a_write_that_fails_leaves_nothing_visible_and_the_same_command_finishes(server: LoopbackS3, fault: str, when: str) -> None:
    where = f"{ADDRESS}/fault-{fault}-{when.replace('/', '')}"
    create_store(where)
    with writing(where):
        append(where, 0)  # type: ignore[arg-type]
    server.fault(fault, f"{where.removeprefix(ADDRESS)}/{when}", method="PUT")
    with pytest.raises(TratreeError, match=rf"{where}[^\n]*\nNext: ") as failed, writing(where):
        append(where, 1)  # type: ignore[arg-type]
    assert "secret" not in str(failed.value)
    assert "127.0.0.1" not in str(failed.value)
    server.whole()
    store = open_store(where)
    assert (store.count("rollouts"), store.count("steps")) == (1, 2)
    with writing(where):
        append(where, 1)  # type: ignore[arg-type]
    store = open_store(where)
    assert (store.count("rollouts"), store.count("steps")) == (2, 4)


@pytest.mark.parametrize("table", ["steps", "rollouts"])
def test_a_commit_whose_answer_is_lost_counts_once(server: LoopbackS3, table: str) -> None:
    where = f"{ADDRESS}/answer-{table}"
    create_store(where)
    with writing(where):
        append(where, 0)  # type: ignore[arg-type]
    server.fault("late cut", f"/{table}/_delta_log/.*json", method="PUT", times=1)
    with writing(where):
        append(where, 1)  # type: ignore[arg-type]
    store = open_store(where)
    assert (store.count("rollouts"), store.count("steps")) == (2, 4)
    assert len(store.sources[table].files) == 2


def test_a_reader_reports_a_bucket_that_it_cannot_reach(both: tuple[str, Path], server: LoopbackS3) -> None:
    store = open_dataset(both[0])
    server.fault("500")
    with pytest.raises(TratreeError, match=r"^s3://\S+: the server failed \(InternalError\)\.\nNext: run the same command again$"):
        store.sql("SELECT * FROM nodes")
    with pytest.raises(TratreeError, match=r"the server failed"):
        open_store(both[0])
    server.fault("403", code="ExpiredToken")
    with pytest.raises(TratreeError, match=r"the credentials have expired \(ExpiredToken\)\.\nNext: renew them"):
        open_store(both[0])
    server.fault("403", code="RequestTimeTooSkewed")
    with pytest.raises(
        TratreeError, match=r"this machine's clock is too far from the server's \(RequestTimeTooSkewed\)\.\nNext: set the clock"
    ):
        open_store(both[0])
    server.fault("503", code="SlowDown")
    with pytest.raises(TratreeError, match=r"the server asks to slow down \(SlowDown\)\.\nNext: run the same command in a few minutes"):
        open_store(both[0])
    server.whole()
    assert store.count("nodes") > 0


# ---- addresses and credentials


def test_what_is_not_there_is_reported_with_the_next_command(server: LoopbackS3) -> None:
    with pytest.raises(NotFoundError, match=r"s3://shelf/nothing is not a dataset: it contains no table\.\nNext: tratree import"):
        open_store(f"{ADDRESS}/nothing")
    with pytest.raises(NotFoundError, match=r"the bucket does not exist \(NoSuchBucket\)\.\nNext: create it"):
        open_store("s3://nowhere/x")
    (parse_address(f"{ADDRESS}/foreign") / "notes.txt").write_text("mine")
    with pytest.raises(BadInputError, match=r"contains other files \(notes.txt\)"):
        create_store(f"{ADDRESS}/foreign")


def test_credentials_must_be_in_the_environment_and_are_never_sent_in_the_clear(
    server: LoopbackS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://example.org")
    with pytest.raises(BadInputError, match=r"AWS_ENDPOINT_URL is an http address \(example.org\)"):
        open_store(f"{ADDRESS}/x")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(BadInputError, match=r"s3://shelf/x needs credentials.*\nNext: export AWS_ACCESS_KEY_ID=…"):
        open_store(f"{ADDRESS}/x")
    for address, name in (("gs://b/x", "GOOGLE_APPLICATION_CREDENTIALS"), ("az://b/x", "AZURE_STORAGE_ACCOUNT_NAME")):
        with pytest.raises(BadInputError, match=name):
            open_store(address)
    assert not server.paths()


@pytest.mark.parametrize("address", ["s3://key:password@b/x", "s3://b/x?a=b", "s3://b/a b", "s3://b/../x", "s3://b//x", "s3://b/é"])
def test_an_address_has_plain_names(address: str) -> None:
    with pytest.raises(BadInputError, match=r"cannot be the address of a dataset") as refused:
        open_store(address)
    assert "password" not in str(refused.value)


@pytest.mark.slow
def test_the_command_line_takes_addresses(both: tuple[str, Path]) -> None:
    words = [sys.executable, "-m", "tratree_data.cli", "sql", both[0], "SELECT count(*) AS n FROM rollouts", "--format", "csv"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, '"n"\n9\n'), done.stderr


def test_what_is_sorted_for_workers_elsewhere_is_in_the_bucket_until_they_are_done(server: LoopbackS3, tmp_path: Path) -> None:
    where = f"{ADDRESS}/scattered"
    lines = [
        {"task_id": f"t{task}", "env": "e", "instruction": "Go.", "reward": 1.0, "steps": [{"observation": f"{task} {i}", "action": "go"}]}
        for i in range(2)
        for task in range(8)
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    import_log(where, tmp_path / "log.jsonl")
    store = open_store(where)
    rollouts = read_outcomes(store, ["rollout_id", "tree_id", "step_count"])
    with sorting_folder(store, "ray") as shared:
        chunks = plan_step_chunks(store, rollouts, tmp_path / "scratch", 1, shared)
        assert {group.file.startswith(f"{where}/.building/") for chunk in chunks for group, _ in chunk.places} == {True}
        assert sorted(read_step_chunk(chunk, ["rollout_id"]).num_rows for chunk in chunks) == [2] * 8
    assert not [name for name in objects(where) if "/.building/" in name]
