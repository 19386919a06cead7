"""Links in a folder of logs: what they lead to is imported only if it is in the folder, or in the Hub's own cache."""

import json
from pathlib import Path

import pytest

from tratree_data import import_log, open_store
from tratree_data.errors import BadInputError


def write_log(path: Path, instruction: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    step = {"observation": "hall", "thought": "", "action": "go"}
    record = {"task_id": instruction, "env": "e", "instruction": instruction, "reward": 1, "trajectory_id": instruction, "steps": [step]}
    path.write_text(json.dumps(record) + "\n", encoding="utf-8")
    return path


def instructions(folder: Path) -> list[str]:
    return list(open_store(folder).sql("SELECT instruction FROM rollouts ORDER BY instruction")["instruction"].to_pylist())


@pytest.mark.parametrize("name", ["b.jsonl", "nested/b.jsonl", "folder"])
def test_a_link_that_leads_out_of_a_folder_of_logs_is_dropped_by_name(tmp_path: Path, name: str) -> None:
    mine = write_log(tmp_path / "mine/session.jsonl", "my own")
    write_log(tmp_path / "logs/a.jsonl", "theirs")
    link = tmp_path / "logs" / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(mine.parent if name == "folder" else mine)
    for _ in range(2):
        result = import_log(tmp_path / "d", tmp_path / "logs")
        assert result.counts["dropped"] == 1
    assert instructions(tmp_path / "d") == ["theirs"]
    (row,) = open_store(tmp_path / "d").read("dropped").to_pylist()
    assert (row["reason"], row["subject"]) == ("symbolic_link", f"logs/{name}:1")
    assert str(link.readlink()) in row["detail"]


def test_a_folder_of_nothing_but_links_that_lead_out_holds_no_log(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/a.jsonl").symlink_to(write_log(tmp_path / "mine.jsonl", "my own"))
    with pytest.raises(BadInputError, match=r"contains no log file.*\n?.*links"):
        import_log(tmp_path / "d", tmp_path / "logs")
    assert not (tmp_path / "d").exists()


def test_a_link_within_the_folder_and_one_that_was_named_are_read(tmp_path: Path) -> None:
    write_log(tmp_path / "logs/old/a.jsonl", "theirs")
    (tmp_path / "logs/newest.jsonl").symlink_to("old/a.jsonl")
    (tmp_path / "link").symlink_to("logs")
    assert import_log(tmp_path / "d", tmp_path / "link").counts["dropped"] == 1  # the same episode twice
    assert instructions(tmp_path / "d") == ["theirs"]
    named = tmp_path / "named.jsonl"
    named.symlink_to("logs/old/a.jsonl")
    import_log(tmp_path / "e", named)
    assert instructions(tmp_path / "e") == ["theirs"]


def test_the_links_of_a_snapshot_in_the_hubs_cache_are_read(tmp_path: Path) -> None:
    blob = write_log(tmp_path / "datasets--org--logs/blobs/0123", "theirs")
    snapshot = tmp_path / "datasets--org--logs/snapshots/main"
    snapshot.mkdir(parents=True)
    (snapshot / "a.jsonl").symlink_to(Path("../../blobs", blob.name))
    assert import_log(tmp_path / "d", snapshot).counts["dropped"] == 0
    assert instructions(tmp_path / "d") == ["theirs"]
