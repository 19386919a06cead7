"""What sessions of coding agents share: graphs whose branches are rollouts, and what a session's task is.

A session has no score and no task id. Its task is its first user message within its project, so forks and resumed sessions are attempts
at one task.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tratree_data import ids
from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, json_lines, json_records
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.turns.chat import Message, is_aside, record_of_chat

REQUEST_MARKS = ("## My request for Codex:",)
REQUEST_TAGS = re.compile(r"<(task|user_input)\b[^<>]*>(?P<asked>.*)</\1>", re.DOTALL)
IMAGE_TAGS = re.compile(r"<image name=[^>\n]*>\n?|\n?</image>")
"""Surrounds a pasted image's path on this machine; removed, so that the same question is the same task elsewhere."""
MOST_BRANCHES = 1_000
LINES_TO_MARK = 50


@dataclass(slots=True)
class Session:
    """One branch of a session, with all messages from its beginning."""

    tool: str
    id: str
    messages: list[Message]
    project: str = ""
    branch: str = ""
    model: str | None = None
    version: str = ""
    tools: list[dict[str, Any]] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    end_reason: str = "unknown"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


def record_of_session(session: Session, where: str, options: Options) -> Record:
    asked = first_asked(session.messages)
    return record_of_chat(
        session.messages,
        source=where,
        environment=options.environment or session.tool,
        environment_version=session.version,
        task_id=ids.content_id(session.project, asked or session.id),
        trajectory_id=f"{session.id}/{session.branch}" if session.branch else session.id,
        instruction=asked,
        agent=session.tool,
        model=session.model,
        tools=session.tools,
        react=False,
        metadata=session.metadata | ({"project": session.project} if session.project else {}),
        end_reason=session.end_reason,
        prompt_tokens=session.prompt_tokens,
        completion_tokens=session.completion_tokens,
    )


def first_asked(messages: Sequence[Message]) -> str:
    """The first thing that the user said, without what the tool says in the user's name."""
    said = [message for message in messages if message["role"] == "user" and (message["content"] or "").strip()]
    own = [message["content"] for message in said if not is_aside(message)]
    asked = next(iter(own or [message["content"] for message in said]), "")
    for mark in REQUEST_MARKS:
        asked = asked.rpartition(mark)[2]
    asked = IMAGE_TAGS.sub("", str(asked)).strip()
    tagged = REQUEST_TAGS.fullmatch(asked)
    return tagged["asked"].strip() if tagged else asked


@dataclass(slots=True)
class Node:
    """A message or event of a graph."""

    id: str
    parent: str | None
    value: Any


def branches(nodes: Sequence[Node], is_act: Callable[[Any], bool]) -> tuple[list[list[Node]], list[Node]]:
    """One path for each leaf, from its root, the last leaf first; and the nodes that are on none of them.

    A leaf does not become a rollout if the agent did not act after its path left another one.
    """
    by_id = {node.id: node for node in nodes}
    parents = {node.parent for node in nodes}
    covered: set[str] = set()
    paths: list[list[Node]] = []
    for leaf in reversed([node for node in nodes if node.id not in parents]):
        path, seen = [leaf], {leaf.id}
        while path[-1].parent is not None and path[-1].parent in by_id and path[-1].parent not in seen:
            path.append(by_id[path[-1].parent])
            seen.add(path[-1].id)
        if len(paths) < MOST_BRANCHES and any(node.id not in covered and is_act(node.value) for node in path):
            covered |= seen
            paths.append(path[::-1])
    return paths, [node for node in nodes if node.id not in covered]


def objects_of(file: LogFile, is_mark: Callable[[dict[str, Any]], bool], may_precede: Sequence[str] = ()) -> Iterator[Any]:
    """The file's lines as (where, object) or Problem; only one Problem if the file's beginning has no mark of the tool.

    Any number of lines of the types in `may_precede` may come before the first mark.
    """
    waiting: list[Any] = []
    marked, others = False, 0
    for where, line in json_lines(file):
        if isinstance(line, Problem):
            item: Any = line
        elif not isinstance(line, dict):
            item = Problem(where, "wrong_type", f"the line is {log_records.kind(line)}, but must be an object")
        else:
            item = (where, line)
            marked = marked or is_mark(line)
            others += line.get("type") not in may_precede
        if marked:
            yield from waiting
            waiting = []
            yield item
        else:
            waiting.append(item)
            if others > LINES_TO_MARK or len(waiting) > MOST_BRANCHES:
                break
    if not marked and waiting and all(not isinstance(item, Problem) and item[1].get("type") in may_precede for item in waiting):
        yield Problem(waiting[0][0], "empty_steps", "the session contains no message")
    elif not marked:
        yield Problem(f"{file.name}:1", "other_format", "the file's beginning has no line of this tool")


def parsed(where: str, session: Session, options: Options) -> Iterator[Record | Problem]:
    """The record, or why there is none."""
    try:
        yield record_of_session(session, where, options)
    except Unusable as refusal:
        yield Problem(where, refusal.reason, refusal.detail)
    except RecursionError:
        yield Problem(where, "not_json", "nested too deeply")


def sessions_of_values(file: LogFile, options: Options, session_of: Callable[[Any], Session]) -> Iterator[Record | Problem]:
    """Reads the files of a tool that stores a session as one JSON value."""
    for where, value in json_records(file):
        if isinstance(value, Problem):
            yield value
            continue
        try:
            yield from parsed(where, session_of(value), options)
        except Unusable as refusal:
            yield Problem(where, refusal.reason, refusal.detail)


def differing(entry: dict[str, Any], constant: dict[str, Any], taken: Collection[str]) -> dict[str, Any]:
    """What a line contains besides its message and what all lines repeat."""
    return {key: value for key, value in entry.items() if key not in taken and value is not None and constant.get(key) != value}


def usage_sum(usages: Sequence[dict[str, Any]], names: Sequence[str]) -> int | None:
    """The sum of some counts over all turns; None if no turn has them."""
    found = [usage[name] for usage in usages for name in names if isinstance(usage.get(name), int) and not isinstance(usage[name], bool)]
    return sum(found) if found and 0 <= sum(found) < 2**63 else None
