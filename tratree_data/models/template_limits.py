"""What a chat template can express of tool calls, found by writing small conversations; rows that need more are refused with the reason.

Templates differ: some ignore tools, some allow one call per turn, some only ids of a certain form. A template that leaves out a call would
train on a conversation that never took place.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tratree_data.errors import BadInputError
from tratree_data.messages import row_messages, row_tools
from tratree_data.models.chat_templates import Tools, name_of, render

ROWS_PER_BATCH = 1_000
TOOLS, CALLS, RESULTS, PARALLEL = "tools", "tool calls", "tool results", "parallel calls"
TOOL = {
    "type": "function",
    "function": {
        "name": "probe_tool",
        "description": "Probes things.",
        "parameters": {"type": "object", "properties": {"depth": {"type": "string", "description": "How deep."}}, "required": ["depth"]},
    },
}


def calls_of(*depths: str) -> dict[str, Any]:
    """A turn of the agent with one call for each depth; the ids satisfy the strictest templates."""
    functions = [{"name": "probe_tool", "arguments": {"depth": depth}} for depth in depths]
    calls = [{"id": f"abcdefgh{i}", "type": "function", "function": function} for i, function in enumerate(functions)]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def results_of(*results: str) -> list[dict[str, Any]]:
    return [{"role": "tool", "tool_call_id": f"abcdefgh{i}", "name": "probe_tool", "content": text} for i, text in enumerate(results)]


ASKED = {"role": "user", "content": "Probe it."}
ANSWER = {"role": "assistant", "content": "It was probed."}


def find_limits(tokenizer: Any, template: str) -> dict[str, str]:
    """{what a row may need: why this template cannot express it}; empty if it can express everything."""
    limits: dict[str, str] = {}
    one = [ASKED, calls_of("first depth"), *results_of("first result"), ANSWER]
    two = [ASKED, calls_of("first depth", "second depth"), *results_of("first result", "second result"), ANSWER]
    _try(limits, TOOLS, tokenizer, template, [ASKED, ANSWER], shown=("probe_tool", "Probes things."))
    _try(limits, CALLS, tokenizer, template, one, written=("probe_tool", "first depth"))
    _try(limits, RESULTS, tokenizer, template, one, shown=("first result",))
    if CALLS in limits:
        limits[PARALLEL] = limits[CALLS]
    else:
        _try(limits, PARALLEL, tokenizer, template, two, written=("first depth", "second depth"), shown=("first result", "second result"))
    return limits


def _try(
    limits: dict[str, str],
    need: str,
    tokenizer: Any,
    template: str,
    messages: list[dict[str, Any]],
    *,
    written: Sequence[str] = (),
    shown: Sequence[str] = (),
) -> None:
    """Notes the need if the agent's text lacks what it wrote, or the rest of the conversation what it was shown."""
    try:
        (text,), (spans,) = render(tokenizer, template, [messages], tools=[[TOOL]])
    except BadInputError as error:
        limits[need] = f"cannot write {need}: {reason_of(error)}"
        return
    own = "\n".join(text[start:end] for start, end in spans)
    others = _without(text, spans)
    if not all(words in own for words in written):
        limits[need] = f"leaves out {need}" if not all(words in text for words in written) else f"has {need} outside what the agent writes"
    elif not all(words in others for words in shown):
        limits[need] = f"leaves out {need}" if not all(words in text for words in shown) else f"has {need} inside what the agent writes"


def _without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    return "\n".join(text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True))


def reason_of(error: BadInputError) -> str:
    """The template's own error message."""
    return str(error).partition("\n")[0].partition("turns: ")[2].rstrip(".") or str(error).partition("\n")[0].rstrip(".")


def needs_of(messages: Sequence[Mapping[str, Any]], tools: Tools) -> list[str]:
    """What a conversation needs of a template, the most basic need first."""
    calls = max((len(message.get("tool_calls") or ()) for message in messages), default=0)
    needed = {
        TOOLS: bool(tools),
        CALLS: calls > 0,
        RESULTS: any(message["role"] == "tool" for message in messages),
        PARALLEL: calls > 1,
    }
    return [need for need, holds in needed.items() if holds]


def expressible_rows(rows: pa.Table, columns: Sequence[str], tokenizer: Any, template: str) -> tuple[pa.Table, dict[str, int]]:
    """(the rows that the template can express, {reason: how many it cannot}); `columns` are those with a row's messages.

    Rows in the form react need nothing but user and assistant turns.
    """
    if "form" not in rows.column_names or "chat" not in rows["form"].to_pylist():
        return rows, {}
    limits = find_limits(tokenizer, template)
    refused: Counter[str] = Counter()
    keep = []
    for start in range(0, rows.num_rows, ROWS_PER_BATCH):
        for row in rows.slice(start, ROWS_PER_BATCH).to_pylist():
            reason = _refusal(row, columns, tokenizer, template, limits) if row["form"] == "chat" else ""
            refused.update([reason] if reason else [])
            keep.append(not reason)
    if not any(keep):
        (reason, _), *_ = refused.most_common(1)
        raise BadInputError(
            f"The chat template of {name_of(tokenizer)} {reason}, which all {rows.num_rows:,} rows need.\n"
            "Next: train another model, add --chat-template FILE, or make the rows with --form react"
        )
    return rows.filter(pa.array(keep)), dict(refused.most_common())


def _refusal(row: Mapping[str, Any], columns: Sequence[str], tokenizer: Any, template: str, limits: Mapping[str, str]) -> str:
    """Why the template cannot express this row; '' if it can."""
    lists = {name: row_messages(row[name]) for name in columns if isinstance(row[name], list)}
    prompt, tools = lists.pop("prompt", []), row_tools(row.get("tools"))
    for messages in lists.values():
        for need in needs_of([*prompt, *messages], tools):
            if need in limits:
                return limits[need]
        try:
            render(tokenizer, template, [[*prompt, *messages]], tools=[tools])
        except BadInputError as error:
            return f"cannot write it: {reason_of(error)}"
    return ""
