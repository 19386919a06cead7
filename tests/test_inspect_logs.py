"""Inspect logs: every message, score and end as Inspect itself reads them, and archives that want to do harm."""

import io
import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pytest
from helpers.read_logs import read_log, said
from helpers.shared_data import SHARED, needs_shared

from tratree_data import import_log, open_store
from tratree_data.errors import BadInputError
from tratree_data.importers.files import zip_members
from tratree_data.importers.files.json_stream import JsonStream
from tratree_data.importers.files.log_files import LogFile
from tratree_data.importers.formats import FORMATS, fitting_formats
from tratree_data.importers.log_records import Options, Problem, Record, StreamedSteps, Unusable
from tratree_data.importers.readers.inspect_scores import headline, score_of, success_of
from tratree_data.importers.turns import message_spool

LOGS = Path(__file__).parent / "data/logs/inspect"
LOG = json.loads((LOGS / "arithmetic.json").read_text())
HEADER = {key: LOG[key] for key in ("version", "status", "eval", "plan", "results", "stats")}
SAMPLES = {f"samples/{sample['id']}_epoch_{sample['epoch']}.json": sample for sample in LOG["samples"]}
IMAGE = "[image image/png sha256:{} 69 B]"


def read(path: Path) -> tuple[list[Record], list[Problem]]:
    return read_log("inspect", path)


def archive(path: Path, members: dict, **info: object) -> Path:
    """A log of Inspect with these members; `info` changes the last one's entry."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, value in members.items():
            entry = zipfile.ZipInfo("x")
            entry.filename, entry.compress_type = name, zipfile.ZIP_DEFLATED
            for key, setting in info.items() if name == list(members)[-1] else ():
                setattr(entry, key, setting)
            file.writestr(entry, value if isinstance(value, bytes) else json.dumps(value))
    return path


def test_every_message_of_a_sample_comes_back(tmp_path):
    records, problems = read(LOGS / "arithmetic.eval")
    assert problems == []
    (record,) = [record for record in records if (record.metadata["sample_id"], record.metadata["epoch"]) == (2, 1)]
    shown = IMAGE.format("a65bd5ecf11b85b8")
    assert said(record) == [
        ("system", "Be careful.", None),
        ("user", "What is on it?\n" + IMAGE.format("43720e65291ff8c5"), None),
        ("assistant", "Both at once.", [("a1", "add", '{"x": 1, "y": 2}'), ("a2", "add", '{"y": 4, "x": 3}')]),
        ("tool", "3", "a1"), ("tool", "7", "a2"),
        ("assistant", "", [("l1", "look", '{"n": 1}'), ("l2", "look", '{"n": 2}')]),
        ("tool", f"Here it is.\n{shown}", "l1"), ("tool", "There is no such picture.", "l2"),
        ("assistant", "10", None),
    ]  # fmt: skip
    assert record.steps[0].thought == "Two sums.\nBoth at once."
    assert record.steps[0].metadata["usage"] == {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    assert record.instruction == "What is on it?\n" + IMAGE.format("43720e65291ff8c5")
    assert [tool["function"]["name"] for tool in record.tools] == ["add", "look"]
    assert record.tools[0]["function"]["description"].startswith("Adds two whole numbers, and says so"), "an attachment"
    assert (record.agent, record.model, record.prompt_tokens) == ("crash", "mockllm/model", 30)


def test_sample_and_epoch_are_task_and_attempt_with_score_and_end():
    records, _ = read(LOGS / "arithmetic.eval")
    assert [(r.environment, r.task_id, r.metadata["epoch"], r.reward, r.success, r.end_reason) for r in records] == [
        ("arithmetic", "arithmetic/2", 1, 0.0, False, "done"),
        ("arithmetic", "arithmetic/sum", 1, 1.0, True, "done"),
        ("arithmetic", "arithmetic/2", 2, 0.0, False, "done"),
        ("arithmetic", "arithmetic/sum", 2, None, None, "agent_error"),
    ]
    _, solved, _, failed = records
    assert (solved.metadata["scorer"], solved.metadata["scores"]["match"]["answer"]) == ("match", "10")
    assert solved.metadata["scores"]["parts"]["value"] == {"quality": 0.25, "speed": 1}
    assert solved.metadata["metadata"] == {"level": 1}
    assert (failed.metadata["error"]["message"], failed.trajectory_id) == ("ValueError('The machine stopped.')", "oJg5Gx45XRHsLQXsZHFrtD")


def test_json_says_the_same_as_the_archive():
    (archived, _), (plain, _) = read(LOGS / "arithmetic.eval"), read(LOGS / "arithmetic.json")
    assert [asdict(record) | {"source": ""} for record in archived] == [asdict(record) | {"source": ""} for record in plain]


def test_a_sample_in_pieces_is_the_same_sample(tmp_path):
    name, sample = next(iter(SAMPLES.items()))
    folder = name.removesuffix(".json")
    places = {key: str(i) for i, key in enumerate(sample["attachments"])}
    text = json.dumps({key: value for key, value in sample.items() if key != "attachments"})
    for key, place in places.items():
        text = text.replace(f"attachment://{key}", f"attachment://{place}")
    pieces = json.loads(text)
    messages = ["not in the conversation", *pieces["messages"]]
    members = {"header.json": HEADER}
    shell = {key: value for key, value in pieces.items() if key not in ("messages", "events", "metadata")}
    members[f"{folder}/sample.json"] = shell | {"message_refs": [[1, 4], [4, len(messages)]]}
    for start in (0, 5):
        members[f"{folder}/messages/{start}.json"] = messages[start : start + 5]
    members[f"{folder}/events/0.json"] = pieces["events"]
    members[f"{folder}/events/stats.json"] = {"chunks": []}
    members[f"{folder}/attachments/0.json"] = list(sample["attachments"].values())
    (record,), problems = read(archive(tmp_path / "cut.eval", members))
    (whole,), _ = read(archive(tmp_path / "whole.eval", {"header.json": HEADER, name: sample}))
    assert problems == []
    assert asdict(record) | {"source": ""} == asdict(whole) | {"source": ""}


def test_a_run_that_was_killed_has_a_journal_only_and_the_last_of_two_equal_names_counts(tmp_path):
    (name, sample), *_ = SAMPLES.items()
    start = {key: HEADER[key] for key in ("version", "eval", "plan")}
    path = archive(tmp_path / "killed.eval", {"_journal/start.json": start, name: sample | {"uuid": "early"}})
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        file.writestr(name, json.dumps(sample | {"uuid": "late", "limit": {"type": "time", "limit": 3.0}}))
    (record,), problems = read(path)
    assert problems == []
    assert (record.trajectory_id, record.end_reason, record.reward) == ("late", "time_out", 0.0)


@pytest.mark.parametrize(("value", "score", "success"), [
    ("C", 1.0, True), ("I", 0.0, False), ("P", 0.5, None), ("N", 0.0, False), ("yes", 1.0, True), ("False", 0.0, False),
    ("0.25", 0.25, None), (True, 1.0, True), (False, 0.0, False), (1, 1.0, None), (7.5, 7.5, None), ("GOOD", None, None),
    (float("nan"), None, None), ("nan", None, None), ([1, 0], None, None), (None, None, None), ({}, None, None), (10**400, None, None),
])  # fmt: skip
def test_what_a_value_means(value, score, success):
    assert (score_of(value), success_of(value)) == (score, success)


def test_the_score_that_inspect_shows_first_counts():
    scores = {"a": {"value": 0.1}, "b": {"value": {"x": 0.2, "y": 0.3}}, "c": {"value": "C"}}
    assert headline(scores, {}) == ("a", 0.1)
    assert headline(scores, {"results": {"scores": [{"name": "y", "scorer": "b"}, {"name": "a", "scorer": "a"}]}}) == ("b.y", 0.3)
    assert headline(scores, {"results": {"scores": [{"name": "a"}], "headline": {"scorer": "c", "score": "c"}}}) == ("c", "C")
    assert headline({"b": scores["b"]}, {"results": {"scores": [{"name": "gone", "scorer": "gone"}]}}) == ("b.x", 0.2)
    assert headline({}, {}) == ("", None)


NAME, SAMPLE = next(iter(SAMPLES.items()))
LINK = 0o120777 << 16


@pytest.mark.parametrize(("name", "value", "info", "why"), [
    (NAME, SAMPLE, {"external_attr": LINK}, "symbolic link"),
    ("/etc/samples/1_epoch_1.json", SAMPLE, {}, "leaves the archive's folder"),
    ("samples/../../1_epoch_1.json", SAMPLE, {}, "leaves the archive's folder"),
    ("samples\\1_epoch_1.json", SAMPLE, {}, "leaves the archive's folder"),
    ("C:samples/1_epoch_1.json", SAMPLE, {}, "leaves the archive's folder"),
    (NAME, b"[" + b" " * 9_000_000 + b"]", {}, "as a zip bomb does"),
])  # fmt: skip
def test_hostile_members_are_refused_by_name_and_the_others_are_read(tmp_path, name, value, info, why):
    other = [key for key in SAMPLES if key != name][-1]
    records, (problem,) = read(archive(tmp_path / "a.eval", {"header.json": HEADER, other: SAMPLES[other], name: value}, **info))
    assert len(records) == 1
    assert (problem.reason, problem.subject) == ("unsafe_archive", f"a.eval:1[{name}]")
    assert why in problem.detail
    assert repr(name) in problem.detail


def test_an_archive_that_lies_about_its_size_or_shares_bytes_is_refused(tmp_path, monkeypatch):
    path = archive(tmp_path / "a.eval", {"header.json": HEADER, NAME: SAMPLE})
    with path.open("rb") as handle:
        opened = zip_members.open_archive(handle)
        big = b"x" * 100_000
        packed = pa.compress(big, "zstd", asbytes=True) * 2
        member = zipfile.ZipInfo("z")
        member.compress_type, member.compress_size, member.file_size, member.CRC = zip_members.ZSTANDARD, len(packed), 150_000, 0
        member.header_offset = 0
        opened.fp = io.BytesIO(zip_members.ZIP_MAGICS[0] + bytes(26) + packed)
        with pytest.raises(Unusable, match="more than it declares"), zip_members.open_member(opened, member) as stream:
            stream.read()
        member.file_size = 2 * len(big)
        with zip_members.open_member(opened, member) as stream:
            assert stream.read(2 * len(big)) == big + big, "frames one after the other"
            with pytest.raises(zipfile.BadZipFile, match="its checksum differs"):
                stream.read(1)
        opened.filelist *= 2
        monkeypatch.setattr(zipfile, "ZipFile", lambda handle: opened)
        with pytest.raises(Unusable, match="overlap"):
            zip_members.open_archive(handle)
        monkeypatch.setattr(zip_members, "MOST_DIRECTORY_BYTES", 10)
        with pytest.raises(Unusable, match="directory has more"):
            zip_members.open_archive(handle)


@pytest.mark.parametrize("cut", [0.02, 0.5, 0.99])
def test_an_archive_that_is_cut_off_names_the_tool_and_what_to_do(tmp_path, cut):
    data = (LOGS / "arithmetic.eval").read_bytes()
    (tmp_path / "a.eval").write_bytes(data[: int(len(data) * cut)])
    with pytest.raises(BadInputError, match=r"as inspect: damaged_archive, .*cut off or damaged.*\nNext: copy the file again"):
        import_log(tmp_path / "d", tmp_path / "a.eval")


def test_a_log_without_samples_names_the_tool_and_what_to_do(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(HEADER))
    with pytest.raises(BadInputError, match=r"as inspect: no_samples, .*\nNext: run the evaluation again"):
        import_log(tmp_path / "d", tmp_path / "a.json")


@pytest.mark.parametrize(("name", "data", "what"), [
    ("a.eval", b'{"a": 1}', "its name is an Inspect log's, but it is not a zip archive"),
    ("a.json", b"SQLite format 3\0" + bytes(100), "OpenCode, Crush, Goose, Cursor and Hermes"),
    ("a.log", b"PAR1" + bytes(100), "Parquet"),
])  # fmt: skip
def test_a_file_of_a_known_tool_that_no_reader_takes_says_what_to_do(tmp_path, name, data, what):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadInputError, match=rf"{what}.*\nNext: "):
        import_log(tmp_path / "d", tmp_path / name)


def test_an_archive_of_something_else_is_no_inspect_log(tmp_path):
    path = archive(tmp_path / "a.eval", {"samples/1_epoch_1.json": SAMPLE, "readme.txt": b"hi"})
    assert fitting_formats(LogFile(path, "a.eval"), Options()) == []
    assert read(path)[1][0].reason == "other_format"
    with pytest.raises(BadInputError, match="a zip archive, but not an Inspect log"):
        import_log(tmp_path / "d", path)


@pytest.mark.parametrize("change", [
    {"eval": {"task": "t"}}, {"eval": None}, {"other": 1}, {"eval": HEADER["eval"] | {"model": None}},
])  # fmt: skip
def test_json_that_only_looks_like_a_log_is_none(tmp_path, change):
    (tmp_path / "a.json").write_text(json.dumps({"version": 2} | change | {"samples": [SAMPLE]}))
    assert [problem.reason for problem in read(tmp_path / "a.json")[1]] == ["other_format"]


def test_damage_inside_a_log_costs_the_samples_that_it_hit(tmp_path):
    doubled = json.dumps(SAMPLE).replace('"target"', '"epoch": 2, "target"', 1).encode()
    members = {"header.json": HEADER, NAME: doubled, "samples/b_epoch_1.json": b"[1]", "samples/c_epoch_1.json": SAMPLE}
    records, problems = read(archive(tmp_path / "a.eval", members))
    assert (len(records), [problem.reason for problem in problems]) == (1, ["repeated_key", "not_json"])
    text = json.dumps(HEADER | {"samples": [SAMPLE, 3, SAMPLE]})
    (tmp_path / "a.json").write_text(text[:-40])
    records, problems = read(tmp_path / "a.json")
    assert (len(records), [problem.reason for problem in problems]) == (1, ["wrong_type", "not_json"])
    assert problems[1].detail.endswith("the rest of the file was not read")


@pytest.mark.parametrize(
    ("solver", "plan", "agent"), [(None, "plan", "crash"), (None, "basic_agent", "basic_agent"), ("mine", "x", "mine")]
)
def test_the_solver_is_the_agent(tmp_path, solver, plan, agent):
    log = HEADER | {"eval": HEADER["eval"] | {"solver": solver}, "plan": HEADER["plan"] | {"name": plan}}
    (record,), _ = read(archive(tmp_path / "a.eval", {"header.json": log, NAME: SAMPLE}))
    assert record.agent == agent


def test_header_and_samples_in_any_order(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"samples": [SAMPLE]} | HEADER))
    (record,), problems = read(tmp_path / "a.json")
    assert (problems, record.reward) == ([], 0.0)


def test_members_are_read_piece_by_piece():
    stream = JsonStream(io.BytesIO(b'{"a": [1, {"b": 2}], "c": {"d": "e"}}'))
    assert [(key, [stream.value() for _ in stream.elements()] if key == "a" else stream.value()) for key in stream.names()] == [
        ("a", [1, {"b": 2}]), ("c", {"d": "e"}),
    ]  # fmt: skip


def test_a_folder_of_logs_becomes_trees_of_samples(tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.eval").write_bytes((LOGS / "arithmetic.eval").read_bytes())
    (folder / "eval-set.json").write_text('{"eval_set_id": "x"}')
    result = import_log(tmp_path / "d", folder)
    assert (result.counts["rollouts"], result.notes[0]) == (4, "Format: inspect (detected)")
    rows = open_store(tmp_path / "d").sql("SELECT task_id, attempt, score, success FROM rollouts ORDER BY task_id, attempt").to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("arithmetic/2", 0, 0.0, False), ("arithmetic/2", 1, 0.0, False),
        ("arithmetic/sum", 0, 1.0, True), ("arithmetic/sum", 1, None, None),
    ]  # fmt: skip


@needs_shared
@pytest.mark.parametrize(("name", "steps"), [
    ("2025-02-11T15-18-04-05-00_popularity_mj7khqpMM4GBCfVQozKgzB.eval", [1] * 10),
    ("2025-05-12T20-28-13-04-00_popularity.json", [1] * 3),
    ("log_images_tc.json", [1]),
    ("log_message_deduplication.eval", [6]),
    ("log_streaming.eval", [1] * 4),
])  # fmt: skip
def test_logs_that_inspect_wrote_over_the_years(name, steps):
    path = SHARED / "sessions/inspect" / name
    assert fitting_formats(LogFile(path, name), Options()) == ["inspect"]
    records, problems = read(path)
    assert (problems, [len(record.steps) for record in records]) == ([], steps)


def test_only_the_beginning_of_a_long_sample_is_read_to_find_out_the_format(tmp_path):
    messages = [SAMPLE["messages"][0], *[{"role": "assistant", "content": f"turn {i}"} for i in range(500)]]
    members = {"header.json": HEADER, NAME: SAMPLE | {"messages": messages}}
    (tmp_path / "a.json").write_text(json.dumps(HEADER | {"samples": [SAMPLE | {"messages": messages}, SAMPLE]}))
    for path, left in ((archive(tmp_path / "a.eval", members), []), (tmp_path / "a.json", [3])):
        (begun,) = FORMATS["inspect"](LogFile(path, path.name, end=1), Options())
        assert isinstance(begun, Record)
        assert len(begun.steps) == 199
        assert [len(record.steps) for record in read(path)[0]] == [500, *left]


def test_a_long_sample_gives_the_rows_of_a_short_one(tmp_path, monkeypatch):
    """Also its rollout_id, so that importing it again adds nothing."""
    call = {"id": "c", "function": "ls", "arguments": {"n": 1.0}, "type": "function"}
    said = [{"role": "assistant", "content": f"turn {i}\x00", "tool_calls": [call | {"id": f"c{i}"}]} for i in range(30)]
    heard = [{"role": "tool", "content": f"{i} files é", "tool_call_id": f"c{i}"} for i in range(30)]
    turns = [message for pair in zip(said, heard, strict=True) for message in pair]
    sample = SAMPLE | {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Count."}, *turns]}
    path = archive(tmp_path / "a.eval", {"header.json": HEADER, NAME: sample})
    import_log(tmp_path / "short", path)
    monkeypatch.setattr(message_spool, "HELD_MESSAGES", 7)
    monkeypatch.setattr(message_spool, "LONG_MESSAGES", 10)
    assert isinstance(read(path)[0][0].steps, StreamedSteps)
    import_log(tmp_path / "long", path)
    for table in ("rollouts", "steps"):
        short, long = (open_store(tmp_path / name).sql(f"SELECT * FROM {table} ORDER BY ALL").to_pylist() for name in ("short", "long"))
        assert long == short
    again = import_log(tmp_path / "short", path)
    assert (again.counts["already_there"], again.counts["rollouts"]) == (1, 0)


def test_agents_that_an_agent_calls_are_rollouts_of_their_own():
    (whole, *subagents), problems = read(LOGS / "subagents.eval")
    assert problems == []
    assert [call[1] for call in said(whole)[2][2]] == ["researcher", "researcher"]
    assert [record.metadata["subagent_of_call"] for record in subagents] == ["h1", "h2"]
    for asked, record in zip(("find A", "find B"), subagents, strict=True):
        assert record.trajectory_id.startswith(f"{whole.trajectory_id}/")
        assert (record.instruction, record.agent, record.reward) == (asked, "researcher", None)
        (system, *rest) = said(record)
        assert system[0] == "system"
        assert system[1].startswith("You are the searcher.")
        assert rest == [
            ("user", asked, None),
            ("assistant", "I look.", [("s1", "look", '{"n": 3}')]), ("tool", rest[2][1], "s1"), *rest[3:-1],
            ("assistant", "Found.", [("s2", "submit", '{"answer": "found it"}')]),
        ]  # fmt: skip
        assert [tool["function"]["name"] for tool in record.tools] == ["look", "submit"]
        assert (record.prompt_tokens, record.completion_tokens) == (20, 10)
    assert len({record.task_id for record in subagents} | {whole.task_id}) == 3


def test_what_an_agent_said_after_a_handover_is_there_once(tmp_path):
    """The same answers, by their ids, are in the sample's own conversation."""
    sample = json.loads(json.dumps(LOG["samples"][0]))
    answers = [message for message in sample["messages"] if message["role"] == "assistant"]
    spans = [
        {"event": "span_begin", "id": f"s{i}", "type": "agent", "name": "a", "parent_id": f"s{i - 1}" if i else None} for i in range(2)
    ]
    call = {
        "event": "model",
        "span_id": "s1",
        "input": [{"role": "user", "content": "go"}],
        "output": {"choices": [{"message": answers[0]}]},
    }
    other = {**call, "span_id": "s1", "output": {"choices": [{"message": {"role": "assistant", "id": "new", "content": "Elsewhere."}}]}}
    for events, expected in (([call], 1), ([other], 2), ([{**other, "span_id": "s0"}], 2), ([{**other, "span_id": "nowhere"}], 1)):
        log = {**HEADER, "samples": [{**sample, "events": [*spans, *events]}]}
        (tmp_path / "log.json").write_text(json.dumps(log))
        records, problems = read(tmp_path / "log.json")
        assert (len(records), problems) == (expected, [])
