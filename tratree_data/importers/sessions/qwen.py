"""Qwen Code sessions: lines that form a graph by `uuid` and `parentUuid`, as Claude Code's, with messages in Gemini's parts.

Every leaf is a rollout: a rewind leaves a branch.
"""

from collections.abc import Iterator
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.sessions.gemini_parts import answer_of, content_text, results_in, without_results
from tratree_data.importers.sessions.session import Node, Session, branches, differing, objects_of, parsed, usage_sum

TOOL = "qwen-code"
CONSTANT = ("sessionId", "cwd", "version", "gitBranch")
TAKEN = ("message", "uuid", "parentUuid", "type")
BY_TOOL = ("cron", "notification")
Line = dict[str, Any]


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    nodes: list[Node] = []
    first = ""
    for item in objects_of(file, _is_mark):
        if isinstance(item, Problem):
            yield item
        elif not isinstance(item[1].get("uuid"), str) or not isinstance(item[1].get("sessionId"), str):
            yield Problem(item[0], "missing_field", "the line has no uuid and sessionId")
        else:
            first = first or item[0]
            parent = item[1].get("parentUuid")
            nodes.append(Node(item[1]["uuid"], parent if isinstance(parent, str) else None, item[1]))
    paths, dangling = branches(nodes, _acts)
    for number, path in enumerate(paths):
        try:
            session = _session([node.value for node in path], [node.value for node in dangling] if not number else [])
        except Unusable as refusal:
            yield Problem(first, refusal.reason, refusal.detail)
            continue
        session.branch = path[-1].id if number else ""
        yield from parsed(first, session, options)
    if first and not paths:
        yield Problem(first, "empty_steps", "the session has no action of the agent")


def _is_mark(line: Line) -> bool:
    return "sessionId" in line and "uuid" in line and isinstance(log_records.at(line, "message", "parts"), list)


def _acts(line: Line) -> bool:
    return line.get("type") == "assistant" and bool(log_records.at(line, "message", "parts"))


def _session(lines: list[Line], events: list[Line]) -> Session:
    constant = {key: lines[0][key] for key in CONSTANT if lines[0].get(key) is not None}
    session = Session(TOOL, lines[-1]["sessionId"], [], project=str(constant.get("cwd") or ""), version=str(constant.get("version") or ""))
    usages: list[Line] = []
    for line in lines:
        parts = log_records.at(line, "message", "parts")
        about = {"metadata": differing(line, constant, TAKEN)}
        if _acts(line):
            session.messages.append(answer_of(parts, "message.parts") | about)
            session.model = session.model or (line["model"] if isinstance(line.get("model"), str) else None)
            usages += [line["usageMetadata"]] if isinstance(line.get("usageMetadata"), dict) else []
        elif isinstance(parts, list) and line.get("type") in ("user", "tool_result"):
            session.messages += [result | about for result in results_in(parts)]
            if text := content_text(without_results(parts), "message.parts"):
                by_tool = {"by_tool": True} if line.get("subtype") in BY_TOOL else {}
                session.messages.append({"role": "user", "content": text} | about | by_tool)
        elif line.get("subtype") == "chat_compression":
            compacted = {"metadata": about["metadata"] | {"compaction": True}}
            session.messages.append({"role": "system", "content": "Conversation compressed"} | compacted)
        else:
            events.append(line)
    session.metadata = constant | ({"events": events} if events else {})
    session.prompt_tokens = usage_sum(usages, ("promptTokenCount",))
    session.completion_tokens = usage_sum(usages, ("candidatesTokenCount",))
    return session
