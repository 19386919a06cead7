"""Claude Code sessions: one JSON object per line, a graph by `uuid` and `parentUuid`.

One message of the model is spread over several lines, one per content block, which share `message.id`. Results of its parallel calls
each have the line of their call as parent; that is not a fork. A fork is where a user went back: every leaf is a rollout. Lines without a
parent continue the line before them in their session; side chains (subagents) that begin without one are rollouts of their own.
"""

from collections.abc import Iterator, Set
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, json_records
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.sessions.session import Node, Session, branches, differing, objects_of, parsed, usage_sum
from tratree_data.importers.turns.chat import Message
from tratree_data.importers.turns.dialects import read_messages

TOOL = "claude-code"
CONSTANT = ("sessionId", "cwd", "version", "gitBranch", "userType", "isSidechain", "agentId", "entrypoint", "slug")
TAKEN = frozenset(("message", "uuid", "parentUuid", "type", "logicalParentUuid"))
OF_ANSWERS = frozenset(("content", "role", "type"))
NOTHING: frozenset[str] = frozenset()
BESIDE = (
    "summary", "file-history-snapshot", "queue-operation", "custom-title", "ai-title", "tag", "agent-name", "agent-color", "last-prompt",
    "pr-link", "mode", "permission-mode", "worktree-state", "attribution-snapshot", "agent-setting", "content-replacement", "cost-state",
    "atis-latch",
)  # fmt: skip
"""Lines without a place in the graph."""
SYNTHETIC = "<synthetic>"
LONGEST_ABOUT = 100_000
PROMPT_TOKENS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
Line = dict[str, Any]


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    lines: list[tuple[str, Line]] = []
    beside: list[Line] = []
    for item in objects_of(file, _is_mark, (*BESIDE, "system")):
        if isinstance(item, Problem):
            yield item
        elif isinstance(item[1].get("uuid"), str) and isinstance(item[1].get("sessionId"), str):
            lines.append(item)
        elif item[1].get("type") in BESIDE or isinstance(item[1].get("type"), str):
            beside.append(item[1])
        else:
            yield Problem(item[0], "missing_field", "the line has no uuid and sessionId, or no type")
    paths, dangling = branches(_graph([line for _, line in lines]), _acts)
    beside += [line for node in dangling for line in node.value]
    where_of = {line["uuid"]: where for where, line in lines}
    seen: set[str] = set()
    for path in paths:
        first, last = path[0].value[0], path[-1].value[-1]
        where = where_of[first["uuid"]]
        try:
            session = _session(path, [] if seen else beside)
        except Unusable as refusal:
            yield Problem(where, refusal.reason, refusal.detail)
            continue
        except RecursionError:
            yield Problem(where, "not_json", "nested too deeply")
            continue
        if first.get("isSidechain"):
            session.branch = str(first.get("agentId") or last["uuid"])
            session.metadata |= _about_subagent(file)
        elif session.id in seen:
            session.branch = str(last["uuid"])
        seen.add(f"{session.id}/{session.branch}" if session.branch else session.id)
        yield from parsed(where, session, options)
    if lines and not paths:
        yield Problem(lines[0][0], "empty_steps", "the session has no action of the agent")


def _about_subagent(file: LogFile) -> Line:
    """What Claude Code wrote about the subagent beside its session: its type, and the call that started it."""
    beside = file.path.with_name(f"{file.stem}.meta.json")
    if beside.is_symlink() or not beside.is_file() or beside.stat().st_size > LONGEST_ABOUT:
        return {}
    about = next(json_records(LogFile(beside, beside.name)), ("", None))[1]
    return {"subagent": about} if isinstance(about, dict) else {}


def _is_mark(line: Line) -> bool:
    is_message = line.get("type") in ("user", "assistant") and "sessionId" in line and "uuid" in line and "parentUuid" in line
    return is_message and log_records.at(line, "message", "parts") is None


NO_RESULTS: tuple[Set[str], None] = (NOTHING, None)


def _graph(lines: list[Line]) -> list[Node]:
    """Nodes hold the lines of one message; results of parallel calls are a chain."""
    nodes: list[Node] = []
    node_of: dict[str, Node] = {}
    messages: dict[tuple[Any, ...], Node] = {}
    last: dict[tuple[Any, ...], str] = {}
    results: dict[str, tuple[Set[str], Node]] = {}
    for line in lines:
        identity = line["uuid"]
        if identity in node_of:
            continue
        chain = (line["sessionId"], bool(line.get("isSidechain")), str(line.get("agentId")))
        parent = _parent(line, node_of, last.get(chain))
        message = line.get("message")
        name = message.get("id") if isinstance(message, dict) and line.get("type") == "assistant" else None
        node = messages.get((*chain, name)) if isinstance(name, str) else None
        if node is not None:
            node.value.append(line)
        else:
            answered = _results(line)
            known, tail = results.get(parent.id, NO_RESULTS) if parent and answered else NO_RESULTS
            parent = tail if answered and tail is not None and not answered & known else parent
            node = Node(identity, parent.id if parent else None, [line])
            nodes.append(node)
            if answered and (origin := _origin(line, node_of, parent)) is not None:
                results[origin.id] = (results.get(origin.id, NO_RESULTS)[0] | answered, node)
            if isinstance(name, str):
                messages[(*chain, name)] = node
        node_of[identity] = node
        last[chain] = identity
    return _after_results(nodes, node_of, results)


def _origin(line: Line, node_of: dict[str, Node], parent: Node | None) -> Node | None:
    """The message whose calls the line answers."""
    named = line.get("parentUuid")
    return node_of.get(named) if isinstance(named, str) else parent


def _after_results(nodes: list[Node], node_of: dict[str, Node], results: dict[str, tuple[Set[str], Node]]) -> list[Node]:
    """What follows one of several parallel results follows the last of them."""
    members: dict[str, str] = {}
    for _, tail in results.values():
        walk: Node | None = tail
        while walk is not None and _results(walk.value[0]):
            members[walk.id] = tail.id
            walk = node_of.get(walk.parent) if walk.parent else None
    for node in nodes:
        if node.parent in members and node.id not in members:
            node.parent = members[node.parent]
    return nodes


def _parent(line: Line, node_of: dict[str, Node], last: str | None) -> Node | None:
    for key in ("parentUuid", "logicalParentUuid"):
        named = line.get(key)
        parent = node_of.get(named) if isinstance(named, str) else None
        if parent is not None:
            return parent if not line.get("isSidechain") or parent.value[0].get("isSidechain") else None
    if line.get("isSidechain") and line.get("type") == "user" and not line.get("parentUuid") and not _results(line):
        return None
    return node_of[last] if last is not None else None


def _results(line: Line) -> Set[str]:
    """The calls that a line of results answers; empty if it says anything else."""
    if line.get("type") != "user":
        return NOTHING
    content = log_records.at(line, "message", "content")
    if not isinstance(content, list) or not all(isinstance(block, dict) and block.get("type") == "tool_result" for block in content):
        return NOTHING
    return {str(block.get("tool_use_id")) for block in content}


def _acts(lines: list[Line]) -> bool:
    return lines[0].get("type") == "assistant" and not _is_synthetic(lines[0])


def _is_synthetic(line: Line) -> bool:
    """What the tool itself writes instead of the model: an error of the server, or that no answer is needed."""
    return log_records.at(line, "message", "model") == SYNTHETIC or line.get("isApiErrorMessage") is True


def _session(path: list[Node], beside: list[Line]) -> Session:
    first = path[0].value[0]
    constant = {key: first[key] for key in CONSTANT if first.get(key) is not None}
    session = Session(
        TOOL, path[-1].value[-1]["sessionId"], [], project=str(first.get("cwd") or ""), version=str(first.get("version") or "")
    )
    events: list[Line] = list(beside)
    usages: list[dict[str, Any]] = []
    for node in path:
        line = node.value[0]
        if line.get("type") == "assistant" and not _is_synthetic(line):
            message = _answer(node.value, constant)
            model = message["metadata"].get("model")
            session.model = session.model or (model if isinstance(model, str) else None)
            usages += [message["metadata"]["usage"]] if isinstance(message["metadata"].get("usage"), dict) else []
            session.messages.append(message)
        elif line.get("type") == "user" and isinstance(line.get("message"), dict):
            session.messages += _said(line, constant)
        elif line.get("type") == "system" and line.get("subtype") == "compact_boundary":
            about = differing(line, constant, TAKEN) | {"compaction": True}
            session.messages.append({"role": "system", "content": str(line.get("content") or "Conversation compacted"), "metadata": about})
        else:
            events += node.value
    session.metadata = constant | ({"events": events} if events else {})
    session.prompt_tokens = usage_sum(usages, PROMPT_TOKENS)
    session.completion_tokens = usage_sum(usages, ("output_tokens",))
    return session


def _said(line: Line, constant: Line) -> list[Message]:
    said = read_messages({"content": "", **line["message"], "role": "user"}, "message")
    about = differing(line, constant, TAKEN) | ({"compaction": True} if line.get("isCompactSummary") else {})
    if about:
        said[0]["metadata"] = about | said[0].get("metadata", {})
    return [message | {"by_tool": True} for message in said] if line.get("isMeta") is True else said


def _answer(lines: list[Line], constant: Line) -> Message:
    """One message of the model: the blocks of its lines in their order."""
    blocks: list[Any] = []
    for line in lines:
        message = log_records.mapping(line.get("message"), "message")
        content = message.get("content")
        blocks += (
            [{"type": "text", "text": content}] if isinstance(content, str) else log_records.items_of(content or [], "message.content")
        )
    (answer,) = read_messages({"role": "assistant", "content": blocks}, "message")
    if not any(isinstance(block, dict) and block.get("type") == "text" for block in blocks):
        answer["content"] = answer["content"] or None
    final = log_records.mapping(lines[-1].get("message"), "message")
    about = {key: value for key, value in final.items() if key not in OF_ANSWERS and value is not None}
    return answer | {"metadata": differing(lines[0], constant, TAKEN) | about}
