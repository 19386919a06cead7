"""A log as its reader gives it, and its records as conversations."""

from dataclasses import asdict
from pathlib import Path

from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.formats import FORMATS
from tratree_data.importers.log_records import Options, Problem, Record
from tratree_data.messages import messages_of_steps


def read_log(format: str, path: Path, **options: object) -> tuple[list[Record], list[Problem]]:
    items = list(FORMATS[format](LogFile(path, path.name), Options(**options)))
    return [item for item in items if isinstance(item, Record)], [item for item in items if isinstance(item, Problem)]


def said(record: Record) -> list[tuple]:
    """(role, content, calls or call id) of each message, as they come back from the steps."""
    end = record.end_observation if record.end_messages is None else record.end_messages
    messages = messages_of_steps(record.prompt, [asdict(step) for step in record.steps], end)
    return [
        (m["role"], m["content"], [(c["id"], c["name"], c["arguments"]) for c in m.get("tool_calls", [])] or m.get("tool_call_id"))
        for m in messages
    ]
