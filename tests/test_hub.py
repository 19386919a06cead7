"""Releases on a Hub on loopback, through the real clients: published, loaded, streamed, opened, and every fault on the way.

The clients read the Hub's address when they are imported, so they work in a process of their own. Nothing of theirs is replaced.
"""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers.loopback_hub import TOKEN, Fault, LoopbackHub, Repository, Request
from helpers.shop import build_all, import_rows, make_dataset, trajectories

from tratree_data.errors import BadInputError, NotFoundError, RefusedError, TratreeError


@dataclass
class Client:
    """The process of the clients, and the Hub that it talks to."""

    hub: LoopbackHub
    pool: ProcessPoolExecutor
    environment: dict[str, str]

    def do(self, function: Callable[..., Any], *arguments: Any, fault: Fault | None = None, **options: Any) -> Any:
        self.hub.begin(fault)
        return self.pool.submit(function, *arguments, **options).result(timeout=300)

    def repository(self, name: str) -> Repository:
        return self.hub.repositories[name]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    hub = LoopbackHub()
    environment = {
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path_factory.mktemp("hub-home")),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_ETAG_TIMEOUT": "2",
        "HF_HUB_DOWNLOAD_TIMEOUT": "2",
        "TRATREE_HUB_TIMEOUT": "2",
    }
    kept = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    try:
        pool.submit(os.getpid).result()
    finally:
        for name, value in kept.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
    yield Client(hub, pool, {**os.environ, **environment})
    pool.shutdown()
    hub.close()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("hub") / "shop")


# What runs in the clients' process


def publish(folder: Path, repo: str, version: str, **options: Any) -> tuple[bool, tuple[str, ...]]:
    from tratree_data.releases.publish import publish

    report = publish(folder, f"hub:{repo}", version, **options)
    return report.changed, report.notes


def withdraw(repo: str, version: str, reason: str) -> tuple[bool, tuple[str, ...]]:
    from tratree_data.releases.withdraw import withdraw

    report = withdraw(f"hub:{repo}", version, reason=reason)
    return report.changed, report.notes


def load(repo: str, table: str, version: str) -> dict[str, list[dict[str, Any]]]:
    import datasets

    datasets.disable_progress_bars()
    return {name: part.to_list() for name, part in datasets.load_dataset(repo, table, revision=version).items()}


def stream(repo: str, table: str, version: str) -> list[dict[str, Any]]:
    import datasets

    return list(datasets.load_dataset(repo, table, revision=version, split="train", streaming=True))


def ask(release: str, question: str) -> list[dict[str, Any]]:
    from tratree_data.store.published.release import open_release

    return open_release(release).sql(question).to_pylist()


def use_verbs(release: str) -> dict[str, Any]:
    from tratree_data.store.checks import check
    from tratree_data.store.published.release import open_dataset
    from tratree_data.trees.stats import stats
    from tratree_data.viewing.show import show

    store = open_dataset(release)
    return {
        "broken": [row["check"] for row in check(release).to_pylist() if row["offending_rows"]],
        "trees": stats(release).to_pylist()[0]["trees"],
        "tree": show(release, "task-1"),
        "columns": store.read("nodes", ["node_id", "visits"]).num_rows,
    }


def remove(repo: str, path: str) -> None:
    from huggingface_hub import HfApi

    HfApi().delete_file(path, repo, repo_type="dataset")


def corrupt(release: str) -> list[str]:
    from tratree_data.store.published.release import corrupt_files

    return corrupt_files(release)


def only_one(rows: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [row for part in rows.values() for row in part]


# Publishing and loading


def test_a_release_is_published_loaded_and_streamed_by_its_version(client, dataset, tmp_path):
    changed, notes = client.do(publish, dataset, "org/shop", "1.0.0")
    assert changed
    assert notes[-1] == 'load it: datasets.load_dataset("org/shop", "pairs", revision="v1.0.0")'
    writes = [request.path for request in client.hub.requests if request.method != "GET"]
    assert "/tag/" in writes[-1], "the tag comes last"
    assert sum("/commit/" in path for path in writes) == 1, "one commit a version"
    repository = client.repository("org/shop")
    assert repository.tags == {"v1.0.0": repository.commits[-1][0]}
    from tratree_data.store.reader import open_store

    store = open_store(dataset)
    for table in ("pairs", "rollouts", "step_nodes"):
        rows = only_one(client.do(load, "org/shop", table, "v1.0.0"))
        key = {"pairs": "pair_id", "rollouts": "rollout_id"}.get(table, "node_id")
        assert sorted(row[key] for row in rows) == sorted(store.read(table)[key].to_pylist())
    streamed = client.do(stream, "org/shop", "pairs", "v1.0.0")
    assert {row["pair_id"] for row in streamed} == {row["pair_id"] for row in client.do(load, "org/shop", "pairs", "v1.0.0")["train"]}


def test_all_reading_verbs_work_on_the_hub_and_read_what_they_need(client, dataset):
    client.do(publish, dataset, "org/read", "1.0.0")
    assert client.do(ask, "hub:org/read@v1.0.0", "SELECT count(*) AS n FROM rollouts") == [{"n": 24}]
    read = {
        request.path.split("/data/")[1].split("/")[0]
        for request in client.hub.requests
        if "/resolve/" in request.path and "/data/" in request.path
    }
    assert read == {"rollouts"}, "a question reads the tables that it names"
    found = client.do(use_verbs, "hub:org/read@v1.0.0")
    assert found["broken"] == []
    assert found["trees"] == 6
    assert "search" in str(found["tree"])
    assert found["columns"] == 36
    for attempt in ("SELECT * FROM read_csv('/etc/passwd')", "COPY (SELECT 1) TO '/tmp/out.csv'"):
        with pytest.raises(BadInputError, match="refused"):
            client.do(ask, "hub:org/read", attempt)


def test_check_finds_files_that_the_hub_does_not_hold_as_they_were_published(client, dataset):
    client.do(publish, dataset, "org/corrupt", "1.0.0")
    files = client.repository("org/corrupt").commits[-1][1]
    shards = sorted(path for path in files if path.endswith(".parquet") and "/steps/" in path)
    files[shards[0]] = files[shards[0]][:9] + bytes([files[shards[0]][9] ^ 4]) + files[shards[0]][10:]
    del files[shards[1]]
    assert client.do(corrupt, "hub:org/corrupt@v1.0.0") == [f"{shards[1]} is gone", f"{shards[0]} is changed"]
    assert not [request for request in client.hub.requests if "/resolve/" in request.path and "/data/" in request.path]


@pytest.mark.slow
def test_versions_on_the_hub_never_move_and_grow_by_shards(client, tmp_path):
    folder = make_dataset(tmp_path / "shop", range(3))
    client.do(publish, folder, "org/grow", "1.0.0")
    head = client.repository("org/grow").commits[-1]
    changed, notes = client.do(publish, folder, "org/grow", "1.0.0")
    assert not changed
    assert "same as version 1.0.0" in notes[0]
    assert not [request for request in client.hub.requests if request.method in ("POST", "PUT")]
    build_all(import_rows(folder, trajectories(range(3, 5))))
    with pytest.raises(BadInputError, match=r"already published and cannot change"):
        client.do(publish, folder, "org/grow", "1.0.0")
    assert client.repository("org/grow").commits[-1] is head
    uploaded = set(client.hub.objects)
    assert client.do(publish, folder, "org/grow", "1.1.0")[0]
    first, second = (client.repository("org/grow").resolve(tag)[1] for tag in ("v1.0.0", "v1.1.0"))
    shards = {path for path in first if path.endswith(".parquet")}
    assert shards < set(second)
    puts = [request for request in client.hub.requests if request.method == "PUT"]
    assert len(puts) == len({path for path in second if path.endswith(".parquet")}) - len(shards), "old shards are not uploaded again"
    assert uploaded < set(client.hub.objects)
    assert len(only_one(client.do(load, "org/grow", "rollouts", "v1.0.0"))) == 12
    assert len(only_one(client.do(load, "org/grow", "rollouts", "v1.1.0"))) == 20
    assert client.do(ask, "hub:org/grow", "SELECT count(*) AS n FROM rollouts") == [{"n": 20}]


def sent_shards(client: Client) -> int:
    return len([request for request in client.hub.requests if request.method == "PUT"])


@pytest.mark.slow
def test_publishing_sends_only_the_shards_that_differ(client, tmp_path):
    """And reads of the others what the card asks for. A shard that someone removed from `main` is put there again."""
    folder = make_dataset(tmp_path / "shop", range(6))
    client.do(publish, folder, "org/lean", "1.0.0")
    assert not client.do(publish, folder, "org/lean", "1.0.0")[0]
    assert client.do(publish, folder, "org/lean", "1.0.1", license="cc-by-4.0")[0]
    assert sent_shards(client) == 0
    build_all(import_rows(folder, trajectories([7])))
    removed = next(path for path in client.repository("org/lean").resolve("main")[1] if path.startswith("data/steps/"))
    client.do(remove, "org/lean", removed)
    _, notes = client.do(publish, folder, "org/lean", "1.1.0", license="cc-by-4.0")
    assert "1 tree new or changed, the others not read" in notes
    assert removed in client.repository("org/lean").resolve("v1.1.0")[1]
    old, new = (client.repository("org/lean").resolve(tag)[1] for tag in ("v1.0.1", "v1.1.0"))
    assert {path for path in old if path.endswith(".parquet")} < set(new)
    assert len(only_one(client.do(load, "org/lean", "rollouts", "v1.1.0"))) == 28


def publish_crowded(folder: Path, repo: str, version: str) -> bool:
    """With room for one small shard a split."""
    from tratree_data.releases.versions import diff

    before, diff.SMALL_SHARDS = diff.SMALL_SHARDS, 1
    try:
        return publish(folder, repo, version)[0]
    finally:
        diff.SMALL_SHARDS = before


@pytest.mark.slow
def test_small_shards_written_anew_on_the_hub_leave_both_versions_whole(client, tmp_path):
    folder = import_rows(tmp_path / "shop", trajectories([1]))
    assert client.do(publish_crowded, folder, "org/crowded", "1.0.0")
    import_rows(folder, trajectories([2]))
    assert client.do(publish_crowded, folder, "org/crowded", "1.1.0")
    assert not client.do(publish_crowded, folder, "org/crowded", "1.1.0")
    first, second = (client.repository("org/crowded").resolve(tag)[1] for tag in ("v1.0.0", "v1.1.0"))
    names = [[path for path in files if path.startswith("data/steps/")] for files in (first, second)]
    assert [len(found) for found in names] == [1, 1]
    assert names[0] != names[1]
    assert len(only_one(client.do(load, "org/crowded", "steps", "v1.0.0"))) == 12
    assert len(only_one(client.do(load, "org/crowded", "steps", "v1.1.0"))) == 24
    assert client.do(ask, "hub:org/crowded@v1.0.0", "SELECT count(*) AS n FROM steps") == [{"n": 12}]


def test_files_of_others_in_the_repository_stay(client, tmp_path):
    rows = trajectories(range(2))
    client.do(publish, import_rows(tmp_path / "shop", rows), "org/others", "0.1.0")
    repository = client.repository("org/others")
    files = dict(repository.commits[-1][1])
    repository.commit({**files, "NOTES.md": b"ours", "data/rollouts/stale.parquet": b"old"})
    client.do(publish, import_rows(tmp_path / "shop", trajectories([2])), "org/others", "0.2.0")
    now = repository.commits[-1][1]
    assert now["NOTES.md"] == b"ours"
    assert "data/rollouts/stale.parquet" not in now


def test_private_and_gated_repositories(client, dataset, tmp_path):
    folder = import_rows(tmp_path / "shop", trajectories([1]))
    client.do(publish, folder, "org/secret", "0.1.0", private=True, gated=True)
    assert client.repository("org/secret").private
    assert client.repository("org/secret").gated == "auto"
    client.do(publish, folder, "org/open", "0.1.0")
    assert not client.repository("org/open").private
    commits = len(client.repository("org/open").commits)
    import_rows(folder, trajectories([2]))
    with pytest.raises(BadInputError, match="is public"):
        client.do(publish, folder, "org/open", "0.2.0", private=True)
    assert len(client.repository("org/open").commits) == commits


def test_what_is_not_on_the_hub_is_named(client, dataset):
    with pytest.raises(TratreeError, match=r"no such repository"):
        client.do(ask, "hub:org/nothing@v1.0.0", "SELECT 1")
    client.do(publish, dataset, "org/named", "1.0.0")
    with pytest.raises(NotFoundError, match=r"no version v3\.0\.0"):
        client.do(ask, "hub:org/named@v3.0.0", "SELECT 1")
    for name in ("nameonly", "a/b/c", "org/..", "org/x y"):
        with pytest.raises(BadInputError, match="hub:org/name"):
            client.do(publish, dataset, name, "1.0.0")


def test_refuse_uploads_nothing(client, tmp_path):
    folder = import_rows(tmp_path / "shop", trajectories([1], observation="mail eve@evil-corp.io"))
    with pytest.raises(RefusedError, match="email"):
        client.do(publish, folder, "org/refused", "1.0.0", fail_on_findings=True)
    assert "org/refused" not in client.hub.repositories


# Faults


def from_request(number: int, what: object) -> Fault:
    """Everything works until a writing request, and nothing from then on."""
    seen = {"writes": 0, "down": False}

    def fault(request: Request) -> object:
        if request.method in ("POST", "PUT"):
            seen["down"] = seen["down"] or seen["writes"] == number
            seen["writes"] += 1
        return what if seen["down"] else None

    return fault


@pytest.mark.slow
def test_cut_off_at_any_request_there_is_no_tag_and_the_same_command_finishes(client, tmp_path):
    folder = import_rows(tmp_path / "shop", trajectories(range(2)))
    client.do(publish, folder, "org/whole", "1.0.0")
    whole = client.repository("org/whole")
    writes = [request for request in client.hub.requests if request.method in ("POST", "PUT")]
    kinds = [
        next(part for part in ("create", "validate", "preupload", "batch", "/lfs/", "commit", "/tag/") if part in r.path) for r in writes
    ]
    assert set(kinds) == {"create", "validate", "preupload", "batch", "/lfs/", "commit", "/tag/"}
    for number, kind in enumerate(kinds):
        repo = f"org/cut-{number}"
        client.hub.objects.clear()
        with pytest.raises(TratreeError, match=r"401"):
            client.do(publish, folder, repo, "1.0.0", fault=from_request(number, 401))
        if repo in client.hub.repositories:
            assert client.repository(repo).tags == {}, kind
        changed, _ = client.do(publish, folder, repo, "1.0.0")
        assert changed
        files = {path: content for path, content in client.repository(repo).resolve("v1.0.0")[1].items() if path.endswith(".parquet")}
        assert files == {path: content for path, content in whole.resolve("v1.0.0")[1].items() if path.endswith(".parquet")}, kind
        assert differences(client.repository(repo)) == [], "an interrupted version is one commit in the end"


@pytest.mark.parametrize("moment", ["/lfs/", "/commit/", "/tag/"])
@pytest.mark.slow
def test_killed_while_uploading_the_same_command_finishes(client, tmp_path, moment):
    folder = import_rows(tmp_path / "shop", trajectories(range(2)))
    repo = f"org/killed-{moment.strip('/')}"
    code = f"from tratree_data.releases.publish import publish; publish({str(folder)!r}, 'hub:{repo}', '1.0.0')"
    started: list[subprocess.Popen[bytes]] = []

    def fault(request: Request) -> object:
        if moment in request.path and request.method in ("POST", "PUT"):
            started[0].send_signal(signal.SIGKILL)
            return ("late-cut",)
        return None

    client.hub.begin(fault)
    started.append(subprocess.Popen([sys.executable, "-c", code], env=client.environment, cwd=Path(__file__).parents[1]))
    assert started[0].wait(timeout=120) == -signal.SIGKILL
    tags = client.repository(repo).tags
    assert tags == {} or moment == "/tag/", "only a tag that the Hub had taken before the kill is there"
    client.do(publish, folder, repo, "1.0.0")
    assert set(client.repository(repo).tags) == {"v1.0.0"}
    assert differences(client.repository(repo)) == [], "the second run adds nothing to what the first had committed"


def differences(repository: Repository) -> list[str]:
    """Paths in which the commits after the first differ; none where there is one version and no leftover."""
    _, first, *others = (files for _, files in repository.commits)
    return sorted({path for files in others for path in set(first) | set(files) if first.get(path) != files.get(path)})


def once(part: str, what: object) -> Fault:
    """The first request of a kind goes wrong; the client's own retries must do."""
    seen: list[Request] = []

    def fault(request: Request) -> object:
        if part in request.path and request.method in ("POST", "PUT") and not seen:
            seen.append(request)
            return what
        return None

    return fault


@pytest.mark.parametrize(("part", "what"), [("/lfs/", 500), ("/lfs/", "cut"), ("/preupload/", 429), ("/lfs/", ("wait", 3)), ("batch", 503)])
def test_a_fault_that_passes_is_survived(client, tmp_path, part, what):
    folder = import_rows(tmp_path / "shop", trajectories([1]))
    repo = f"org/passing-{part.strip('/')}-{''.join(c for c in str(what) if c.isalnum())}"
    try:
        client.do(publish, folder, repo, "1.0.0", fault=once(part, what))
    except TratreeError:
        assert client.repository(repo).tags == {}
        client.do(publish, folder, repo, "1.0.0")
    assert set(client.repository(repo).tags) == {"v1.0.0"}


@pytest.mark.parametrize(
    ("part", "what", "said"),
    [
        ("/commit/", 500, r"failed \(500\)"),
        ("/commit/", "cut", "cannot be reached"),
        ("/commit/", ("wait", 4), "cannot be reached"),
        ("/commit/", 412, "changed by someone else"),
        ("/commit/", 429, "too many requests"),
        ("/tag/", 409, "someone published at the same moment"),
        ("/tag/", 500, "failed"),
        ("repos/create", 401, "hf auth login"),
        ("repos/create", 403, "write access"),
    ],
)
def test_faults_are_explained_without_the_token(client, tmp_path, part, what, said):
    folder = import_rows(tmp_path / "shop", trajectories([1]))
    repo = f"org/fault-{part.strip('/').replace('/', '-')}-{''.join(c for c in str(what) if c.isalnum())}"
    with pytest.raises(TratreeError, match=said) as error:
        client.do(publish, folder, repo, "1.0.0", fault=once(part, what))
    assert "Next: " in str(error.value)
    assert TOKEN not in "".join(map(str, (error.value, error.value.__cause__, error.value.__context__)))
    if repo in client.hub.repositories:
        assert client.repository(repo).tags == {}
    client.do(publish, folder, repo, "1.0.0")
    assert set(client.repository(repo).tags) == {"v1.0.0"}


def test_a_taken_namespace_is_explained(client, tmp_path):
    folder = import_rows(tmp_path / "shop", trajectories([1]))
    with pytest.raises(TratreeError, match="does not let this token write there"):
        client.do(publish, folder, "others/shop", "1.0.0")


def test_a_commit_of_another_in_between_is_refused(client, tmp_path):
    folder = import_rows(tmp_path / "shop", trajectories([1]))
    client.do(publish, folder, "org/race", "0.1.0")
    repository = client.repository("org/race")

    def fault(request: Request) -> object:
        if "/commit/" in request.path and len(repository.commits) == 2:
            repository.commit({**repository.commits[-1][1], "someone.txt": b"else"})
        return None

    import_rows(folder, trajectories([2]))
    with pytest.raises(TratreeError, match="changed by someone else"):
        client.do(publish, folder, "org/race", "0.2.0", fault=fault)
    assert set(repository.tags) == {"v0.1.0"}
    client.do(publish, folder, "org/race", "0.2.0")
    assert repository.resolve("v0.2.0")[1]["someone.txt"] == b"else"


@pytest.mark.parametrize(("tagged", "said"), [(True, "someone else has just published version 0.2.0"), (False, "changed by someone else")])
def test_what_another_published_while_a_release_was_made_stays_on_main(client, tmp_path, tagged, said):
    folder = import_rows(tmp_path / "shop", trajectories([1]))
    repo = f"org/meanwhile-{tagged}"
    client.do(publish, folder, repo, "0.1.0")
    repository = client.repository(repo)

    def fault(request: Request) -> object:
        if "/resolve/" in request.path and len(repository.commits) == 2:
            commit = repository.commit({**repository.commits[-1][1], "README.md": b"theirs"})
            repository.tags |= {"v0.2.0": commit} if tagged else {}
        return None

    import_rows(folder, trajectories([2]))
    with pytest.raises(TratreeError, match=said):
        client.do(publish, folder, repo, "0.2.0", fault=fault)
    assert len(repository.commits) == 3
    assert repository.commits[-1][1]["README.md"] == b"theirs"


def run_cli(client: Client, *arguments: str, before: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    code = f"{before}\nimport sys\nfrom tratree_data.cli import main\nsys.argv = ['tratree', *{list(arguments)!r}]\nmain()"
    return subprocess.run(
        [sys.executable, "-c", code], env={**client.environment, **environment}, capture_output=True, text=True, check=False, timeout=300
    )


READING_VERBS = {
    "sql": ("SELECT sum(length(observation)) AS n FROM steps",),
    "show": ("task-1",),
    "check": (),
    "stats": (),
}


@pytest.mark.parametrize(
    ("what", "said", "verbs"),
    [
        (401, "hf auth login", READING_VERBS),
        (404, "no such repository", READING_VERBS),
        (429, "too many requests", ["sql"]),
        (500, r"failed \(500\)", ["sql"]),
        (("half",), "cannot be reached", ["sql"]),
    ],
)
@pytest.mark.slow
def test_a_fault_while_reading_ends_with_a_plain_word(client, dataset, what, said, verbs):
    """Passing faults are retried by the client, five times within half a minute; then that is all."""
    if "org/faulty" not in client.hub.repositories:
        client.do(publish, dataset, "org/faulty", "1.0.0")
    client.hub.begin(lambda request: what if "/data/" in request.path else None)
    for verb in verbs:
        done = run_cli(client, verb, "hub:org/faulty", *READING_VERBS[verb])
        assert done.returncode == 2, (verb, done.stderr)
        assert re.search(said, done.stderr), (verb, done.stderr)
        assert "Next: " in done.stderr
        assert "Traceback" not in done.stderr
        assert TOKEN not in done.stderr + done.stdout
    assert len(client.hub.requests) < 100


def test_a_hub_that_is_not_there_is_said(client):
    done = run_cli(client, "stats", "hub:org/faulty", HF_ENDPOINT="http://127.0.0.1:9")
    assert done.returncode == 2, done.stderr
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_client_that_is_told_to_be_offline_says_so(client, dataset):
    for verb in (
        ("stats", "hub:org/faulty"),
        ("check", "hub:org/faulty"),
        ("publish", str(dataset), "hub:org/faulty", "--version", "1.0.0"),
    ):
        done = run_cli(client, *verb, HF_HUB_OFFLINE="1")
        assert done.returncode == 2, done.stderr
        assert "Next: unset HF_HUB_OFFLINE" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_full_disk_while_publishing_to_the_hub(client, tmp_path):
    folder = import_rows(tmp_path / "shop", trajectories([1]))
    limit = (
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))"
    )
    client.hub.begin()
    done = run_cli(client, "publish", str(folder), "hub:org/disk", "--version", "1.0.0", before=limit)
    assert done.returncode == 2, done.stderr
    assert "could not be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert "org/disk" not in client.hub.repositories


@pytest.mark.slow
def test_the_token_is_needed_and_never_shown(client, tmp_path):
    folder = import_rows(tmp_path / "shop", trajectories([1]))
    client.hub.begin()
    done = run_cli(client, "publish", str(folder), "hub:org/token", "--version", "1.0.0", HF_TOKEN="")
    assert done.returncode == 2
    assert "hf auth login" in done.stderr
    wrong = run_cli(client, "publish", str(folder), "hub:org/token", "--version", "1.0.0", HF_TOKEN="hf_wrongWRONGwrongWRONGwrongWRONG12")
    assert wrong.returncode == 2
    assert "does not know this token" in wrong.stderr
    assert "wrongWRONG" not in wrong.stderr + wrong.stdout
    done = run_cli(client, "publish", str(folder), "hub:org/token", "--version", "1.0.0")
    assert done.returncode == 0, done.stderr
    assert TOKEN not in done.stderr + done.stdout
    for _, files in client.repository("org/token").commits:
        assert not [path for path, content in files.items() if TOKEN.encode() in content]


@pytest.mark.slow
def test_a_version_is_withdrawn_with_its_tag(client: Client, dataset: Path, tmp_path: Path) -> None:
    """`main` shows the version before again, and the number is never used again."""
    client.do(publish, dataset, "org/leaky", "0.1.0", title="x")
    repository = client.repository("org/leaky")
    safe = dict(repository.commits[-1][1])
    client.do(publish, dataset, "org/leaky", "0.2.0", title="another", traces=10)
    assert any(name.startswith("traces/train/") for name in repository.commits[-1][1])
    repository_file = json.loads(repository.commits[-1][1]["croissant.json"])["distribution"][0]
    assert repository_file["contentUrl"] == "https://huggingface.co/datasets/org/leaky/tree/v0.2.0"
    assert {row["file_path"] for row in client.do(stream, "org/leaky", "traces", "v0.2.0")} < set(repository.commits[-1][1])
    changed, notes = client.do(withdraw, "org/leaky", "0.2.0", "a secret")
    assert changed
    assert any("super_squash_history" in note for note in notes)
    now = dict(repository.commits[-1][1])
    assert json.loads(now.pop("withdrawn.json")) == {"0.2.0": {"reason": "a secret", "files": {}}}
    assert now == safe
    assert set(repository.tags) == {"v0.1.0"}
    assert client.do(withdraw, "org/leaky", "0.2.0", "")[0] is False
    with pytest.raises(BadInputError, match=r"0\.2\.0 was withdrawn"):
        client.do(publish, dataset, "org/leaky", "0.2.0", title="another")
    client.do(withdraw, "org/leaky", "0.1.0", "")
    assert set(repository.commits[-1][1]) <= {"withdrawn.json", ".gitattributes"}
    assert not repository.tags
