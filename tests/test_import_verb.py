"""`tratree import`: what goes in, what is dropped and reported, and that nothing is lost or doubled, whatever happens on the way."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.command_line import tratree
from helpers.loopback_hub import TOKEN, LoopbackHub, Repository

from tratree_data import import_log, open_store
from tratree_data.errors import BadInputError, NotFoundError, StoreBusyError
from tratree_data.importers import record_storage
from tratree_data.importers.files import json_stream
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.formats import detect_format
from tratree_data.importers.log_records import Options
from tratree_data.importers.settings import AUTO, Format
from tratree_data.store.writing.rollout_writer import RolloutWriter

LOGS = Path(__file__).parent / "data/logs"


def line(task: str = "t", action: str = "a", reward: object = 0.5, **more: object) -> dict:
    steps = [{"observation": "o", "thought": "th", "action": action}, {"observation": "o2", "action": "b"}]
    return {"task_id": task, "env": "e", "instruction": "do it", "reward": reward, "steps": steps} | more


def write(path: Path, lines: list[object]) -> Path:
    path.write_bytes(b"".join((text if isinstance(text, bytes) else json.dumps(text).encode()) + b"\n" for text in lines))
    return path


def rows(directory: Path, table: str) -> list[dict]:
    store = open_store(directory)
    return store.read(table).to_pylist() if store.has(table) else []


def test_a_line_becomes_a_rollout_and_its_steps(tmp_path):
    told = {
        "trajectory_id": "x1",
        "success": False,
        "split": "dev",
        "agent": "me",
        "model": "m",
        "prompt": "P",
        "end_observation": "end",
        "unknown": 1,
    }
    file = write(tmp_path / "a.jsonl", [line(**told), line(reward=None), line("u")])
    report = import_log(tmp_path / "d", file, "jsonl")
    assert report.counts == {"rollouts": 3, "steps": 6, "already_there": 0, "dropped": 0}
    first, second, third = rows(tmp_path / "d", "rollouts")
    names = (
        "environment",
        "split",
        "task_id",
        "attempt",
        "prompt",
        "instruction",
        "agent",
        "model",
        "score",
        "success",
        "end_observation",
        "step_count",
    )
    assert tuple(first[name] for name in names) == ("e", "dev", "t", 0, "P", "do it", "me", "m", 0.5, False, "end", 2)
    assert first["source"] == f"{tmp_path.name}/a.jsonl:1"
    assert (second["attempt"], second["score"], second["split"], second["agent"]) == (1, None, "train", "imported")
    assert third["attempt"] == 0
    steps = [row for row in rows(tmp_path / "d", "steps") if row["rollout_id"] == first["rollout_id"]]
    assert [(row["step"], row["observation"], row["thought"], row["action"]) for row in steps] == [(0, "o", "th", "a"), (1, "o2", "", "b")]


BAD = {
    "not_json": [b"nope", b'{"task_id": "t"', b"[" * 100_000, b'{"a": ' + b"9" * 5_000 + b"}"],
    "not_utf8": [b'{"task_id": "\xff"}'],
    "wrong_type": [b"3", b"[]", b"null", line(steps="x"), line(steps=[1]), line(reward="1"), line(reward=True), line(task=None),
                   line(success="yes"), line(trajectory_id=[1]),
                   line(steps=[{"observation": 1, "action": "a"}]), line(steps=[{"observation": "o", "action": None}])],
    "missing_field": [line("  "), {}, line(steps=[{"observation": "o"}]), line(steps=[{"action": "a"}]),
                      *({k: v for k, v in line().items() if k != left_out} for left_out in line() if left_out != "reward")],
    "empty_steps": [line(steps=[])],
    "score_out_of_range": [line(reward=1.01), line(reward=-0.1)],
    "score_not_finite": [line(reward=float("nan")), line(reward=float("inf")), line(reward=10**400)],
}  # fmt: skip


@pytest.mark.parametrize("reason", BAD)
def test_bad_lines_are_named_and_the_rest_is_imported(tmp_path, reason):
    bad = BAD[reason]
    file = write(tmp_path / "b.jsonl", [line("first"), *bad, b"", line("last")])
    report = import_log(tmp_path / "d", file, "jsonl")
    assert report.counts == {"rollouts": 2, "steps": 4, "already_there": 0, "dropped": len(bad)}
    dropped = rows(tmp_path / "d", "dropped")
    assert [row["reason"] for row in dropped] == [reason] * len(bad), dropped
    assert [row["subject"] for row in dropped] == [f"{tmp_path.name}/b.jsonl:{number + 2}" for number in range(len(bad))]
    assert all(row["stage"] == "import" and row["detail"] for row in dropped)
    assert any(note.startswith(f"{reason}: {len(bad)} ") and "b.jsonl:2" in note for note in report.notes)
    with pytest.raises(BadInputError, match=rf"b\.jsonl:2: .*{reason}.*\n?.*--strict") as refused:
        import_log(tmp_path / "strict", file, "jsonl", strict=True)
    assert "Nothing was imported" in str(refused.value)
    assert not (tmp_path / "strict").exists()


def test_a_line_that_is_too_long_is_skipped_without_being_held(tmp_path):
    file = tmp_path / "long.jsonl"
    with file.open("wb") as handle:
        handle.write(json.dumps(line("first")).encode() + b'\n{"task_id": "')
        for _ in range(100):
            handle.write(b"x" * 2**20)
        handle.write(b'"}\n' + json.dumps(line("last")).encode())
    assert import_log(tmp_path / "d", file, "jsonl").counts == {"rollouts": 2, "steps": 4, "already_there": 0, "dropped": 1}
    assert rows(tmp_path / "d", "dropped")[0]["reason"] == "too_long"
    assert "104,857,6" in rows(tmp_path / "d", "dropped")[0]["detail"]


def test_twice_adds_nothing_and_a_longer_file_adds_what_is_new(tmp_path):
    lines = [line(f"t{i % 3}", f"a{i}") for i in range(9)]
    file = write(tmp_path / "a.jsonl", [*lines, b"bad"])
    import_log(tmp_path / "d", file, "jsonl")
    before = open_store(tmp_path / "d")
    again = import_log(tmp_path / "d", file, "jsonl")
    after = open_store(tmp_path / "d")
    assert not again.changed
    assert again.counts == {"rollouts": 0, "steps": 0, "already_there": 9, "dropped": 1}
    assert {name: source.version for name, source in before.sources.items()} == {
        name: source.version for name, source in after.sources.items()
    }
    write(file, [*lines, line("t0", "new"), line("t9")])  # the bad line is mended
    assert import_log(tmp_path / "d", file, "jsonl").counts == {"rollouts": 2, "steps": 4, "already_there": 9, "dropped": 0}
    attempts = {row["attempt"] for row in rows(tmp_path / "d", "rollouts") if row["task_id"] == "t0"}
    assert attempts == {0, 1, 2, 3}
    assert rows(tmp_path / "d", "dropped") == []


def test_duplicates_within_a_file_unless_they_carry_different_ids(tmp_path):
    file = write(tmp_path / "a.jsonl", [line(), line(), line(trajectory_id="1"), line(trajectory_id="2"), line(trajectory_id="1")])
    report = import_log(tmp_path / "d", file, "jsonl")
    assert (report.counts["rollouts"], report.counts["dropped"]) == (3, 2)
    assert {row["reason"] for row in rows(tmp_path / "d", "dropped")} == {"duplicate"}
    assert import_log(tmp_path / "d", file, "jsonl").counts == {"rollouts": 0, "steps": 0, "already_there": 3, "dropped": 2}


def test_dropped_rows_of_other_files_and_stages_stay(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = write(tmp_path / "one/a.jsonl", [line("1"), b"bad"]), write(tmp_path / "two/a.jsonl", [line("2"), b"worse", b"bad"])
    import_log(tmp_path / "d", one, "jsonl")
    import_log(tmp_path / "d", two, "jsonl")
    assert [row["subject"] for row in rows(tmp_path / "d", "dropped")] == ["one/a.jsonl:2", "two/a.jsonl:2", "two/a.jsonl:3"]
    write(two, [line("2")])
    import_log(tmp_path / "d", two, "jsonl")
    assert [row["subject"] for row in rows(tmp_path / "d", "dropped")] == ["one/a.jsonl:2"]


def test_characters_that_nothing_can_hold_are_replaced_and_recorded(tmp_path):
    steps = b'[{"observation": "a\\u0000b", "action": "\\udfff"}]'
    text = b'{"task_id": "t\\ud800", "env": "e", "instruction": "i", "reward": 1, "steps": ' + steps + b"}"
    report = import_log(tmp_path / "d", write(tmp_path / "a.jsonl", [text]), "jsonl")
    assert (report.counts["rollouts"], report.counts["dropped"]) == (1, 0)
    (step,) = rows(tmp_path / "d", "steps")
    assert (step["observation"], step["action"]) == ("a\ufffdb", "\ufffd")
    assert rows(tmp_path / "d", "rollouts")[0]["task_id"] == "t\ufffd"
    (note,) = rows(tmp_path / "d", "dropped")
    assert (note["reason"], note["detail"].split()[0]) == ("replaced_characters", "3")


def test_packed_files_with_a_mark_and_windows_lines(tmp_path):
    data = b"\xef\xbb\xbf" + b"\r\n".join(json.dumps(line(str(i))).encode() for i in range(3)) + b"\r\n\r\n"
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(data))
    assert import_log(tmp_path / "d", tmp_path / "a.jsonl.gz", "jsonl").counts["rollouts"] == 3
    rng = random.Random(5)
    long = b"\n".join(json.dumps(line(str(i), rng.randbytes(50).hex())).encode() for i in range(200))
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(long)[:-2_000])
    report = import_log(tmp_path / "e", tmp_path / "cut.jsonl.gz", "jsonl")
    assert 0 < report.counts["rollouts"] < 200
    assert rows(tmp_path / "e", "dropped")[-1]["reason"] in ("unreadable", "not_json")


@pytest.mark.parametrize(
    ("scale", "reward", "score"), [("percent", 25, 0.25), ("0,100", 25, 0.25), ("-1,1", 0, 0.5), ((-1, 1), -1, 0.0), ("0,1", 0.5, 0.5)]
)
def test_scores_on_a_named_scale(tmp_path, scale, reward, score):
    import_log(tmp_path / "d", write(tmp_path / "a.jsonl", [line(reward=reward)]), "jsonl", score_scale=scale)
    assert rows(tmp_path / "d", "rollouts")[0]["score"] == score


@pytest.mark.parametrize("scale", ["high", "1", "1,0", "nan,1", "0,inf", "1,2,3"])
def test_scales_that_are_none(tmp_path, scale):
    with pytest.raises(BadInputError, match=r"score scale .*\nNext: --score-scale"):
        import_log(tmp_path / "d", write(tmp_path / "a.jsonl", [line()]), "jsonl", score_scale=scale)


def test_clear_errors(tmp_path):
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "blank.jsonl").write_text("\n\n")
    good = write(tmp_path / "good.jsonl", [line()])
    for wanted, kind, arguments in [
        ("No such file", NotFoundError, (tmp_path / "d", tmp_path / "missing.jsonl")),
        ("is empty", BadInputError, (tmp_path / "d", tmp_path / "empty.jsonl", "jsonl")),
        ("contains no jsonl trajectory", BadInputError, (tmp_path / "d", tmp_path / "blank.jsonl", "jsonl")),
        ("Did you mean 'jsonl'", BadInputError, (tmp_path / "d", good, "json")),
        ("is a file, but a dataset is a folder", BadInputError, (good, good, "jsonl")),
        ("contains no log file", BadInputError, (tmp_path / "d", tmp_path / "nothing", "eto")),
    ]:
        (tmp_path / "nothing").mkdir(exist_ok=True)
        with pytest.raises(kind, match=wanted):
            import_log(*arguments)
        assert not (tmp_path / "d").exists()


def test_a_foreign_file_among_logs_is_one_row_not_a_row_a_line(tmp_path):
    """Whether it comes first or last; each format takes its own files from the same folder."""
    folder = tmp_path / "logs"
    folder.mkdir()
    for name in ("a.jsonl", "z.jsonl"):
        write(folder / name, [line(f"{name}{i}") for i in range(50)])
    (folder / "m.jsonl").write_bytes((LOGS / "knowagent/K_D0.jsonl").read_bytes())
    theirs = import_log(tmp_path / "alone", LOGS / "knowagent/K_D0.jsonl", "knowagent")
    report = import_log(tmp_path / "d", folder, "knowagent")
    assert report.counts == theirs.counts | {"dropped": theirs.counts["dropped"] + 2, "skipped_files": 2}
    foreign = [row for row in rows(tmp_path / "d", "dropped") if row["reason"] == "other_format"]
    assert [row["subject"] for row in foreign] == ["logs/a.jsonl:1", "logs/z.jsonl:1"]
    assert foreign[0]["detail"] == "the file is not in the format knowagent (there is no 'traj'); it looks like jsonl"
    assert not import_log(tmp_path / "d", folder, "knowagent").changed
    ours = import_log(tmp_path / "d", folder, "jsonl")
    assert ours.counts == {"rollouts": 100, "steps": 200, "already_there": 0, "dropped": 1, "skipped_files": 1}
    with pytest.raises(BadInputError, match=r"logs/a\.jsonl:1: .*it looks like jsonl \(other_format\)\. Nothing was imported"):
        import_log(tmp_path / "strict", folder, "knowagent", strict=True)


NOTHING = {
    "utf16": (json.dumps(line()).encode("utf-16") * 3, "not_utf8, .*the file is UTF-16, .*\nNext: iconv -f UTF-16 -t UTF-8"),
    "latin": (json.dumps(line("d\xf6"), ensure_ascii=False).encode("latin1") + b"\n{\n", "not_utf8, .*:1: .*\nNext: iconv -f ITS-ENCODING"),
    "table": (b"task,reward\n" + b"a,1\n" * 30, "not_json 31 times, the first: .*:1: .*\nNext: tratree sql .*dropped"),
    "scores": (
        json.dumps(line(reward=50)).encode(),
        "score_out_of_range, .*\nNext: .* --format jsonl --score-scale low,high",
    ),
}


@pytest.mark.parametrize("name", NOTHING)
def test_an_import_of_which_nothing_was_usable_fails_and_keeps_what_it_found(tmp_path, name):
    data, told = NOTHING[name]
    file = tmp_path / "a.jsonl"
    file.write_bytes(data)
    for _ in range(2):
        with pytest.raises(BadInputError, match=f"(?s)Nothing in .*a.jsonl could be imported as jsonl: {told}"):
            import_log(tmp_path / "d", file, "jsonl")
        assert {row["stage"] for row in rows(tmp_path / "d", "dropped")} == {"import"}
        assert rows(tmp_path / "d", "rollouts") == []
    write(file, [line()])
    assert import_log(tmp_path / "d", file, "jsonl").counts["rollouts"] == 1
    assert rows(tmp_path / "d", "dropped") == []
    write(file, [line(), b"bad"])
    assert import_log(tmp_path / "d", file, "jsonl").counts["already_there"] == 1  # that is not nothing


def test_a_folder_of_another_format_behind_a_file_that_is_no_log(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.json").write_text('{"settings": 1}')
    for name in ("b.jsonl", "c.jsonl"):
        (folder / name).write_bytes((LOGS / "knowagent/K_D0.jsonl").read_bytes())
    with pytest.raises(BadInputError, match=r"other_format 2 times.*it looks like knowagent\.\nNext: .*logs .*d --format knowagent$"):
        import_log(tmp_path / "d", folder, "jsonl")


def test_a_log_that_begins_with_bad_records_loses_none_of_them(tmp_path):
    """Lines that read as another format are no foreign file while one line of the named format follows."""
    chats = [{"id": f"c{i}", "conversations": [{"from": "human", "value": "go"}, {"from": "gpt", "value": "on"}]} for i in range(40)]
    folder = tmp_path / "logs"
    folder.mkdir()
    write(folder / "a.jsonl", [line("good")])
    write(folder / "b.jsonl", [*chats, line("last")])
    report = import_log(tmp_path / "d", folder, "jsonl")
    assert report.counts == {"rollouts": 2, "steps": 4, "already_there": 0, "dropped": 40}
    assert {row["reason"] for row in rows(tmp_path / "d", "dropped")} == {"missing_field"}
    write(folder / "b.jsonl", chats)
    assert import_log(tmp_path / "d", folder, "jsonl").counts["dropped"] == 1


def test_a_dataset_within_the_folder_of_its_logs(tmp_path):
    """Its own files are no logs, and neither are hidden ones."""
    write(
        tmp_path / "a.jsonl", [{"id": "1", "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "reward": 1}]
    )
    (tmp_path / ".hidden.json").write_text("[]")
    for wanted in (0, 1):
        counts = import_log(tmp_path / "d", tmp_path, "sharegpt", environment="e").counts
        assert (counts["already_there"], counts["dropped"]) == (wanted, 0)


def test_one_writer_at_a_time(tmp_path):
    import_log(tmp_path / "d", write(tmp_path / "a.jsonl", [line()]), "jsonl")
    from tratree_data.store.writing.writer import writing as hold

    with hold(tmp_path / "d"), pytest.raises(StoreBusyError):
        import_log(tmp_path / "d", write(tmp_path / "b.jsonl", [line("2")]), "jsonl")


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    """What waits for a commit never exceeds its bound, and the buffer of a JSON list holds little more than one value."""
    monkeypatch.setattr(record_storage, "STEPS_PER_COMMIT", 1_000)
    sizes = []
    due = RolloutWriter.commit_if_due
    monkeypatch.setattr(RolloutWriter, "commit_if_due", lambda self: sizes.append(len(self._steps["step"])) or due(self))
    chats = [{"conversations": [{"from": "human", "value": f"q{i}"}, {"from": "gpt", "value": "x" * 1000}]} for i in range(3_000)]
    (tmp_path / "list.json").write_text(json.dumps(chats))
    held = []
    fill = json_stream.JsonStream.fill
    monkeypatch.setattr(json_stream.JsonStream, "fill", lambda self, *size: fill(self, *size) or held.append(len(self.buffer)))
    report = import_log(tmp_path / "d", tmp_path / "list.json", "sharegpt", environment="e")
    assert report.counts["rollouts"] == 3_000
    assert max(sizes) <= 1_000
    assert max(held) < 2 * json_stream.CHUNK
    assert len(held) >= 3


@pytest.mark.slow
def test_killed_at_any_moment_the_same_command_finishes(tmp_path):
    """kill -9 at random moments, then once to the end: every rollout is there once, with its steps and its attempt."""
    seed = 20
    print(f"seed {seed}")
    rng = random.Random(seed)
    lines: list[object] = [line(f"t{i % 40}", f"a{i}", i % 2) for i in range(6_000)]
    file = write(tmp_path / "a.jsonl", [*lines, b"bad"])
    script = (
        "import sys; from tratree_data import import_log; from tratree_data.importers import record_storage\n"
        "record_storage.STEPS_PER_COMMIT = 2_000\n"
        "import_log(sys.argv[2], sys.argv[1], 'jsonl')"
    )
    command = [sys.executable, "-c", script, str(file), str(tmp_path / "d")]
    kills = 0
    for _ in range(6):
        process = subprocess.Popen(command, env=os.environ | {"PYTHONHASHSEED": "0"})
        time.sleep(rng.uniform(0.8, 2.0))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    subprocess.run(command, check=True)
    import_log(tmp_path / "whole", file, "jsonl")
    killed, whole = open_store(tmp_path / "d"), open_store(tmp_path / "whole")
    for query in ("SELECT * FROM rollouts ORDER BY rollout_id", "SELECT * FROM steps ORDER BY rollout_id, step", "SELECT * FROM dropped"):
        assert killed.sql(query).equals(whole.sql(query)), query
    assert whole.count("rollouts") == 6_000
    print(f"{kills} kills")


def test_a_refusal_in_the_middle_says_what_stays_and_repeating_adds_the_rest(tmp_path, monkeypatch):
    """The second file claims to hold far more rows than its size makes plausible."""
    monkeypatch.setattr(record_storage, "STEPS_PER_COMMIT", 10)
    logs = tmp_path / "logs"
    logs.mkdir()
    said = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "gone"}]
    pq.write_table(pa.table({"task_id": list(map(str, range(25))), "messages": [json.dumps(said)] * 25}), logs / "a.parquet")
    empty = pa.table({"task_id": pa.nulls(2**22, pa.string()), "messages": pa.nulls(2**22, pa.string())})
    with pq.ParquetWriter(logs / "b.parquet", empty.schema) as writer:
        for _ in range(40):
            writer.write_table(empty)
    with pytest.raises(BadInputError, match=r"claims to hold.*\. The 20 rollouts before it were imported and stay; .*\nNext: \w"):
        import_log(tmp_path / "d", logs, "table")
    assert open_store(tmp_path / "d").count("rollouts") == 20
    (logs / "b.parquet").unlink()
    assert import_log(tmp_path / "d", logs, "table").counts["already_there"] == 20
    import_log(tmp_path / "whole", logs, "table")
    resumed, whole = open_store(tmp_path / "d"), open_store(tmp_path / "whole")
    for query in ("SELECT * FROM rollouts ORDER BY rollout_id", "SELECT * FROM steps ORDER BY rollout_id, step"):
        assert resumed.sql(query).equals(whole.sql(query)), query


def test_the_command(tmp_path):
    file = write(tmp_path / "a.jsonl", [line(), b"bad"])
    done = tratree("import", str(file), str(tmp_path / "d"))
    assert (done.returncode, done.stdout) == (0, "")
    assert "1 rollout, 2 steps, 0 already there, 1 dropped" in done.stderr
    assert "a.jsonl:2" in done.stderr
    bad = ["import", str(write(tmp_path / "bad.jsonl", [b"bad"])), str(tmp_path / "bad")]
    nothing = tratree(*bad)
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert nothing.stderr.startswith("tratree: The format of ")
    assert nothing.stderr.rstrip().endswith(f"{tmp_path / 'bad'} --format NAME")
    nothing = tratree(*bad, "--format", "jsonl")
    assert nothing.returncode == 2
    assert nothing.stderr.startswith("tratree: Nothing in ")
    strict = tratree("import", str(file), str(tmp_path / "e"), "--strict")
    assert strict.returncode == 2
    assert strict.stderr.startswith("tratree: ")
    assert "a.jsonl:2" in strict.stderr
    assert "Traceback" not in strict.stderr


@pytest.mark.slow
def test_a_hub_dataset(tmp_path):
    """Through the real client, in a process of its own, from a Hub on loopback."""
    hub = LoopbackHub()
    repository = Repository()
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train.parquet\n---\n"
    repository.commit({"README.md": card.encode(), "data/train.parquet": (LOGS / "table/chats.parquet").read_bytes()})
    hub.repositories["datasets/org/chats"] = hub.repositories["org/chats"] = repository
    sessions = Repository()
    session = next((LOGS / "claude-code").glob("*.jsonl"))
    sessions.commit({"README.md": b"# Sessions", f"runs/{session.name}": session.read_bytes(), "runs/plain.txt": b"> go"})
    hub.repositories["datasets/org/sessions"] = hub.repositories["org/sessions"] = sessions
    environment = os.environ | {
        "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
    }
    command = [sys.executable, "-m", "tratree_data.cli", "import"]
    try:
        done = subprocess.run(
            [*command, "hub:org/chats", str(tmp_path / "d")], capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr
        for number, name in enumerate(
            ("hub:org/sessions", "hf://datasets/org/sessions/runs", f"hf://datasets/org/sessions/runs/{session.name}")
        ):
            traces = subprocess.run(
                [*command, name, str(tmp_path / f"s{number}"), "--format", "auto" if number != 1 else "claude-code"],
                capture_output=True, text=True, env=environment, check=False,
            )  # fmt: skip
            assert traces.returncode == 0, traces.stderr
        missing = subprocess.run(
            [*command, "hub:org/none", str(tmp_path / "e")], capture_output=True, text=True, env=environment, check=False
        )
    finally:
        hub.close()
    assert [(row["task_id"], row["score"], row["source"]) for row in rows(tmp_path / "d", "rollouts")] == [
        ("a", 0.5, "hub:org/chats:1"), ("b", 1.0, "hub:org/chats:2"), ("c", None, "hub:org/chats:3"), ("d", 0.0, "hub:org/chats:4"),
    ]  # fmt: skip
    import_log(tmp_path / "here", session)
    here = [row["rollout_id"] for row in rows(tmp_path / "here", "rollouts")]
    assert here
    assert all([row["rollout_id"] for row in rows(tmp_path / f"s{number}", "rollouts")] == here for number in range(3))
    assert missing.returncode == 2
    assert "hub:org/none cannot be read" in missing.stderr
    assert not (tmp_path / "e").exists()


def test_importing_again_with_another_scale_replaces_the_scores(tmp_path):
    file = write(tmp_path / "a.jsonl", [line(reward=1), line("u", reward=0)])
    import_log(tmp_path / "d", file)
    ids = [row["rollout_id"] for row in rows(tmp_path / "d", "rollouts")]
    again = import_log(tmp_path / "d", file, score_scale="0,2")
    assert (again.changed, again.counts["rollouts"], again.counts["already_there"]) == (True, 0, 2)
    assert "1 existing rollouts have new scores" in again.notes
    assert [(row["rollout_id"], row["score"]) for row in rows(tmp_path / "d", "rollouts")] == list(zip(ids, [0.5, 0.0], strict=True))
    assert len(rows(tmp_path / "d", "steps")) == 4
    assert not import_log(tmp_path / "d", file, score_scale="0,2").changed


@pytest.mark.parametrize("given", [{"score_map": ("-1=0",)}, {"score_map": {-1: 0}}, {"clamp_scores": True}])
def test_a_reward_of_minus_one_can_mean_zero(tmp_path, given):
    file = write(tmp_path / "a.jsonl", [line(reward=-1), line("u", reward=1)])
    assert import_log(tmp_path / "d", file).counts["dropped"] == 1
    assert import_log(tmp_path / "e", file, **given).counts["dropped"] == 0
    assert [row["score"] for row in rows(tmp_path / "e", "rollouts")] == [0.0, 1.0]


def test_the_summary_gives_figures_and_warns_when_they_look_wrong(tmp_path):
    file = write(tmp_path / "a.jsonl", [line(reward=1), line("u", reward=None, steps=[{"observation": "o", "action": ""}])])
    notes = import_log(tmp_path / "d", file).notes
    assert "Scores: 1 of 2 rollouts, from 1 to 1" in notes
    assert f"Longest rollout: 2 steps ({tmp_path.name}/a.jsonl:1); empty actions: 1 of 3" in notes
    assert "Warning: many actions are empty; check the format" in notes
    low = import_log(tmp_path / "e", write(tmp_path / "b.jsonl", [line(reward=1)]), score_scale="0,100").notes
    assert "Warning: no score is above 0.01; check --score-scale" in low
    none = import_log(tmp_path / "f", write(tmp_path / "c.jsonl", [line(reward=None)])).notes
    assert any(note.startswith("Warning: no rollout has a score") for note in none)


def test_a_log_that_names_no_environment_gives_it_its_own_name(tmp_path):
    says = [{"role": "user", "content": "add 1 and 1"}, {"role": "assistant", "content": "2"}]
    (tmp_path / "arithmetic").mkdir()
    file = write(tmp_path / "arithmetic/runs.v2.jsonl", [{"messages": says, "reward": 1}])
    for path, name in ((tmp_path / "arithmetic", "arithmetic"), (file, "runs.v2")):
        result = import_log(tmp_path / f"d-{name}", path)
        assert [row["environment"] for row in rows(tmp_path / f"d-{name}", "rollouts")] == [name]
        assert f"Environment: {name}, after the log's file, because the log names none; --environment NAME changes it" in result.notes
    result = import_log(tmp_path / "d", file, environment="sums")
    assert [row["environment"] for row in rows(tmp_path / "d", "rollouts")] == ["sums"]
    assert not any(note.startswith("Environment") for note in result.notes)


def test_files_that_give_nothing_are_counted_and_named(tmp_path):
    """Four of six files were skipped behind '0 dropped'."""
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.log").write_text("You see a door.\n> open door\nIt is open.\nReward: 1\n")
    (folder / "b.log").write_text("nothing happened here\n")
    for name in ("c.out", "d", "e.rst"):
        (folder / name).write_text("You see a door.\n> open door\nIt is open.\nReward: 1\n")
    result = import_log(tmp_path / "d", folder, "react", environment="e")
    assert result.counts == {"rollouts": 1, "steps": 1, "already_there": 0, "dropped": 1, "skipped_files": 4}
    assert "Nothing in these files could be used: logs/b.log (no_episode)" in result.notes
    assert "Not read, because their names do not end like a log's: c.out, d, e.rst" in result.notes


def test_an_action_that_the_reader_did_not_find_is_no_empty_action(tmp_path):
    said = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "Thought: I will see"}]
    silent = [{"from": "human", "value": "q"}, {"from": "gpt", "value": ""}]
    chats = [{"id": "1", "conversations": said, "reward": 1}, {"id": "2", "conversations": silent, "reward": 1}]
    file = write(tmp_path / "a.jsonl", [*chats, {"id": "3", "conversations": [*said[:1], {"from": "gpt", "value": "go"}], "reward": 1}])
    result = import_log(tmp_path / "d", file, "sharegpt", environment="e")
    assert (result.counts["rollouts"], result.counts["dropped"]) == (2, 1)
    (dropped,) = rows(tmp_path / "d", "dropped")
    assert (dropped["reason"], dropped["subject"]) == ("empty_action", f"{tmp_path.name}/a.jsonl:1")
    assert "'Thought: I will see'" in dropped["detail"]


OTHER_FILES = ("report.json", "preds.json", "results.json", "gpt-5.run.json", "metadata.json", "1795855241233_zt2p2.json")
DETECTED = [
    path
    for path in sorted(LOGS.rglob("*.*"))
    if path.is_file()
    and path.name not in OTHER_FILES
    and (path.name == "result.json" or "harbor" not in path.parts)
    and "strands" not in path.parts
]
FIXED_NAMES = ("table", "sweagent", "openhands", "harbor")


@pytest.mark.parametrize("path", DETECTED, ids=lambda path: str(path.relative_to(LOGS)))
def test_the_format_is_detected_by_content(tmp_path, path):
    """Under another name as well; only Parquet is known by its ending, as a file that cannot be read as text."""
    expected = path.relative_to(LOGS).parts[0]
    other = f"log{'.jsonl' if '.jsonl' in path.name else '.json'}"
    for name in (path.name, path.name if expected in FIXED_NAMES else other):
        copy = tmp_path / name
        copy.write_bytes(path.read_bytes())
        assert detect_format(copy, copy.parent, [LogFile(copy, name)], Options()) == expected


def test_the_result_reports_the_detected_format(tmp_path):
    result = import_log(tmp_path / "d", write(tmp_path / "a.jsonl", [line()]))
    assert result.notes[0] == "Format: jsonl (detected)"
    assert not any("detected" in note for note in import_log(tmp_path / "d", tmp_path / "a.jsonl", "jsonl").notes)


def test_a_folder_in_two_formats_is_not_guessed_and_other_files_do_not_matter(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    write(folder / "a.jsonl", [line()])
    (folder / "settings.json").write_text('{"model": "m"}')
    (folder / "notes.txt").write_text("to do")
    assert import_log(tmp_path / "d", folder).counts["rollouts"] == 1
    (folder / "k.jsonl").write_bytes((LOGS / "knowagent/K_D0.jsonl").read_bytes())
    command = r"Next: tratree import .*/logs .*/e --format jsonl"
    with pytest.raises(BadInputError, match=rf"several formats \(jsonl: 1 file, e\.g\. logs/a\.jsonl; knowagent: 1 file.*\n{command}"):
        import_log(tmp_path / "e", folder)
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize("data", [b'{"settings": 1}', b"to do", b"a,b\n1,2\n", b"[1, 2]", b"\x00\x01"])
def test_an_unknown_format_is_an_error_that_lists_the_known_ones(tmp_path, data):
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(BadInputError, match=r"(?s)was not recognised.*Available: jsonl, .*table\.\nNext: tratree import .* --format NAME"):
        import_log(tmp_path / "d", tmp_path / "a.json")
    assert not (tmp_path / "d").exists()


def test_the_settings_name_every_format():
    from tratree_data.importers.formats import FORMATS

    assert get_args(Format) == (AUTO, *FORMATS)


def test_a_log_without_rewards_is_read_and_has_no_scores(tmp_path: Path) -> None:
    row = {"task_id": "t", "env": "e", "instruction": "Go.", "steps": [{"observation": "o", "action": "a"}]}
    (tmp_path / "log.jsonl").write_text(json.dumps(row) + "\n")
    result = import_log(tmp_path / "d", tmp_path / "log.jsonl")
    assert result.counts["rollouts"] == 1
    assert "Scores: 0 of 1 rollout" in result.notes
