"""The same run in several formats is one run; equal attempts of one log are not."""

import json
from pathlib import Path

from tratree_data import build, check, import_log, open_store, search
from tratree_data.store.outcomes import read_outcomes

CALL = {"id": "c1", "type": "function", "function": {"name": "ls", "arguments": '{"b": 1, "a": 2}'}}


def chat(answer: str = "two files") -> list[dict]:
    return [
        {"role": "user", "content": "Count the files."},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "a\nb\n"},
        {"role": "assistant", "content": answer},
    ]


def as_messages(path: Path, runs: list[list[dict]]) -> Path:
    path.write_text("\n".join(json.dumps({"task_id": f"m{i}", "messages": run, "reward": 1, "trial": i}) for i, run in enumerate(runs)))
    return path


def as_jsonl(path: Path, runs: list[list[dict]]) -> Path:
    lines = [
        {"task_id": "j", "env": "e", "instruction": run[0]["content"], "reward": 1, "trajectory_id": f"j{i}",
         "steps": [{"observation": "You are in a shell.\n\nCount the files.", "action": 'ls {"a": 2, "b": 1}'},
                   {"observation": "a\nb", "thought": "I see.", "action": f"{run[3]['content']}\n"}]}
        for i, run in enumerate(runs)
    ]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def as_sharegpt(path: Path, runs: list[list[dict]]) -> Path:
    said = [{"from": "human", "value": "Count the files."}, {"from": "gpt", "value": 'Action: ls {"a": 2, "b": 1}'}]
    lines = [
        {
            "id": f"s{i}",
            "conversations": [*said, {"from": "human", "value": "a\nb"}, {"from": "gpt", "value": f"Action: {run[3]['content']}"}],
        }
        for i, run in enumerate(runs)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def rollouts(directory: Path) -> list[dict]:
    order = "ORDER BY list_position(['messages', 'jsonl', 'sharegpt'], format), attempt, task_id"
    return open_store(directory).sql(f"SELECT * FROM rollouts {order}").to_pylist()


def test_one_run_in_three_formats_counts_once(tmp_path):
    runs = [chat(), chat("three files")]
    import_log(tmp_path / "d", as_messages(tmp_path / "m.jsonl", runs), environment="e")
    second = import_log(tmp_path / "d", as_jsonl(tmp_path / "j.jsonl", runs))
    third = import_log(tmp_path / "d", as_sharegpt(tmp_path / "s.jsonl", runs), environment="e")
    for result in (second, third):
        assert "2 rollouts were already imported in another format: kept with duplicate_of, and left out by build" in result.notes
    rows = rollouts(tmp_path / "d")
    originals = [row["rollout_id"] for row in rows if row["duplicate_of"] is None]
    assert [row["format"] for row in rows] == ["messages"] * 2 + ["jsonl"] * 2 + ["sharegpt"] * 2
    assert [row["duplicate_of"] for row in rows] == [None, None, *originals, *originals]
    assert read_outcomes(open_store(tmp_path / "d"), ["rollout_id"]).num_rows == 2
    build(tmp_path / "d")
    search(tmp_path / "d")
    store = open_store(tmp_path / "d")
    assert set(store.read("step_nodes")["rollout_id"].to_pylist()) == set(originals)
    assert store.sql("SELECT sum(attempts) AS n FROM task_scores")["n"][0].as_py() == 2
    assert {row["check"]: row["offending_rows"] for row in check(tmp_path / "d").to_pylist() if row["offending_rows"]} == {}
    again = import_log(tmp_path / "d", tmp_path / "j.jsonl")
    assert (again.counts["already_there"], again.changed) == (2, False)


def test_equal_attempts_are_two_and_each_has_its_own_double(tmp_path):
    import_log(tmp_path / "d", as_messages(tmp_path / "m.jsonl", [chat(), chat()]), environment="e")
    import_log(tmp_path / "d", as_jsonl(tmp_path / "j.jsonl", [chat(), chat(), chat()]))
    rows = rollouts(tmp_path / "d")
    first, second = (row["rollout_id"] for row in rows[:2])
    assert [row["duplicate_of"] for row in rows] == [None, None, first, second, None]


def test_equal_answers_to_other_requests_are_other_runs(tmp_path):
    import_log(tmp_path / "d", as_messages(tmp_path / "m.jsonl", [chat()]), environment="e")
    other = chat()
    other[0] = {"role": "user", "content": "Name the folder."}
    import_log(tmp_path / "d", as_jsonl(tmp_path / "j.jsonl", [other]))
    assert [row["duplicate_of"] for row in rollouts(tmp_path / "d")] == [None, None]
