"""The folders of an experiment: whether a part is there already, stores gathered from others, and rollouts as conversations."""

import json
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from tratree_data.errors import BadInputError
from tratree_data.messages import conversation
from tratree_data.store.reader import last_lineage, open_store
from tratree_data.store.writer import commit, create_store, writing

DONE = "done.json"
WORDS_ONLY = {"paper"}
"""Settings that are there to be read and change nothing."""


def is_done(folder: Path, settings: dict[str, Any]) -> bool:
    """Whether a part of the experiment is there; made by another recipe, it would be mistaken for this one's."""
    if not (folder / DONE).is_file():
        return False
    made = json.loads((folder / DONE).read_text(encoding="utf-8"))["settings"]
    changed = sorted(key for key in {*made, *settings} - WORDS_ONLY if made.get(key) != settings.get(key))
    if changed:
        raise BadInputError(
            f"{folder} was made with other settings ({', '.join(changed)}).\n"
            "Next: name another folder for this recipe, or remove that one and what was made from it"
        )
    return True


def finish(folder: Path, settings: dict[str, Any], record: dict[str, Any]) -> None:
    (folder / DONE).write_text(json.dumps({"settings": settings, **record}), encoding="utf-8")


def gather(sources: list[Path], out: Path, attempts: int | None = None, tasks: int | None = None) -> None:
    """A store with the rollouts of others, or with the first attempts or tasks of them."""
    create_store(out)
    with writing(out):
        if create_store(out).has("rollouts"):
            return
        for source in sources:
            store = open_store(source)
            rollouts, steps = store.read("rollouts"), store.read("steps")
            if attempts is not None:
                rollouts = rollouts.filter(pc.less(rollouts["attempt"], attempts))
            if tasks is not None:
                kept = pc.unique(rollouts["task_id"]).slice(0, tasks)
                rollouts = rollouts.filter(pc.is_in(rollouts["task_id"], kept))
            steps = steps.filter(pc.is_in(steps["rollout_id"], rollouts["rollout_id"].combine_chunks()))
            lineage = last_lineage(store, "explore", "rollouts")
            made = {**(lineage.settings if lineage else {}), "from": source.name, "attempts": attempts, "tasks": tasks}
            commit(out, "explore", {"steps": steps, "rollouts": rollouts}, settings=made, reads={}, append=True)


def conversations_of(directory: str | Path) -> list[list[dict[str, str]]]:
    """Every rollout as a conversation of actions, thoughts left out."""
    rows = open_store(directory).sql(
        "SELECT rollout_id, prompt, instruction, list({o: observation, a: action} ORDER BY step) AS steps "
        "FROM rollouts JOIN steps USING (rollout_id) GROUP BY rollout_id, prompt, instruction ORDER BY rollout_id"
    )
    return [conversation(row["prompt"], row["instruction"], [(s["o"], "", s["a"]) for s in row["steps"]]) for row in rows.to_pylist()]
