"""The search kernel against the plain reference, on the same trees, in one run; prints JSON.

python -m benchmarks.search
"""

import json
import os
import time

import numpy as np

from benchmarks.reference import Node, search_tree
from benchmarks.synthetic import make_tables
from tratree_data.store.chunks.tree_arrays import NO_NODE, TreeArrays, read_tree_arrays
from tratree_data.tree_search.mcts import list_decisions, simulate_trees
from tratree_data.tree_search.search import SearchSettings, search_trees

TREES, REFERENCE_TREES, ROLLOUTS, EXPLORATION = 2_000, 100, 100, 1.41


def reference_trees(arrays: TreeArrays, count: int) -> list[tuple[Node, list[Node]]]:
    """The first trees of a arrays as objects, (root, nodes in the arrays's order)."""
    trees = []
    for tree in range(count):
        start, end = arrays.tree_start[tree : tree + 2]
        nodes: list[Node] = []
        for i in range(start, end):
            parent = nodes[arrays.parent[i] - start] if arrays.parent[i] != NO_NODE else None
            node = Node("", "", str(i), parent, int(arrays.state[i]), int(arrays.depth[i]))
            node.scored_visits, node.score_sum = int(arrays.scored_visits[i]), float(arrays.score_sum[i])
            node.scored_ends, node.end_score_sum = int(arrays.scored_ends[i]), float(arrays.end_score_sum[i])
            if parent is not None:
                parent.children.append(node)
            nodes.append(node)
        trees.append((nodes[0], nodes))
    return trees


def measure(depth: int) -> dict[str, object]:
    tables = make_tables(TREES, depth=depth, words=3)
    arrays = read_tree_arrays(tables["nodes"], tables["step_nodes"], tables["rollouts"])
    decisions = list_decisions(arrays, "optimistic")
    simulate_trees(arrays, decisions, 1, EXPLORATION, 0, threads=1)  # compiles
    seconds = {}
    for threads in (1, os.cpu_count() or 1):
        begin = time.perf_counter()
        statistics = simulate_trees(arrays, decisions, ROLLOUTS, EXPLORATION, 0, threads)
        seconds[threads] = (time.perf_counter() - begin) / TREES
    trees = reference_trees(arrays, REFERENCE_TREES)
    begin = time.perf_counter()
    found = [search_tree(root, ROLLOUTS, EXPLORATION, "optimistic", 0) for root, _ in trees]
    plain = (time.perf_counter() - begin) / REFERENCE_TREES
    expected = [result.value_sum.get(id(node), 0.0) for result, (_, nodes) in zip(found, trees, strict=True) for node in nodes]
    begin = time.perf_counter()
    search_trees(arrays, SearchSettings(), threads=os.cpu_count() or 1)
    whole = (time.perf_counter() - begin) / TREES
    return {
        "depth": depth,
        "nodes_a_tree": round(len(arrays.parent) / TREES, 1),
        "reference_ms_a_tree": round(plain * 1e3, 3),
        "kernel_ms_a_tree_one_thread": round(seconds[1] * 1e3, 4),
        "kernel_ms_a_tree_all_threads": round(seconds[os.cpu_count() or 1] * 1e3, 4),
        "times_faster_one_thread": round(plain / seconds[1], 1),
        "with_values_paths_and_tables_ms_a_tree": round(whole * 1e3, 3),
        "same_numbers": bool(np.array_equal(np.array(expected), statistics.value_sum[: len(expected)])),
    }


if __name__ == "__main__":
    setting = {"trees": TREES, "attempts": 7, "rollouts": ROLLOUTS, "threads": os.cpu_count()}
    print(json.dumps({**setting, "results": [measure(depth) for depth in (12, 30)]}, indent=2))
