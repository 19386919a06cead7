"""How long people wait for the page: `python benchmarks/view.py [--nodes 10000] [--store-nodes 1000000]` prints JSON.

One tree of many nodes in a page, and a store of many trees behind `--serve`, in a real Chromium. Each number is a median of several runs;
`folding_ms` is from the key to the painted frame with the whole tree unfolded and in sight, the worst case there is.
"""

import argparse
import json
import random
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from playwright.sync_api import Browser, Page, sync_playwright

from tratree_data.ids import content_id, tree_id
from tratree_data.store.schemas import arrow_schema, table_from_rows
from tratree_data.store.writing.writer import commit, create_store, writing
from tratree_data.viewing.serve import PageServer
from tratree_data.viewing.view import view

RUNS = 7
TEMPLATE_NODES = 50


def large_tree(nodes: int, seed: int = 0) -> dict[str, list[dict[str, Any]]]:
    """Rows of one tree: children arrive at random nodes, so that some are wide and some paths are deep."""
    chance = random.Random(seed)
    tree = tree_id("bench", "large")
    words = [
        "red",
        "blue",
        "shoe",
        "lamp",
        "desk",
        "price",
        "below",
        "forty",
        "dollars",
        "size",
        "large",
        "open",
        "take",
        "look",
        "search",
        "buy",
        "next",
    ]
    rows = [_node(tree, content_id(tree), None, 0, "Find the red lamp.", None)]
    open_nodes = [rows[0]]
    while len(rows) <= nodes:
        parent = open_nodes[-1] if chance.random() < 0.6 else chance.choice(open_nodes)
        action = f"{chance.choice(words)}[{' '.join(chance.choices(words, k=3))} {len(rows)}]"
        seen = f"Page {parent['depth']} [SEP] {' '.join(chance.choices(words, k=60))}"
        row = _node(tree, content_id(parent["node_id"], action), parent["node_id"], parent["depth"] + 1, seen, action)
        rows.append(row)
        open_nodes.append(row)
    by_id = {row["node_id"]: row for row in rows}
    parents = {row["parent_id"] for row in rows}
    rollouts, landed = [], []
    for row in rows:
        if row["node_id"] not in parents:
            score, path = round(chance.random(), 2), []
            at: dict[str, Any] | None = row
            while at is not None:
                for name, value in (("visits", 1), ("scored_visits", 1), ("score_sum", score)):
                    at[name] += value
                path.append(at["node_id"])
                at = by_id[at["parent_id"]] if at["parent_id"] else None
            row |= {"ends": 1, "scored_ends": 1, "end_score_sum": score}
            number = len(rollouts)
            rollouts.append(_rollout(tree, "large", number, score, len(path) - 1))
            for step, node in enumerate(reversed(path[:-1])):
                landed.append({"tree_id": tree, "rollout_id": rollouts[-1]["rollout_id"], "step": step, "node_id": node, "similarity": 1.0})
    return {"rollouts": rollouts, "nodes": rows, "step_nodes": landed}


def _node(tree: str, node: str, parent: str | None, depth: int, seen: str, action: str | None) -> dict[str, Any]:
    counts = {"visits": 0, "scored_visits": 0, "score_sum": 0.0, "ends": 0, "scored_ends": 0, "end_score_sum": 0.0}
    texts = {"observation": seen, "thought": f"I think {action} is right." if action else "", "action": action}
    return {"tree_id": tree, "node_id": node, "parent_id": parent, "depth": depth, "state": 0, **texts, **counts}


def _rollout(tree: str, task: str, attempt: int, score: float, steps: int) -> dict[str, Any]:
    where = {"tree_id": tree, "environment": "bench", "environment_version": "1", "split": "train", "task_id": task, "prompt": ""}
    what = {"instruction": "Find the red lamp.", "agent": "scripted", "end_reason": "done", "end_observation": "", "source": "benchmark"}
    return (
        where
        | what
        | {"rollout_id": content_id(task, attempt), "attempt": attempt, "score": score, "success": score >= 1, "step_count": steps}
    )


def large_store(folder: Path, nodes: int) -> Path:
    """Many trees of fifty nodes: one tree, copied with other ids and texts by DuckDB."""
    template = large_tree(TEMPLATE_NODES - 1, seed=1)
    copies = max(nodes // TEMPLATE_NODES, 1)
    create_store(folder)
    with writing(folder), duckdb.connect() as connection:
        tables: dict[str, pa.Table] = {}
        for name, rows in template.items():
            connection.register("template", table_from_rows(name, rows))
            columns = ", ".join(_copied(column) for column in arrow_schema(name).names)
            tables[name] = connection.sql(f"SELECT {columns} FROM range({copies}) AS copies(copy), template ORDER BY copy").to_arrow_table()
        commit(folder, "benchmark", tables, settings={}, reads={})
    return folder


def _copied(column: str) -> str:
    if column.endswith("_id") and column != "task_id":
        return f"CASE WHEN {column} IS NOT NULL THEN lpad(to_hex(hash({column}, copy)), 16, '0') END AS {column}"
    return f"{column} || ' ' || copy AS {column}" if column in {"task_id", "instruction", "observation"} else column


def measure_page(browser: Browser, address: str) -> dict[str, float]:
    """Milliseconds from asking for the address to the first paint of anything, and to the tree drawn."""
    page = browser.new_page(viewport={"width": 1280, "height": 860})
    page.goto(address)
    _until(
        page, "performance.getEntriesByName('tree-drawn').length > 0 && performance.getEntriesByName('first-contentful-paint').length > 0"
    )
    found = {
        "first_paint_ms": page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"),
        "tree_drawn_ms": page.evaluate("performance.getEntriesByName('tree-drawn')[0].startTime"),
    }
    page.click("button >> text=Unfold")
    page.click("button >> text=Fit")
    found["boxes"] = page.evaluate("Number(document.querySelector('#stage').dataset.items)")
    page.focus("#stage")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    framed = """async (key) => {
        const started = performance.now();
        document.querySelector('#stage').dispatchEvent(new KeyboardEvent('keydown', { key }));
        await new Promise((done) => requestAnimationFrame(() => done()));
        return performance.now() - started;
    }"""
    found["folding_ms"] = statistics.median(page.evaluate(framed, "Enter") for _ in range(RUNS * 2))
    found["zooming_ms"] = statistics.median(page.evaluate(framed, key) for key in ["+", "-"] * RUNS)
    page.close()
    return found


def _until(page: Page, expression: str) -> None:
    while not page.evaluate(expression):
        page.wait_for_timeout(5)


def measure_server(browser: Browser, folder: Path) -> dict[str, float]:
    """Seconds from starting the server on a cold store to the list of tasks on the screen, and then to one tree."""
    started = time.perf_counter()
    server = PageServer(folder)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    page = browser.new_page(viewport={"width": 1280, "height": 860})
    page.goto(server.url)
    page.wait_for_selector("#overview .task-name a")
    opened = time.perf_counter() - started
    started = time.perf_counter()
    page.click("#overview .task-name a >> nth=5")
    page.wait_for_selector(".node-head")
    found = {"open_s": opened, "tree_s": time.perf_counter() - started}
    started = time.perf_counter()
    server.search("lamp 77")
    found["search_s"] = time.perf_counter() - started
    page.close()
    server.stop()
    thread.join()
    server.server.server_close()
    return found


def medians(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--store-nodes", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        folder = Path(work) / "tree"
        create_store(folder)
        with writing(folder):
            tables = {name: table_from_rows(name, rows) for name, rows in large_tree(arguments.nodes).items()}
            commit(folder, "benchmark", tables, settings={}, reads={})
        started = time.perf_counter()
        page = view(folder, out=Path(work) / "tree.html")
        written = time.perf_counter() - started
        tree = tables["nodes"].column("tree_id")[0].as_py()
        runs = [measure_page(browser, f"{page.path.as_uri()}#tree={tree}") for _ in range(RUNS)]
        result = {
            "page": {"nodes": arguments.nodes, "megabytes": round(page.bytes / 1e6, 2), "write_s": round(written, 2), **medians(runs)}
        }
        store = large_store(Path(work) / "store", arguments.store_nodes)
        result["server"] = {"nodes": arguments.store_nodes, **medians([measure_server(browser, store) for _ in range(3)])}
        browser.close()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
