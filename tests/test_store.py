"""The store: commits of several tables, crashes in between, locks, versions, bad folders, full disks."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from helpers.commits import append, cut_off, one_rollout, other_writer
from helpers.small import make_store, tables

from tratree_data.errors import BadInputError, NotFoundError, StoreBusyError, TratreeError
from tratree_data.store.freshness import is_current
from tratree_data.store.log import LINEAGE_KEY, Lineage, Tables
from tratree_data.store.queries.named_queries import query_or_text
from tratree_data.store.reader import Store, open_store
from tratree_data.store.schemas import FORMAT_VERSION, arrow_schema, check, empty_table, table_from_rows, table_names, table_schema
from tratree_data.store.upkeep.vacuum import vacuum
from tratree_data.store.writing.writer import _unwritten, commit, create_store, writing


@pytest.mark.parametrize("name", table_names())
def test_every_column_of_every_schema_has_a_meaning(name: str) -> None:
    schema = table_schema(name)
    assert schema.comment
    assert all(schema.comments[column] for column in schema.arrow.names)
    assert check(name, empty_table(name)).schema == schema.arrow


def test_types_nulls_and_rules_are_checked() -> None:
    rollouts, _ = one_rollout()
    as_text = rollouts.set_column(rollouts.schema.get_field_index("attempt"), "attempt", pa.array(["0"]))
    with pytest.raises(BadInputError, match=r"rollouts\.attempt must be int32, not string"):
        check("rollouts", as_text)
    with pytest.raises(BadInputError, match=r"rollouts\.task_id must not be NULL"):
        check("rollouts", rollouts.set_column(5, pa.field("task_id", pa.string()), pa.nulls(1, pa.string())))
    with pytest.raises(BadInputError, match="missing"):
        check("rollouts", rollouts.drop_columns(["score"]))
    too_high = rollouts.set_column(rollouts.schema.get_field_index("score"), "score", pa.array([1.5]))
    with pytest.raises(BadInputError, match="break the rule"):
        check("rollouts", too_high)
    with pytest.raises(BadInputError, match="does not fit"):
        table_from_rows("steps", [{"rollout_id": "r", "step": "first"}])


def test_delta_keeps_the_rules_for_other_writers(tmp_path: Path) -> None:
    make_store(tmp_path, *one_rollout())
    bad = DeltaTable(tmp_path / "rollouts").to_pyarrow_table().to_pylist()[0] | {"score": 2.0}
    with pytest.raises(Exception, match="score"):
        write_deltalake(tmp_path / "rollouts", pa.Table.from_pylist([bad], schema=arrow_schema("rollouts")), mode="append")


def test_other_tools_read_the_same_tables(tmp_path: Path) -> None:
    import polars

    make_store(tmp_path, *one_rollout())
    assert polars.read_delta(str(tmp_path / "steps"))["action"].to_list() == ["go", "stop"]


def test_lineage_is_in_the_commit(tmp_path: Path) -> None:
    store = make_store(tmp_path, *one_rollout())
    entry = DeltaTable(tmp_path / "rollouts").history(1)[0]
    lineage = Lineage(**json.loads(entry[LINEAGE_KEY]))
    assert (lineage.stage, lineage.last, lineage.format) == ("test", "rollouts", FORMAT_VERSION)
    assert lineage.writes == {"steps": store.version("steps"), "rollouts": store.version("rollouts")}


def test_time_travel(tmp_path: Path) -> None:
    create_store(tmp_path)
    with writing(tmp_path):
        before = append(tmp_path, 0)
        after = append(tmp_path, 1)
    assert (before.count("rollouts"), after.count("rollouts")) == (1, 2)
    assert open_store(tmp_path, {"rollouts": before.version("rollouts")}).count("rollouts") == 1
    with pytest.raises(NotFoundError, match="versions 0 to"):
        open_store(tmp_path, {"rollouts": 99})


@pytest.mark.parametrize("crashes", [1, 3])
def test_a_commit_cut_off_between_its_tables_is_never_seen(tmp_path: Path, crashes: int) -> None:
    """Steps are written, the process dies, rollouts are not: nothing of it is read, and the next commit is whole."""
    create_store(tmp_path)
    with writing(tmp_path):
        append(tmp_path, 0)
        for crash in range(crashes):
            cut_off(tmp_path, crash)
            assert open_store(tmp_path).count("steps") == 2
        store = append(tmp_path, 1)
    assert store.count("steps") == 4
    assert sorted(set(store.read("steps")["rollout_id"].to_pylist())) == ["r0", "r1"]


def test_a_first_commit_cut_off_leaves_no_table(tmp_path: Path) -> None:
    create_store(tmp_path)
    with writing(tmp_path):
        cut_off(tmp_path, 0)
        assert not open_store(tmp_path).has("steps")
        store = append(tmp_path, 1)
    assert store.read("steps")["rollout_id"].to_pylist() == ["r1", "r1"]


@pytest.mark.parametrize("call", ["_write_files", "create_table", "_commit_files"])
def test_a_first_commit_killed_at_any_of_its_calls_is_made_again_by_the_same_command(tmp_path: Path, call: str) -> None:
    """Files without a table, one table of two, a table without rows: no such folder is taken for somebody else's."""
    data = tmp_path / "data"
    create_store(data)
    cut_off(data, 0, call=call)
    assert [path.name for path in data.iterdir() if not path.name.startswith(".")]
    create_store(data)
    with writing(data):
        store = append(data, 1)
    assert store.read("steps")["rollout_id"].to_pylist() == ["r1", "r1"]
    (tmp_path / "mine" / "steps").mkdir(parents=True)
    (tmp_path / "mine" / "steps" / "notes.txt").write_text("of somebody else")
    with pytest.raises(BadInputError, match="contains other files"):
        create_store(tmp_path / "mine")


def test_an_empty_entry_of_a_log_is_refused(tmp_path: Path) -> None:
    make_store(tmp_path, *one_rollout())
    max((tmp_path / "rollouts" / "_delta_log").glob("*.json")).write_bytes(b"")
    with pytest.raises(BadInputError, match=r"rollouts.*\d\.json in its log is empty"):
        open_store(tmp_path)


def test_what_made_a_table_can_be_asked(tmp_path: Path) -> None:
    append(tmp_path, 1)
    append(tmp_path, 2)
    made = open_store(tmp_path).sql("SELECT table_name, stage, settings ->> 'n' AS n, version FROM lineage ORDER BY table_name").to_pylist()
    newest = open_store(tmp_path).version("rollouts")
    assert made == [{"table_name": table, "stage": "test", "n": "2", "version": newest} for table in ("rollouts", "steps")]
    before = open_store(tmp_path, {"rollouts": newest - 1, "steps": newest - 1})
    assert set(before.sql("SELECT settings ->> 'n' AS n FROM lineage")["n"].to_pylist()) == {"1"}


@pytest.mark.parametrize(("removed", "left"), [("rollouts", "steps"), ("steps", "rollouts")])
def test_a_folder_removed_by_hand_is_no_kill_s_leftover(tmp_path: Path, removed: str, left: str) -> None:
    """Steps without rollouts look like what a kill left: adding to them would have undone them in silence."""
    append(tmp_path, 1)
    before = len(DeltaTable(tmp_path / left).file_uris())
    (tmp_path / removed).rename(tmp_path.parent / f"copy of {removed}")
    with pytest.raises(BadInputError, match=rf"{removed} is missing, and .*{left} contains .*\nNext: restore it"):
        append(tmp_path, 2)
    assert len(DeltaTable(tmp_path / left).file_uris()) == before
    (tmp_path.parent / f"copy of {removed}").rename(tmp_path / removed)
    assert append(tmp_path, 2).count("steps") == 4


def test_time_travel_never_shows_what_a_kill_left(tmp_path: Path) -> None:
    create_store(tmp_path)
    with writing(tmp_path):
        before = append(tmp_path, 0).version("steps")
        cut_off(tmp_path, 0)
        after = append(tmp_path, 1).version("steps")
    assert after > before + 1
    assert [open_store(tmp_path, {"steps": number}).count("steps") for number in range(before, after + 1)] == [2] * (after - before) + [4]


@pytest.mark.slow
def test_a_reader_beside_a_writer_sees_whole_commits(tmp_path: Path) -> None:
    """Every commit adds one rollout and two steps; whenever it is opened, there are twice as many steps."""
    create_store(tmp_path)
    with writing(tmp_path):
        append(tmp_path, 0)
    code = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}
from pathlib import Path
from helpers.commits import append
for number in range(1, 40):
    append(Path({str(tmp_path)!r}), number)
"""
    seen = set()
    with subprocess.Popen([sys.executable, "-c", code]) as writer:
        while writer.poll() is None:
            store = open_store(tmp_path)
            seen.add(store.count("rollouts"))
            assert store.count("steps") == 2 * store.count("rollouts")
    assert (writer.returncode, len(seen) > 2, open_store(tmp_path).count("rollouts")) == (0, True, 40)


def test_a_commit_that_ends_while_tables_are_opened_is_seen_in_all_or_none(tmp_path: Path) -> None:
    """Whichever of the two tables was opened before the commit, and whichever after it."""
    create_store(tmp_path)
    for opened_before in ("steps", "rollouts"):
        with writing(tmp_path):
            rollouts = append(tmp_path, 0).count("rollouts")
            tables_ = Tables(tmp_path)
            tables_.newest(opened_before)
            append(tmp_path, 1)
        store = Store(tmp_path, tables_.sources())
        assert store.count("rollouts") == (rollouts + 1 if opened_before == "steps" else rollouts)
        assert store.count("steps") == 2 * store.count("rollouts")


def opened_tables(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of tables, each time that Delta opens one."""
    opened: list[str] = []
    real = DeltaTable.__init__

    def counted(self: DeltaTable, table_uri: str, *arguments: object, **named: object) -> None:
        opened.append(table_uri.rpartition("/")[2])
        real(self, table_uri, *arguments, **named)

    monkeypatch.setattr(DeltaTable, "__init__", counted)
    return opened


def test_a_commit_opens_each_table_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_store(tmp_path, *one_rollout())
    opened = opened_tables(monkeypatch)
    with writing(tmp_path):
        append(tmp_path, 1)
    assert sorted(opened) == ["rollouts", "steps"]
    open_store(tmp_path)
    assert sorted(opened) == ["rollouts", "rollouts", "steps", "steps"]


def test_a_table_is_opened_again_only_if_its_log_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_store(tmp_path, *one_rollout())
    first = open_store(tmp_path)
    opened = opened_tables(monkeypatch)
    assert open_store(tmp_path).sources == first.sources
    assert opened == []
    with writing(tmp_path):
        append(tmp_path, 1)
    assert open_store(tmp_path).count("rollouts") == 2
    assert set(opened) == {"rollouts", "steps"}
    entry = max((tmp_path / "steps" / "_delta_log").glob("*.json"))
    entry.write_bytes(entry.read_bytes()[:-20])
    with pytest.raises(TratreeError, match="steps"):
        open_store(tmp_path)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    create_store(tmp_path)
    with other_writer(tmp_path), pytest.raises(StoreBusyError, match="Another process is writing"), writing(tmp_path):
        pass
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            with writing(tmp_path):
                return
        except StoreBusyError:
            time.sleep(0.05)
    pytest.fail("the lock outlived its process")


def test_unchanged_settings_and_inputs_are_current(tmp_path: Path) -> None:
    make_store(tmp_path, *one_rollout())
    reads = {"rollouts": 7}
    with writing(tmp_path):
        store = commit(tmp_path, "x", {"dropped": empty_table("dropped")}, settings={"a": (1, 2)}, reads=reads)
    assert is_current(store, "x", ["dropped"], {"a": [1, 2]}, reads)
    assert not is_current(store, "x", ["dropped"], {"a": [1, 3]}, reads)
    assert not is_current(store, "x", ["dropped"], {"a": [1, 2]}, {"rollouts": 8})
    assert not is_current(store, "y", ["dropped"], {"a": [1, 2]}, reads)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    make_store(tmp_path, *one_rollout())
    for log in (tmp_path / "rollouts" / "_delta_log").glob("*.json"):
        log.write_text(log.read_text().replace(f'\\"format\\": {FORMAT_VERSION}', f'\\"format\\": {FORMAT_VERSION + 1}'))
    with pytest.raises(BadInputError, match="pip install --upgrade"):
        open_store(tmp_path)


def test_bad_folders_have_clear_errors(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="No such folder"):
        open_store(tmp_path / "none")
    (tmp_path / "some").mkdir()
    with pytest.raises(NotFoundError, match="not a dataset"):
        open_store(tmp_path / "some")
    (tmp_path / "some" / "notes.txt").write_text("x")
    with pytest.raises(BadInputError, match="contains other files"):
        create_store(tmp_path / "some")
    with pytest.raises(BadInputError, match="is a file"):
        create_store(tmp_path / "some" / "notes.txt")
    with pytest.raises(BadInputError, match="cannot be created"):
        create_store("/proc/nowhere")
    store = make_store(tmp_path / "good", *one_rollout())
    with pytest.raises(NotFoundError, match="tratree pairs"):
        store.read("pairs")
    with pytest.raises(NotFoundError, match="Did you mean 'steps'"):
        store.read("step")
    (tmp_path / "good" / "steps" / "_delta_log" / "00000000000000000000.json").write_text("rubbish")
    with pytest.raises(BadInputError, match="not a readable Delta table"):
        open_store(tmp_path / "good")


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """A real limit on file size in a real process, as a full disk would answer."""
    create_store(tmp_path)
    with writing(tmp_path):
        append(tmp_path, 0)
    code = f"""
import resource, signal, sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}
from pathlib import Path
from helpers.commits import append
from tratree_data.errors import TratreeError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
try:
    append(Path({str(tmp_path)!r}), 1)
except TratreeError as error:
    print(error)
    sys.exit(2)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, "could not be written" in done.stdout) == (2, True), done.stderr
    assert "Next:" in done.stdout
    assert open_store(tmp_path).count("steps") == 2
    with writing(tmp_path):
        assert append(tmp_path, 2).count("steps") == 4
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 300


HOSTILE = [
    "COPY steps TO 'out.csv'",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/*')",
    "ATTACH 'other.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "DROP VIEW steps",
    "CREATE TABLE t AS SELECT 1",
    "INSERT INTO steps SELECT * FROM steps",
    "DELETE FROM steps",
    "PRAGMA database_list",
    "SELECT 1; SELECT 2",
    "EXPORT DATABASE 'x'",
    "CALL pragma_version()",
    "SELECT * FROM steps; DROP VIEW steps",
    "WITH x AS (DELETE FROM steps RETURNING *) SELECT * FROM x",
    "SELECT nonsense FROM steps",
    "not sql at all",
    "",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_people_type_reads_this_dataset_and_nothing_else(tmp_path: Path, text: str) -> None:
    store = make_store(tmp_path / "d", *one_rollout())
    before = sorted(path.name for path in tmp_path.rglob("*"))
    here = sorted(os.listdir())
    with pytest.raises(TratreeError):
        query_or_text(store, text)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    assert sorted(os.listdir()) == here
    assert store.count("steps") == 2


def test_parameters_are_bound_and_named(tmp_path: Path) -> None:
    store = make_store(tmp_path, *one_rollout())
    found = query_or_text(store, "SELECT action FROM steps WHERE observation = $text", {"text": "there"})
    assert found["action"].to_pylist() == ["stop"]
    assert query_or_text(store, "SELECT action FROM steps WHERE observation = $text", {"text": "x' OR 'a' = 'a"}).num_rows == 0
    with pytest.raises(BadInputError, match=r"needs \$text"):
        query_or_text(store, "SELECT * FROM steps WHERE observation = $text")
    with pytest.raises(BadInputError, match=r"no parameter \$txet"):
        query_or_text(store, "SELECT * FROM steps WHERE observation = $text", {"text": "a", "txet": "b"})
    with pytest.raises(NotFoundError, match="Did you mean 'divergences'"):
        query_or_text(store, "divergence")
    with pytest.raises(NotFoundError, match="tratree build"):
        query_or_text(store, "divergences")
    assert query_or_text(store, "DESCRIBE steps").num_rows == len(arrow_schema("steps").names)


def test_ctrl_c_during_a_commit_waits_for_its_end_and_commits_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real SIGINT between the two tables of a batch; whoever catches it flushes the batch again, and finds it empty."""
    import tratree_data.store.writing.writer as committing_module
    from tratree_data.store.writing.rollout_writer import RolloutWriter

    create_store(tmp_path)
    rollouts, steps = one_rollout()
    writer = RolloutWriter(tmp_path, "test", {}, most_steps=10)
    writer.add(rollouts.to_pylist()[0], steps.to_pylist())
    real = committing_module._commit_files

    def interrupted(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(committing_module, "_commit_files", interrupted)
    with writing(tmp_path):
        with pytest.raises(KeyboardInterrupt):
            writer.commit()
        monkeypatch.undo()
        writer.commit()
    store = open_store(tmp_path)
    assert (store.count("rollouts"), store.count("steps")) == (1, 2)


def test_a_store_is_displayed_in_one_line_and_in_a_notebook_as_a_table(tmp_path: Path) -> None:
    store = make_store(tmp_path / "mine", *one_rollout())
    assert repr(store) == f"<Store {tmp_path / 'mine'}: rollouts, steps>"
    assert repr(create_store(tmp_path / "new")) == f"<Store {tmp_path / 'new'}: no tables>"
    html = store._repr_html_()
    assert "<tr><th>table</th><th>rows</th><th>version</th><th>written by</th></tr>" in html
    assert f"<tr><td>steps</td><td>2</td><td>{store.version('steps')}</td><td>test</td></tr>" in html
    odd = Store(Path("<b>"), {}, label="version 1.0.0")
    assert "&lt;b&gt; version 1.0.0" in odd._repr_html_()


def _parquet_file(directory: Path, table: str) -> Path:
    return next((directory / table).glob("*.parquet"))


@pytest.mark.parametrize("harm", ["gone", "cut off", "empty"])
def test_a_corrupt_parquet_file_is_named_and_other_tables_are_read(tmp_path: Path, harm: str) -> None:
    make_store(tmp_path, *one_rollout())
    file = _parquet_file(tmp_path, "steps")
    if harm == "gone":
        file.unlink()
    else:
        os.truncate(file, 100 if harm == "cut off" else 0)
    reads: list[Callable[[Store], object]] = [lambda store: store.read("steps"), lambda store: store.count("steps")]
    reads.append(lambda store: store.connection)
    for read in reads:
        with pytest.raises(BadInputError, match=rf"{file.name}, part of steps, is .*\nNext: restore it from a copy"):
            read(open_store(tmp_path))
    assert open_store(tmp_path).count("rollouts") == 1


def test_a_corrupt_table_that_can_be_made_again_says_how(tmp_path: Path) -> None:
    make_store(tmp_path, *one_rollout())
    with writing(tmp_path):
        row: dict[str, object] = {"stage": "x", "subject": "y", "reason": "z", "detail": ""}
        commit(tmp_path, "x", {"dropped": table_from_rows("dropped", [row])}, settings={}, reads={})
    _parquet_file(tmp_path, "dropped").unlink()
    with pytest.raises(BadInputError, match=r"or remove .*dropped and run"):
        open_store(tmp_path).read("dropped")


@pytest.mark.parametrize("harm", ["cut off", "empty", "gone", "not ours", "before time"])
def test_a_corrupt_log_is_never_read_as_fewer_rows(tmp_path: Path, harm: str) -> None:
    make_store(tmp_path, *one_rollout())
    log = sorted((tmp_path / "steps" / "_delta_log").glob("*.json"))
    if harm == "gone":
        log[1].unlink()
    elif harm == "not ours":
        log[-1].write_text(log[-1].read_text().replace('\\"stage\\"', '\\"stages\\"'))
    elif harm == "before time":
        log[-1].write_text(log[-1].read_text().replace('"timestamp":', '"timestamp":-'))
    else:
        os.truncate(log[-1], 150 if harm == "cut off" else 0)
    for use in (open_store, create_store):
        with pytest.raises(BadInputError, match=r"not a readable Delta table: .*\nNext: restore it") as refused:
            use(tmp_path)
        assert len(str(refused.value).splitlines()) == 2
    with writing(tmp_path), pytest.raises(BadInputError, match="not a readable Delta table"):
        append(tmp_path, 1)


@pytest.mark.parametrize("name", ["with space", "Trä é 木", 'it\'s "quoted"', "a;b,c[1]*", "$HOME"])
def test_a_dataset_has_any_name_and_may_move(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    create_store(folder)
    with writing(folder):
        append(folder, 0)
        append(folder, 1)
    (tmp_path / "link").symlink_to(folder)
    with writing(tmp_path / "link"):
        assert append(tmp_path / "link", 2).count("steps") == 6
    moved = folder.rename(tmp_path / f"{name} moved")
    assert open_store(moved).count("steps") == 6
    assert open_store(moved, {"steps": open_store(moved).version("steps") - 1}).count("steps") == 4
    with writing(moved):
        assert append(moved, 3).count("steps") == 8
    assert query_or_text(open_store(moved), "SELECT count(*) AS n FROM steps")["n"][0].as_py() == 8
    vacuum(moved, keep_days=0)
    assert open_store(moved).count("steps") == 8


def test_two_processes_that_commit_at_once_take_turns(tmp_path: Path) -> None:
    """Each tries until it holds the lock; nothing is lost and nothing is there twice."""
    create_store(tmp_path)
    code = f"""
import sys, time
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}
from pathlib import Path
from helpers.commits import append
from tratree_data.store.writing.writer import writing
from tratree_data.errors import StoreBusyError
for number in range(5):
    while True:
        try:
            with writing({str(tmp_path)!r}):
                append(Path({str(tmp_path)!r}), int(sys.argv[1]) + number)
            break
        except StoreBusyError:
            time.sleep(0.01)
"""
    both = [subprocess.Popen([sys.executable, "-c", code, start]) for start in ("0", "100")]
    assert [process.wait(120) for process in both] == [0, 0]
    names = sorted(open_store(tmp_path).read("rollouts")["rollout_id"].to_pylist())
    assert names == sorted(f"r{start + number}" for start in (0, 100) for number in range(5))


def test_a_disk_that_fills_beside_a_commit_is_told_as_such(tmp_path: Path) -> None:
    create_store(tmp_path)
    with (
        pytest.raises(TratreeError, match=r"No space left on device\. .* is intact\.\nNext: free some space"),
        writing(tmp_path),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    drawn = "Error:\n   \x1b[31m\u21b3\x1b[0m No space left on device (os error 28)\n"  # as Delta does
    assert str(_unwritten(tmp_path, OSError(drawn))).startswith(f"{tmp_path} could not be written: No space left on device. ")


def test_ctrl_c_at_the_end_of_a_commit_keeps_the_files_that_were_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real SIGINT inside the commit of a stage that staged its files: they belong to the table now."""
    import tratree_data.store.writing.writer as committing_module
    from tratree_data.store.writing.staged import StagedFiles

    create_store(tmp_path)
    rollouts, steps = one_rollout()
    real = committing_module._commit_files

    def interrupted(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(committing_module, "_commit_files", interrupted)

    def stage() -> None:
        with StagedFiles(tmp_path) as parts:
            parts.add("steps", steps)
            parts.add("rollouts", rollouts)
            commit(tmp_path, "test", {name: parts.files(name) for name in ("steps", "rollouts")}, settings={}, reads={})

    with writing(tmp_path), pytest.raises(KeyboardInterrupt):
        stage()
    store = open_store(tmp_path)
    assert (store.read("rollouts").num_rows, store.read("steps").num_rows) == (1, 2)


def test_the_log_says_that_rows_changed_and_how_many(tmp_path: Path) -> None:
    """Delta's streaming readers skip files whose `dataChange` is false."""
    make_store(tmp_path, *tables([("t", attempt, 1.0, [("hall", "", "go")]) for attempt in range(3)]))
    logs = [json.loads(line) for log in tmp_path.glob("*/_delta_log/*.json") for line in log.read_text(encoding="utf-8").splitlines()]
    added = [action["add"] for action in logs if "add" in action]
    assert {action["dataChange"] for action in added} == {True}
    assert [json.loads(action["stats"])["numRecords"] for action in added] == [3, 3]
