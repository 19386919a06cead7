"""Logs of tools that no reader knows: what is found by looking, what is asked for, and that a score is never guessed."""

import csv
import io
import json
import sqlite3
import tarfile
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tratree_data import import_log, open_store
from tratree_data.errors import BadInputError
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.log_records import Options, Record
from tratree_data.importers.unknown import parquet_rows, run_facts
from tratree_data.importers.unknown.path_guess import guess_columns
from tratree_data.importers.unknown.run_facts import leaves_of

CALL = {"path": "a/b.py", "lines": 3}
TASKS = [("t1", 1.0), ("t1", 0.0), ("t2", 0.5), ("t3", 0.25)]


def messages(task: str, attempt: float) -> list[dict[str, Any]]:
    call = {"id": "c1", "type": "function", "function": {"name": "open", "arguments": json.dumps(CALL)}}
    return [
        {"role": "system", "content": "Be careful."}, {"role": "user", "content": f"Fix {task}."},
        {"role": "assistant", "content": "I look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": f"text of {task}"},
        {"role": "assistant", "content": f"Done with {task} ({attempt})."},
    ]  # fmt: skip


def legacy(task: str, attempt: float) -> list[dict[str, Any]]:
    found = [{key: item for key, item in message.items() if not key.startswith("tool_call")} for message in messages(task, attempt)]
    found[2]["function_call"] = {"name": "open", "arguments": json.dumps(CALL)}
    found[3] |= {"role": "function", "name": "open"}
    return found


def langchain(task: str, attempt: float) -> list[dict[str, Any]]:
    kinds = {"system": "system", "user": "human", "assistant": "ai", "tool": "tool"}
    found = [
        {"type": kinds[message["role"]]} | {key: item for key, item in message.items() if key not in ("role", "tool_calls")}
        for message in messages(task, attempt)
    ]
    found[2]["tool_calls"] = [{"id": "c1", "name": "open", "args": CALL}]
    return found


def gemini(task: str, attempt: float) -> list[dict[str, Any]]:
    return [
        {"role": "user", "parts": [{"text": f"Fix {task}."}]},
        {"role": "model", "parts": [{"text": "I look."}, {"functionCall": {"name": "open", "args": CALL}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "open", "response": {"output": f"text of {task}"}}}]},
        {"role": "model", "parts": [{"text": f"Done with {task} ({attempt})."}]},
    ]


def spoken(task: str, attempt: float) -> list[dict[str, Any]]:
    who = {"system": "system", "user": "human", "assistant": "agent", "tool": "environment"}
    return [{"speaker": who[message["role"]], "utterance": message["content"]} for message in messages(task, attempt)]


def lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def nested_lines(folder: Path) -> Path:
    rows = [
        {"run": {"conv": {"id": f"r{i}", "chat": messages(t, r)}}, "problem": {"id": t}, "result": {"reward": r}, "cfg": {"model": "m"}}
        for i, (t, r) in enumerate(TASKS)
    ]
    return lines(folder / "log.jsonl", rows)


def one_object(folder: Path) -> Path:
    found = folder / "log.json"
    found.write_text(
        json.dumps(
            {
                "meta": {"model": "m"},
                "runs": [{"task_name": t, "tries": [{"log": {"history": legacy(t, r)}, "score": r}]} for t, r in TASKS],
            }
        )
    )
    return found


def by_name(folder: Path) -> Path:
    found = folder / "log.json"
    found.write_text(json.dumps({"model": "m", "results": {f"{t}": {"trace": messages(t, r), "score": r} for t, r in TASKS[1:]}}))
    return found


def parts(folder: Path) -> Path:
    rows = [
        {
            "question_id": t,
            "contents": gemini(t, r),
            "final_reward": r,
            "model_name": "m",
            "system_instruction": {"parts": [{"text": "Be careful."}]},
        }
        for t, r in TASKS
    ]
    return lines(folder / "log.jsonl", rows)


def framework(folder: Path) -> Path:
    rows = [{"state": {"values": {"messages": langchain(t, r)}}, "metadata": {"task_id": t, "score": r, "model": "m"}} for t, r in TASKS]
    return lines(folder / "log.jsonl", rows)


def cells(folder: Path) -> Path:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([["task_id", "model", "conversation", "score"], *([t, "m", json.dumps(messages(t, r)), r] for t, r in TASKS)])
    (folder / "log.csv").write_text(text.getvalue())
    return folder / "log.csv"


def database(folder: Path) -> Path:
    with closing(sqlite3.connect(folder / "log.db")) as found:
        found.execute("CREATE TABLE chats (id INTEGER PRIMARY KEY, task TEXT, model TEXT, score REAL)")
        found.execute(
            "CREATE TABLE messages (id INTEGER PRIMARY KEY, chat_id INTEGER, role TEXT, content TEXT, tool_calls TEXT, tool_call_id TEXT)"
        )
        for i, (t, r) in enumerate(TASKS):
            found.execute("INSERT INTO chats VALUES (?, ?, 'm', ?)", (i, t, r))
            for said in messages(t, r):
                calls = json.dumps(said["tool_calls"]) if "tool_calls" in said else None
                row = (i, said["role"], said["content"], calls, said.get("tool_call_id"))
                found.execute("INSERT INTO messages (chat_id, role, content, tool_calls, tool_call_id) VALUES (?, ?, ?, ?, ?)", row)
        found.commit()
    return folder / "log.db"


def parquet(folder: Path) -> Path:
    rows = [{"instance_id": t, "messages": json.dumps(messages(t, r)), "metrics": {"reward": r}, "model": "m"} for t, r in TASKS]
    pq.write_table(pa.Table.from_pylist(rows), folder / "log.parquet")
    return folder / "log.parquet"


def zipped(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "log.zip", "w") as archive:
        for t, r in TASKS:
            archive.writestr(
                f"runs/{t}/{r}.json",
                json.dumps({"info": {"task_id": t, "model": "m"}, "log": {"messages": messages(t, r)}, "eval": {"score": r}}),
            )
    return folder / "log.zip"


def packed_tar(folder: Path) -> Path:
    with tarfile.open(folder / "log.tar.gz", "w:gz") as archive:
        for i, (t, r) in enumerate(TASKS):
            data = json.dumps(
                {"task": {"id": t}, "model": "m", "turns": [{"at": 1, "message": said} for said in messages(t, r)], "reward": r}
            ).encode()
            member = tarfile.TarInfo(f"out/{i}.json")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return folder / "log.tar.gz"


def zstandard(folder: Path) -> Path:
    plain = nested_lines(folder).read_bytes()
    with pa.CompressedOutputStream(str(folder / "log.jsonl.zst"), "zstd") as packed:
        packed.write(plain)
    return folder / "log.jsonl.zst"


SHAPES = (nested_lines, one_object, by_name, parts, framework, cells, database, parquet, zipped, packed_tar, zstandard)


@pytest.mark.parametrize("write", SHAPES)
def test_conversations_tasks_scores_and_models_are_found(tmp_path: Path, write: Any) -> None:
    result = import_log(tmp_path / "d", write(tmp_path))
    rollouts = open_store(tmp_path / "d").read("rollouts").to_pylist()
    expected = TASKS[1:] if write is by_name else TASKS
    assert sorted((row["task_id"], row["score"], row["model"]) for row in rollouts) == sorted((t, r, "m") for t, r in expected)
    assert {row["prompt"] for row in rollouts} == {"Be careful."}
    steps = open_store(tmp_path / "d").sql("SELECT action, observation FROM steps WHERE step = 0").to_pylist()
    assert {step["action"] for step in steps} == {'open {"lines": 3, "path": "a/b.py"}'}
    last = open_store(tmp_path / "d").sql("SELECT observation, action FROM steps WHERE step = 1 ORDER BY action").to_pylist()
    assert [step["action"] for step in last] == sorted(f"Done with {t} ({r})." for t, r in expected)
    assert all(step["observation"] == f"text of {step['action'].split()[2]}" for step in last)
    assert any(note.startswith("Understood: ") and "score from `" in note for note in result.notes)
    assert (
        import_log(tmp_path / "d", tmp_path / next(path.name for path in tmp_path.iterdir() if path.name.startswith("log."))).counts[
            "rollouts"
        ]
        == 0
    )


def test_a_message_a_row_is_grouped_by_its_session(tmp_path: Path) -> None:
    rows = [{"session_id": f"s{i}", **said} for i, (t, r) in enumerate(TASKS) for said in spoken(t, r)]
    import_log(tmp_path / "d", lines(tmp_path / "log.jsonl", rows))
    assert open_store(tmp_path / "d").sql("SELECT count(*) AS n, min(step_count) AS steps FROM rollouts").to_pylist() == [
        {"n": 4, "steps": 2}
    ]


def records(**beside: Any) -> list[dict[str, Any]]:
    return [
        {"task_id": t, "log": messages(t, r)} | {name: value(r) if callable(value) else value for name, value in beside.items()}
        for t, r in TASKS
    ]


def test_events_that_hold_messages_are_grouped_by_their_session(tmp_path: Path) -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
    said = [
        {"role": "user", "content": "Find it."},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c", "content": "a box"},
        {"role": "assistant", "content": "It is in the box."},
    ]
    events = []
    for run, reward in (("r1", 1), ("r2", 0)):
        events += [
            {"session": run, "event": "start", "task_id": "t"},
            *({"session": run, "event": "message", "payload": it} for it in said),
        ]
        events.append({"session": run, "event": "end", "reward": reward, "payload": {"seconds": 3}})
    log = tmp_path / "events.jsonl"
    log.write_text("\n".join(map(json.dumps, events)))
    result = import_log(tmp_path / "d", log)
    assert any("a message per row; message from `payload`; run from `session`" in note for note in result.notes)
    store = open_store(tmp_path / "d")
    assert store.sql("SELECT task_id, score, step_count FROM rollouts ORDER BY score").to_pylist() == [
        {"task_id": "t", "score": 0.0, "step_count": 2},
        {"task_id": "t", "score": 1.0, "step_count": 2},
    ]
    assert store.sql("SELECT count(*) AS n FROM steps WHERE action LIKE '%look%'").to_pylist() == [{"n": 2}]


@pytest.mark.parametrize("reward", ["of the run", "of the step"])
def test_a_step_per_row_is_grouped_by_its_episode(tmp_path: Path, reward: str) -> None:
    rows = [
        {
            "episode": e,
            "task": f"t{e % 2}",
            "t": t,
            "obs": f"room {t}",
            "act": f"go {e}",
            "reward": e % 2 if reward == "of the run" else t % 2,
        }
        for e in range(4)
        for t in range(3)
    ]
    result = import_log(tmp_path / "d", lines(tmp_path / "steps.jsonl", rows))
    store = open_store(tmp_path / "d")
    steps = store.sql(
        "SELECT task_id, step, observation, action FROM steps JOIN rollouts USING (rollout_id) ORDER BY action, step"
    ).to_pylist()
    assert [(row["task_id"], row["observation"], row["action"]) for row in steps] == [
        (f"t{e % 2}", f"room {t}", f"go {e}") for e in range(4) for t in range(3)
    ]
    scores = [row["score"] for row in store.sql("SELECT score FROM rollouts ORDER BY task_id, attempt").to_pylist()]
    assert scores == ([0.0, 0.0, 1.0, 1.0] if reward == "of the run" else [None] * 4)
    assert any("differs within a run" in note for note in result.notes) == (reward == "of the step")


def test_steps_that_call_tools_are_calls(tmp_path: Path) -> None:
    steps = [
        {"thought": "hm", "tool": "search", "tool_input": {"q": "x"}, "observation": "found"},
        {"thought": "ok", "tool": "finish", "tool_input": {"a": 1}, "observation": ""},
    ]
    (tmp_path / "log.json").write_text(json.dumps({"results": [{"task_id": f"q{i}", "steps": steps, "score": i % 2} for i in range(3)]}))
    import_log(tmp_path / "d", tmp_path / "log.json")
    store = open_store(tmp_path / "d")
    assert store.sql("SELECT DISTINCT step, observation, thought, action FROM steps ORDER BY step").to_pylist() == [
        {"step": 0, "observation": "", "thought": "hm", "action": 'search {"q": "x"}'},
        {"step": 1, "observation": "found", "thought": "ok", "action": 'finish {"a": 1}'},
    ]
    assert store.sql("SELECT task_id, score FROM rollouts ORDER BY task_id").to_pylist() == [
        {"task_id": f"q{i}", "score": float(i % 2)} for i in range(3)
    ]


def test_an_answer_beside_a_conversation_is_not_a_message_per_row(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}]
    rows = [{"session": f"s{i}", "last": said[i % 2], "log": {"messages": said}, "won": i % 2 == 0} for i in range(4)]
    log = tmp_path / "runs.jsonl"
    log.write_text("\n".join(map(json.dumps, rows)))
    import_log(tmp_path / "d", log)
    found = open_store(tmp_path / "d").sql("SELECT score, step_count FROM rollouts ORDER BY score").to_pylist()
    assert found == [{"score": score, "step_count": 1} for score in (0.0, 0.0, 1.0, 1.0)]


@pytest.mark.parametrize(
    "beside",
    [
        {"judge_a": lambda r: {"score": r}, "judge_b": lambda r: {"score": 1 - r}},
        {"config": {"score": 0.5}},
        {"status": "success"},
        {"score": lambda r: r, "resolved": lambda r: r < 1},
        {"usage": {"reward": 1}},
        {"score": "good"},
        {"steps": [{"score": 1}]},
        {"tests": {"passed": 1, "failed": 2}},
    ],
)
def test_a_doubtful_score_is_none(beside: dict[str, Any]) -> None:
    found = guess_columns(records(**beside))
    assert found is not None
    assert "reward" not in found.columns
    assert found.columns["messages"] == "log"


def test_an_answer_of_a_server_is_no_success() -> None:
    found = guess_columns([{"success": True, "data": {"log": messages(t, r)}} for t, r in TASKS])
    assert found is not None
    assert found.columns == {"messages": "data.log"}


def test_scores_on_another_scale_are_asked_for(tmp_path: Path) -> None:
    path = lines(tmp_path / "log.jsonl", records(human=lambda r: {"rating": 1, "score": 1 + 4 * r}))
    with pytest.raises(BadInputError, match=r"`human.score` go up to 5(.|\n)*--score-scale 1,5") as refused:
        import_log(tmp_path / "d", path)
    assert "--column messages=log --column task_id=task_id" in str(refused.value)
    import_log(tmp_path / "d", path, score_scale=(1, 5))
    scores = open_store(tmp_path / "d").sql("SELECT task_id, score FROM rollouts ORDER BY task_id, score").to_pylist()
    assert [(row["task_id"], row["score"]) for row in scores] == sorted(TASKS)


def test_two_conversations_in_a_record_are_asked_about(tmp_path: Path) -> None:
    path = lines(
        tmp_path / "log.jsonl", [{"a": {"messages": messages(t, r)}, "b": {"messages": spoken(f"other {t}", r)}} for t, r in TASKS]
    )
    with pytest.raises(BadInputError, match=r"--column messages=a.messages\nor: .* --column messages=b.messages"):
        import_log(tmp_path / "d", path)
    import_log(tmp_path / "d", path, columns={"messages": "b.messages"})
    assert open_store(tmp_path / "d").sql("SELECT count(*) AS n FROM rollouts").to_pylist() == [{"n": 4}]


def test_calls_that_repeat_the_conversation_are_one() -> None:
    grown = [{"task": t, "calls": [{"input": messages(t, r)[:3]}, {"input": messages(t, r)}]} for t, r in TASKS]
    found = guess_columns(grown)
    assert found is not None
    assert found.columns == {"messages": "calls[-1].input", "task_id": "task"}


def test_names_of_ours_that_mean_something_else_are_metadata(tmp_path: Path) -> None:
    path = lines(tmp_path / "log.jsonl", records(model={"provider": {"x": 1}}, split=7, reward=None, prompt={"v": 2}))
    import_log(tmp_path / "d", path)
    row = open_store(tmp_path / "d").sql("SELECT metadata, model, split FROM rollouts LIMIT 1").to_pylist()[0]
    assert json.loads(row["metadata"]) == {"model": {"provider": {"x": 1}}, "split": 7, "prompt": {"v": 2}}
    assert (row["model"], row["split"]) == (None, "train")


@pytest.mark.parametrize("name", ["../out.json", "/etc/out.json"])
def test_archives_that_leave_their_folder_are_refused_by_name(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "log.zip", "w") as archive:
        archive.writestr(name, "{}")
    with tarfile.open(tmp_path / "log.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    for path in (tmp_path / "log.zip", tmp_path / "log.tar"):
        with pytest.raises(BadInputError, match=r"out\.json.*leaves the archive's folder"):
            import_log(tmp_path / "d", path)
    assert not (tmp_path / "out.json").exists()


def test_links_and_bombs_in_archives_are_refused(tmp_path: Path) -> None:
    link = tarfile.TarInfo("a.json")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "link.tar", "w") as archive:
        archive.addfile(link)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", " " * 20_000_000)
    with tarfile.open(tmp_path / "bomb.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("a.json")
        member.size = 20_000_000
        archive.addfile(member, io.BytesIO(b" " * member.size))
    for name, why in (("link.tar", "it is a link"), ("bomb.zip", "bomb"), ("bomb.tar.gz", "bomb")):
        with pytest.raises(BadInputError, match=why):
            import_log(tmp_path / "d", tmp_path / name)


LAST = """SELECT arg_max(action, step) AS action, any_value(instruction) AS instruction
    FROM steps JOIN rollouts USING (rollout_id) GROUP BY rollout_id"""
ANSWERED = {
    "list": lambda t, r: {"prompt": messages(t, r)[:2], "completion": messages(t, r)[2:], "reward": r, "task_id": t},
    "message": lambda t, r: {
        "request": {"messages": messages(t, r)[:4], "model": "m"},
        "response": {"choices": [{"message": messages(t, r)[4]}]},
    },
    "text": lambda t, r: {"context": {"turns": messages(t, r)[:4]}, "response": messages(t, r)[4]["content"]},
    "texts": lambda t, r: {"step": 7, "input": f"Fix {t}.", "output": messages(t, r)[4]["content"], "score": r},
}


@pytest.mark.parametrize("kind", ANSWERED)
def test_an_answer_beside_its_request_is_the_last_turn(tmp_path: Path, kind: str) -> None:
    import_log(tmp_path / "d", lines(tmp_path / "log.jsonl", [ANSWERED[kind](t, r) for t, r in TASKS]))
    found = open_store(tmp_path / "d").sql(LAST).to_pylist()
    assert sorted(row["action"] for row in found) == sorted(f"Done with {t} ({r})." for t, r in TASKS)
    assert all(row["instruction"] == f"Fix {row['action'].split()[2]}." for row in found)


def test_what_is_beside_a_column_is_kept(tmp_path: Path) -> None:
    import_log(
        tmp_path / "d", lines(tmp_path / "log.jsonl", records(result=lambda r: {"reward": r, "cost": {"usd": 2}}, cfg={"model": "m"}))
    )
    row = open_store(tmp_path / "d").sql("SELECT metadata FROM rollouts LIMIT 1").to_pylist()[0]
    assert json.loads(row["metadata"]) == {"result": {"cost": {"usd": 2}}}


def test_metadata_keeps_the_order_of_the_log(tmp_path: Path) -> None:
    names = ["trial", "agent", "info", "attempt", "system", "prompt_id", "end_reason"]
    path = lines(tmp_path / "log.jsonl", [{name: f"{name} of the log" for name in names} | {"log": messages("t", 1.0)}])
    record = next(parquet_rows.read(LogFile(path, "log.jsonl"), Options(columns={"messages": "log"}, only_columns=True)))
    assert isinstance(record, Record)
    assert list(record.metadata) == names


@pytest.mark.parametrize("odd", [None, 0, True, {}, "text", [3]])
def test_a_conversation_of_another_type_is_left_out(tmp_path: Path, odd: Any) -> None:
    rows = records()
    rows[1]["log"] = odd
    assert import_log(tmp_path / "d", lines(tmp_path / "log.jsonl", rows)).counts["rollouts"] == 3


def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    path = database(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE chats", b"CREATE TABLE \xd8\xff\xfets"))
    with pytest.raises(BadInputError, match="SQLite"):
        import_log(tmp_path / "d", path)


def test_chosen_and_rejected_answers_are_two_conversations() -> None:
    found = guess_columns(
        [{"chosen": messages(t, r), "rejected": [*messages(t, r)[:4], {"role": "assistant", "content": "no"}]} for t, r in TASKS]
    )
    assert found is not None
    assert [*found.choices] == ["chosen", "rejected"]


def test_every_leaf_of_a_graph_of_messages_is_a_rollout(tmp_path: Path) -> None:
    said = [
        (None, "system", ""),
        (0, "user", "Fix it."),
        (1, "assistant", "How?"),
        (2, "user", "So."),
        (3, "assistant", "Done."),
        (1, "assistant", "No."),
    ]
    nodes = {
        f"n{i}": {
            "parent": None if parent is None else f"n{parent}",
            "message": {"author": {"role": role}, "content": {"content_type": "text", "parts": [text]}},
        }
        for i, (parent, role, text) in enumerate(said)
    }
    (tmp_path / "conversations.json").write_text(json.dumps([{"id": "c1", "title": "t", "mapping": nodes, "current_node": "n5"}]))
    import_log(tmp_path / "d", tmp_path / "conversations.json")
    found = (
        open_store(tmp_path / "d")
        .sql("SELECT list(action ORDER BY step) AS actions FROM steps GROUP BY rollout_id ORDER BY actions")
        .to_pylist()
    )
    assert [row["actions"] for row in found] == [["How?", "Done."], ["No."]]


@pytest.mark.parametrize("before", [True, False])
def test_steps_without_messages_keep_the_order_of_their_keys(tmp_path: Path, before: bool) -> None:
    steps = [{"observation": "start", "thought": "hm", "action": "go"}, {"observation": "hall", "thought": "", "action": "stop"}]
    if not before:
        steps = [{key: step[key] for key in ("thought", "action", "observation")} for step in steps]
    import_log(tmp_path / "d", lines(tmp_path / "log.jsonl", [{"task_id": "t1", "success": True, "trajectory": steps}]))
    found = open_store(tmp_path / "d").sql("SELECT observation, thought, action FROM steps ORDER BY step").to_pylist()
    assert [row["action"] for row in found] == ["go", "stop"]
    assert [row["observation"] for row in found] == (["start", "hall"] if before else ["", "start"])
    assert open_store(tmp_path / "d").sql("SELECT score, task_id FROM rollouts").to_pylist() == [{"score": 1.0, "task_id": "t1"}]


def test_a_file_of_conversations_by_task_is_read(tmp_path: Path) -> None:
    (tmp_path / "log.json").write_text(json.dumps({t: messages(t, r) for t, r in TASKS[1:]}))
    import_log(tmp_path / "d", tmp_path / "log.json")
    found = open_store(tmp_path / "d").sql("SELECT task_id, step_count FROM rollouts ORDER BY task_id").to_pylist()
    assert found == [{"task_id": t, "step_count": 2} for t, _ in TASKS[1:]]


def test_what_accompanies_records_under_ids_is_looked_at_once_per_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def counted(*arguments: Any) -> Any:
        looked.append(1)
        return leaves_of(*arguments)

    monkeypatch.setattr(run_facts, "leaves_of", counted)
    turns = [{"role": "user", "content": "Do it"}, {"role": "assistant", "content": "done"}]
    calls = []
    for count in (100, 400):
        log = {f"id{n}": {"log": {"turns": turns}, "result": {"reward": n % 2}} for n in range(count)}
        looked.clear()
        guess = guess_columns([log], True)
        assert guess is not None
        assert guess.columns == {"messages": "*.log.turns", "reward": "*.result.reward", "task_id": "*"}
        calls.append(len(looked))
    assert calls[1] < 5 * calls[0]


def test_blank_lines_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "blank.jsonl").write_text("\n" * 1000)
    with pytest.raises(BadInputError, match=r"begins with nothing but blank lines"):
        import_log(tmp_path / "d", tmp_path / "blank.jsonl")
