"""Subagents of an Inspect sample → records: conversations in the spans of agents that are not the sample's own.

A subagent has a task of its own, what it was asked, and no score.
What an agent said after a handover is already in the sample's conversation.
"""

from collections.abc import Iterator
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.readers.inspect_attachments import resolved
from tratree_data.importers.readers.inspect_calls import Thread
from tratree_data.importers.readers.inspect_samples import JSON, Sample, eval_of, spoken_messages
from tratree_data.importers.turns.chat import record_of_chat
from tratree_data.importers.turns.dialects import read_tools


def subagents_of(sample: Sample, log: JSON, whole: Record, where: str, options: Options) -> Iterator[Record | Problem]:
    """Adds, after the sample's own record, those of the agents that it started."""
    own = {str(log_records.at(message, "id")) for message in sample.messages if log_records.at(message, "role") == "assistant"}
    for thread, is_nested in sample.calls.threads(log_records.at(sample.facts.get("events_data"), "messages")):
        if own and not _is_in(own, thread, is_nested):
            try:
                yield _record(sample, thread, log, whole, where, options)
            except Unusable as refusal:
                yield Problem(where, refusal.reason, refusal.detail)


def _is_in(own: set[str], thread: Thread, is_nested: bool) -> bool:
    """Whether the sample's conversation holds the thread; the answer at which a limit was reached may be missing from it."""
    is_known = [str(answer.get("id")) in own for answer in thread.answers]
    return any(is_known) if not is_nested else all(is_known) or (all(is_known[:-1]) and len(is_known) > 1)


def _record(sample: Sample, thread: Thread, log: JSON, whole: Record, where: str, options: Options) -> Record:
    agent = sample.calls.agent_of(thread.span)
    name = str(sample.calls.spans[agent].get("name") or "")
    call = sample.calls.started_by.get(agent)
    messages = [said for i, message in enumerate(thread.messages) for said in spoken_messages(sample, message, f"{name}[{i}]")]
    about: dict[str, Any] = {"subagent": name, "span": agent, "sample_id": sample.facts.get("id"), "epoch": whole.metadata.get("epoch")}
    return record_of_chat(
        messages,
        source=where,
        environment=options.environment or eval_of(log)["task"],
        environment_version=whole.environment_version,
        trajectory_id="/".join([whole.trajectory_id, thread.span, *([str(thread.number)] if thread.number else [])]),
        agent=name,
        model=thread.model or whole.model,
        tools=read_tools([resolved(tool, sample.attachments) for tool in thread.tools.values()]),
        react=False,
        prompt_tokens=_sum(thread, "input_tokens"),
        completion_tokens=_sum(thread, "output_tokens"),
        metadata=about | ({"subagent_of_call": call} if call else {}) | {"eval": whole.metadata.get("eval")},
    )


def _sum(thread: Thread, name: str) -> int | None:
    counts = [log_records.count(usage.get(name), name) for usage in thread.usages if usage.get(name) is not None]
    return sum(count or 0 for count in counts) if counts else None
