"""Secrets of more than 150 kinds in every text that a log of conversations can hold: none is left anywhere in its release."""

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.shop import build_all
from helpers.tool_chats import TOOLS, call, result, says

from benchmarks.held_back_secrets.first import LOOKALIKES, SECRETS
from benchmarks.held_back_secrets.making import Case, cases, parts_left
from tratree_data import import_log
from tratree_data.releases.publish import publish
from tratree_data.releases.redaction.redaction import Redactor
from tratree_data.store.checks import check
from tratree_data.store.published.release import open_release
from tratree_data.store.reader import open_store

pytestmark = pytest.mark.slow

SEED = 3
SHARE = 5
PLACES = ("system", "user", "result", "answer", "thought", "argument", "tool", "metadata", "end", "model", "agent", "split", "source")


@pytest.fixture(scope="module")
def canaries() -> dict[str, list[Case]]:
    """For each place, a share of the secrets that the rules find, in turn: other values everywhere, so that no place hides another."""
    found = {}
    for number, place in enumerate((*PLACES, "task 0", "task 1")):
        examples = [case for case in cases(SECRETS, LOOKALIKES, SEED + number) if case.secret][number % SHARE :: SHARE]
        redacted = Redactor().redact_table("dropped", pa.table({"detail": [case.text for case in examples]}))["detail"].to_pylist()
        found[place] = [case for case, text in zip(examples, redacted, strict=True) if not parts_left(case, text)]
    return found


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory, canaries: dict[str, list[Case]]) -> Path:
    folder = tmp_path_factory.mktemp("canaries")
    text = {place: "\n\n".join(case.text for case in cases) for place, cases in canaries.items()}
    short = {place: f"{place} of {canaries[place][0].text}" for place in ("model", "agent", "split", "source")}
    rows = []
    for task in range(2):
        for attempt in range(2):
            looks = [call(attempt, "look", city=f"{text['argument']} {attempt % 2}")]
            messages = [
                {"role": "system", "content": text["system"]},
                {"role": "user", "content": f"{text['user']} {task}"},
                says(None, *looks, reasoning_content=text["thought"]),
                result(attempt, text["result"]),
                says(f"{text['answer']} {attempt % 2}", metadata={"note": text["metadata"]}),
                {"role": "user", "content": text["end"]},
                {"role": "user", "content": "Anything else?", "name": "ada"},
            ]
            tools = [{**TOOLS[0], "function": {**TOOLS[0]["function"], "description": text["tool"]}}]
            facts = {"model": short["model"], "agent": short["agent"], "split": short["split"], "source_url": short["source"]}
            named = {"task_id": text[f"task {task}"], "id": f"{task}-{attempt}", "score": float(attempt % 2)}
            rows.append({"messages": messages, "tools": tools, "metadata": {"note": text["metadata"]}, **facts, **named})
    log = folder / "log.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    import_log(folder / "data", log, "messages", environment="canaries")
    publish(build_all(folder / "data"), folder / "release", "1.0.0", title=text["user"].splitlines()[0])
    return folder


def test_every_place_holds_secrets_of_150_kinds_before(canaries, release):
    assert len({(case.kind, case.text.replace(case.secret or "", "")[:40]) for cases in canaries.values() for case in cases}) > 150
    store = open_store(release / "data")
    rows = {table: json.dumps(store.read(table).to_pylist(), default=str) for table in ("rollouts", "steps")}
    for place in PLACES:
        assert any(str(canaries[place][0].secret) in text for text in rows.values()), place
    for name in ("tools", "metadata", "end_messages", "task_id", "model"):
        assert store.read("rollouts", [name])[name].null_count == 0, name
    assert store.read("steps", ["output_message"])["output_message"].null_count < store.count("steps")
    assert {"rollouts", "steps", "nodes", "pairs", "demonstrations"} <= set(store.sources)


def test_no_part_of_any_is_left_in_the_release(canaries, release):
    published = _everything(release / "release")
    contexts = " ".join(context for _, _, context in SECRETS)
    chance = random.Random(SEED)
    for place, examples in canaries.items():
        for case in examples:
            left = [part for part in _parts(case.secret or "", chance) if part in published and part not in contexts]
            assert not left, (place, case.kind, left)


def test_nothing_became_equal_and_the_release_is_whole(release):
    assert not [row for row in check(release / "release").to_pylist() if row["offending_rows"]]
    published, source = open_release(release / "release"), open_store(release / "data")
    for table, column in (("rollouts", "task_id"), ("nodes", "action"), ("steps", "action"), ("pairs", "chosen")):
        assert len(set(map(str, published.read(table)[column].to_pylist()))) >= len(set(map(str, source.read(table)[column].to_pylist())))


def _parts(secret: str, chance: random.Random) -> list[str]:
    """Some parts that can hardly occur by chance; one of each piece that has no end of a line."""
    pieces = [piece for piece in secret.splitlines() if len(piece) >= 8] or [secret]
    starts = [(piece, chance.randrange(max(1, len(piece) - 9))) for piece in pieces for _ in range(3)]
    return [piece[start : start + 10] for piece, start in starts]


def _everything(folder: Path) -> str:
    """All that is published as one text: names of files, rows of tables, what Parquet says of itself, every other file."""
    pieces = []
    for path in sorted(folder.rglob("*")):
        pieces.append(path.relative_to(folder).as_posix())
        if path.suffix == ".parquet":
            read = pq.ParquetFile(path)
            groups = [read.metadata.row_group(i).to_dict() for i in range(read.metadata.num_row_groups)]
            pieces += [str(read.metadata.metadata), str(groups), *_strings(read.read().to_pylist())]
        elif path.is_file():
            pieces.append(path.read_bytes().decode("utf-8", "replace"))
    return "\n".join(pieces)


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict | list):
        return [text for item in (value.values() if isinstance(value, dict) else value) for text in _strings(item)]
    return []
