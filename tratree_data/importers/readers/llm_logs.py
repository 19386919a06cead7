"""The database in which the command `llm` keeps what was asked and answered (`llm logs path`), of all versions.

Up to 0.30 a response is a row, with the calls that it made and the results that its prompt held beside it; since then conversations are
threads that point to the last message of a graph. A database that was migrated holds both, and each conversation once.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from tratree_data.importers import log_records
from tratree_data.importers.files.databases import DATABASE_ERRORS, columns_of, is_sqlite, opened_database
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.log_records import Options, Problem, Record, Unusable
from tratree_data.importers.turns.chat import Message, record_of_chat
from tratree_data.importers.turns.dialects import bytes_placeholder, read_tools
from tratree_data.messages import json_text

ENDINGS = (".db", ".sqlite", ".sqlite3")
RESPONSES = {"id", "prompt", "system", "response", "conversation_id"}
THREADS = {"threads", "messages", "parts"}
MOST_MESSAGES = 1_000_000


def read(file: LogFile, options: Options) -> Iterator[Record | Problem]:
    if not is_sqlite(file):
        yield Problem(f"{file.name}:1", "other_format", "the file is not a SQLite database")
        return
    try:
        with opened_database(file) as database:
            tables = {name: set(columns) for name, columns in columns_of(database).items()}
            if not {"conversations", "responses"} <= set(tables) or not tables["responses"] >= RESPONSES:
                yield Problem(f"{file.name}:1", "other_format", "the database has no tables of llm's conversations and responses")
                return
            threads = _threads(database) if set(tables) >= THREADS else {}
            for number, (name, facts) in enumerate({**_conversations(database, tables, threads), **threads}.items(), 1):
                where = f"{file.name}:{number}"
                yield from log_records.each([(where, facts)], lambda where, facts, name=name: _record(options, where, name, facts))  # type: ignore[misc]
    except (*DATABASE_ERRORS, IndexError) as error:  # IndexError: a column that is missing
        yield Problem(f"{file.name}:1", "unreadable", f"the database is unreadable from here on: {error}")


def _record(options: Options, where: str, name: str, facts: dict[str, Any]) -> Record:
    return record_of_chat(
        list(facts["messages"]()),
        source=where,
        environment=options.environment,
        trajectory_id=name,
        agent="llm",
        model=facts["model"],
        tools=read_tools(facts["tools"]),
        react=False,
    )


def _threads(database: sqlite3.Connection) -> dict[str, dict[str, Any]]:
    found = {}
    for row in database.execute("SELECT id, tip_message_hash FROM threads ORDER BY id").fetchall():
        turns = "SELECT model FROM turns WHERE thread_id = ? AND model IS NOT NULL ORDER BY id LIMIT 1"
        tools = """SELECT DISTINCT name, description, input_schema FROM tools JOIN turn_tools ON tools.id = tool_id
            JOIN turns ON turns.id = turn_id WHERE thread_id = ? ORDER BY name"""
        found[str(row["id"])] = {
            "messages": lambda tip=row["tip_message_hash"]: _graph_messages(database, tip),
            "model": _first(database, turns, row["id"]),
            "tools": _tools(database, tools, row["id"]),
        }
    return found


def _graph_messages(database: sqlite3.Connection, tip: Any) -> Iterator[Message]:
    path: list[sqlite3.Row] = []
    seen: set[Any] = set()
    while tip is not None and tip not in seen and len(path) < MOST_MESSAGES:
        seen.add(tip)
        row = database.execute("SELECT hash, parent_hash, role FROM messages WHERE hash = ?", (tip,)).fetchone()
        if row is None:
            raise Unusable("missing_field", f"there is no message {tip!r:.80}")
        path.append(row)
        tip = row["parent_hash"]
    for row in reversed(path):
        parts = database.execute("SELECT * FROM parts WHERE message_hash = ? ORDER BY position, id", (row["hash"],)).fetchall()
        yield from _messages_of_parts(database, log_records.text(row["role"], "role"), parts)


def _messages_of_parts(database: sqlite3.Connection, role: str, parts: list[sqlite3.Row]) -> Iterator[Message]:
    """A message, and before it the results that it holds."""
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for part in parts:
        payload = _payload(part["payload"])
        text = _shown(part["text"]) if part["text"] is not None else _text_of(database, payload)
        if part["type"] == "tool_result":
            yield {"role": "tool", "content": _shown(payload.get("output"))} | _known(
                tool_call_id=payload.get("tool_call_id"), name=payload.get("name")
            )
        elif part["type"] == "tool_call":
            calls.append(_call(payload.get("tool_call_id"), payload.get("name"), payload.get("arguments")))
        elif part["type"] == "attachment":
            texts.append(_attachment(database, log_records.at(payload, "attachment", "id")))
        else:
            (thoughts if part["type"] == "reasoning" else texts).append(text)
    if role == "assistant":
        message: Message = {"role": role, "content": "\n".join(filter(None, texts)) or None}
        yield message | ({"reasoning_content": "\n".join(thoughts)} if any(thoughts) else {}) | ({"tool_calls": calls} if calls else {})
    elif texts:
        yield {"role": role if role in ("system", "developer") else "user", "content": "\n".join(texts)}


def _text_of(database: sqlite3.Connection, payload: dict[str, Any]) -> str:
    """A text with pieces that are kept once for all messages."""
    if isinstance(payload.get("text"), str):
        return str(payload["text"])
    pieces = log_records.mappings(payload.get("text_ref"), "text_ref")
    return "".join(_shown(piece["literal"]) if "literal" in piece else _fragment(database, piece.get("fragment")) for piece in pieces)


def _conversations(database: sqlite3.Connection, tables: dict[str, set[str]], threads: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = {}
    for row in database.execute("SELECT id, model FROM conversations ORDER BY id").fetchall():
        if str(row["id"]) in threads:
            continue
        tools = """SELECT DISTINCT name, description, input_schema FROM tools JOIN tool_responses ON tools.id = tool_id
            JOIN responses ON responses.id = response_id WHERE conversation_id = ? ORDER BY name"""
        if _first(database, "SELECT id FROM responses WHERE conversation_id = ? LIMIT 1", row["id"]) is not None:
            found[str(row["id"])] = {
                "messages": lambda name=row["id"]: _response_messages(database, tables, name),
                "model": row["model"] if isinstance(row["model"], str) else None,
                "tools": _tools(database, tools, row["id"]) if {"tools", "tool_responses"} <= set(tables) else [],
            }
    return found


def _response_messages(database: sqlite3.Connection, tables: dict[str, set[str]], conversation: Any) -> Iterator[Message]:
    system = None
    for row in database.execute("SELECT * FROM responses WHERE conversation_id = ? ORDER BY id", (conversation,)).fetchall():
        asked = [
            _joined(database, tables, "prompt_fragments", row["id"]),
            _shown(row["prompt"]),
            *_attachments(database, tables, row["id"]),
        ]
        instructed = "\n".join(filter(None, [_joined(database, tables, "system_fragments", row["id"]), _shown(row["system"])]))
        if instructed and instructed != system:
            yield {"role": "system", "content": instructed}
        system = instructed or system
        for result in _rows(database, tables, "tool_results", row["id"]):
            yield {"role": "tool", "content": _shown(result["output"])} | _known(tool_call_id=result["tool_call_id"], name=result["name"])
        if any(asked):
            yield {"role": "user", "content": "\n".join(filter(None, asked))}
        calls = [_call(c["tool_call_id"], c["name"], c["arguments"]) for c in _rows(database, tables, "tool_calls", row["id"])]
        thought = _shown(row["reasoning"]) if "reasoning" in tables["responses"] else ""
        message: Message = {"role": "assistant", "content": _shown(row["response"]) or None}
        yield message | ({"reasoning_content": thought} if thought else {}) | ({"tool_calls": calls} if calls else {})


def _rows(database: sqlite3.Connection, tables: dict[str, set[str]], table: str, response: Any) -> list[sqlite3.Row]:
    queries = {
        "tool_calls": "SELECT * FROM tool_calls WHERE response_id = ? ORDER BY id",
        "tool_results": "SELECT * FROM tool_results WHERE response_id = ? ORDER BY id",
        "prompt_attachments": 'SELECT attachment_id FROM prompt_attachments WHERE response_id = ? ORDER BY "order"',
        "prompt_fragments": 'SELECT fragment_id FROM prompt_fragments WHERE response_id = ? ORDER BY "order"',
        "system_fragments": 'SELECT fragment_id FROM system_fragments WHERE response_id = ? ORDER BY "order"',
    }
    return database.execute(queries[table], (response,)).fetchall() if table in tables else []


def _joined(database: sqlite3.Connection, tables: dict[str, set[str]], table: str, response: Any) -> str:
    return "\n".join(_fragment(database, row["fragment_id"]) for row in _rows(database, tables, table, response))


def _attachments(database: sqlite3.Connection, tables: dict[str, set[str]], response: Any) -> list[str]:
    return [_attachment(database, row["attachment_id"]) for row in _rows(database, tables, "prompt_attachments", response)]


def _fragment(database: sqlite3.Connection, identity: Any) -> str:
    return _shown(_first(database, "SELECT content FROM fragments WHERE id = ?", identity))


def _attachment(database: sqlite3.Connection, identity: Any) -> str:
    row = database.execute("SELECT type, path, url, content FROM attachments WHERE id = ?", (identity,)).fetchone()
    if row is None:
        return "[attachment]"
    data = row["content"] if isinstance(row["content"], bytes) else str(row["url"] or row["path"] or row["content"] or "").encode()
    return bytes_placeholder("attachment", str(row["type"] or ""), data)


def _tools(database: sqlite3.Connection, query: str, identity: Any) -> list[dict[str, Any]]:
    rows = database.execute(query, (identity,)).fetchall()
    return [{"name": row["name"], "description": row["description"], "parameters": _payload(row["input_schema"])} for row in rows]


def _first(database: sqlite3.Connection, query: str, identity: Any) -> Any:
    row = database.execute(query, (identity,)).fetchone()
    return None if row is None else row[0]


def _payload(value: Any) -> dict[str, Any]:
    with suppress(ValueError, RecursionError, TypeError):
        found = json.loads(value)
        return found if isinstance(found, dict) else {}
    return {}


def _call(identity: Any, name: Any, arguments: Any) -> dict[str, Any]:
    given = "{}" if arguments is None else arguments if isinstance(arguments, str) else json_text(arguments)
    return {"name": log_records.identifier(name, "name"), "arguments": given} | {"id": identity if isinstance(identity, str) else None}


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else value if isinstance(value, str) else json_text(value)


def _known(**facts: Any) -> dict[str, str]:
    return {name: value for name, value in facts.items() if isinstance(value, str) and value}
