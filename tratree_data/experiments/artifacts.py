"""The folders of an experiment: which are finished, stores gathered from others, and rollouts as conversations."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tratree_data.environments.exploration_options import exploration_lineage
from tratree_data.errors import BadInputError
from tratree_data.messages import conversation
from tratree_data.store.reader import Store, open_store
from tratree_data.store.writing.writer import commit, create_store, writing

DONE = "done.json"
DESCRIPTIVE = {"paper", "group", "label"}
"""Settings for readers, which change nothing."""


def is_done(folder: Path, settings: dict[str, Any]) -> bool:
    """Whether a part of the experiment is finished; one made by another recipe is refused, because it would be mistaken for this one's."""
    if not (folder / DONE).is_file():
        return False
    made = json.loads((folder / DONE).read_text(encoding="utf-8"))["settings"]
    changed = sorted(key for key in {*made, *settings} - DESCRIPTIVE if made.get(key) != settings.get(key))
    if changed:
        raise BadInputError(
            f"{folder} was made with different settings ({', '.join(changed)}), so it does not belong to this recipe.\n"
            "Next: choose another folder for this recipe, or remove that one and everything made from it"
        )
    return True


def finish(folder: Path, settings: dict[str, Any], record: dict[str, Any]) -> None:
    """Writes the file whole or not at all, even if the process is killed."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = folder / f"{DONE}.part"
    whole.write_text(json.dumps({"settings": settings, **record}), encoding="utf-8")
    whole.rename(folder / DONE)


def gather(sources: list[Path], out: Path, attempts: int | None = None, tasks: int | None = None) -> None:
    """A store with the rollouts of others, or with the first attempts or tasks of each; in one commit, so no half of a copy exists."""
    create_store(out)
    with writing(out):
        if create_store(out).has("rollouts"):
            return
        stores = [open_store(source) for source in sources]
        copied = [_first(store, attempts, tasks) for store in stores]
        tables = {name: pa.concat_tables([tables[name] for tables in copied]) for name in ("steps", "rollouts")}
        limits = {"from": [source.name for source in sources], "attempts": attempts, "tasks": tasks}
        commit(out, "merge", tables, settings={**limits, "explored": exploration_lineage(stores)}, reads={})


def _first(store: Store, attempts: int | None, tasks: int | None) -> dict[str, pa.Table]:
    """A store's rollouts and steps, cut down to its first attempts or tasks."""
    rollouts, steps = store.read("rollouts"), store.read("steps")
    if attempts is not None:
        rollouts = rollouts.filter(pc.less(rollouts["attempt"], attempts))
    if tasks is not None:
        kept = pc.unique(rollouts["task_id"]).slice(0, tasks)
        rollouts = rollouts.filter(pc.is_in(rollouts["task_id"], kept))
    return {"steps": steps.filter(pc.is_in(steps["rollout_id"], rollouts["rollout_id"].combine_chunks())), "rollouts": rollouts}


def conversations_of(directory: str | Path) -> list[list[dict[str, str]]]:
    """Every rollout as a conversation of actions, thoughts left out."""
    rows = open_store(directory).sql(
        "SELECT rollout_id, prompt, instruction, list({o: observation, a: action} ORDER BY step) AS steps "
        "FROM rollouts JOIN steps USING (rollout_id) GROUP BY rollout_id, prompt, instruction ORDER BY rollout_id"
    )
    return [conversation(row["prompt"], row["instruction"], [(s["o"], "", s["a"]) for s in row["steps"]]) for row in rows.to_pylist()]
