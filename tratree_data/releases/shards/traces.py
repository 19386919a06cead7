"""The configuration `traces`: rollouts as sessions for the Hub's trace viewer.

Each is a file, `traces/<split>/<rollout_id>.jsonl`, in STS, the Hub's own format for harnesses that it does not know (exporters/sts.py),
and a row of the table `traces`, with the columns by which the Hub knows traces (AGENT_TRACES_FEATURES of `datasets`). The row names the
file, and the viewer opens that. Texts come from the release, so they are redacted.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from tratree_data.exporters import json_line
from tratree_data.exporters.sts import NAMES, render
from tratree_data.exporters.trajectories import read_trajectories
from tratree_data.files import read_text
from tratree_data.releases.shards.shards import write_shards
from tratree_data.releases.versions.diff import link
from tratree_data.store.log import Source
from tratree_data.store.published.manifest import Shard, file_hash, read_checksums
from tratree_data.store.reader import Store
from tratree_data.store.schemas import table_from_rows
from tratree_data.system.safe_paths import name_part

TABLE = "traces"
LONGEST_IN_A_ROW = 1_000_000
"""Maximum bytes of a session: the Hub's viewer shows a page of at most 1 MB, and reads at most 300 MB for it."""
LONGEST_PROMPT = 2_000
ROWS_PER_BATCH = 50


def write_traces(
    folder: Path, shards: Mapping[str, Sequence[Shard]], splits: Mapping[str, str], most: int, shard_bytes: int
) -> list[Shard]:
    """Sessions of at most `most` rollouts, whole tasks first; `splits` gives the name of each split on the Hub."""
    store = Store(folder, {table: Source(tuple(str(folder / shard.path) for shard in files), 0, None) for table, files in shards.items()})
    chosen = set(store.sql(read_text("publish/queries", "traced_rollouts.sql"), {"most": most}).column("rollout_id").to_pylist())
    for trajectory in read_trajectories(store):
        rollout = trajectory.rollout
        if rollout["rollout_id"] in chosen:
            path = folder / TABLE / splits[rollout["split"]] / f"{name_part(rollout['rollout_id'])}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(map(json_line, render(trajectory))), encoding="utf-8", newline="\n")
    return write_shards(_batches(folder), TABLE, folder, first={}, shard_bytes=shard_bytes)


def _batches(folder: Path) -> Iterator[pa.RecordBatch]:
    for split in sorted((folder / TABLE).iterdir()):
        paths = iter(sorted(split.iterdir()))
        while some := list(islice(paths, ROWS_PER_BATCH)):
            rows = table_from_rows(TABLE, [session_row(path, path.relative_to(folder).as_posix()) for path in some])
            yield from rows.append_column("release_split", pa.array([split.name] * len(some))).to_batches()


def session_row(path: Path, name: str) -> dict[str, Any]:
    """The row that `datasets` would make of the file, with the tool calls, which it does not read from STS."""
    from datasets.packaged_modules.json.json import parse_traces_info

    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    harness, session_id, prompt, sent_at, user_messages, _ = parse_traces_info(lines)
    header, *messages = map(json.loads, lines)
    said = [_openai(line["message"]) for line in messages]
    tools = header.pop("tools", None)
    fits = len(text.encode()) <= LONGEST_IN_A_ROW
    return {
        "harness": harness,
        "session_id": session_id,
        "prompt": (prompt or "")[:LONGEST_PROMPT],
        "messages": [_json(message) for message in said] if fits else None,
        "tools": [_json(tool) for tool in tools] if tools else None,
        "metadata": _json({key: value for key, value in header.items() if key not in ("type", "exporter", "opening_characters")}),
        "sent_at": sent_at,
        "num_user_messages": user_messages,
        "num_tool_calls": sum(len(message.get("tool_calls") or ()) for message in said),
        "trace": _json(text) if fits else None,
        "file_path": name,
    }


def keep_sessions(before: Path, folder: Path) -> None:
    """Links sessions that the previous version also has, if it is on this disk."""
    for name, digest in read_checksums(before).items():
        old, new = before / name, folder / name
        if name.startswith(f"{TABLE}/") and old.is_file() and new.is_file() and file_hash(new) == digest:
            link(old, new)


def _openai(message: Mapping[str, Any]) -> dict[str, Any]:
    names = {sts: ours for ours, sts in NAMES.items()}
    return {names.get(name, name): value for name, value in message.items() if name in {"role", "content", "name", *names}}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
