"""A bucket that fails from some request of a command on: nothing is lost, the message is ours, and the same command finishes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.loopback_s3 import BUCKET, LoopbackS3, serving_s3

from tratree_data import import_log, open_store
from tratree_data.errors import TratreeError
from tratree_data.store.buckets import bucket_providers, lease

SHORT = [("cut", ""), ("late cut", ""), ("403", "ExpiredToken")]
"""From the n-th request on nobody answers; what is asked for is done, and nobody answers; the credentials are refused."""


@pytest.fixture(scope="module")
def server() -> Iterator[LoopbackS3]:
    with serving_s3() as server:
        yield server


@pytest.fixture(autouse=True)
def quick(server: LoopbackS3, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Few retries, and nobody waits for the lock that a failed command of this process left."""
    monkeypatch.setattr(bucket_providers, "RETRIES", 0)
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.0)
    bucket_providers._client.cache_clear()
    yield
    server.whole()


def write_log(path: Path, number: int) -> Path:
    steps = [{"observation": "hall", "action": "go"}, {"observation": f"room {number}", "action": "open"}]
    named = {"task_id": "t", "env": "house", "instruction": "Go.", "reward": 1.0, "trajectory_id": f"x{number}"}
    path.write_text(json.dumps(named | {"steps": steps}) + "\n")
    return path


def counts(where: str) -> tuple[int, int]:
    store = open_store(where)
    return store.count("rollouts"), store.count("steps")


def fail_at_each_request(server: LoopbackS3, where: str, folder: Path, kind: str, code: str, stride: int) -> int:
    """How many requests an import takes, after failing from one of each `stride` of them on."""
    import_log(where, write_log(folder / "0.jsonl", 0))
    done, after = 1, 0
    while True:
        log = write_log(folder / f"{done}.jsonl", done)
        server.fault(kind, after=after, code=code)
        said = None
        try:
            import_log(where, log)
        except TratreeError as error:
            said = str(error)
        requests = len(server.requests())
        server.whole()
        if said is not None:
            assert re.search(r"\nNext: ", said), f"request {after + 1}: {said}"
            assert not re.search("127.0.0.1|secret|Generic|reqwest|http", said), f"request {after + 1}: {said}"
            assert not code or "expired" in said, f"request {after + 1}: {said}"
        assert counts(where) in ((done, 2 * done), (done + 1, 2 * done + 2)), f"request {after + 1}"
        import_log(where, log)
        assert counts(where) == (done + 1, 2 * done + 2), f"request {after + 1}"
        if said is None and requests <= after:
            return requests
        done, after = done + 1, after + stride


def test_a_server_that_goes_away_in_the_middle_loses_nothing(server: LoopbackS3, tmp_path: Path) -> None:
    assert fail_at_each_request(server, f"s3://{BUCKET}/some", tmp_path, "cut", "", stride=20) > 15


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "code"), SHORT)
def test_every_seventh_request_may_be_the_first_to_fail(server: LoopbackS3, tmp_path: Path, kind: str, code: str) -> None:
    assert fail_at_each_request(server, f"s3://{BUCKET}/{kind.replace(' ', '-')}", tmp_path, kind, code, stride=7) > 15


def test_a_region_that_throttles_is_waited_for(server: LoopbackS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of three requests are refused with 503 SlowDown and Retry-After."""
    monkeypatch.setattr(bucket_providers, "RETRIES", 7)
    where = f"s3://{BUCKET}/slow"
    import_log(where, write_log(tmp_path / "0.jsonl", 0))
    server.fault("503", every=3, code="SlowDown")
    import_log(where, write_log(tmp_path / "1.jsonl", 1))
    server.whole()
    assert counts(where) == (2, 4)
