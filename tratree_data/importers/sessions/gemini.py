"""Gemini CLI sessions: one JSON object with `messages`, or one JSON object per line behind a header.

In lines a message that is written again replaces the first; `$set` updates the header, `$rewindTo` goes back to a message and leaves a
branch. A call holds its own result, which newer versions repeat in a message of the user. A resumed session writes its messages again, with
calls among the parts of their content and without their earlier metadata.
"""

from collections.abc import Iterator
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.log_files import LogFile, is_one_object, json_records
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.sessions.gemini_parts import answer_of, call_of, content_text, results_in, without_results
from tratree_data.importers.sessions.session import Session, objects_of, parsed, usage_sum
from tratree_data.importers.turns.chat import Message

TOOL = "gemini-cli"
UNANSWERED = ("error", "cancelled")
Line = dict[str, Any]


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    if is_one_object(file):
        for where, value in json_records(file):
            if isinstance(value, Problem):
                yield value
            elif isinstance(value, dict) and _is_mark(value) and isinstance(value.get("messages"), list):
                yield from _sessions(where, {k: v for k, v in value.items() if k != "messages"}, [value["messages"]], options)
            else:
                yield Problem(where, "other_format", "there is no sessionId with projectHash and messages")
        return
    header: Line = {}
    messages: dict[tuple[str, str], Line] = {}
    answers: dict[tuple[str, str], Line] = {}
    left: list[list[Line]] = []
    first = ""
    for item in objects_of(file, _is_mark):
        if isinstance(item, Problem):
            yield item
            continue
        where, line = item
        first = first or where
        if "$rewindTo" in line:
            left.append(list(messages.values()))
            keys = list(messages)
            cut = next((i for i, (name, _) in enumerate(keys) if name == line["$rewindTo"]), 0)
            messages = {key: messages[key] for key in keys[:cut]}
        elif isinstance(line.get("$set"), dict):
            update = line["$set"]
            if isinstance(update.get("messages"), list):
                said = {_key(message, i): message for i, message in enumerate(update["messages"]) if isinstance(message, dict)}
                messages = {key: answers.get(key, message) for key, message in said.items()}
            header |= {key: value for key, value in update.items() if key != "messages"}
        elif "sessionId" in line and "type" not in line:
            header |= line
        else:
            messages[_key(line, where)] = line
            if line.get("type") == "gemini":
                answers[_key(line, where)] = line
    if first:
        yield from _sessions(first, header, [*left, list(messages.values())], options)


def _key(message: Line, place: object) -> tuple[str, str]:
    """Its id, which an answer and the results of its calls may share, and who said it."""
    return str(message.get("id", place)), str(message.get("type"))


def _is_mark(line: Line) -> bool:
    return isinstance(line.get("sessionId"), str) and "projectHash" in line


def _sessions(where: str, header: Line, branches: list[list[Any]], options: Options) -> Iterator[Record | Problem]:
    for number, lines in enumerate(branches):
        try:
            session = _session(header, [log_records.mapping(line, f"messages[{i}]") for i, line in enumerate(lines)])
        except Unusable as refusal:
            yield Problem(where, refusal.reason, refusal.detail)
            continue
        session.branch = "" if number + 1 == len(branches) else f"rewound-{number}"
        yield from parsed(where, session, options)


def _session(header: Line, lines: list[Line]) -> Session:
    session = Session(TOOL, str(header.get("sessionId")), [], project=str(header.get("projectHash") or ""))
    events: list[Line] = []
    usages: list[dict[str, Any]] = []
    for i, line in enumerate(lines):
        name = f"messages[{i}]"
        about = {key: value for key, value in line.items() if key not in ("type", "content", "thoughts", "toolCalls") and value is not None}
        if line.get("type") == "user":
            session.messages += _said(line.get("content"), session.messages, name, about)
        elif line.get("type") == "gemini":
            session.messages += _turn(line, name, about)
            session.model = session.model or (line["model"] if isinstance(line.get("model"), str) else None)
            usages += [line["tokens"]] if isinstance(line.get("tokens"), dict) else []
        else:
            events.append(line)
    session.metadata = {key: value for key, value in header.items() if value is not None} | ({"events": events} if events else {})
    session.prompt_tokens = usage_sum(usages, ("input",))
    session.completion_tokens = usage_sum(usages, ("output",))
    return session


def _said(content: Any, before: list[Message], name: str, about: Line) -> list[Message]:
    """What the user said. Newer versions repeat the results of calls in the user's name."""
    known = {message.get("tool_call_id") for message in before if message["role"] == "tool"}
    results = results_in(content)
    new = [result for result in results if result.get("tool_call_id") not in known]
    if not results:
        return [{"role": "user", "content": content_text(content, name), "metadata": about}]
    text = content_text(without_results(content), name)
    return new + ([{"role": "user", "content": text, "metadata": about}] if text else [])


def _turn(line: Line, name: str, about: Line) -> list[Message]:
    calls = [
        log_records.mapping(call, f"{name}.toolCalls") for call in log_records.items_of(line.get("toolCalls") or [], f"{name}.toolCalls")
    ]
    thoughts = [
        log_records.mapping(part, f"{name}.thoughts") for part in log_records.items_of(line.get("thoughts") or [], f"{name}.thoughts")
    ]
    said = [": ".join(str(part[key]) for key in ("subject", "description") if part.get(key)) for part in thoughts]
    turn: Message = answer_of(line.get("content"), name) | {"metadata": about}
    if said:
        turn["reasoning_content"] = "\n".join(said)
    if not calls:
        return [turn]
    turn["content"] = turn["content"] or None
    turn["tool_calls"] = [call_of(call, name) for call in calls]
    return [
        turn,
        *(_result(call, name) for call in calls if call.get("result") is not None or call.get("status") in ("error", "cancelled")),
    ]


def _result(call: Line, name: str) -> Message:
    result = call.get("result")
    text = content_text(result, f"{name}.result") if isinstance(result, list | str | dict) else ""
    about = {key: value for key, value in call.items() if key not in ("id", "name", "args", "result") and value is not None}
    message: Message = {
        "role": "tool",
        "content": text or str(call.get("resultDisplay") or ""),
        "name": str(call["name"]),
        "metadata": about,
    }
    return message | ({} if call.get("id") is None else {"tool_call_id": log_records.identifier(call["id"], f"{name}.id")})
