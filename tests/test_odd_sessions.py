"""Values of the wrong type in sessions, as mutations found them, give records or problems."""

import json
from pathlib import Path

import pytest

from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.formats import FORMATS
from tratree_data.importers.log_records import Options, Record
from tratree_data.importers.record_rows import origin_of, prepared_row

CLAUDE = {"sessionId": "s", "cwd": "/", "isSidechain": False}
ASKED = CLAUDE | {"type": "user", "uuid": "a", "parentUuid": None, "message": {"role": "user", "content": "Hi"}}
SAID = {"id": "m", "role": "assistant", "model": 1.5, "content": [{"type": "text", "text": "Hello"}]}
SESSIONS = {
    "claude-code": [ASKED, CLAUDE | {"type": "assistant", "uuid": "b", "parentUuid": "a", "message": SAID}],
    "copilot": [{"type": "session.start", "data": {}}, {"type": "user.message", "data": {"content": "Hi", "attachments": 1}}],
    "cline": [{"version": 1, "sessionId": "s", "agent": "lead", "messages": 0}],
}


@pytest.mark.parametrize("format", SESSIONS)
def test_a_number_where_something_else_belongs_is_no_traceback(tmp_path: Path, format: str) -> None:
    path = tmp_path / "s.messages.jsonl"
    path.write_text("\n".join(map(json.dumps, SESSIONS[format])))
    items = list(FORMATS[format](LogFile(path, path.name), Options()))
    assert items
    for item in items:
        if isinstance(item, Record):
            prepared_row(item, Options(), None, origin_of(Options(), format))
