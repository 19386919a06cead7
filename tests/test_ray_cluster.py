"""Every stage on a real Ray cluster of several nodes that share nothing but a bucket, one of which dies: the tables of a local run."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from helpers.loopback_s3 import BUCKET, LoopbackS3, serving_s3

from tratree_data import build, check, demonstrations, import_log, open_store, pairs, publish, search, states
from tratree_data.errors import BadInputError
from tratree_data.importers import parallel
from tratree_data.results import StageResult
from tratree_data.store.buckets.bucket_paths import list_below, parse_address
from tratree_data.store.chunks import tree_chunks
from tratree_data.store.published.manifest import read_checksums
from tratree_data.system.engine import run_each

pytestmark = pytest.mark.slow
SMALL = 60
"""Steps or nodes of a chunk, so that there are many."""


class Machines:
    """A cluster of a head that computes nothing and two nodes, each with a working folder of its own."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self.folder = folder
        for number in range(2):
            self.start(number)

    def start(self, number: int) -> None:
        home = self.folder / f"node-{number}"
        home.mkdir()
        before = Path.cwd()
        os.chdir(home)
        self.cluster.add_node(num_cpus=1)
        os.chdir(before)

    def kill_one(self) -> None:
        self.cluster.remove_node(next(iter(self.cluster.worker_nodes)), allow_graceful=False)


@pytest.fixture(scope="module")
def server() -> Iterator[LoopbackS3]:
    with serving_s3() as server:
        yield server


@pytest.fixture(scope="module")
def machines(server: LoopbackS3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    ray = pytest.importorskip("ray", reason="needs the extra 'ray'")
    machines = Machines(tmp_path_factory.mktemp("nodes"))
    ray.init(address=machines.cluster.address, log_to_driver=False, logging_level="ERROR")
    yield machines
    ray.shutdown()
    machines.cluster.shutdown()


def run_all(directory: str, log: Path, engine: str) -> list[StageResult]:
    running: Any = {"engine": engine}
    return [
        import_log(directory, log, **running),
        build(directory, embedder="minilm", chunk_steps=SMALL, **running),
        search(directory, **running),
        states(directory, **running),
        pairs(directory, kinds=("divergence", "anchor"), balance=True, **running),
        demonstrations(directory, **running),
    ]


def rows(directory: str) -> dict[str, list[str]]:
    """Of every table, in the order in which they are stored; vectors without the last bits, which depend on the batch."""
    store = open_store(directory)
    return {name: sorted(map(repr, store.read(name).to_pylist())) for name in store.sources if name != "embeddings"}


def test_every_stage_gives_the_tables_of_a_local_run_though_a_node_dies(
    machines: Machines, server: LoopbackS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_chunks, "NODES_PER_CHUNK", SMALL)
    monkeypatch.setattr(tree_chunks, "STEPS_PER_CHUNK", SMALL)
    monkeypatch.setattr(parallel, "PARALLEL_FROM", 0)
    monkeypatch.setattr(parallel, "PART_BYTES", 4_000)
    homes = set(run_each(where_am_i, range(6), engine="ray"))
    assert homes == {machines.folder / "node-0", machines.folder / "node-1"}
    log = write_log(tmp_path / "log.jsonl")
    near = run_all(str(tmp_path / "near"), log, "local")
    killer = Thread(target=kill_a_node_while_building, args=(machines, server))
    killer.start()
    far = run_all(f"s3://{BUCKET}/far", log, "ray")
    killer.join()
    assert len(machines.cluster.worker_nodes) == 1
    assert rows(f"s3://{BUCKET}/far") == rows(str(tmp_path / "near"))
    assert [result.counts for result in far] == [result.counts for result in near]
    assert len(open_store(f"s3://{BUCKET}/far").sources["node_values"].files) > 3, "several workers wrote"
    assert check(f"s3://{BUCKET}/far", engine="ray").equals(check(f"s3://{BUCKET}/far"))
    for directory, engine in ((str(tmp_path / "near"), "local"), (f"s3://{BUCKET}/far", "ray")):
        publish(directory, tmp_path / f"release-{engine}", "1.0.0", title="It", engine=engine)
    assert checksums(tmp_path / "release-ray") == checksums(tmp_path / "release-local")
    assert not any("/.building/" in str(found.path) for found in list_below(parse_address(f"s3://{BUCKET}/far")))
    texts = open_store(f"s3://{BUCKET}/far").read("embeddings")["text_id"].to_pylist()
    assert len(texts) == len(set(texts)) > 0


def checksums(release: Path) -> dict[str, str]:
    """Of everything but lineage.json, which counts a dataset's commits."""
    return {name: digest for name, digest in read_checksums(release).items() if name != "lineage.json"}


def write_log(path: Path) -> Path:
    """Twenty tasks whose observations differ by little, and often occur in several of them."""
    lines = [
        {
            "task_id": f"task-{task}",
            "env": "house",
            "instruction": f"Do {task}.",
            "reward": float((task + attempt) % 3 == 0),
            "steps": [
                {"observation": f"The hall of the house has {n + attempt % 2} doors and a window.", "action": f"door {(n * attempt) % 3}"}
                for n in range(3 + task % 3)
            ],
        }
        for task in range(20)
        for attempt in range(4)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def where_am_i(_: int) -> Path:
    time.sleep(0.5)
    return Path.cwd()


def kill_a_node_while_building(machines: Machines, server: LoopbackS3) -> None:
    while not any("/nodes/part-" in path for path in server.paths("PUT")):
        time.sleep(0.1)
    machines.kill_one()


def test_a_folder_that_the_workers_do_not_have_is_reported(machines: Machines, tmp_path: Path) -> None:
    from tratree_data.store.chunks.by_chunk import need_reachable

    with pytest.raises(BadInputError, match=r"has no folder .*\nNext: keep the dataset in a bucket"):
        list(run_each(need_reachable, [tmp_path / "elsewhere"], engine="ray"))
