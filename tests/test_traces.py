"""The configuration `traces` of a release: what `datasets` and the Hub's viewer expect of sessions, and versions that grow."""

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets.packaged_modules.json.json import AGENT_TRACES_FEATURES, has_agent_traces_markers, parse_traces_info
from helpers.shop import build_all, import_rows, trajectories
from helpers.tool_chats import write_log

from tratree_data import build, import_log, publish, withdraw
from tratree_data.errors import BadInputError
from tratree_data.releases.shards import traces
from tratree_data.store.checks import check
from tratree_data.store.published.release import open_release
from tratree_data.store.reader import open_store

SECRET = "sk-abcdefghijklmnop1234567890"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("traces") / "shop"
    return build_all(import_rows(folder, trajectories(range(3), attempts=2, instruction=f"a\u2028b\x85c {SECRET}")))


@pytest.fixture(scope="module")
def release(dataset: Path) -> Path:
    publish(dataset, dataset.parent / "release", version="1.0.0", traces=1000)
    return dataset.parent / "release"


def load(release: Path, cache: Path) -> list[dict[str, Any]]:
    loaded = datasets.load_dataset(str(release), "traces", cache_dir=str(cache))
    assert all(part.features == AGENT_TRACES_FEATURES for part in loaded.values())
    return [row | {"split": name} for name, part in loaded.items() for row in part]


def files(release: Path) -> dict[str, Path]:
    return {path.stem: path for path in release.glob("traces/*/*.jsonl")}


def test_sessions_load_as_datasets_knows_them_and_name_their_file(release: Path, dataset: Path, tmp_path: Path) -> None:
    rows = {row["session_id"]: row for row in load(release, tmp_path)}
    rollouts = {row["rollout_id"]: row for row in open_store(dataset).read("rollouts").to_pylist()}
    assert rows.keys() == rollouts.keys() == files(release).keys()
    for name, row in rows.items():
        text = (release / row["file_path"]).read_text(encoding="utf-8")
        assert row["trace"] == text
        assert row["split"] == rollouts[name]["split"] == Path(row["file_path"]).parent.name
        harness, session_id, prompt, sent_at, user_messages, _ = parse_traces_info(text.splitlines())
        said = (row["harness"], row["session_id"], row["prompt"], row["sent_at"], row["num_user_messages"])
        assert said == (harness, session_id, prompt, sent_at, user_messages)
        assert [message["role"] for message in row["messages"]][:2] == ["user", "assistant"]
        assert row["metadata"]["score"] == rollouts[name]["score"]
    assert "agent-traces" in (release / "README.md").read_text(encoding="utf-8").split("\n---\n")[0]


def test_the_files_alone_are_sessions_for_datasets_too(release: Path, tmp_path: Path) -> None:
    pytest.importorskip("teich", reason="needs the extra 'dev'")
    pattern = str(release / "traces/train/*.jsonl")
    plain = datasets.load_dataset("json", data_files=pattern, split="train", cache_dir=str(tmp_path), parse_agent_traces=False)
    assert has_agent_traces_markers(plain.features)
    rows = {row["session_id"]: row for row in load(release, tmp_path)}
    read = datasets.load_dataset("json", data_files=pattern, split="train", cache_dir=str(tmp_path))
    assert read.features == AGENT_TRACES_FEATURES
    same = ("harness", "prompt", "sent_at", "num_user_messages", "num_tool_calls", "trace")
    assert [{name: row[name] for name in same} for row in read] == [{name: rows[row["session_id"]][name] for name in same} for row in read]


def test_secrets_are_taken_out_of_sessions(release: Path) -> None:
    texts = [path.read_text(encoding="utf-8") for path in files(release).values()]
    assert texts
    assert all("[redacted:openai-key:1]" in text and SECRET not in text for text in texts)


def test_calls_of_tools_and_tools_are_kept(tmp_path: Path) -> None:
    write_log(tmp_path)
    import_log(tmp_path / "chats", tmp_path / "chats.jsonl", environment="cities")
    publish(tmp_path / "chats", tmp_path / "release", version="0.1.0", traces=100)
    rows = load(tmp_path / "release", tmp_path / "cache")
    calls = [call for row in rows for message in row["messages"] for call in message.get("tool_calls") or []]
    assert sum(row["num_tool_calls"] for row in rows) == len(calls) > 0
    assert {call["function"]["name"] for call in calls} <= {tool["function"]["name"] for row in rows for tool in row["tools"]}


def test_fewer_sessions_are_whole_tasks(dataset: Path, tmp_path: Path) -> None:
    publish(dataset, tmp_path / "release", version="1.0.0", traces=2)
    rows = load(tmp_path / "release", tmp_path / "cache")
    assert len(rows) == 2
    assert len({row["metadata"]["task_id"] for row in rows}) == 1


def test_a_session_that_is_too_long_for_a_row_is_in_its_file_and_the_card_says_so(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "LONGEST_IN_A_ROW", 10)
    publish(dataset, tmp_path / "release", version="1.0.0", traces=10)
    for row in load(tmp_path / "release", tmp_path / "cache"):
        assert row["messages"] is row["trace"] is None
        assert json.loads((tmp_path / "release" / row["file_path"]).read_text(encoding="utf-8").splitlines()[0])["id"] == row["session_id"]
    assert "6 sessions are too long for a row" in (tmp_path / "release/README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_versions_with_sessions_grow_stay_whole_and_are_withdrawn(tmp_path: Path) -> None:
    dataset = import_rows(tmp_path / "shop", trajectories(range(3), attempts=2))
    target = tmp_path / "release"
    publish(dataset, target, version="1.0.0", traces=100)
    before = files(target)
    assert not publish(dataset, target, version="1.0.0", traces=100).changed
    with pytest.raises(BadInputError, match="table traces is gone"):
        publish(dataset, target, version="1.0.1")
    import_rows(dataset, trajectories([3], attempts=2))
    publish(dataset, target, version="1.1.0", traces=100)
    shards = {path.name for path in (target / "versions/1.0.0/data/traces").iterdir()}
    assert shards < {path.name for path in (target / "versions/1.1.0/data/traces").iterdir()}
    assert before.keys() < files(target).keys()
    for name, path in files(target / "versions/1.0.0").items():
        assert path.samefile(files(target / "versions/1.1.0")[name])
    assert not any(row["offending_rows"] for row in check(target).to_pylist())
    withdraw(target, "1.1.0")
    assert files(target).keys() == before.keys()
    assert open_release(target).sql("SELECT count(*) AS n FROM traces").to_pylist() == [{"n": 6}]


def test_adding_sessions_is_a_minor_change(tmp_path: Path) -> None:
    dataset = import_rows(tmp_path / "shop", trajectories(range(1), attempts=2))
    build(dataset, embedder="exact")
    publish(dataset, tmp_path / "release", version="1.0.0")
    with pytest.raises(BadInputError, match=r"--version 1\.1\.0"):
        publish(dataset, tmp_path / "release", version="1.0.1", traces=10)
    assert publish(dataset, tmp_path / "release", version="1.1.0", traces=10).changed
