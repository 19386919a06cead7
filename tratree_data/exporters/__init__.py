"""Writes a dataset's trajectories, or its training rows, in the formats of other tools: the reverse of the importers.

OUT is a new folder that appears once it is complete, so a killed export leaves nothing half-written.
"""

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from tratree_data.errors import NotFoundError, suggest
from tratree_data.exporters import adp, agenttraj, atif, credits, sts, trl, verifiers
from tratree_data.exporters.trajectories import Trajectory, read_trajectories
from tratree_data.results import StageResult
from tratree_data.store.published.release import open_dataset
from tratree_data.store.reader import Store
from tratree_data.system.safe_paths import name_part
from tratree_data.system.whole_folder import whole_folder

Counts = dict[str, int]


def export(directory: str | Path, out: str | Path, format: str) -> StageResult:
    """Writes the dataset or release to the new folder `out`, for use in another tool."""
    if format not in FORMATS:
        raise NotFoundError(f"Unknown export format {format!r}.{suggest(format, FORMATS)}\nNext: tratree export --help")
    store = open_dataset(directory)
    with whole_folder(Path(out), "an export") as folder:
        counts = FORMATS[format](store, folder)
    return StageResult("export", True, counts, (f"{format} in {out}",))


LINE_SEPARATORS = {chr(code): f"\\u{code:04x}" for code in (0x85, 0x2028, 0x2029)}
as_json = json.JSONEncoder(ensure_ascii=False).encode
"""Made once: `json.dumps` makes an encoder for every row."""


def json_line(row: Any) -> str:
    """A line of JSON Lines that is safe for readers that split lines at Unicode's line separators."""
    line = as_json(row)
    for separator, escape in LINE_SEPARATORS.items():
        line = line.replace(separator, escape)
    return line + "\n"


def _write_line(handle: TextIO, row: Any) -> None:
    handle.write(json_line(row))


def _files(folder: Path, store: Store, ending: str, lines: Callable[[Trajectory], list[Any]], indent: int | None = None) -> Counts:
    """One file per trajectory, numbered in order and named after its rollout_id."""
    count = 0
    for trajectory in read_trajectories(store):
        with (folder / f"{count:08}-{name_part(trajectory.rollout['rollout_id'])}{ending}").open("w", encoding="utf-8") as handle:
            for row in lines(trajectory):
                handle.write(json_line(row) if indent is None else json.dumps(row, ensure_ascii=False, indent=indent) + "\n")
        count += 1
    return {"trajectories": count, "files": count}


def _one_file(folder: Path, store: Store, name: str, render: Callable[[Trajectory], Any]) -> Counts:
    count = 0
    with (folder / name).open("w", encoding="utf-8") as handle:
        for trajectory in read_trajectories(store):
            _write_line(handle, render(trajectory))
            count += 1
    return {"trajectories": count, "files": 1}


def _export_atif(store: Store, folder: Path) -> Counts:
    return _files(folder, store, ".json", lambda trajectory: [atif.render(trajectory)], indent=2)


def _export_sts(store: Store, folder: Path) -> Counts:
    return _files(folder, store, ".jsonl", sts.render)


def _export_adp(store: Store, folder: Path) -> Counts:
    return _one_file(folder, store, "trajectories.jsonl", adp.render)


def _export_verifiers(store: Store, folder: Path) -> Counts:
    return _one_file(folder, store, "traces.jsonl", verifiers.render)


def _export_agenttraj(store: Store, folder: Path) -> Counts:
    """JSON lists that are written element by element; rollouts are ordered by environment, so few files are open."""
    items, count, open_files = agenttraj.Items(), 0, dict[str, TextIO]()
    try:
        for trajectory in read_trajectories(store):
            name = agenttraj.file_name(trajectory)
            first = name not in open_files
            if first:
                open_files[name] = (folder / name).open("w", encoding="utf-8")
            open_files[name].write("[\n" if first else ",\n")
            open_files[name].write(json.dumps(agenttraj.render(trajectory, items), ensure_ascii=False))
            count += 1
        for handle in open_files.values():
            handle.write("\n]\n")
    finally:
        for handle in open_files.values():
            handle.close()
    return {"trajectories": count, "files": len(open_files)}


def _export_trl(store: Store, folder: Path) -> Counts:
    counts = {}
    for table in trl.present(store):
        with (folder / f"{table}.jsonl").open("w", encoding="utf-8") as handle:
            counts[table] = 0
            for row in trl.rows(store, table):
                _write_line(handle, row)
                counts[table] += 1
    return counts


def _export_credits(store: Store, folder: Path) -> Counts:
    """Each file has a row per credited rollout and method; process rewards only if the first advantage is known."""
    counts = {"rollouts": 0, "process rewards": 0}
    names = ("process_rewards", "process_rewards_with_observations", "rollouts")
    with ExitStack() as stack:
        plain, observed, whole = (stack.enter_context((folder / f"{name}.jsonl").open("w", encoding="utf-8")) for name in names)
        for trajectory, methods in credits.read_credits(store):
            for method in methods:
                _write_line(whole, credits.credited_rollout(trajectory, method))
                counts["rollouts"] += 1
                reward = credits.process_reward(trajectory, method, observations=False)
                if reward is not None:
                    _write_line(plain, reward)
                    _write_line(observed, credits.process_reward(trajectory, method, observations=True))
                    counts["process rewards"] += 1
    return counts


FORMATS: dict[str, Callable[[Store, Path], Counts]] = {
    "trl": _export_trl,
    "credits": _export_credits,
    "adp": _export_adp,
    "sts": _export_sts,
    "atif": _export_atif,
    "verifiers": _export_verifiers,
    "agenttraj": _export_agenttraj,
}
