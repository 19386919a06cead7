"""Scores, tasks and licences that are not in the log itself."""

import json
from html import unescape
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tratree_data import import_log, open_store, publish
from tratree_data.errors import BadInputError, NotFoundError


def log(folder: Path, rewards: list[float | None]) -> Path:
    lines = [
        {"task_id": f"t{i // 2}", "env": "e", "instruction": "go", "reward": reward, "trajectory_id": f"x{i}",
         "steps": [{"observation": f"o{i}", "action": f"a{i}"}]}
        for i, reward in enumerate(rewards)
    ]  # fmt: skip
    file = folder / "log.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    return file


def rollouts(directory: Path) -> list[dict]:
    return open_store(directory).read("rollouts").to_pylist()


ROWS = [{"trajectory_id": "x0", "score": 1}, {"trajectory_id": "x1", "score": 0.25}, {"trajectory_id": "y9", "score": 0.5}]


def table(path: Path, rows: list[dict]) -> Path:
    if path.suffix == ".csv":
        names = list(rows[0])
        path.write_text("\n".join([",".join(names), *(",".join(str(row[name]) for name in names) for row in rows)]))
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_scores_join_by_trajectory_and_both_sides_report_what_did_not_match(tmp_path, ending):
    file, scores = log(tmp_path, [None, None, None, 0.75]), table(tmp_path / f"scores{ending}", ROWS)
    result = import_log(tmp_path / "d", file, scores=str(scores))
    assert [row["score"] for row in rollouts(tmp_path / "d")] == [1.0, 0.25, None, 0.75]
    assert f"scores{ending}: scores for 2 rollouts" in result.notes
    assert f"scores{ending}: 1 rows match nothing in the log: y9" in result.notes
    assert f"scores{ending}: 1 rollouts without a score there: x2" in result.notes


def test_scores_join_by_task_and_never_replace_the_logs_own(tmp_path):
    scores = table(tmp_path / "scores.csv", [{"task_id": "t0", "success": "true"}, {"task_id": "t1", "success": "no"}])
    result = import_log(tmp_path / "d", log(tmp_path, [None, None, 0.5, None]), scores=str(scores))
    assert [(row["score"], row["success"]) for row in rollouts(tmp_path / "d")] == [(1.0, True), (1.0, True), (0.5, None), (0.0, False)]
    assert "1 rollouts already had a score, which was kept" in result.notes


def test_scores_that_come_later_are_added_to_the_same_rollouts(tmp_path):
    file = log(tmp_path, [None, None])
    import_log(tmp_path / "d", file)
    before = [row["rollout_id"] for row in rollouts(tmp_path / "d")]
    result = import_log(tmp_path / "d", file, scores=str(table(tmp_path / "scores.csv", ROWS)))
    assert (result.counts["rollouts"], result.changed) == (0, True)
    assert [(row["rollout_id"], row["score"]) for row in rollouts(tmp_path / "d")] == list(zip(before, [1.0, 0.25], strict=True))


def test_tasks_group_trajectories(tmp_path):
    tasks = table(tmp_path / "tasks.csv", [{"trajectory_id": f"x{i}", "task_id": "one"} for i in (0, 1, 3, 8)])
    result = import_log(tmp_path / "d", log(tmp_path, [0, 1, 0, 1]), tasks=str(tasks))
    assert [row["task_id"] for row in rollouts(tmp_path / "d")] == ["one", "one", "t1", "one"]
    assert "tasks.csv: 1 rows match nothing in the log: x8" in result.notes
    assert "tasks.csv: 1 rollouts without a task there, which keep their own: x2" in result.notes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trajectory_id,points\nx0,1\n", r"row 1 has no score or reward or success\.\nNext: name the column score"),
        ("id,score\nx0,1\n", r"row 1 has no trajectory_id or task_id\.\nAvailable: id, score\."),
        ("trajectory_id,score\nx0,1\nx0,0\n", r"row 2 gives x0 a different value"),
        ("trajectory_id,score\nx0,good\n", r"'good', which is neither a number nor true or false"),
        ("trajectory_id,score\nx0,nan\n", "not a finite number"),
        ("trajectory_id,score\n", "contains no scores"),
    ],
)
def test_a_table_that_says_nothing_clear_is_refused_before_anything_is_written(tmp_path, text, said):
    (tmp_path / "scores.csv").write_text(text)
    with pytest.raises(BadInputError, match=said):
        import_log(tmp_path / "d", log(tmp_path, [None]), scores=str(tmp_path / "scores.csv"))
    with pytest.raises(NotFoundError, match="No such file"):
        import_log(tmp_path / "d", log(tmp_path, [None]), scores=str(tmp_path / "none.csv"))
    assert not (tmp_path / "d").exists()


def test_licence_source_and_credit_reach_the_card(tmp_path):
    said = {"license": "cc-by-4.0", "source_url": "https://example.org/runs", "attribution": "The runners"}
    import_log(tmp_path / "d", log(tmp_path, [0.0, 1.0]), **said)
    assert {name: rollouts(tmp_path / "d")[0][name] for name in said} == said
    publish(tmp_path / "d", str(tmp_path / "out"), version="1.0.0", license="mit")
    card = unescape(next(tmp_path.glob("out*/README.md")).read_text())
    assert "| https://example.org/runs | cc-by-4.0 | The runners | 2 |" in card


def test_columns_are_paths_into_json(tmp_path):
    """One file with all samples, or one per line; what is not below the list is shared by all of its elements."""
    said = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "gone"}]
    samples = [{"id": i, "run": {"chat": [*said[:1], {"role": "assistant", "content": f"gone {i}"}]}, "scores": [0.5, i]} for i in range(2)]
    whole = {"eval": {"model": "m1"}, "samples": samples}
    (tmp_path / "whole.json").write_text(json.dumps(whole, indent=1))
    (tmp_path / "lines.jsonl").write_text(json.dumps(whole) + "\n" + json.dumps(whole | {"eval": {"model": "m2"}}) + "\n")
    columns = {
        "messages": "samples[].run.chat", "task_id": "samples[].id", "reward": "samples[].scores[1]", "model": "eval.model"
    }  # fmt: skip
    result = import_log(tmp_path / "d", tmp_path / "whole.json", environment="e", columns=columns)
    assert result.notes[0] == "Format: table (detected)"
    found = [(row["task_id"], row["score"], row["model"], row["source"]) for row in rollouts(tmp_path / "d")]
    where = f"{tmp_path.name}/whole.json"
    assert [row[:3] for row in found] == [("0", 0.0, "m1"), ("1", 1.0, "m1")]
    assert all(row[3].startswith(f"{where}:") for row in found)
    lines = import_log(tmp_path / "e", tmp_path / "lines.jsonl", environment="e", columns=columns)
    assert (lines.counts["rollouts"], lines.counts["dropped"]) == (4, 0)
    assert [row["model"] for row in rollouts(tmp_path / "e")] == ["m1", "m1", "m2", "m2"]
    flat = [{"q": "1", "talk": said}, {"q": "2", "talk": said}, {"q": "3"}]
    (tmp_path / "flat.json").write_text(json.dumps(flat))
    result = import_log(tmp_path / "f", tmp_path / "flat.json", environment="e", columns=("messages=talk", "task_id=q"))
    assert (result.counts["rollouts"], result.counts["dropped"]) == (2, 1)
    (dropped,) = open_store(tmp_path / "f").read("dropped").to_pylist()
    assert (dropped["reason"], dropped["detail"]) == ("missing_field", "no column 'talk'. Available: q")


@pytest.mark.parametrize("path", ["a..b", "a[x]", "[]", "a[].b[].c[]d"])
def test_a_column_that_is_no_path(tmp_path, path):
    (tmp_path / "a.json").write_text('[{"a": 1}]')
    with pytest.raises(BadInputError, match=r"is not a path.*\nNext: --column messages=samples\[\]\.messages"):
        import_log(tmp_path / "d", tmp_path / "a.json", environment="e", columns={"messages": path})
