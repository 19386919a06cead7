"""Conversations too long to hold are read message by message, and give what short ones give."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tratree_data import build, check, import_log, open_store
from tratree_data.importers.files import log_files
from tratree_data.store.writing import rollout_rows, rollout_writer


def conversation(turns: int, calls: bool) -> list[dict]:
    messages: list[dict] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Count the files. é\x00"}]
    for turn in range(turns):
        if calls:
            function = {"name": "ls", "arguments": json.dumps({"n": turn})}
            messages.append(
                {"role": "assistant", "content": "", "tool_calls": [{"id": f"c{turn}", "type": "function", "function": function}]}
            )
            messages.append({"role": "tool", "tool_call_id": f"c{turn}", "content": f"{turn} files"})
        else:
            messages += [
                {"role": "assistant", "content": f"Thought: turn {turn}\nAction: go {turn}"},
                {"role": "user", "content": f"room {turn}"},
            ]
    return [*messages, {"role": "user", "content": "thanks", "time": 5}]


def rows(directory: Path, table: str, without: str) -> list[dict]:
    store = open_store(directory)
    order = "step" if table == "steps" else "task_id"
    return store.sql(f"SELECT * EXCLUDE ({without}) FROM {table} ORDER BY {order}").to_pylist()


@pytest.mark.parametrize("calls", [True, False])
def test_a_long_record_gives_the_rows_of_a_short_one(tmp_path, monkeypatch, calls):
    tools = [{"type": "function", "function": {"name": "ls", "parameters": {}}}]
    record = {"messages": conversation(300, calls), "task_id": "t", "trial": 2, "reward": 0.5, "tools": tools, "other": {"a": [1]}}
    file = tmp_path / "log.jsonl"
    file.write_text(json.dumps(record, ensure_ascii=False).replace("\x00", "\\u0000") + "\n")
    short = import_log(tmp_path / "short", file, environment="e")
    monkeypatch.setattr(log_files, "MAX_RECORD_BYTES", 4_000)
    monkeypatch.setattr(rollout_rows, "STEPS_AT_ONCE", 50)
    monkeypatch.setattr(rollout_writer, "CHARACTERS_PER_COMMIT", 2_000)
    long = import_log(tmp_path / "long", file, environment="e")
    assert long.counts == short.counts == {"rollouts": 1, "steps": 300, "already_there": 0, "dropped": 0}
    assert long.notes == short.notes or long.notes[:-1] == short.notes[:-1]
    assert rows(tmp_path / "long", "rollouts", "rollout_id") == rows(tmp_path / "short", "rollouts", "rollout_id")
    assert rows(tmp_path / "long", "steps", "rollout_id") == rows(tmp_path / "short", "steps", "rollout_id")
    assert len(open_store(tmp_path / "long").sources["steps"].files) > 1, "it was written in pieces"
    again = import_log(tmp_path / "long", file, environment="e")
    assert (again.counts["already_there"], again.changed) == (1, False)
    build(tmp_path / "long")
    assert sum(check(tmp_path / "long")["offending_rows"].to_pylist()) == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"messages": [%s], "messages": []}', "repeated_key"),
        ('{"messages": [%s], "a": 1, "a": 2}', "repeated_key"),
        ('{"messages": [%s, {"role": "nobody", "content": ""}]}', "unknown_role"),
        ('{"messages": [%s}', "not_json"),
        ('{"messages": [%s]} {}', "not_json"),
        ('{"a": [%s]}', "too_long"),
        ('[%s]', "not_json"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_long_record_is_named(tmp_path, monkeypatch, text, reason):
    messages = ", ".join(map(json.dumps, conversation(40, False)))
    good = json.dumps(
        {"task_id": "t", "reward": 1, "messages": [{"role": "user", "content": "go"}, {"role": "assistant", "content": "ok"}]}
    )
    (tmp_path / "log.jsonl").write_text(f"{good}\n{text % messages}\n{good.replace('go', 'on')}\n")
    monkeypatch.setattr(log_files, "MAX_RECORD_BYTES", 3_000)
    result = import_log(tmp_path / "d", tmp_path / "log.jsonl", "messages", environment="e")
    assert (result.counts["rollouts"], result.counts["dropped"]) == (2, 1)
    (dropped,) = open_store(tmp_path / "d").read("dropped").to_pylist()
    assert (dropped["reason"], dropped["subject"]) == (reason, f"{tmp_path.name}/log.jsonl:2")


MEASURED = """
import resource, sys
from tratree_data import import_log
result = import_log(sys.argv[2], sys.argv[1], "messages", environment="e")
print(result.counts["steps"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_a_sample_of_130_000_messages_needs_bounded_memory(tmp_path):
    def measure(turns: int) -> int:
        file = tmp_path / f"{turns}.jsonl"
        with file.open("w") as out:
            out.write('{"task_id": "t", "messages": [{"role": "user", "content": "go"}')
            for turn in range(turns):
                out.write(", " + json.dumps({"role": "assistant", "content": f"do {turn} " + "x" * 500}))
                out.write(", " + json.dumps({"role": "user", "content": f"saw {turn} " + "y" * 1_500}))
            out.write("]}\n")
        command = [sys.executable, "-c", MEASURED, str(file), str(tmp_path / f"d{turns}")]
        steps, megabytes = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
        assert steps == turns
        return megabytes

    small, large = measure(35_000), measure(65_000)
    print(f"{small} MB for 70,000 messages, {large} MB for 130,000")
    assert large < small + 50, "the files have 74 and 137 MB"
