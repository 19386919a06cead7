"""Lines of messages read as columns hold what the careful reader gives, and every line that needs a second look is left to it."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tratree_data.importers.files.log_files import LogFile, json_value
from tratree_data.importers.log_records import Options, Record, Unusable, each
from tratree_data.importers.message_columns import read_batch
from tratree_data.importers.readers import openai_messages
from tratree_data.importers.record_rows import origin_of, prepared_row, step_columns
from tratree_data.store.schemas import arrow_schema
from tratree_data.store.writing.rollout_rows import RolloutRows

SCHEMAS = {table: arrow_schema(table) for table in ("rollouts", "steps")}
FILE = LogFile(Path("log.jsonl"), "logs/log.jsonl")
CALL = {"id": "c1", "type": "function", "function": {"name": "act", "arguments": '{"b": 1.0, "a": [2, "é"]}'}}
PLAIN = [
    {"role": "system", "content": "Be careful."}, {"role": "user", "content": "Observation: é \U0001f600"},
    {"role": "assistant", "content": "I act.", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c1", "content": "seen"},
    {"role": "assistant", "content": None, "tool_calls": [CALL, CALL | {"id": "c2"}], "reasoning_content": "so"},
    {"role": "tool", "tool_call_id": "c2", "content": "b"}, {"role": "tool", "tool_call_id": "c1", "content": "a"},
    {"role": "assistant", "content": "Thought: x\nAction: done", "refusal": None}, {"role": "user", "content": "Thanks."},
]  # fmt: skip


def entry(messages: list[Any], **more: Any) -> dict[str, Any]:
    return {"task_id": "t", "environment": "e", "reward": 0.5, "messages": messages} | more


def changed(place: int, **more: Any) -> dict[str, Any]:
    return entry([message | (more if i == place else {}) for i, message in enumerate(PLAIN)])


TAKEN = [
    entry(PLAIN), entry(PLAIN[1:5], trial=3, info={"task": {"instruction": "do"}}, cost=1e-7), entry(PLAIN[1:3], tools=[{"name": "act"}]),
    entry([PLAIN[1], {"role": "assistant", "content": "hi"}, PLAIN[1], {"role": "assistant", "content": "bye \\ \" /"}]),
    changed(3, name="act"), changed(3, content=""), changed(3, content=None), changed(1, tool_calls=None), changed(4, tool_calls=[CALL]),
    {"traj": PLAIN, "messages": [1], "environment": "e", "task_id": 3}, entry([*PLAIN[:3], PLAIN[1], *PLAIN[2:]], success=True, x={"é": 2}),
]  # fmt: skip
LEFT = [
    changed(3, content="\x00"), changed(3, content="\ud800"), changed(3, timestamp="now"), changed(2, name="me"),
    changed(3, content=[{"type": "text", "text": ""}]), changed(3, tool_call_id=" "), changed(7, content=" "),
    changed(2, tool_calls=[CALL | {"id": 3}]),
    changed(2, tool_calls=[{"id": "c", "function": {"name": "f", "arguments": '{"a": "\\ud800"}'}}]), changed(3, role="x"),
    changed(2, tool_calls=[{"id": "c", "function": {"name": "f", "arguments": {}}}]), changed(2, function_call={"name": "f"}),
    entry(PLAIN, reward=2), entry(PLAIN, reward="x"), entry(PLAIN[:2]), entry([]), entry([PLAIN[2]]), entry(PLAIN, big=2**70), PLAIN, 3, {},
    entry(PLAIN, task_id=" "), entry(PLAIN, environment=""),
]  # fmt: skip


def careful(lines: list[tuple[str, bytes]], options: Options) -> tuple[list[dict[str, Any]], list[dict[str, Any]], set[str]]:
    """The rows that the record path makes, and the lines that it refuses or changes."""
    rows, odd = RolloutRows(Path(), SCHEMAS, 10**9), set()
    values = ((where, json_value(where, data)) for where, data in lines)
    for item in each(values, partial(openai_messages.parse, FILE, options)):
        try:
            assert isinstance(item, Record)
            row, replaced = prepared_row(item, options, None, origin_of(options, "messages"))
            rows.add(row, item.steps, step_columns)
            odd |= {item.source} if replaced else set()
        except (AssertionError, Unusable):
            odd.add(item.source if isinstance(item, Record) else item.subject)
    return rows.tables()["rollouts"].to_pylist(), rows.tables()["steps"].to_pylist(), odd


def in_lines(values: list[Any], ascii: bool = True) -> list[tuple[str, bytes]]:
    texts = [json.dumps(value, ensure_ascii=ascii or "\\ud" in json.dumps(value)) for value in values]
    return [(f"logs/log.jsonl:{i}", text.encode("utf-8", "surrogatepass")) for i, text in enumerate(texts, 1)]


def agree(lines: list[tuple[str, bytes]], options: Options) -> list[int]:
    """Which lines were taken, after comparing their rows with the careful reader's."""
    read = read_batch(FILE, lines, options, "messages", SCHEMAS)
    assert sorted([*read.taken, *read.rest]) == list(range(len(lines)))
    rollouts, steps, odd = careful([lines[place] for place in read.taken], options)
    assert (read.rollouts.to_pylist(), read.steps.to_pylist(), odd) == (rollouts, steps, set())
    return read.taken


@pytest.mark.parametrize("options", [Options(), Options("webshop", "dev", "bot", "m", (0, 2), license="mit", mapped_rewards={0.5: 1.0})])
@pytest.mark.parametrize("ascii", [True, False])
def test_columns_hold_what_records_hold(options: Options, ascii: bool) -> None:
    for value in TAKEN:
        assert agree(in_lines([value], ascii), options) == [0], value
    assert agree(in_lines(TAKEN, ascii), options) == list(range(len(TAKEN)))


def test_lines_that_need_a_second_look_are_left() -> None:
    for value in LEFT:
        assert agree(in_lines([value]), Options()) == [], value
    assert agree(in_lines([LEFT[0], TAKEN[0], *LEFT, TAKEN[1]]), Options()) == [1, len(LEFT) + 2]


def test_what_the_user_says_may_have_to_be_replaced() -> None:
    assert agree(in_lines(TAKEN), Options(environment="e\ud800")) == []
    named = read_batch(LogFile(Path("log\udcff.jsonl"), "log\udcff.jsonl"), in_lines(TAKEN), Options(), "messages", SCHEMAS)
    assert named.taken == []


@pytest.mark.parametrize("twice", ['"reward": 1, "reward": 0', '"messages": [], "task_id": "u"'])
def test_a_key_that_is_there_twice_needs_a_second_look(twice: str) -> None:
    line = json.dumps(entry(PLAIN))
    assert agree([("logs/log.jsonl:1", f"{line[:-1]}, {twice}}}".encode())], Options()) == []
    inner = line.replace('"content": "seen"', '"content": "was", "content": "seen"')
    assert inner != line
    assert agree([("logs/log.jsonl:1", inner.encode())], Options()) == []


texts = st.sampled_from(
    ["", " ", "x", "Observation: y", "Thought: t\nAction: a", "Action: b", "é\u2028", '"\\', "<system-reminder>z", "\x00"]
)
arguments = st.sampled_from(["{}", '{"b":1,"a":2.0}', "null", "", "no JSON", '{"a":1,"a":2}', '{"n":123456789012345678901}', "[1.5]"])
calls = st.builds(
    lambda i, name, said: {"id": f"c{i}", "function": {"name": name, "arguments": said}},
    st.integers(0, 2),
    st.sampled_from("fg"),
    arguments,
)
heard = st.builds(
    lambda role, content, more: {"role": role, "content": content} | more,
    st.sampled_from(["user", "tool", "tool", "system", "developer"]), texts | st.none(),
    st.sampled_from([{}, {}, {"tool_call_id": "c0"}, {"tool_call_id": "c1", "name": "f"}, {"name": ""}, {"at": 1}]),
)  # fmt: skip
answers = st.builds(
    lambda content, more, made: {"role": "assistant", "content": content} | more | ({"tool_calls": made} if made else {}),
    texts | st.none(), st.sampled_from([{}, {}, {"reasoning_content": "r"}, {"audio": None}, {"name": "n"}]), st.lists(calls, max_size=3),
)  # fmt: skip
FACTS = {
    "task_id": ["t", 1, ""], "trial": [0, 1], "reward": [0, 1, 0.5, True, 3, None], "environment": ["e", None], "info": ["x", "", "\x00"],
    "more": [[1.5], "x", {"k": "v"}, 1e22],
}  # fmt: skip
around = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in FACTS.items()})


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.lists(heard | answers, max_size=8), around), max_size=4), st.booleans())
def test_random_records_are_equal_in_both_readers(found: list[tuple[list[Any], dict[str, Any]]], ascii: bool) -> None:
    values = [{"messages": [PLAIN[1], *messages]} | about for messages, about in found]
    agree(in_lines(values, ascii), Options(environment="e"))
