"""Conversations become steps and come back as they were; derived texts are equal wherever the calls are."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from tratree_data import import_log, open_store
from tratree_data.importers.log_records import Record, Unusable
from tratree_data.importers.turns.chat import action_text, record_of_chat
from tratree_data.messages import messages_of_steps, openai_message

WEATHER = [
    {"role": "system", "content": "You help."},
    {"role": "user", "content": "Weather in Rome and Oslo?"},
    {"role": "assistant", "content": "Let me look.", "reasoning_content": "Two calls.", "tool_calls": [
        {"id": "b", "name": "weather", "arguments": '{"city": "Rome", "days": 1.0}'},
        {"id": "a", "name": "weather", "arguments": '{"days":1,"city":"Oslo"}'},
    ]},
    {"role": "tool", "content": "sunny", "tool_call_id": "b", "name": "weather"},
    {"role": "tool", "content": "snow", "tool_call_id": "a"},
    {"role": "assistant", "content": "Sun in Rome, snow in Oslo."},
]  # fmt: skip
REACT = [
    {"role": "system", "content": "You are in a kitchen."},
    {"role": "user", "content": "Your task is to cool an apple."},
    {"role": "assistant", "content": "Thought: The fridge.\nAction: go to fridge"},
    {"role": "user", "content": "The fridge is closed."},
    {"role": "assistant", "content": "Action: open fridge"},
    {"role": "user", "content": "Done."},
]


def record(messages: list[dict], **facts: object) -> Record:
    return record_of_chat(messages, source="log:1", environment="tools", **facts)


def rebuilt(made: Record) -> list[dict]:
    end = made.end_observation if made.end_messages is None else made.end_messages
    return messages_of_steps(made.prompt, [asdict(step) for step in made.steps], end)


texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["", "Thought: x\nAction: y", "Action: ", "Observation: z", "<think>a</think>b", "Thought: t", " \n"]),
)
arguments = st.one_of(st.sampled_from(["", "{}", "null", "not json", '{"a": 1.0}', '{"a": 1, "a": 2}']), st.text(max_size=5))
calls = st.lists(st.fixed_dictionaries({"id": st.none() | st.sampled_from("abc"), "name": texts, "arguments": arguments}), max_size=3)
inputs = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "tool"]), "content": st.none() | texts},
    optional={"tool_call_id": st.sampled_from("abcd"), "name": texts},
)
outputs = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.none() | texts}, optional={"reasoning_content": texts, "tool_calls": calls}
)
conversations = st.lists(inputs | outputs, max_size=8).filter(lambda messages: any(m["role"] == "assistant" for m in messages))


@seed(13)
@settings(max_examples=1500, deadline=None)
@given(messages=conversations, react=st.sampled_from([None, True, False]))
@pytest.mark.slow
def test_any_conversation_comes_back_exactly(messages, react):
    assert rebuilt(record(messages, react=react)) == messages


def test_a_tool_call_keeps_its_message_and_gives_a_text_to_compare():
    made = record(WEATHER)
    assert made.prompt == "You help."
    first, last = made.steps
    assert first.observation == made.instruction == "Weather in Rome and Oslo?"
    assert first.thought == "Two calls.\nLet me look."
    assert first.action == 'weather {"city": "Oslo", "days": 1}\nweather {"city": "Rome", "days": 1}'
    assert first.input_messages is None
    assert [call["id"] for call in first.output_message["tool_calls"]] == ["b", "a"]
    assert last.observation == "snow\n\nsunny", "results come in the order of the calls' texts"
    assert [message["tool_call_id"] for message in last.input_messages] == ["b", "a"]
    assert last.output_message is None


def test_parallel_calls_in_another_order_are_the_same_step():
    other = json.loads(json.dumps(WEATHER))
    other[2]["tool_calls"].reverse()
    other[3:5] = [{"role": "tool", "content": "snow", "tool_call_id": "a"}, {"role": "tool", "content": "sunny", "tool_call_id": "b"}]
    ours, theirs = record(WEATHER), record(other)
    assert [(step.observation, step.action) for step in ours.steps] == [(step.observation, step.action) for step in theirs.steps]
    swapped = json.loads(json.dumps(WEATHER))
    swapped[3]["content"], swapped[4]["content"] = "snow", "sunny"
    assert record(swapped).steps[1].observation != ours.steps[1].observation, "the same calls with each other's results differ"


@pytest.mark.parametrize(("ours", "theirs", "equal"), [
    ('{"a": 1, "b": [2.0]}', '{ "b":[2],\n"a":1.0 }', True),
    ('{"a": 1e2}', '{"a": 100}', True),
    ('{"a": "\\u00e9\\n"}', '{"a": "é\\n"}', True),
    ('{"a": -0.0}', '{"a": 0}', True),
    ('{"a": "1"}', '{"a": 1}', False),
    ('{"a": true}', '{"a": 1}', False),
    ('{"a": 9007199254740993}', '{"a": 9007199254740992}', False),
    ('{"a": 0.5}', '{"a": 0.25}', False),
    ('ls  -l', 'ls -l', False),
])  # fmt: skip
def test_calls_are_equal_whatever_their_order_and_number_formatting(ours, theirs, equal):
    ours, theirs = (action_text({"name": "f", "arguments": arguments}) for arguments in (ours, theirs))
    assert (ours == theirs) is equal


def test_a_text_conversation_stores_no_messages():
    made = record(REACT)
    assert [(s.observation, s.thought, s.action) for s in made.steps] == [
        ("Your task is to cool an apple.", "The fridge.", "go to fridge"), ("The fridge is closed.", "", "open fridge"),
    ]  # fmt: skip
    assert all(step.input_messages is None and step.output_message is None for step in made.steps)
    assert made.end_messages is None
    assert rebuilt(made) == REACT


def test_what_a_log_says_about_messages_is_metadata():
    messages = [dict(message) for message in WEATHER] + [{"role": "user", "content": "Thanks", "metadata": {"timestamp": "12:03"}}]
    messages[1]["metadata"] = {"timestamp": "12:00"}
    messages[2]["metadata"] = {"usage": {"output_tokens": 3}}
    made = record(messages, metadata={"cwd": "/x"})
    assert made.steps[0].metadata == {"usage": {"output_tokens": 3}, "input_messages": [None, {"timestamp": "12:00"}]}
    assert made.steps[1].metadata is None
    assert made.metadata == {"cwd": "/x", "end_messages": [{"timestamp": "12:03"}]}


def test_a_conversation_without_an_assistant_is_refused():
    with pytest.raises(Unusable, match="no assistant turn"):
        record(WEATHER[:2])


def test_openai_form_has_functions_and_objects_for_templates():
    message = openai_message(WEATHER[2], decode=True)
    assert message["tool_calls"][0] == {
        "id": "b", "type": "function", "function": {"name": "weather", "arguments": {"city": "Rome", "days": 1.0}},
    }  # fmt: skip
    assert openai_message(WEATHER[2])["tool_calls"][1]["function"]["arguments"] == '{"days":1,"city":"Oslo"}'
    assert openai_message(WEATHER[0]) == WEATHER[0]


def test_messages_tools_and_metadata_are_stored_and_read_back(tmp_path: Path) -> None:
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    wire = [openai_message(message) for message in WEATHER]
    lines = [
        {"task_id": "t", "trial": 3, "environment": "tools", "reward": 1, "messages": wire, "tools": tools, "info": {"cost": 0.5}},
        {"task_id": "u", "environment": "tools", "reward": 1, "messages": REACT},
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    import_log(tmp_path / "d", tmp_path / "log.jsonl", "messages", strict=True)
    store = open_store(tmp_path / "d")
    chat, text = store.sql("SELECT * FROM rollouts ORDER BY task_id").to_pylist()
    steps = store.sql("SELECT * FROM steps ORDER BY rollout_id, step").to_pylist()
    own = [step for step in steps if step["rollout_id"] == chat["rollout_id"]]
    assert messages_of_steps(chat["prompt"], own, chat["end_observation"]) == WEATHER
    assert json.loads(chat["tools"]) == tools
    assert json.loads(chat["metadata"]) == {"info": {"cost": 0.5}}
    assert chat["trajectory_id"] == "log:3"
    assert all(step["input_messages"] is None and step["output_message"] is None for step in steps if step not in own)
    assert text["tools"] is text["end_messages"] is text["metadata"] is None


def test_a_character_that_cannot_be_stored_is_replaced_in_messages_too(tmp_path: Path) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "say", "arguments": "{}"}}
    log = [{"role": "user", "content": "a\0", "name": "x"}, {"role": "assistant", "content": "b\0", "tool_calls": [call]}]
    (tmp_path / "log.jsonl").write_text(json.dumps({"task_id": "t", "environment": "e", "messages": log}))
    result = import_log(tmp_path / "d", tmp_path / "log.jsonl", "messages")
    assert any("replaced_characters" in note for note in result.notes)
    (step,) = open_store(tmp_path / "d").read("steps").to_pylist()
    assert step["input_messages"][0]["content"] == "a\ufffd"
    assert step["output_message"]["content"] == "b\ufffd"
