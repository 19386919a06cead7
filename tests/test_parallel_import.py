"""Large logs: the quick readers give what the careful ones give, and several processes give what one gives."""

import json
import random
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tratree_data import import_log, open_store
from tratree_data.importers import import_log as import_log_module
from tratree_data.importers import parallel
from tratree_data.importers.beside import Beside
from tratree_data.importers.columns import read_batch, read_block
from tratree_data.importers.files.log_files import json_value
from tratree_data.importers.files.quick_json import UNSURE, quick_value
from tratree_data.importers.log_records import Options, Record, each
from tratree_data.importers.readers import jsonl
from tratree_data.importers.record_rows import origin_of, prepared_row, step_columns
from tratree_data.store.schemas import arrow_schema
from tratree_data.store.writing.rollout_writer import RolloutWriter

SCHEMAS = {table: arrow_schema(table) for table in ("rollouts", "steps")}
SEED = 7


def line(task: object = "t", action: object = "a", **more: object) -> dict:
    steps = [{"observation": "o é", "thought": "th", "action": action}, {"observation": "o2", "action": "b\n c"}]
    return {"task_id": task, "env": "e", "instruction": "do it", "reward": 0.5, "steps": steps} | more


GOOD = [
    line(), line(7), line(reward=None), line(reward=1), line(trajectory_id="x"), line(trajectory_id=3), line("\U0001f600"),
    line(success=True, end_reason="odd"), line(agent=None), line(end_observation="end", end_reason="done", environment_version="1"),
    line(split="dev", agent="me", model="m", prompt="P"),
    line(steps=[{"observation": "", "action": "a", "thought": None, "response": "r", "reward": 1, "valid": False}]),
]  # fmt: skip
DOUBTFUL = [
    line(unknown=1), line("\x00"), line("\ud800"), line(2**70), line(reward=2), line(reward=True), line(steps=[]), line(action=""),
    line(" "), line(action=3), line(env=[]), line(success="yes"), line(reward=float("nan")), {"task_id": "t"}, [], 3,
]  # fmt: skip


def careful(lines: list[tuple[str, bytes]], options: Options) -> tuple[list[dict], list[dict], list[str]]:
    """The rows that the record path makes, and where it refuses."""
    rollouts, steps, refused = [], [], []
    values = ((where, json_value(where, data)) for where, data in lines)
    writer = RolloutWriter(Path(), "import", {}, most_steps=10**9)
    for item in each(values, partial(jsonl.parse, options)):
        try:
            assert isinstance(item, Record)
            row, _ = prepared_row(item, options, Beside(), origin_of(options, "jsonl"))
            writer.add(row, item.steps, step_columns)
        except Exception:
            refused.append(item.source if isinstance(item, Record) else item.subject)
    tables = writer.tables()
    rollouts, steps = tables["rollouts"].to_pylist(), tables["steps"].to_pylist()
    return rollouts, steps, refused


@pytest.mark.parametrize("options", [Options(), Options("webshop", "dev", "bot", "m", (0, 2), license="mit", mapped_rewards={0.5: 1.0})])
@pytest.mark.parametrize("ascii", [True, False])
def test_columns_hold_what_records_hold(options, ascii):
    lines = [(f"f:{i}", json.dumps(value, ensure_ascii=ascii or "\\ud" in json.dumps(value)).encode()) for i, value in enumerate(GOOD)]
    read = read_batch(lines, options, "jsonl", SCHEMAS)
    rollouts, steps, refused = careful(lines, options)
    assert (read.rest, refused) == ([], [])
    assert read.rollouts.to_pylist() == rollouts
    assert read.steps.to_pylist() == steps


@pytest.mark.parametrize("last", [b"", b"\n"])
def test_a_block_of_good_lines_is_read_at_once(last):
    lines = [json.dumps(value).encode() for value in GOOD]
    read = read_block(b"\n".join(lines) + last, "f", 5, Options(), "jsonl", SCHEMAS)
    rollouts, steps, _ = careful([(f"f:{5 + i}", data) for i, data in enumerate(lines)], Options())
    assert (read.rollouts.to_pylist(), read.steps.to_pylist()) == (rollouts, steps)


PIECES = [json.dumps(value).encode() for value in (*GOOD[:4], line(observation="\\u0000"), line("\\"), *DOUBTFUL)]
PIECES += [
    PIECES[0].replace(b'"env"', b'"env": "x", "env"'),
    PIECES[0].replace(b'"action"', b'"act\\u0069on": "x", "action"'),
    b"{",
    b"\xff",
]
PIECES += [b"\xef\xbb\xbf" + PIECES[0], PIECES[0].replace(b', "thought"', b',\n"thought"'), PIECES[0].replace(b'[{"obs', b'[\n{"obs')]


@given(
    st.lists(st.sampled_from(PIECES[:6]) | st.sampled_from(PIECES), min_size=1, max_size=4),
    st.lists(st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\n\n", b" ", b"", b",\n"]), min_size=4, max_size=4),
)
@settings(max_examples=400, deadline=None)
def test_a_block_gives_what_its_lines_give_or_nothing(pieces, breaks):
    block = b"".join(piece + end for piece, end in zip(pieces, breaks, strict=False))
    read = read_block(block, "f", 1, Options(), "jsonl", SCHEMAS)
    if read is not None:
        lines = [(f"f:{number}", data) for number, data in enumerate(block.removesuffix(b"\n").split(b"\n"), 1)]
        assert (read.rollouts.to_pylist(), read.steps.to_pylist(), []) == careful(lines, Options())


def test_whatever_needs_a_second_look_is_not_taken():
    lines = [(f"f:{i}", json.dumps(value).encode()) for i, value in enumerate(DOUBTFUL)]
    text = json.dumps(line()).encode()
    twice = [text.replace(b'"env"', b'"env": "x", "env"'), text.replace(b'"action"', b'"act\\u0069on": "x", "action"')]
    twice.append(text.replace(b'"thought": "th"', b'"thought": "\\\\", "thought": "\\""'))
    lines += [(f"f:{100 + i}", data) for i, data in enumerate([*twice, b"{", b"\xff", b"\xef\xbb\xbf" + text, text + b" " + text])]
    good = ("f:200", text)
    read = read_batch([*lines, good], Options(), "jsonl", SCHEMAS)
    assert read.taken == [len(lines)]
    assert read.rest == list(range(len(lines)))
    assert read.rollouts.num_rows == 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
@settings(max_examples=300, deadline=None)
def test_the_quick_parser_agrees_or_is_unsure(value):
    for data in (json.dumps(value).encode(), json.dumps(value, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")):
        quick = quick_value(data)
        assert quick is UNSURE or repr(quick) == repr(json.loads(data))


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 1}',
        '{"a": "\\\\", "b": {"c": "\\"", "c": 2}}',
        '[{"\\u0061": 1, "a": 2}]',
        "NaN",
        "1e999",
        str(2**64),
        '"\\ud800"',
        "{",
        "[" * 500 + "]" * 500,
        "",
    ],
)
def test_the_quick_parser_is_unsure_where_the_careful_one_says_more(text):
    assert quick_value(text.encode()) is UNSURE


def tables(directory: Path) -> list[list[dict]]:
    store = open_store(directory)
    orders = {"rollouts": "rollout_id", "steps": "rollout_id, step", "dropped": "ALL"}
    return [store.sql(f"SELECT * FROM {table} ORDER BY {order}").to_pylist() for table, order in orders.items()]


@pytest.mark.parametrize("format", ["jsonl", "messages", "several"])
def test_several_processes_give_what_one_gives(tmp_path, monkeypatch, format):
    """With bad lines, equal runs, runs that are there already, and tasks whose attempts are in several parts."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    said = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "gone"}]
    made = [
        line(f"t{i % 5}", f"a{i % 90}")
        if format != "messages"
        else {"id": f"t{i % 5}", "messages": [*said, said[0], said[1] | {"content": f"{i % 90}"}]}
        for i in range(100)
    ]
    lines = [json.dumps(value).encode() for value in made]
    for place in sorted(rng.sample(range(5, 100), 10)):
        lines[place] = rng.choice([b"nope", b"", json.dumps(line(reward=9)).encode(), lines[place].replace(b'"go', b'"\\u0000go')])
    if format == "several":
        (tmp_path / "logs").mkdir()
        for number in range(4):
            (tmp_path / f"logs/{number}.jsonl").write_bytes(b"\n".join(lines[25 * number : 25 * number + 25]))
        log = tmp_path / "logs"
    else:
        log = tmp_path / "log.jsonl"
        log.write_bytes(b"\n".join(lines))
    first = tmp_path / "first.jsonl"
    first.write_bytes(b"\n".join(lines[:4]))
    name = "messages" if format == "messages" else "jsonl"
    import_log(tmp_path / "one", first, name, environment="e")
    import_log(tmp_path / "two", first, name, environment="e")
    one = import_log(tmp_path / "one", log, name, environment="e")
    monkeypatch.setattr(parallel, "PARALLEL_FROM", 0)
    monkeypatch.setattr(parallel, "PART_BYTES", 2_000)
    monkeypatch.setattr(parallel, "CHUNK", 300)
    monkeypatch.setattr(parallel, "PARTS_PER_COMMIT", 2)
    two = import_log(tmp_path / "two", log, name, environment="e", workers=2)
    assert one.counts == two.counts
    assert one.counts["already_there"] == 4
    assert sorted(one.notes[:-1]) == sorted(two.notes[:-1]), "but for the command that names the dataset"
    assert tables(tmp_path / "one") == tables(tmp_path / "two")
    assert not import_log(tmp_path / "two", log, name, environment="e", workers=2).changed
    left = {path.name for path in (tmp_path / "two/steps").glob("*.parquet")}
    assert left == {Path(file).name for file in open_store(tmp_path / "two").sources["steps"].files}, "no file is left behind"


@pytest.mark.parametrize("shape", ["lines", "rows", "files"])
def test_logs_with_found_columns_are_read_by_several_processes(tmp_path, monkeypatch, shape):
    """Rows that are messages of conversations stay in one process, as a conversation may continue anywhere."""
    log = tmp_path / "log"
    log.mkdir()
    said = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "gone"}]
    rows = [
        {"run": {"task": f"t{i % 5}", "won": i % 2, "try": i}, "talk": [*said, said[0], said[1] | {"content": f"{i % 90}"}]}
        for i in range(100)
    ]
    if shape == "rows":
        rows = [{"session_id": f"s{i % 10}", "score": 0.5} | said[i // 10 % 2] | {"number": i} for i in range(100)]
    lines = [json.dumps(row) for row in rows]
    lines[50:50] = ["nope"] if shape == "rows" else ["nope", json.dumps({"talk": 3})]
    for number in range(4 if shape == "files" else 1):
        part = lines[number::4] if shape == "files" else lines
        (log / f"{number}.jsonl").write_text("\n".join(part) + "\n")
    one = import_log(tmp_path / "one", log)
    monkeypatch.setattr(parallel, "PARALLEL_FROM", 2_000 if shape == "files" else 0)
    monkeypatch.setattr(parallel, "PART_BYTES", 2_000)
    cut = []
    monkeypatch.setattr(import_log_module, "cut_parts", lambda *about: cut.append(parallel.cut_parts(*about)) or cut[-1])
    two = import_log(tmp_path / "two", log, workers=2)
    assert len(cut[-1]) > 1 if shape != "rows" else not cut[-1]
    assert one.counts == two.counts
    assert one.counts["rollouts"] == (10 if shape == "rows" else 90)
    assert one.notes[:-1] == two.notes[:-1]
    assert tables(tmp_path / "one") == tables(tmp_path / "two")
