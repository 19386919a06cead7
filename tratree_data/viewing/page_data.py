"""The data of the page as plain JSON values: the overview of a dataset, and one tree with its rollouts, paths and pairs.

Tables are stored by column and every text only once, because a tree of thousands of nodes repeats the same texts.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tratree_data.errors import NotFoundError, quoted
from tratree_data.messages import row_text
from tratree_data.stages import DISPLAYED
from tratree_data.store.log import Source
from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import Store
from tratree_data.system.scratch import scratch_folder
from tratree_data.viewing.annotations import read_annotations
from tratree_data.viewing.shown_trees import read_tasks

MOST_NODES = 50_000
"""Per tree; the least visited nodes are left out first."""
DECISIVE = 40
"""In the overview of a dataset."""
MOST_STATES = 2_000
"""Per graph; the least visited states are left out first."""
MOST_PAIRS = 200
"""Per tree, those with the widest margin."""
INSTRUCTION_LENGTH = 240
BINS = 20
NUMBERS = ("visits", "scored_visits", "score_sum", "ends", "scored_ends", "end_score_sum")
STATE_NUMBERS = ("visits", "rollouts", "mean", "value", "ends", "solved_ends", "distance")
SEARCHED = ("value", "low", "high", "q", "advantage")

Values = dict[str, Any]


class Texts:
    """Every text once, in the order of first use."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def add(self, text: str | None) -> int:
        return -1 if text is None else self.numbers.setdefault(text, len(self.numbers))

    def all(self) -> list[str]:
        return list(self.numbers)


def overview_data(store: Store, tasks: pa.Table | None = None) -> Values:
    """The dataset as a whole, its tasks as columns, the histogram of scores, the quality of its trees, and the names of its tables."""
    tasks = read_tasks(store) if tasks is None else tasks
    columns = {name: tasks.column(name).to_pylist() for name in tasks.column_names}
    columns["instruction"] = [
        text if len(text) <= INSTRUCTION_LENGTH else text[: INSTRUCTION_LENGTH - 1] + "…" for text in columns["instruction"]
    ]
    rounded = {name for name, values in columns.items() if any(isinstance(value, float) for value in values)}
    for name in rounded:
        columns[name] = [_round(value) for value in columns[name]]
    histogram = [0] * BINS
    unscored = 0
    for row in query(store, "score_counts", bins=BINS).to_pylist():
        if row["bin"] is None:
            unscored = row["rollouts"]
        else:
            histogram[row["bin"]] = row["rollouts"]
    found = {"tasks": columns, "histogram": histogram, "unscored": unscored, "tables": sorted(store.sources)}
    found["whole"] = _first_row(query(store, "overview"))
    found["quality"] = _first_row(query(store, "quality")) if store.has("nodes") else None
    decisive = query(store, "page_decisions", limit=DECISIVE).to_pylist() if store.has("nodes") else []
    found["decisive"] = [{name: _round(value) if isinstance(value, float) else value for name, value in row.items()} for row in decisive]
    return found


def empty_overview() -> Values:
    """The overview of a dataset without rollouts yet."""
    whole = {"tasks": 0, "rollouts": 0, "solved": 0, "mean_score": None}
    return {"tasks": {"tree_id": []}, "histogram": [0] * BINS, "unscored": 0, "tables": [], "whole": whole, "quality": None, "built": False}


def _first_row(table: pa.Table) -> Values:
    return {name: _round(value) for name, value in table.to_pylist()[0].items()}


@contextmanager
def only_trees(store: Store, tree_ids: Sequence[str]) -> Iterator[Store]:
    """The rows of some trees as a store of their own: one query per table, where one query per tree would read the tables many times."""
    with scratch_folder("tratree-trees-") as folder:
        sources = {}
        for table in DISPLAYED:
            if store.has(table):
                rows = store.sql(f"SELECT * FROM {table} WHERE list_contains($tree_ids, tree_id)", {"tree_ids": list(tree_ids)})
                path = folder / f"{table}.parquet"
                pq.write_table(rows, path)
                sources[table] = Source((str(path),), store.version(table), None)
        yield Store(store.path, sources, held=True)


def tree_data(store: Store, tree_id: str) -> Values:
    """Everything about one tree."""
    store.need("rollouts", "nodes")
    table = query(store, "page_nodes", tree_id=tree_id, limit=MOST_NODES)
    if not table.num_rows:
        raise NotFoundError(f"{store.path} has no tree {tree_id!r}.\nNext: tratree show {quoted(store.path)}")
    texts = Texts()
    nodes, places = _nodes(table, texts, _node_values(store, tree_id))
    rollouts, rows = _rollouts(store, tree_id, texts)
    pairs, pair_count = _pairs(store, tree_id, texts, places, rows)
    found = {
        "tree_id": tree_id,
        "nodes": nodes,
        "node_count": int(
            store.sql("SELECT count(*) AS n FROM nodes WHERE tree_id = $tree_id", {"tree_id": tree_id}).column("n")[0].as_py()
        ),
        "rollouts": rollouts,
        "steps": _steps(store, tree_id, texts, places, rows),
        "paths": _paths(store, tree_id, places),
        "pairs": pairs,
        "pair_count": pair_count,
        "graph": _graph(store, tree_id, texts, places),
        "annotations": read_annotations(store, tree_id),
    }
    return found | {"texts": texts.all()}


def _nodes(table: pa.Table, texts: Texts, values: dict[str, Values]) -> tuple[Values, dict[str, int]]:
    """Columns in reading order (parents first, the better child first), and the position of each node."""
    rows = table.to_pylist()
    children: dict[str | None, list[Values]] = {}
    for row in rows:
        children.setdefault(row["parent_id"], []).append(row)
    ordered: list[Values] = []
    waiting = list(children.get(None, []))
    while waiting:
        row = waiting.pop()
        ordered.append(row)
        waiting.extend(sorted(children.get(row["node_id"], []), key=_last_first))
    places = {row["node_id"]: i for i, row in enumerate(ordered)}
    columns: Values = {
        "id": [row["node_id"] for row in ordered],
        "parent": [places.get(row["parent_id"], -1) for row in ordered],
        "state": [row["state"] for row in ordered],
        **{name: [texts.add(row[name]) for row in ordered] for name in ("observation", "thought", "action")},
        **{name: [_round(row[name]) for row in ordered] for name in NUMBERS},
    }
    if values:
        empty: Values = {}
        columns |= {name: [_round(values.get(row["node_id"], empty).get(name)) for row in ordered] for name in SEARCHED}
    return columns, places


def _last_first(row: Values) -> tuple[int, float, int, str, str]:
    """Reading order backwards, for a stack: states by number, then the highest mean score, then the most visits."""
    mean = row["score_sum"] / row["scored_visits"] if row["scored_visits"] else -1.0
    return (-row["state"], mean, row["visits"], row["action"] or "", row["node_id"])


def _node_values(store: Store, tree_id: str) -> dict[str, Values]:
    if not store.has("node_values"):
        return {}
    found = store.sql(
        "SELECT node_id, value, low, high, q, advantage FROM node_values WHERE tree_id = $tree_id ORDER BY node_id", {"tree_id": tree_id}
    )
    return {row["node_id"]: row for row in found.to_pylist()}


def _rollouts(store: Store, tree_id: str, texts: Texts) -> tuple[Values, dict[str, int]]:
    rows = query(store, "page_rollouts", tree_id=tree_id).to_pylist()
    columns: Values = {name: [row[name] for row in rows] for name in ("attempt", "score", "success", "step_count")}
    columns["id"] = [row["rollout_id"] for row in rows]
    for name in ("agent", "model", "end_reason", "end_observation", "instruction"):
        columns[name] = [texts.add(row[name]) for row in rows]
    return columns, {row["rollout_id"]: i for i, row in enumerate(rows)}


def _steps(store: Store, tree_id: str, texts: Texts, places: dict[str, int], rollouts: dict[str, int]) -> list[Values]:
    """For each rollout the nodes of its steps, with the step's own text where it differs from the node's."""
    steps: list[Values] = [{"node": [], "similarity": [], "observation": [], "thought": []} for _ in rollouts]
    if store.has("step_nodes"):
        for row in query(store, "page_steps", tree_id=tree_id).to_pylist():
            if row["rollout_id"] in rollouts:
                own = steps[rollouts[row["rollout_id"]]]
                own["node"].append(places.get(row["node_id"], -1))
                own["similarity"].append(round(row["similarity"], 4))
                own["observation"].append(texts.add(row["observation"]))
                own["thought"].append(texts.add(row["thought"]))
    return steps


def _paths(store: Store, tree_id: str, places: dict[str, int]) -> list[Values]:
    if not store.has("paths"):
        return []
    found = query(store, "page_paths_replayed" if store.has("replays") else "page_paths", tree_id=tree_id).to_pylist()
    return [row | {"node_ids": None, "nodes": [places[node] for node in row["node_ids"] if node in places]} for row in found]


def _pairs(store: Store, tree_id: str, texts: Texts, places: dict[str, int], rollouts: dict[str, int]) -> tuple[list[Values], int]:
    if not store.has("pairs"):
        return [], 0
    rows = query(store, "page_pairs", tree_id=tree_id, limit=MOST_PAIRS).to_pylist()
    pairs = []
    for row in rows:
        pair = {name: row[name] for name in ("pair_id", "kind")}
        pair |= {name: _round(row[name]) for name in ("chosen_score", "rejected_score", "margin")}
        pair |= {name: places.get(row[f"{name}_id"], -1) for name in ("node", "chosen_node", "rejected_node")}
        pair |= {name: rollouts.get(row[f"{name}_id"], -1) for name in ("chosen_rollout", "rejected_rollout")}
        for side in ("prompt", "chosen", "rejected"):
            pair[side] = [[texts.add(message["role"]), texts.add(row_text(message))] for message in row[side]]
        pairs.append(pair)
    return pairs, int(rows[0]["pair_count"]) if rows else 0


def _graph(store: Store, tree_id: str, texts: Texts, places: dict[str, int]) -> Values | None:
    """States and transitions as columns, and the state of each node; None before `tratree states`."""
    if not store.has("states"):
        return None
    states = query(store, "page_states", tree_id=tree_id, limit=MOST_STATES).to_pylist()
    if not states:
        return None
    numbers = {row["state_id"]: i for i, row in enumerate(states)}
    moves = [row for row in query(store, "page_transitions", tree_id=tree_id).to_pylist() if row["state_id"] in numbers]
    of_node = [-1] * len(places)
    if store.has("step_credits") and store.has("step_nodes"):
        for row in query(store, "page_node_states", tree_id=tree_id).to_pylist():
            of_node[places.get(row["node_id"], 0)] = numbers.get(row["state_id"], -1)
    return {
        "id": list(numbers),
        "observation": [texts.add(row["observation"]) for row in states],
        **{
            name: [_round(row[name]) for row in states]
            for name in ("visits", "rollouts", "mean", "value", "ends", "solved_ends", "distance")
        },
        "of_node": of_node,
        "moves": {
            "from": [numbers[row["state_id"]] for row in moves],
            "to": [numbers.get(row["next_state_id"], -1) for row in moves],
            "action": [texts.add(row["action"]) for row in moves],
            **{name: [_round(row[name]) for row in moves] for name in ("visits", "mean", "advantage", "ends", "solved_ends")},
        },
    }


def _round(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else round(value, 5)
