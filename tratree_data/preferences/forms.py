"""The two forms of a training row, and which of them a tree's rows take.

chat    the messages as they were: system message, tool calls with their ids, tool results, reasoning; and the tools beside them
react   Thought and Action as text, one message for what was seen and one for what was done (messages.py)

A tree takes one form, because the two sides of a pair share their prompt. By default it is that of the log: chat if a rollout of the
tree has tools or messages that say more than thought and action, react otherwise.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.errors import BadInputError
from tratree_data.messages import (
    answer,
    inputs_of,
    messages_of_steps,
    openai_message,
    opening,
    output_of,
    rollout_tools,
    stored_row_message,
)
from tratree_data.store.chunks.tree_arrays import NO_NODE, Flags, Ints, TreeArrays, as_array, numbers, positions
from tratree_data.store.chunks.tree_chunks import TreeChunk, plan_tree_chunks, read_tree_chunk
from tratree_data.store.queries.named_queries import query, query_text
from tratree_data.store.reader import Store
from tratree_data.store.schemas import arrow_schema

CHAT, REACT = "chat", "react"
KEPT_IN_STEPS = ("input_messages", "output_message")
STEP_MESSAGES = ("rollout_id", "step", "observation", "thought", "action", "response", *KEPT_IN_STEPS)
ROLLOUT_MESSAGES = ("source", "tools")
FORM_COLUMNS = ("rollout_id", "thought", "action", "response", "output_message")
"""What decides a tree's form."""
ROWS_PER_BATCH = 5_000
Tables = dict[str, pa.Table]


def chat_trees(store: Store, form: str | None) -> pa.Array:
    """The trees whose rows are in the form chat: all, none, or those of logs that have it."""
    if form == REACT or not store.has("steps"):
        return pa.array([], pa.string())
    return pc.unique(as_array(store.read("rollouts", ["tree_id"])["tree_id"]) if form == CHAT else query(store, "chat_trees")["tree_id"])


@dataclass(frozen=True)
class FormChunk:
    """Some whole trees, and which of them are in the form chat."""

    trees: TreeChunk
    chat: pa.Array


def plan_forms(store: Store, columns: Mapping[str, Sequence[str]], form: str | None, only: Sequence[str] | None = None) -> list[FormChunk]:
    """Every tree, or every one of `only`."""
    if only is not None and form is None and store.has("steps"):
        return _plan_some_forms(store, columns, only)
    chat = chat_trees(store, form)
    if len(chat):
        columns = {**columns, "rollouts": (*columns["rollouts"], *ROLLOUT_MESSAGES), "steps": STEP_MESSAGES}
    return [
        FormChunk(chunk, chunk.tree_ids.filter(pc.is_in(chunk.tree_ids, chat))) for chunk in plan_tree_chunks(store, columns, only=only)
    ]


def _plan_some_forms(store: Store, columns: Mapping[str, Sequence[str]], only: Sequence[str]) -> list[FormChunk]:
    """Asks these trees alone for their form: asking all would read every step."""
    with_steps = {**columns, "rollouts": (*columns["rollouts"], *ROLLOUT_MESSAGES), "steps": STEP_MESSAGES}
    planned = []
    for chunk in plan_tree_chunks(store, with_steps, only=only):
        asked = read_tree_chunk(replace(chunk, columns={"rollouts": ("rollout_id", "tree_id", *ROLLOUT_MESSAGES), "steps": FORM_COLUMNS}))
        with duckdb.connect() as connection:
            for table, rows in asked.items():
                connection.register(table, rows)
            found = connection.sql(query_text("chat_trees")).to_arrow_table()
        chat = chunk.tree_ids.filter(pc.is_in(chunk.tree_ids, as_array(found["tree_id"])))
        planned.append(FormChunk(chunk if len(chat) else replace(chunk, columns=columns), chat))
    return planned


def read_forms(chunk: FormChunk) -> Iterator[Tables]:
    """The chunk's trees, those of each form by themselves; the ones in the form chat have their steps with them."""
    tables = read_tree_chunk(chunk.trees)
    steps = tables.pop("steps", None)
    if steps is None:
        yield tables
        return
    inside = {name: pc.is_in(table["tree_id"], chunk.chat) for name, table in tables.items()}
    for chosen in (True, False):
        part = {name: table.filter(inside[name] if chosen else pc.invert(inside[name])) for name, table in tables.items()}
        if chosen:
            part["steps"] = steps.filter(pc.is_in(steps["rollout_id"], as_array(part["rollouts"]["rollout_id"])))
        if part["nodes"].num_rows:
            yield part


class Spoken:
    """What was said at each step of a chunk, in the order of its arrays: first the S inputs, then the S answers."""

    def __init__(self, arrays: TreeArrays, steps: pa.Table, rollouts: pa.Table) -> None:
        rows = _in_order(arrays, steps)
        inputs: list[pa.Array] = []
        outputs: list[pa.Array] = []
        keys: tuple[list[str], list[str]] = ([], [])
        context = rollouts.select(["prompt", "instruction", "source", "tools"]).take(pa.array(arrays.rollout_row)).to_pylist()
        textual = _textual_rollouts(arrays, rows, context)
        rollout_of_step = arrays.step_rollout
        first = np.zeros(rows.num_rows, dtype=bool)
        first[arrays.step_start[:-1]] = True
        for start in range(0, rows.num_rows, ROWS_PER_BATCH):
            batch = rows.slice(start, ROWS_PER_BATCH).to_pylist()
            heard, said = [], []
            for number, step in enumerate(batch, start):
                rollout = rollout_of_step[number]
                before, message = turn(step, context[rollout], first=bool(first[number]), textual=bool(textual[rollout]))
                heard.append(list(map(stored_message, before)))
                said.append([stored_message(message)])
                keys[0].append(meaning(before))
                keys[1].append(meaning([message]))
            inputs.append(pa.array(heard, messages_type()))
            outputs.append(pa.array(said, messages_type()))
        self.messages: pa.Array = pa.concat_arrays([pa.array([], messages_type()), *inputs, *outputs])
        """[2 S] lists of messages; an answer is a list of one."""
        self.keys: pa.Array = pa.array([*keys[0], *keys[1]], pa.large_string())
        """[2 S] equal where the same was said, whatever the ids of its calls."""
        self.founder: Ints = founding_steps(arrays)
        self.has_input: Flags = numbers(pc.list_value_length(self.messages))[: rows.num_rows] > 0


def founding_steps(arrays: TreeArrays) -> Ints:
    """[N] the first step that reached each node; NO_NODE for roots."""
    founder = np.full(len(arrays.parent), NO_NODE, dtype=np.int64)
    founder[arrays.step_node[::-1]] = np.arange(len(arrays.step_node))[::-1]
    return founder


def turn(step: Mapping[str, Any], rollout: Mapping[str, Any], *, first: bool, textual: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(the messages before a turn, the turn itself), as the log had them; a textual run begins with its instruction, as in `react`."""
    if textual:
        text = opening("", rollout["instruction"], step["observation"]) if first else step["observation"]
        system = [{"role": "system", "content": rollout["prompt"]}] if first and rollout["prompt"].strip() else []
        return [*system, {"role": "user", "content": text}], {"role": "assistant", "content": answer(step["thought"], step["action"])}
    if first:
        *before, message = messages_of_steps(rollout["prompt"], [step])
        return before, message
    return inputs_of(step), output_of(step)


def stored_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as the tables of training rows hold it: each call is JSON in OpenAI form, its arguments an object wherever they are one."""
    return stored_row_message(openai_message(message, decode=True))


def meaning(messages: Sequence[Mapping[str, Any]]) -> str:
    """The messages without the ids of their calls, which differ from run to run: equal where the same was said."""
    return repr(
        [
            (
                message["role"],
                message["content"],
                message.get("reasoning_content"),
                message.get("name"),
                [(call["name"], call["arguments"]) for call in message.get("tool_calls") or ()],
            )
            for message in messages
        ]
    )


def tools_column(tools: Sequence[str | None]) -> pa.Array:
    """`rollouts.tools`, one JSON array per row → a list of JSON per row; NULL where there is none."""
    known: dict[str | None, list[str] | None] = {None: None}
    for text in set(tools) - {None}:
        known[text] = [json.dumps(tool, ensure_ascii=False) for tool in rollout_tools(text) or ()] or None
    return pa.array([known[text] for text in tools], pa.list_(pa.string()))


def messages_type() -> pa.DataType:
    return arrow_schema("demonstrations").field("messages").type


def _in_order(arrays: TreeArrays, steps: pa.Table) -> pa.Table:
    """The rows of `steps` in the order of the arrays' steps."""
    rollout = positions(steps["rollout_id"], arrays.rollout_ids)
    order = np.lexsort((numbers(steps["step"]), rollout))
    order = order[rollout[order] != NO_NODE]
    counts = np.bincount(rollout[order], minlength=len(arrays.rollout_ids))
    if (counts != np.diff(arrays.step_start)).any():
        raise BadInputError("steps and step_nodes do not have the same steps, so the trees are out of date.\nNext: tratree build DIR")
    return steps.take(pa.array(order))


def _textual_rollouts(arrays: TreeArrays, steps: pa.Table, rollouts: Sequence[Mapping[str, Any]]) -> Flags:
    """Runs of text environments: no message of theirs was kept, and their answers are Thought and Action."""
    kept = pc.or_(*(steps[name].is_valid() for name in KEPT_IN_STEPS)).to_numpy(zero_copy_only=False)
    answered = steps["response"].is_valid().to_numpy(zero_copy_only=False)
    count = len(rollouts)
    has_kept = np.bincount(arrays.step_rollout[kept], minlength=count) > 0
    has_answer = np.bincount(arrays.step_rollout[answered], minlength=count) > 0
    explored = np.array([row["source"] == "explore" for row in rollouts], dtype=bool)
    tools = np.array([row["tools"] is not None for row in rollouts], dtype=bool)
    textual: Flags = ~has_kept & ~tools & (explored | ~has_answer)
    return textual
