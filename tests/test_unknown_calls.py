"""Logs of unknown tools whose rows are calls or steps: calls that repeat the conversation count once, and steps come in their order."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from test_unknown_logs import TASKS, lines, messages

from tratree_data import import_log, open_store
from tratree_data.errors import BadInputError
from tratree_data.importers import formats, parallel
from tratree_data.importers.files import json_stream, log_files
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.formats import fitting_formats
from tratree_data.importers.log_records import Options
from tratree_data.importers.unknown import unknown_logs


def calls(task: str, attempt: float) -> list[dict[str, Any]]:
    said = messages(task, attempt)
    return [
        {
            "trace_id": f"{task}/{attempt}",
            "inputs": {"model": "m", "messages": said[:i]},
            "output": {"choices": [{"index": 0, "message": it}]},
        }
        for i, it in enumerate(said)
        if it["role"] == "assistant"
    ]


def actions(directory: Path) -> list[list[str]]:
    steps = "SELECT list(action ORDER BY step) AS actions FROM steps GROUP BY rollout_id ORDER BY actions"
    return [row["actions"] for row in open_store(directory).sql(steps).to_pylist()]


def test_calls_that_another_call_continues_are_part_of_it(tmp_path: Path) -> None:
    rows = [call for t, r in TASKS for call in calls(t, r)]
    random.Random(0).shuffle(rows)
    result = import_log(tmp_path / "d", lines(tmp_path / "log.jsonl", rows))
    assert sorted(found[1] for found in actions(tmp_path / "d")) == sorted(f"Done with {t} ({r})." for t, r in TASKS)
    assert (
        result.counts["dropped"]
        == len(TASKS)
        == open_store(tmp_path / "d").sql("SELECT count(*) AS n FROM dropped WHERE reason = 'continued_call'").to_pylist()[0]["n"]
    )


def test_calls_of_a_large_log_are_not_read_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "PARALLEL_FROM", 1)
    monkeypatch.setattr(parallel, "PART_BYTES", 2_000)
    rows = [call for place in range(2) for t, r in TASKS for call in calls(t, r)[place : place + 1]]
    result = import_log(tmp_path / "d", lines(tmp_path / "log.jsonl", rows), workers=2)
    assert (result.counts["rollouts"], result.counts["dropped"]) == (len(TASKS), len(TASKS))


def test_a_row_about_something_else_hides_no_answer(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    for t, r in TASKS:
        rows.append({"type": "eval", "input": f"Fix {t}.", "output": "Done.", "scores": {"good": r}})
        rows += [{"type": "llm", "input": c["inputs"]["messages"], "output": c["output"]["choices"]} for c in calls(t, r)]
    result = import_log(tmp_path / "d", lines(tmp_path / "log.jsonl", rows))
    assert sorted(found[1] for found in actions(tmp_path / "d")) == sorted(f"Done with {t} ({r})." for t, r in TASKS)
    assert any(note.startswith("no_messages: 4") for note in result.notes)


def test_a_text_beside_answers_that_call_tools_is_not_the_answer(tmp_path: Path) -> None:
    rows = [{"request": c["inputs"], "text": "I look.", "response": "I look.", "raw": c["output"]} for t, r in TASKS for c in calls(t, r)]
    rows.append({"request": rows[0]["request"], "text": "x", "response": "x", "raw": {}})
    log = lines(tmp_path / "log.jsonl", rows)
    with pytest.raises(BadInputError, match=r"differ between `response` and `raw\.choices`") as refused:
        import_log(tmp_path / "d", log)
    assert "--column messages=request.messages --column completion=raw.choices" in str(refused.value)
    import_log(tmp_path / "d", log, columns={"messages": "request.messages", "completion": "raw.choices"})
    assert sum('open {"lines": 3' in action for found in actions(tmp_path / "d") for action in found) == len(TASKS)


def test_requests_without_answers_are_refused_with_what_to_type(tmp_path: Path) -> None:
    more = [{"role": role, "content": "More."} for role in ("user", "assistant", "user", "assistant")]
    said = [messages(t, r) + more for t, r in TASKS]
    rows = [{"request": {"messages": found[:i]}, "raw": {"said": [[found[i]]]}} for found in said for i in (2, 4, 6, 8)]
    with pytest.raises(BadInputError, match=r"`request\.messages` repeat each other(.|\n)*--column completion=PATH") as refused:
        import_log(tmp_path / "d", lines(tmp_path / "log.jsonl", rows))
    assert "--column messages=request.messages" in str(refused.value)


def test_turns_of_which_nothing_is_read_are_no_conversation(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "Look."}, {"role": "assistant", "content": "", "steps": [{"did": "x"}]}]
    with pytest.raises(BadInputError, match="not recognised"):
        import_log(tmp_path / "d", lines(tmp_path / "log.jsonl", [{"dialogue": said}] * 3))


def test_steps_come_in_the_order_that_a_column_gives_them(tmp_path: Path) -> None:
    rows = [{"run_id": f"r{e}", "turn": t, "observation": f"room {t}", "action": f"go {e} {t}"} for e in range(3) for t in range(12)]
    random.Random(1).shuffle(rows)
    result = import_log(tmp_path / "d", lines(tmp_path / "log.jsonl", rows))
    assert actions(tmp_path / "d") == [[f"go {e} {t}" for t in range(12)] for e in range(3)]
    assert any("order from `turn`" in note for note in result.notes)


def test_numbers_that_repeat_within_a_run_are_no_order(tmp_path: Path) -> None:
    rows = [{"run_id": f"r{e}", "step": 7, "observation": f"room {t}", "action": f"go {e} {t}"} for e in range(3) for t in range(3)]
    result = import_log(tmp_path / "d", lines(tmp_path / "log.jsonl", rows))
    assert actions(tmp_path / "d") == [[f"go {e} {t}" for t in range(3)] for e in range(3)]
    assert not any("order from" in note for note in result.notes)
    assert json.loads(open_store(tmp_path / "d").sql("SELECT metadata FROM rollouts LIMIT 1").to_pylist()[0]["metadata"]) == {"step": 7}


@pytest.mark.parametrize("shape", ["list", "members"])
def test_only_the_beginning_of_a_large_object_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str) -> None:
    monkeypatch.setattr(formats, "LOOK_AHEAD_BYTES", 2**20)
    monkeypatch.setattr(log_files, "MAX_RECORD_BYTES", 2**21)
    monkeypatch.setattr(json_stream, "MAX_RECORD_BYTES", 2**21)
    monkeypatch.setattr(unknown_logs, "SAMPLE_BYTES", 2**20)
    pad = "x" * 20_000
    rows = [{"log": [{"role": "user", "content": pad}, {"role": "assistant", "content": f"{i}"}], "score": i % 2} for i in range(400)]
    log = tmp_path / "log.json"
    log.write_text(json.dumps({"runs": rows} if shape == "list" else {f"k{i}": row for i, row in enumerate(rows)}))
    taken = []
    fill = json_stream.JsonStream.fill
    monkeypatch.setattr(json_stream.JsonStream, "fill", lambda self, size=json_stream.CHUNK: (taken.append(size), fill(self, size))[1])
    fitting_formats(LogFile(log, log.name), Options())
    assert sum(taken) < 60 * 2**20  # of 8 MiB; looking at all of it takes 92
    assert import_log(tmp_path / "d", log).counts["rollouts"] == 400
