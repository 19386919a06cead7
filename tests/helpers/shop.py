"""A small dataset made by the real verbs, for the tests of releases: tasks of a toy shop, solved by odd attempts."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tratree_data import import_log
from tratree_data.preferences.demonstrations import demonstrations
from tratree_data.preferences.pairs import pairs
from tratree_data.tree_search.search import search
from tratree_data.trees.build import build


def trajectories(tasks: Sequence[int], attempts: int = 4, **texts: str) -> list[dict[str, Any]]:
    """Trajectories for `import jsonl`; `texts` replaces instruction, observation, thought or action of the middle step."""
    rows = []
    for task in tasks:
        for attempt in range(attempts):
            good = attempt % 2
            middle = {
                "observation": texts.get("observation", f"Results for task {task}"),
                "thought": texts.get("thought", ""),
                "action": f"{texts.get('action', 'click item')} {good}",
            }
            steps = [
                {"observation": f"Page {task}", "thought": "Look first.", "action": "search[red shoes]"},
                middle,
                {"observation": f"Item {good}", "thought": "", "action": "click[buy]"},
            ]
            named = {
                "task_id": f"task-{task}",
                "env": "toyshop",
                "trajectory_id": f"{task}-{attempt}",
                "split": "train" if task % 3 else "dev",
            }
            instruction = texts.get("instruction", f"{NAMES[task % len(NAMES)]} wants {task} pairs of shoes")
            rows.append({**named, "instruction": instruction, "reward": float(good), "success": bool(good), "steps": steps})
    return rows


NAMES = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "John", "Kathleen")


def import_rows(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    log = folder.with_name(f"{folder.name}-{len(rows)}.jsonl")
    log.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    import_log(folder, log, "jsonl")
    return folder


def build_all(folder: Path) -> Path:
    build(folder, embedder="exact")
    search(folder, simulations=20)
    pairs(folder)
    demonstrations(folder)
    return folder


def make_dataset(folder: Path, tasks: Sequence[int] = range(6), **texts: str) -> Path:
    return build_all(import_rows(folder, trajectories(tasks, **texts)))
