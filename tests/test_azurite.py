"""A dataset in an Azure container, on Microsoft's own emulator: what tests/test_bucket.py checks on S3, as far as the server decides it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.azurite import serving_azurite

from tratree_data import build, check, demonstrations, import_log, open_store, pairs, publish, search, states, vacuum
from tratree_data.errors import BadInputError, NotFoundError, StoreBusyError
from tratree_data.store.buckets.bucket_paths import list_below, parse_address, put_if_absent, put_if_match, read_with_tag
from tratree_data.store.published.release import open_dataset
from tratree_data.store.writing.writer import writing

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def container() -> Iterator[str]:
    with serving_azurite() as address:
        yield address


def write_log(path: Path, attempts: range) -> Path:
    lines = [
        {
            "task_id": f"task-{task}",
            "env": "house",
            "instruction": f"Do {task}.",
            "reward": float(attempt == 1),
            "trajectory_id": f"{task}-{attempt}",
            "steps": [{"observation": f"hall of {task}", "action": f"door {attempt}"}, {"observation": "room", "action": "open"}],
        }
        for task in "abc"
        for attempt in attempts
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def everything(directory: str, folder: Path) -> None:
    for number in range(2):  # the second import appends to every table
        import_log(directory, write_log(folder / f"{number}.jsonl", range(2 * number, 2 * number + 2)))
        build(directory, embedder="lexical")
        for stage in (search, states, pairs, demonstrations):
            assert stage(directory).changed


def rows(directory: str) -> dict[str, list[dict]]:
    store = open_dataset(directory)
    return {name: store.sql(f"SELECT * FROM {name} ORDER BY ALL").to_pylist() for name in sorted(store.sources)}


def test_every_stage_and_a_release_are_what_they_are_in_a_folder(container: str, tmp_path: Path) -> None:
    near, far = str(tmp_path / "near"), f"{container}/deep/far"
    for directory in (near, far):
        everything(directory, tmp_path)
        vacuum(directory)
    assert rows(far) == rows(near)
    assert not [row for row in check(far).to_pylist() if row["offending_rows"]]
    for directory, target in ((near, str(tmp_path / "release")), (far, f"{container}/release")):
        publish(directory, target, "1.0.0", title="It")
    assert rows(f"{container}/release@1.0.0") == rows(str(tmp_path / "release"))
    words = [sys.executable, "-m", "tratree_data.cli", "sql", far, "SELECT count(*) AS n FROM rollouts", "--format", "csv"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, '"n"\n12\n'), done.stderr


def test_conditions_on_writes_hold(container: str) -> None:
    path = parse_address(f"{container}/one")
    first = put_if_absent(path, b"1")
    assert first is not None
    assert put_if_absent(path, b"2") is None
    second = put_if_match(path, b"3", first)
    assert second is not None
    assert put_if_match(path, b"4", first) is None
    assert read_with_tag(path)[:2] == (b"3", second)


def test_one_writer_at_a_time(container: str, tmp_path: Path) -> None:
    where = f"{container}/busy"
    import_log(where, write_log(tmp_path / "0.jsonl", range(1)))
    with writing(where), pytest.raises(StoreBusyError, match="Another process is writing"):
        import_log(where, write_log(tmp_path / "1.jsonl", range(1, 2)))
    import_log(where, write_log(tmp_path / "1.jsonl", range(1, 2)))
    assert open_store(where).count("rollouts") == 6
    assert not [found for found in list_below(parse_address(where)) if found.path.name.startswith(".lock")]


def test_what_is_missing_is_reported(container: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFoundError, match=r"is not a dataset: it contains no table"):
        open_store(f"{container}/nothing")
    with pytest.raises(NotFoundError, match=r"the container does not exist \(ContainerNotFound\)\.\nNext: create it"):
        open_store("az://elsewhere/one")
    monkeypatch.delenv("AZURE_STORAGE_USE_EMULATOR")
    with pytest.raises(BadInputError, match=r"needs credentials, and the environment contains none\.\nNext: export AZURE_STORAGE"):
        open_store(f"{container}/one")
