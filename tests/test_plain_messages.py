"""The short way to read a message gives exactly what the long way gives, or leaves the message to it."""

import random

import pytest

from tratree_data.importers.log_records import Unusable
from tratree_data.importers.turns import dialects
from tratree_data.importers.turns.plain_messages import plain_messages

TEXTS = ["", " ", "a", "Observation: x", None, 3]
CALLS = [
    {"id": "c1", "type": "function", "function": {"name": "act", "arguments": '{"b": 1, "a": 2}'}},
    {"id": "c2", "function": "act", "arguments": {"b": [1.5, 2e20], "a": "ü\u2028\x7f"}},
    {"id": "c3", "function": {"name": "act"}},
    {"id": 4, "function": {"name": "act", "arguments": None, "input": {}}},
    {"id": "c5", "name": "act", "input": {"big": 2**70, "no": None}},
    "not a call",
]
BLOCKS = [
    {"type": "text", "text": "said"}, {"type": "text"}, {"text": "said"}, "said", {"type": "thinking", "thinking": "hm"},
    {"type": "thinking", "thinking": "", "signature": "s"}, {"type": "thinking", "thinking": "", "text": "hm"},
    {"type": "tool_use", "id": "t1", "name": "act", "input": {"a": 1}}, {"type": "image", "source": {"data": "aGk="}},
    {"type": "tool_result", "tool_use_id": "t1", "content": "seen"}, {"type": "tool_result", "tool_use_id": "t1", "is_error": True},
    {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "tool_result", "content": "inner"}]},
    {"type": "tool_result", "content": [{"type": "image", "source": {"data": "aGk="}}]},
]  # fmt: skip
MORE = {
    "name": ["bob", "", 3], "tool_call_id": ["c1", " ", None, 7], "reasoning_content": ["so", "", 1], "reasoning": ["so"],
    "tool_calls": [[call] for call in CALLS] + [CALLS[:2], None, {}], "id": ["m1"], "source": [None, "generate"], "value": ["x"],
    "function_call": [{"name": "act", "arguments": "{}"}],
}  # fmt: skip
ROLES = ["system", "developer", "user", "tool", "assistant", "User", "gpt", "nobody", None]


def random_message(dice: random.Random) -> object:
    content = [dice.choice(BLOCKS) for _ in range(dice.randrange(4))] if dice.random() < 0.6 else dice.choice(TEXTS)
    message = {"role": dice.choice(ROLES), "content": content}
    return message | {name: dice.choice(MORE[name]) for name in dice.sample(list(MORE), dice.randrange(3))}


def read(message: object) -> object:
    try:
        return dialects.read_messages(message, "message")
    except Unusable as refusal:
        return refusal.reason, refusal.detail


def test_the_short_way_reads_what_the_long_way_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    seed = 5
    print(f"seed {seed}")
    dice = random.Random(seed)
    messages = [random_message(dice) for _ in range(5_000)]
    short = sum(plain_messages(message) is not None for message in messages)
    assert short > 500
    found = [read(message) for message in messages]
    monkeypatch.setattr(dialects, "plain_messages", lambda _: None)
    for message, one in zip(messages, found, strict=True):
        assert one == read(message), message
