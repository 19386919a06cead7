"""OpenCode's database, and sessions as `opencode export` writes them: {"info": …, "messages": [{"info": {"role", …}, "parts": […]}]}.

A message of the assistant holds several turns, each begun by a part `step-start`; a part `tool` holds a call and its result.
"""

import sqlite3
from collections.abc import Iterator
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.databases import DATABASE_ERRORS, columns_of, is_sqlite, opened_database
from tratree_data.importers.files.log_files import LogFile, json_value
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.sessions.session import Session, parsed, sessions_of_values, usage_sum
from tratree_data.importers.turns.chat import Message
from tratree_data.importers.turns.dialects import placeholder
from tratree_data.messages import json_text

TOOL = "opencode"
ENDINGS = (".json", ".jsonl", ".db", ".sqlite", ".sqlite3")
TABLES = {"session": {"id", "directory"}, "message": {"id", "session_id", "data"}, "part": {"id", "message_id", "data"}}
Part = dict[str, Any]


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    return _database_sessions(file, options) if is_sqlite(file) else sessions_of_values(file, options, _session)


def _database_sessions(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    number = 0
    try:
        with opened_database(file) as database:
            columns = columns_of(database)
            if not all(set(columns.get(table, ())) >= needed for table, needed in TABLES.items()):
                yield Problem(f"{file.name}:1", "other_format", "the database has no tables of OpenCode's sessions, messages and parts")
                return
            for number, row in enumerate(database.execute("SELECT * FROM session ORDER BY id").fetchall(), 1):
                where = f"{file.name}:{number}"
                try:
                    if database.execute("SELECT id FROM message WHERE session_id = ? LIMIT 1", (row["id"],)).fetchone() is not None:
                        yield from parsed(where, _session(_exported(database, row)), options)
                except Unusable as refusal:
                    yield Problem(where, refusal.reason, refusal.detail)
    except DATABASE_ERRORS as error:
        where = f"{file.name}:{number + 1}"
        yield Problem(where, "unreadable", f"the database is unreadable from here on: {error}")


def _exported(database: sqlite3.Connection, session: sqlite3.Row) -> dict[str, Any]:
    """A session of the database as `opencode export` would write it."""
    messages = database.execute("SELECT id, data FROM message WHERE session_id = ? ORDER BY id", (session["id"],)).fetchall()
    return {
        "info": {name: _cell(session[name]) for name in session.keys() if session[name] is not None},  # noqa: SIM118
        "messages": [{"info": _data(message), "parts": list(map(_data, _parts(database, message["id"])))} for message in messages],
    }


def _parts(database: sqlite3.Connection, message: Any) -> list[sqlite3.Row]:
    return database.execute("SELECT id, data FROM part WHERE message_id = ? ORDER BY id", (message,)).fetchall()


def _data(row: sqlite3.Row) -> dict[str, Any]:
    """A row's object; `export` adds the row's id."""
    value = _json(row["id"], row["data"])
    return log_records.mapping(value, f"data of {row['id']}") | {"id": str(row["id"])}


def _cell(value: Any) -> Any:
    """Lists and objects are JSON texts."""
    return _json("session", value) if isinstance(value, str) and value[:1] in ("{", "[") else _text(value)


def _json(where: Any, value: Any) -> Any:
    found = json_value(str(where), _text(value).encode("utf-8", "surrogatepass") if isinstance(value, str | bytes) else b"")
    if isinstance(found, Problem):
        raise Unusable(found.reason, found.detail)
    return found


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _session(value: Any) -> Session:
    info = log_records.at(value, "info")
    messages = log_records.at(value, "messages")
    if not isinstance(info, dict) or not isinstance(messages, list) or not any("parts" in m for m in messages if isinstance(m, dict)):
        raise Unusable("other_format", "it has no `info` beside messages made of parts")
    session = Session(TOOL, str(info.get("id") or "session"), [], version=str(info.get("version") or ""))
    session.project = str(info.get("directory") or info.get("projectID") or "")
    session.metadata = {key: item for key, item in info.items() if key != "id"}
    usages: list[dict[str, Any]] = []
    for i, message in enumerate(messages):
        entry = log_records.mapping(message, f"messages[{i}]")
        about = log_records.mapping(entry.get("info"), f"messages[{i}].info")
        parts = log_records.mappings(entry.get("parts"), f"messages[{i}].parts")
        if about.get("role") == "assistant":
            session.messages += _turns(parts, about)
            session.model = session.model or (about["modelID"] if isinstance(about.get("modelID"), str) else None)
            usages += [about["tokens"]] if isinstance(about.get("tokens"), dict) else []
        else:
            session.messages.append(_said(parts, about))
    session.prompt_tokens, session.completion_tokens = usage_sum(usages, ("input",)), usage_sum(usages, ("output",))
    return session


def _said(parts: list[Part], about: Part) -> Message:
    role = about.get("role") if about.get("role") in ("system", "user") else "user"
    said = [part for part in parts if not _is_mark(part)]
    texts = [log_records.optional_text(p.get("text"), "text") if p.get("type") == "text" else placeholder(p) for p in said]
    marked = {"compaction": True} if any(part.get("type") == "compaction" for part in parts) else {}
    return {"role": role, "content": "\n".join(texts), "metadata": about | marked}


def _is_mark(part: Part) -> bool:
    return part.get("type") in ("step-start", "step-finish", "snapshot", "compaction", "agent", "retry")


def _turns(parts: list[Part], about: Part) -> Iterator[Message]:
    """One turn per step; a message without marks, or with only an error, is one turn."""
    steps: list[list[Part]] = [[]]
    for part in parts:
        if part.get("type") == "step-start" and steps[-1]:
            steps.append([])
        steps[-1].append(part)
    for number, step in enumerate(steps):
        yield from _turn(step, about if number == 0 else {key: about[key] for key in ("id", "modelID") if key in about})


def _turn(parts: list[Part], about: Part) -> Iterator[Message]:
    said = [log_records.optional_text(p.get("text"), "text") for p in parts if p.get("type") == "text"]
    said += [placeholder(p) for p in parts if p.get("type") == "file"]
    thought = "\n".join(log_records.optional_text(p.get("text"), "text") for p in parts if p.get("type") == "reasoning")
    calls = [part for part in parts if part.get("type") == "tool"]
    events = [p for p in parts if p.get("type") not in ("text", "file", "reasoning", "tool", "step-start")]
    turn: Message = {"role": "assistant", "content": "\n".join(said) if said or not calls else None}
    turn |= {"reasoning_content": thought} if thought else {}
    if calls:
        turn["tool_calls"] = [
            {
                "id": None if call.get("callID") is None else log_records.identifier(call["callID"], "callID"),
                "name": log_records.identifier(call.get("tool"), "tool"),
                "arguments": json_text(log_records.at(call, "state", "input") or {}),
            }
            for call in calls
        ]
    yield turn | {"metadata": about | ({"parts": events} if events else {})}
    yield from (_result(call) for call in calls if log_records.at(call, "state", "status") in ("completed", "error", None))


def _result(call: Part) -> Message:
    state = log_records.mapping(call.get("state") or {}, "state")
    output = state.get("output") if state.get("output") is not None else state.get("error")
    texts = [output if isinstance(output, str) else "" if output is None else json_text(output)]
    texts += [placeholder(part) for part in state.get("attachments") or [] if isinstance(part, dict)]
    about = {key: value for key, value in state.items() if key not in ("input", "output", "attachments")}
    message: Message = {"role": "tool", "content": "\n".join(texts), "name": str(call.get("tool")), "metadata": about}
    return message | ({"tool_call_id": str(call["callID"])} if call.get("callID") is not None else {})
