"""Every verb that writes, each with a dataset or release to write to: what the tests of kills and of foreign files run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import tratree_data as td
from helpers.shop import import_rows, trajectories
from tratree_data.store.published.release import open_dataset
from tratree_data.system.whole_folder import whole_folder
from tratree_data.viewing.annotations import annotate

CANARY = "task-1"
Command = Callable[[Path], Any]


def _build(root: Path) -> None:
    td.build(root / "d", embedder="exact", workers=1)


def _annotate(root: Path) -> None:
    subject = td.open_store(root / "d").sql("SELECT rollout_id FROM rollouts ORDER BY ALL")["rollout_id"][0].as_py()
    annotate(root / "d", {"subject": "rollout", "subject_id": subject, "label": "good", "note": "fine"}, "me")


def _whole(root: Path) -> None:
    with whole_folder(root / "new", "an export") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "rows.jsonl").write_text("{}", encoding="utf-8")


VERBS: dict[str, tuple[str, Command]] = {
    "whole folder": ("nothing", _whole),
    "import": ("raw", lambda root: td.import_log(root / "new", root / "more.jsonl", "jsonl")),
    "import more": ("full", lambda root: td.import_log(root / "d", root / "more.jsonl", "jsonl")),
    "build": ("raw", _build),
    "build again": ("grown", _build),
    "search": ("built", lambda root: td.search(root / "d", simulations=10, threads=1)),
    "search again": ("full", lambda root: td.search(root / "d", simulations=7, threads=1)),
    "states": ("built", lambda root: td.states(root / "d")),
    "pairs": ("searched", lambda root: td.pairs(root / "d")),
    "demonstrations": ("searched", lambda root: td.demonstrations(root / "d")),
    "score": ("full", lambda root: td.score(root / "d", source=str(root / "scores.csv"))),
    "annotate": ("full", _annotate),
    "filter": ("full", lambda root: td.filter(root / "d", root / "new", "score > 0.5")),
    "merge": ("full", lambda root: td.merge(root / "d", root / "other", root / "new")),
    "split": ("full", lambda root: td.split(root / "d", root / "new", {"train": 0.5, "test": 0.5})),
    "delete": ("full", lambda root: td.delete(root / "d", [CANARY])),
    "purge": ("full", lambda root: td.delete(root / "d", [CANARY], purge=True)),
    "vacuum": ("deleted", lambda root: td.vacuum(root / "d", keep_days=0)),
    "export": ("full", lambda root: td.export(root / "d", root / "new", "trl")),
    "export atif": ("full", lambda root: td.export(root / "d", root / "new", "atif")),
    "publish": ("full", lambda root: td.publish(root / "d", root / "new", "0.1.0")),
    "publish next": ("released", lambda root: td.publish(root / "d", root / "release", "0.2.0")),
    "withdraw": ("released twice", lambda root: td.withdraw(root / "release", "0.2.0", reason="a leak")),
    "withdraw first": ("released twice", lambda root: td.withdraw(root / "release", "0.1.0", reason="a leak")),
    "figure": ("full", lambda root: td.figure(root / "d", "tree", root / "tree.svg")),
    "view": ("full", lambda root: td.view(root / "d", out=root / "page.html")),
}


def prepare(root: Path, kind: str) -> Path:
    """What a verb starts from, in `root`."""
    root.mkdir(parents=True)
    if kind == "nothing":
        return root
    import_rows(root / "d", trajectories(range(3), 3))
    next(root.glob("d-*.jsonl")).unlink()
    (root / "more.jsonl").write_text("\n".join(map(json.dumps, trajectories(range(3, 5), 3))), encoding="utf-8")
    (root / "scores.csv").write_text("trajectory_id,score\n1-0,0.25\n2-1,0.75\n", encoding="utf-8")
    if kind == "raw":
        return root
    _build(root)
    if kind == "grown":
        td.import_log(root / "d", root / "more.jsonl", "jsonl")
    if kind in ("built", "grown"):
        return root
    td.search(root / "d", simulations=10, threads=1)
    if kind == "searched":
        return root
    td.pairs(root / "d")
    td.demonstrations(root / "d")
    td.import_log(root / "other", root / "more.jsonl", "jsonl")
    if kind == "deleted":
        td.delete(root / "d", ["task-2"])
    if kind.startswith("released"):
        td.publish(root / "d", root / "release", "0.1.0")
        td.delete(root / "d", ["task-2"])
    if kind == "released twice":
        td.publish(root / "d", root / "release", "0.2.0")
    return root


def content(root: Path) -> dict[str, Any]:
    """Rows of datasets, bytes of other files, and which files there are beyond tables: what two runs must agree in."""
    found: dict[str, Any] = {}
    datasets = {log.parents[1] for log in root.glob("*/*/_delta_log")}
    for folder in sorted(datasets):
        store = open_dataset(folder)
        for table in sorted(store.sources):
            rows = store.read(table)
            rows = rows.drop_columns([name for name in ("changed_at",) if name in rows.column_names])
            found[f"{folder.name}: {table}"] = sorted(map(repr, rows.to_pylist()))
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        folder = next((folder for folder in datasets if path.is_relative_to(folder)), None)
        if folder is None and path.is_file():
            found[name] = path.read_bytes()
        elif folder is None or len(path.relative_to(folder).parts) <= 1:
            found[name] = "is there"
    return {name: what for name, what in found.items() if not name.endswith(".lock")}


def broken(root: Path) -> list[str]:
    """Rules that a dataset or release breaks."""
    folders = {log.parents[1] for log in root.glob("*/*/_delta_log")} | {path.parent for path in root.glob("*/versions")}
    return [f"{folder.name}: {row['check']}" for folder in sorted(folders) for row in td.check(folder).to_pylist() if row["offending_rows"]]


def files_with(root: Path, word: str) -> list[str]:
    """Files in which the word is, decompressed or as it stands."""
    found = []
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        text = path.name + str(path.read_bytes())
        if path.suffix == ".parquet":
            text += str(pq.read_table(path).to_pylist()) + str(pq.read_metadata(path).to_dict())
        if word in text:
            found.append(str(path.relative_to(root)))
    return found


def written_by(verb: str) -> tuple[str, ...]:
    """The names in the folder that the verb is given to write."""
    files = {"figure": "tree.svg", "view": "page.html", "publish next": "release", "withdraw": "release", "withdraw first": "release"}
    makes_new = ("whole folder", "import", "filter", "merge", "split", "export", "export atif", "publish")
    return (files.get(verb, "new" if verb in makes_new else "d"),)
