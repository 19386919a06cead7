"""OpenCode's database. data/logs/opencode/opencode.db was written by OpenCode 1.18.33, with a scripted model; other tables were removed."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from helpers.read_logs import read_log, said

from tratree_data import import_log, open_store

DATABASE = Path(__file__).parent / "data/logs/opencode/opencode.db"


@contextmanager
def in_use(folder: Path) -> Iterator[Path]:
    """A database whose rows are still in the write-ahead log, as long as a program has it open."""
    path = folder / "opencode.db"
    with closing(sqlite3.connect(DATABASE)) as whole, closing(sqlite3.connect(path)) as program:
        program.execute("PRAGMA journal_mode = WAL")
        program.execute("PRAGMA wal_autocheckpoint = 0")
        program.executescript("\n".join(whole.iterdump()))
        assert path.stat().st_size < 8192 < path.with_name("opencode.db-wal").stat().st_size
        yield path


def test_a_session_of_the_database_is_the_conversation() -> None:
    records, problems = read_log("opencode", DATABASE)
    assert problems == []
    assert [record.instruction for record in records] == [
        "SUBTASK: count the files and answer with a number.",
        '"PROMPT three with a subagent please"',
        '"PROMPT one: look at the notes"',
    ]
    turns = said(records[2])
    roles = "user assistant tool tool assistant tool assistant tool assistant tool assistant user assistant tool assistant"
    assert [turn[0] for turn in turns] == roles.split()
    assert [call[1] for call in turns[1][2]] == ["bash", "read"]
    assert "Größe: 12 µm → ok" in turns[5][1]
    assert turns[-1][1] == "Second answer: fertig ✓"


def test_database_and_export_of_a_session_are_one_rollout(tmp_path: Path) -> None:
    with closing(sqlite3.connect(DATABASE)) as database:
        (session, directory) = database.execute("SELECT id, directory FROM session WHERE parent_id IS NULL ORDER BY id").fetchone()
        messages = database.execute("SELECT id, data FROM message WHERE session_id = ? ORDER BY id", (session,)).fetchall()
        parts = {
            name: database.execute("SELECT data FROM part WHERE message_id = ? ORDER BY id", (name,)).fetchall() for name, _ in messages
        }
    exported = [
        {"info": json.loads(data) | {"id": name}, "parts": [json.loads(part) for (part,) in parts[name]]} for name, data in messages
    ]
    (tmp_path / "export.json").write_text(json.dumps({"info": {"id": session, "directory": directory}, "messages": exported}))
    import_log(tmp_path / "d", tmp_path / "export.json")
    again = import_log(tmp_path / "d", DATABASE)
    assert (again.counts["rollouts"], again.counts["already_there"]) == (2, 1)


def test_what_a_running_program_has_not_checkpointed_is_read(tmp_path: Path) -> None:
    with in_use(tmp_path) as path:
        before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
        records, problems = read_log("opencode", path)
        assert (len(records), problems) == (3, [])
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_link_in_the_place_of_the_log_is_not_followed(tmp_path: Path) -> None:
    with in_use(tmp_path) as path:
        other = tmp_path / "other"
        other.mkdir()
        shutil.copy(path, other / "opencode.db")
        (other / "opencode.db-wal").symlink_to(path.with_name("opencode.db-wal"))
        records, problems = read_log("opencode", other / "opencode.db")
    assert records == []
    assert [problem.reason for problem in problems] == ["other_format"]


@pytest.mark.parametrize(
    "change",
    ["UPDATE part SET data = '{' WHERE data LIKE '%SUBTASK%'", "UPDATE message SET data = '[]'", "UPDATE message SET data = NULL"],
    ids=["cut off", "a list", "nothing"],
)
def test_damaged_rows_are_reported_and_the_others_read(tmp_path: Path, change: str) -> None:
    shutil.copy(DATABASE, tmp_path / "damaged.db")
    with closing(sqlite3.connect(tmp_path / "damaged.db")) as database:
        database.execute("CREATE TABLE kept AS SELECT id FROM session ORDER BY id LIMIT 1")
        database.execute("PRAGMA writable_schema = ON")
        database.execute("UPDATE sqlite_master SET sql = replace(sql, '`data` text NOT NULL', '`data` text') WHERE name = 'message'")
        database.commit()
    with closing(sqlite3.connect(tmp_path / "damaged.db")) as database:
        database.execute(
            change + (" WHERE session_id IN (SELECT id FROM kept)" if "message" in change else " AND session_id IN (SELECT id FROM kept)")
        )
        database.commit()
    records, problems = read_log("opencode", tmp_path / "damaged.db")
    assert (len(records), len(problems)) == (2, 1)


def test_the_folder_of_the_program_is_recognised(tmp_path: Path) -> None:
    folder = tmp_path / "opencode"
    (folder / "log").mkdir(parents=True)
    (folder / "log/opencode.log").write_text("INFO 2026-11-28 service=default version=1.18.33\n")
    shutil.copy(DATABASE, folder)
    result = import_log(tmp_path / "d", folder)
    assert result.notes[0] == "Format: opencode (detected)"
    rows = open_store(tmp_path / "d").sql("SELECT metadata ->> 'parent_id' AS parent FROM rollouts ORDER BY 1").to_pylist()
    assert [row["parent"] is not None for row in rows].count(True) == 1


def test_a_log_that_does_not_fit_on_the_disk_is_refused(tmp_path: Path) -> None:
    with in_use(tmp_path) as path:
        other = tmp_path / "other"
        other.mkdir()
        shutil.copy(path, other / "opencode.db")
        with (other / "opencode.db-wal").open("wb") as log:
            log.truncate(2**42)
        records, problems = read_log("opencode", other / "opencode.db")
    assert records == []
    assert [(problem.reason, "a copy does not fit" in problem.detail) for problem in problems] == [("unreadable", True)]
