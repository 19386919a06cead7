"""Small stores for the tests of show, view and figures: random rollouts in a toy world, merged by equal text.

The world has an environment that sometimes answers differently (two states), rollouts that end at inner nodes, and rollouts
without a score, so that every case a picture must tell apart occurs.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tratree_data.ids import content_id, tree_id
from tratree_data.store.schemas import table_from_rows
from tratree_data.store.writing.writer import commit, create_store, writing

Row = dict[str, Any]
VERBS = ["go to", "take", "open", "look at", "put down", "read"]
THINGS = ["desk 1", "drawer 2", "lamp", "mug", "safe 1", "shelf 3", "book", "fridge"]


def toy_rollouts(
    tasks: int = 3, attempts: int = 6, steps: int = 8, seed: int = 0, text: Callable[[str], str] = str
) -> tuple[list[Row], list[Row]]:
    """`text` may add to every text that a model or an environment wrote."""
    chance = random.Random(seed)
    rollouts: list[Row] = []
    all_steps: list[Row] = []
    for task in range(tasks):
        task_id = f"task_{task:03d}"
        for attempt in range(attempts):
            rollout_id = content_id("rollout", "toy", task_id, attempt, seed)
            situation = ""
            count = chance.randint(1, steps)
            for step in range(count):
                action = f"{chance.choice(VERBS[:2] if step < 2 else VERBS)} {chance.choice(THINGS[: 2 + step])}"
                observation = f"You are in the room. {situation}\nOn the desk you see {task} mugs."
                all_steps.append(
                    {
                        "rollout_id": rollout_id,
                        "step": step,
                        "observation": text(observation),
                        "thought": text(f"I should {action} because attempt {attempt} says so."),
                        "action": text(action),
                    }
                )
                situation = f"After {action}, the light is {chance.choice(['on', 'on', 'off'])}."
            score = None if attempt == attempts - 1 and task == 0 else round(chance.random(), 2) if task % 3 else float(task % 2)
            rollouts.append(
                {
                    "rollout_id": rollout_id,
                    "tree_id": tree_id("toy", task_id),
                    "environment": "toy",
                    "environment_version": "1",
                    "split": "train",
                    "task_id": task_id,
                    "attempt": attempt,
                    "prompt": "",
                    "instruction": text(f"Find {task} mugs and put them on the desk."),
                    "agent": text("scripted"),
                    "model": text("weak"),
                    "sampling": None,
                    "score": score,
                    "success": None if score is None else score > 0.8,
                    "end_reason": text("done"),
                    "end_observation": text("The episode is over."),
                    "step_count": count,
                    "source": text("test"),
                }
            )
    return rollouts, all_steps


def toy_tree(rollouts: list[Row], steps: list[Row]) -> dict[str, list[Row]]:
    """Rollouts merged by equal observation and action: a plain reading of the rules in docs/trees.md."""
    nodes: dict[str, Row] = {}
    landed: list[Row] = []
    by_rollout: dict[str, list[Row]] = {}
    for step in steps:
        by_rollout.setdefault(step["rollout_id"], []).append(step)
    states: dict[str, dict[str, int]] = {}
    for rollout in rollouts:
        tree = rollout["tree_id"]
        node_id = content_id(tree)
        node = nodes.setdefault(node_id, _new_node(tree, node_id, None, 0, 0, (rollout["instruction"], "", None)))
        _visit(node, rollout)
        for step in by_rollout.get(rollout["rollout_id"], []):
            seen = states.setdefault(node_id, {})
            state = seen.setdefault(step["observation"], len(seen))
            parent, depth = node_id, node["depth"] + 1
            node_id = content_id(parent, step["observation"], step["action"])
            fresh = _new_node(tree, node_id, parent, depth, state, (step["observation"], step["thought"], step["action"]))
            node = nodes.setdefault(node_id, fresh)
            _visit(node, rollout)
            thought = None if node["thought"] == step["thought"] else step["thought"]
            place = {"tree_id": tree, "rollout_id": rollout["rollout_id"], "step": step["step"], "node_id": node_id}
            landed.append(place | {"similarity": 1.0, "thought": thought})
        node["ends"] += 1
        if rollout["score"] is not None:
            node["scored_ends"] += 1
            node["end_score_sum"] += rollout["score"]
    edges = [
        {
            "tree_id": node["tree_id"],
            "parent_id": node["parent_id"],
            "child_id": node["node_id"],
            "action": node["action"],
            "traversals": node["visits"],
            "scored_traversals": node["scored_visits"],
            "score_sum": node["score_sum"],
        }
        for node in nodes.values()
        if node["parent_id"]
    ]
    return {"nodes": list(nodes.values()), "edges": edges, "step_nodes": landed}


def _new_node(tree: str, node_id: str, parent: str | None, depth: int, state: int, texts: tuple[str, str, str | None]) -> Row:
    counts = {"visits": 0, "scored_visits": 0, "score_sum": 0.0, "ends": 0, "scored_ends": 0, "end_score_sum": 0.0}
    place = {"tree_id": tree, "node_id": node_id, "parent_id": parent, "depth": depth, "state": state}
    return place | dict(zip(("observation", "thought", "action"), texts, strict=True)) | counts


def _visit(node: Row, rollout: Row) -> None:
    node["visits"] += 1
    if rollout["score"] is not None:
        node["scored_visits"] += 1
        node["score_sum"] += rollout["score"]


def search_rows(nodes: list[Row]) -> dict[str, list[Row]]:
    """Values equal to the means, and the greedy path of each tree."""
    children: dict[str, list[Row]] = {}
    for node in nodes:
        children.setdefault(node["parent_id"] or "", []).append(node)
    values, paths = [], []
    for node in nodes:
        mean = node["score_sum"] / node["scored_visits"] if node["scored_visits"] else None
        identity = {"tree_id": node["tree_id"], "node_id": node["node_id"]}
        found = {"visits": node["visits"], "value_sum": node["score_sum"], "value": mean, "mean": mean}
        values.append(identity | found | {"low": None if mean is None else mean / 2, "high": None if mean is None else (1 + mean) / 2})
    for root in children[""]:
        path, node = [], root
        while options := children.get(node["node_id"]):
            node = max(options, key=lambda row: (row["score_sum"] / (row["scored_visits"] or 1), row["node_id"]))
            path.append(node["node_id"])
        if path:
            known = {"tree_id": root["tree_id"], "rank": 1, "value": 0.5, "support": 1, "rollout_ids": ["0" * 16]}
            paths.append(known | {"path_id": content_id(*path), "node_ids": path})
    return {"node_values": values, "paths": paths}


def pair_rows(rollouts: list[Row], steps: list[Row], tree: dict[str, list[Row]]) -> list[Row]:
    """One pair for each two alternatives of a state with different means."""
    texts = {(step["rollout_id"], step["step"]): step for step in steps}
    nodes = {node["node_id"]: node for node in tree["nodes"]}
    through: dict[str, list[Row]] = {}
    for row in tree["step_nodes"]:
        through.setdefault(row["node_id"], []).append(row)
    tasks = {row["tree_id"]: row for row in rollouts}
    counts = {row["rollout_id"]: row["step_count"] for row in rollouts}
    pairs: list[Row] = []
    for first in tree["nodes"]:
        for second in tree["nodes"]:
            same = first["parent_id"] == second["parent_id"] and first["state"] == second["state"] and first["parent_id"]
            if not same or not first["scored_visits"] or not second["scored_visits"]:
                continue
            means = [node["score_sum"] / node["scored_visits"] for node in (first, second)]
            if means[0] <= means[1]:
                continue
            sides = []
            for node in (first, second):
                row = through[node["node_id"]][0]
                messages = []
                for step in range(row["step"], counts[row["rollout_id"]]):
                    at = texts[row["rollout_id"], step]
                    if messages:
                        messages.append({"role": "user", "content": at["observation"]})
                    messages.append({"role": "assistant", "content": f"Thought: {at['thought']}\nAction: {at['action']}"})
                sides.append((row["rollout_id"], messages))
            parent = nodes[first["parent_id"]]
            prompt = [{"role": "user", "content": parent["observation"] + "\n\n" + first["observation"]}]
            task = tasks[first["tree_id"]]
            identity = {"pair_id": content_id(first["node_id"], second["node_id"]), "tree_id": first["tree_id"], "environment": "toy"}
            pairs.append(
                identity
                | {"task_id": task["task_id"], "split": "train", "kind": "divergence", "node_id": first["parent_id"]}
                | {"chosen_node_id": first["node_id"], "rejected_node_id": second["node_id"]}
                | {"chosen_rollout_id": sides[0][0], "rejected_rollout_id": sides[1][0]}
                | {"chosen_score": means[0], "rejected_score": means[1], "margin": means[0] - means[1]}
                | {"prompt": prompt, "chosen": sides[0][1], "rejected": sides[1][1]}
            )
    return pairs


def write_store(folder: Path, tables: dict[str, list[Row]]) -> Path:
    create_store(folder)
    with writing(folder):
        commit(folder, "test", {name: table_from_rows(name, rows) for name, rows in tables.items()}, settings={}, reads={})
    return folder


def merge_by_similarity(steps: list[Row], tree: dict[str, list[Row]], cosine: float = 0.9512) -> Row:
    """Lets the last step of the most visited node have seen something slightly different; its row of `step_nodes`."""
    most = max((node for node in tree["nodes"] if node["parent_id"]), key=lambda node: (node["visits"], node["node_id"]))
    row = [row for row in tree["step_nodes"] if row["node_id"] == most["node_id"]][-1]
    row["similarity"] = cosine
    row["observation"] = most["observation"].replace("desk", "large desk")
    step = next(step for step in steps if (step["rollout_id"], step["step"]) == (row["rollout_id"], row["step"]))
    step["observation"] = row["observation"]
    return row


def toy_store(folder: Path, searched: bool = True, similar: bool = False, **options: Any) -> Path:
    rollouts, steps = toy_rollouts(**options)
    tree = toy_tree(rollouts, steps)
    if similar:
        merge_by_similarity(steps, tree)
    tables = {"rollouts": rollouts, "steps": steps, **tree}
    if searched:
        tables |= search_rows(tree["nodes"]) | {"pairs": pair_rows(rollouts, steps, tree)}
    return write_store(folder, tables)
