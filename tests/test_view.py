"""The page in a real Chromium, and the server behind `--serve`: what they show, and that text can do nothing but be read."""

import base64
import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from helpers.tool_chats import write_log
from helpers.viewing import Row, merge_by_similarity, pair_rows, search_rows, toy_rollouts, toy_store, toy_tree, write_store
from helpers.visits import Visit, needs_chromium

from tratree_data import build, check, import_log, pairs, score, states
from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.store.queries.named_queries import query
from tratree_data.store.reader import open_store
from tratree_data.viewing.page_data import tree_data
from tratree_data.viewing.serve import PageServer
from tratree_data.viewing.show import show
from tratree_data.viewing.shown_trees import find_tree
from tratree_data.viewing.view import show_page, view
from tratree_data.viewing.web_page import PAGE, script_json

pytestmark = pytest.mark.xdist_group("view")  # one browser and one store for all of them
ATTACK = (
    "</script><script>window.harmed=1</script><img src=x onerror=window.harmed=1><svg/onload=window.harmed=1>"
    "\"'><a href=javascript:window.harmed=1>x</a>${window.harmed=1}{{harmed}}\u2028\u202e<!--]]><style>*{display:none}</style>&lt;b&gt;\x07"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_store(tmp_path_factory.mktemp("view") / "toy", similar=True, tasks=12, attempts=8, seed=1)


@pytest.fixture(scope="module")
def address(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return view(folder, out=tmp_path_factory.mktemp("page") / "toy.html").path.as_uri()


def blocks(html: str) -> dict[str, Any]:
    """The data in a page, unpacked."""
    found = re.findall(r'<script type="application/octet-stream" id="([^"]+)">([A-Za-z0-9+/=]*)</script>', html)
    return {name: json.loads(zlib.decompress(base64.b64decode(packed))) for name, packed in found}


def tree_with_most_pairs(folder: Path) -> str:
    """The tree with most pairs."""
    rows = open_store(folder).sql("SELECT tree_id FROM pairs GROUP BY tree_id ORDER BY count(*) DESC, tree_id LIMIT 1")
    return str(rows.column("tree_id")[0].as_py())


def test_every_rollout_can_be_rebuilt_from_the_page(folder: Path) -> None:
    store = open_store(folder)
    steps = store.sql("SELECT * FROM steps ORDER BY rollout_id, step").to_pylist()
    said = {(row["rollout_id"], row["step"]): (row["observation"], row["thought"], row["action"]) for row in steps}
    for tree_id in store.sql("SELECT DISTINCT tree_id FROM nodes ORDER BY tree_id").column("tree_id").to_pylist():
        tree = tree_data(store, tree_id)
        nodes, texts = tree["nodes"], tree["texts"]
        for rollout_id, own in zip(tree["rollouts"]["id"], tree["steps"], strict=True):
            for step, node in enumerate(own["node"]):
                words = [own[name][step] if own[name][step] >= 0 else nodes[name][node] for name in ("observation", "thought")]
                assert (texts[words[0]], texts[words[1]], texts[nodes["action"][node]]) == said.pop((rollout_id, step))
        assert all(parent < i for i, parent in enumerate(nodes["parent"]))
    assert not said


def test_a_page_is_one_file_that_asks_for_nothing(folder: Path, tmp_path: Path) -> None:
    page = view(folder, out=tmp_path / "toy.html")
    html = page.path.read_text(encoding="utf-8")
    assert page.trees == page.trees_in_all == 12
    assert not re.search(r"""(?:src|href)\s*=\s*["']?(?!#|data:)[a-z/.]""", html.split("<script>", 1)[0])
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy is not None
    assert "default-src &#x27;none&#x27;" in policy[1]
    assert "connect-src &#x27;none&#x27;" in policy[1]
    assert "unsafe" not in policy[1]
    assert set(blocks(html)) == {"overview-data"} | {f"tree-{tree}" for tree in blocks(html)["overview-data"]["here"]}


def test_the_scripts_and_styles_make_elements_from_text_only() -> None:
    for file in (PAGE / "script").glob("*.js"):
        text = file.read_text()
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc|createContextualFragment", text
        )
        assert "</script" not in text
    assert "</style" not in (PAGE / "style.css").read_text()
    assert script_json({"a": "</script>\u2028<!--&"}) == r'{"a": "\u003c/script\u003e\u2028\u003c!--\u0026"}'


def test_colours_can_be_read_in_light_and_dark() -> None:
    style = (PAGE / "style.css").read_text()
    for theme in (r":root \{(.*?)\}", r':root\[data-theme="dark"\] \{(.*?)\}'):
        found = re.search(theme, style, re.DOTALL)
        assert found is not None
        shades = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", found[1]))
        for ink in ("ink", "soft", "faint", "better", "worse"):
            for ground in ("paper", "surface", "sunken"):
                assert _contrast(shades[ink], shades[ground]) >= 4.5, (theme, ink, ground)
        assert _contrast(shades["mark-ink"], shades["mark"]) >= 4.5


def _contrast(first: str, second: str) -> float:
    def light(shade: str) -> float:
        parts = [int(shade[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, bright = sorted((light(first), light(second)))
    return (bright + 0.05) / (dark + 0.05)


@needs_chromium
def test_the_overview_sorts_filters_and_searches(browser: Any, folder: Path, address: str) -> None:
    store = open_store(folder)
    with Visit(browser, address) as visit:
        page = visit.page
        whole, quality = (query(store, name).to_pylist()[0] for name in ("overview", "quality"))
        assert "12 tasks · 96 rollouts" in visit.text("#overview .lead")
        assert f"{whole['solved']} of 96 solved" in visit.text("#overview .lead")
        shown = page.eval_on_selector_all("#overview dl.facts dd", "nodes => nodes.map((node) => node.textContent)")
        assert shown == [f"{quality[name]:.2f}" for name in ("breadth", "depth", "divergences_per_tree", "steps_per_node")]
        names = "() => [...document.querySelectorAll('#overview .task-name a')].map((link) => link.textContent)"
        assert page.evaluate(names) == [f"task_{i:03d}" for i in range(12)]
        page.click("th button >> text=Score")
        means = [
            float(text)
            for text in page.eval_on_selector_all(".range > span", "nodes => nodes.map((node) => node.textContent)")
            if text != "–"
        ]
        assert means == sorted(means, reverse=True)
        page.click("th button >> text=Score")
        assert page.get_attribute("th[aria-sort]", "aria-sort") == "ascending"
        solved = store.sql("SELECT tree_id FROM rollouts GROUP BY tree_id HAVING count(*) FILTER (coalesce(success, score >= 1)) = 0")
        page.click("[data-filter=never]")
        assert len(page.evaluate(names)) == solved.num_rows > 0
        page.click("[data-filter=all]")
        page.fill("#overview input", "find 7 mugs")
        assert page.evaluate(names) == ["task_007"]
        page.fill("#overview input", "you see 3 mugs")
        assert page.evaluate(names) == []
        page.keyboard.press("Enter")
        visit.until("document.querySelectorAll('#overview .task-name a').length === 1")
        assert page.evaluate(names) == ["task_003"]
        assert len(visit.requests) == 1


@needs_chromium
def test_search_opens_a_step_with_the_words_marked_and_the_address_keeps_the_list(browser: Any, address: str) -> None:
    with Visit(browser, address) as visit:
        visit.page.fill("#overview input", "put down lamp")
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_selector("#hits .hit-row")
        assert visit.place() == {"text": "put down lamp"}
        assert visit.text("#hits .hit-row >> nth=0").splitlines()[1] == "action", "actions come before observations"
        visit.page.click("[data-filter=sometimes]")
        kept = visit.page.evaluate("[...document.querySelectorAll('#overview .task-name a')].map((link) => link.textContent)")
        visit.page.click("#hits .hit-row >> nth=0")
        visit.page.wait_for_selector("#side-body mark.hit")
        assert visit.text("#side-body mark.hit >> nth=0") == "put down lamp"
        assert "put down lamp" in visit.text(".node-head .action")
        assert visit.page.input_value("#find") == "put down lamp"
        visit.page.go_back()
        visit.page.wait_for_selector("#hits .hit-row", state="attached")
        assert visit.place() == {"text": "put down lamp", "tasks": "sometimes"}
        assert kept == visit.page.evaluate("[...document.querySelectorAll('#overview .task-name a')].map((link) => link.textContent)")


@needs_chromium
def test_decisions_are_ranked_by_supported_difference(browser: Any, folder: Path, address: str) -> None:
    best = query(open_store(folder), "page_decisions", limit=40).to_pylist()
    tree_id = best[0]["tree_id"]
    own = [row for row in best if row["tree_id"] == tree_id]
    with Visit(browser, address) as visit:
        assert visit.page.locator(".decisive .pair").count() == 6
        visit.page.click(".decisive .pair >> nth=0")
        visit.page.wait_for_selector("#side-body .decision")
        assert visit.place() == {"tree": tree_id, "node": own[0]["best_id"], "tab": "decisions"}
        rows = [visit.text(f"#side-body .pair >> nth={i}") for i in range(len(own))]
        for row, decision in zip(rows, own, strict=True):
            assert f"difference {decision['spread']:.2f}" in row
            assert f"{decision['best_mean']:.2f} ×{decision['best_rollouts']}" in row
            assert f"{decision['worst_mean']:.2f} ×{decision['worst_rollouts']}" in row
        visit.page.keyboard.press("n")
        assert visit.place()["node"] == own[1]["best_id"]
        visit.page.keyboard.press("p")
        assert visit.place()["node"] == own[0]["best_id"]
    for tab in ("decisions", "merges", "rollouts", "pairs"):
        with Visit(browser, f"{address}#tree={tree_id}&tab={tab}") as visit:
            assert "null" not in visit.text("#side-body").splitlines()


@needs_chromium
def test_two_rollouts_side_by_side_and_filters_in_the_address(browser: Any, folder: Path, address: str) -> None:
    tree_id = tree_with_most_pairs(folder)
    rollouts = query(open_store(folder), "page_rollouts", tree_id=tree_id).to_pylist()
    first, second = rollouts[0]["rollout_id"], rollouts[1]["rollout_id"]
    with Visit(browser, f"{address}#tree={tree_id}&tab=rollouts&rollout={first}") as visit:
        visit.page.select_option("#beside", second)
        visit.page.wait_for_selector("#compare[open]")
        assert visit.place()["with"] == second
        for attempt in (0, 1):
            assert f"Attempt {attempt}" in visit.text(f"#compare .sides section >> nth={attempt}")
        visit.page.keyboard.press("Escape")
        visit.until("!new URLSearchParams(location.hash.slice(1)).has('with')")
        failed = [row for row in rollouts if row["success"] is False]
        visit.page.select_option("#side-body [aria-label=Result]", "failed")
        assert visit.place()["result"] == "failed"
        assert visit.page.locator("#side-body .rows .row").count() == len(failed) < len(rollouts)


@needs_chromium
def test_an_address_with_a_graph_that_is_missing_says_so(browser: Any, folder: Path, address: str) -> None:
    tree_id = tree_with_most_pairs(folder)
    with Visit(browser, f"{address}#tree={tree_id}&view=graph") as visit:
        visit.page.wait_for_selector("#no-graph")
        assert visit.text("#no-graph") == "This task has no graph yet, so this is its tree; tratree states makes the graph."
        assert visit.page.is_visible("#stage")
        assert not visit.page.is_visible("#graph-stage")
        visit.page.evaluate(f"location.hash = 'tree={tree_id}'")
        visit.until("document.getElementById('no-graph').hidden")


@needs_chromium
def test_the_graph_shows_states_and_leads_back_to_the_tree(browser: Any, folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "toy"))
    states(copy)
    store = open_store(copy)
    tree_id = tree_with_most_pairs(copy)
    known = query(store, "page_states", tree_id=tree_id, limit=99).to_pylist()
    with Visit(browser, view(copy, out=tmp_path / "toy.html").path.as_uri() + f"#tree={tree_id}") as visit:
        visit.page.click("#stage .views button >> text=Graph")
        visit.until(f"document.getElementById('graph-stage').dataset.states === '{len(known)}'")
        visit.page.keyboard.press("Tab")
        visit.page.focus("#graph-stage")
        visit.page.keyboard.press("ArrowRight")
        state = next(row for row in known if row["state_id"] == visit.place()["state"])
        assert state["observation"].splitlines()[0] in visit.text("#side-body .turn")
        assert f"visits\n{state['visits']}" in visit.text("#side-body .stats")
        visit.page.click("#side-body .detail:last-child .row >> nth=0")
        assert "view" not in visit.place()
        assert visit.page.is_visible("#stage")
        seen = open_store(copy).sql("SELECT observation FROM nodes WHERE node_id = $node", {"node": visit.place()["node"]})
        assert seen["observation"][0].as_py() == state["observation"]


@needs_chromium
def test_a_node_can_be_taken_along(browser: Any, folder: Path, address: str) -> None:
    node = open_store(folder).sql("SELECT * FROM nodes ORDER BY depth DESC, node_id LIMIT 1").to_pylist()[0]
    with Visit(browser, f"{address}#tree={node['tree_id']}&node={node['node_id']}") as visit:
        visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        visit.page.click(".copies >> text=JSON")
        visit.page.wait_for_selector(".copies >> text=Copied")
        taken = json.loads(visit.page.evaluate("navigator.clipboard.readText()"))
        assert (taken["node_id"], taken["action"], len(taken["path"])) == (node["node_id"], node["action"], node["depth"] + 1)
        visit.page.click(".copies >> text=Messages")
        visit.until("document.querySelector('.copies').textContent.includes('Copied')")
        messages = json.loads(visit.page.evaluate("navigator.clipboard.readText()"))
        assert [message["role"] for message in messages][-2:] == ["user", "assistant"]
        assert messages[-1]["content"] == f"Thought: {node['thought']}\nAction: {node['action']}"
        with visit.page.expect_download() as download:
            visit.page.click("#stage >> text=SVG")
        drawn = Path(download.value.path()).read_text()
        assert drawn.startswith("<svg")
        assert "start" in drawn


@needs_chromium
def test_a_link_opens_its_node_with_the_conversation_that_led_there(browser: Any, folder: Path, address: str) -> None:
    store = open_store(folder)
    node = store.sql("SELECT * FROM nodes ORDER BY depth DESC, node_id LIMIT 1").to_pylist()[0]
    with Visit(browser, f"{address}#tree={node['tree_id']}&node={node['node_id']}") as visit:
        visit.page.wait_for_selector(".turn.pinned")
        assert visit.text(".node-head .action") == node["action"]
        assert visit.page.locator("#side-body > .turn.agent").count() == node["depth"]
        pinned = visit.text(".turn.pinned .said")
        assert node["thought"] in pinned
        assert node["action"] in pinned
        spoken = visit.text("#spoken-item")
        assert f"{node['visits']} rollout" in spoken
        visit.page.go_back()


@needs_chromium
def test_keys_walk_the_tree(browser: Any, folder: Path, address: str) -> None:
    store = open_store(folder)
    tree_id = tree_with_most_pairs(folder)
    nodes = {row["node_id"]: row for row in store.sql("SELECT * FROM nodes WHERE tree_id = $tree", {"tree": tree_id}).to_pylist()}
    root = next(name for name, row in nodes.items() if row["parent_id"] is None)
    path = store.sql("SELECT node_ids FROM paths WHERE tree_id = $tree AND rank = 1", {"tree": tree_id}).column("node_ids")[0].as_py()
    with Visit(browser, f"{address}#tree={tree_id}") as visit:
        page = visit.page
        page.focus("#stage")
        for expected in path:
            page.keyboard.press("b")
            assert visit.place()["node"] == expected
        page.keyboard.press("ArrowLeft")
        assert visit.place()["node"] == (path[-2] if len(path) > 1 else root)
        page.keyboard.press("Home")
        assert visit.place()["node"] == root
        page.keyboard.press("ArrowRight")
        child = visit.place()["node"]
        assert nodes[child]["parent_id"] == root
        page.keyboard.press("ArrowDown")
        assert visit.place()["node"] != child
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        expanded = page.get_attribute("#spoken-item", "aria-expanded")
        page.keyboard.press("Enter")
        assert {expanded, page.get_attribute("#spoken-item", "aria-expanded")} in ({"true", "false"}, {None})
        page.keyboard.press("Escape")
        page.wait_for_selector("#overview h1")
        assert visit.place() == {}


@needs_chromium
def test_hovering_and_clicking(browser: Any, folder: Path, address: str) -> None:
    tree_id = tree_with_most_pairs(folder)
    with Visit(browser, f"{address}#tree={tree_id}") as visit:
        page = visit.page
        spots = _spots(visit)
        spot = next(spot for spot in spots if spot["level"] == 1)
        page.mouse.move(spot["x"] + 20, spot["y"])
        page.wait_for_selector("#card:not([hidden])")
        card = visit.text("#card")
        assert all(word in card for word in ("Observation", "Thought", "Action", "You are in the room", spot["label"]))
        page.mouse.click(spot["x"] + 20, spot["y"])
        page.wait_for_selector(".turn.pinned")
        assert visit.place()["node"]
        before = len(spots)
        fold = next(spot for spot in spots if spot["foldable"])
        page.mouse.click(fold["x"] + fold["width"] + 8, fold["y"])
        visit.until(f"document.querySelector('#stage').dataset.items != {before}")
        assert len(_spots(visit)) < before


def _spots(visit: Visit) -> list[dict[str, Any]]:
    """Where boxes stand on the screen; the stage tells for tests and for whoever automates the page."""
    visit.until("document.querySelector('#stage').dataset.items > 0")
    spots = visit.page.evaluate("document.querySelector('#stage').boxes()")
    assert isinstance(spots, list)
    return spots


@needs_chromium
def test_a_rollout_is_followed_in_its_own_words(browser: Any, folder: Path, address: str) -> None:
    store = open_store(folder)
    row = store.sql("SELECT * FROM step_nodes WHERE observation IS NOT NULL ORDER BY rollout_id, step LIMIT 1").to_pylist()[0]
    with Visit(browser, f"{address}#tree={row['tree_id']}&rollout={row['rollout_id']}&tab=rollouts") as visit:
        visit.page.wait_for_selector(".node-head")
        assert row["observation"].split("\n")[1] in visit.text("#side-body")
        assert "end reason" in visit.text(".node-head")
        visit.page.click("text=Stop following")
        assert "rollout" not in visit.place()


@needs_chromium
def test_merges_by_similarity_show_both_texts_and_the_cosine(browser: Any, folder: Path, address: str) -> None:
    store = open_store(folder)
    row = store.sql("SELECT * FROM step_nodes WHERE observation IS NOT NULL ORDER BY rollout_id, step LIMIT 1").to_pylist()[0]
    node = store.sql("SELECT * FROM nodes WHERE node_id = $node", {"node": row["node_id"]}).to_pylist()[0]
    with Visit(browser, f"{address}#tree={row['tree_id']}&node={row['node_id']}") as visit:
        visit.page.wait_for_selector(".merge")
        assert "0.951" in visit.text(".merge > p")
        sides = visit.page.locator(".merge .beside .text").all_inner_texts()
        assert sides == [node["observation"], row["observation"]]
        assert visit.page.locator(".merge mark").all_inner_texts() == ["large"]


@needs_chromium
def test_tool_calls_are_shown_as_calls_with_the_arguments_that_differ(browser: Any, tmp_path: Path) -> None:
    import_log(tmp_path / "data", write_log(tmp_path), environment="weather")
    build(tmp_path / "data", embedder="exact")
    pairs(tmp_path / "data", kinds=("step",))
    store = open_store(tmp_path / "data")
    pair = store.sql("SELECT * FROM pairs WHERE len(prompt) = 2 ORDER BY pair_id LIMIT 1").to_pylist()[0]
    page_file = tmp_path / "page.html"
    view(tmp_path / "data", out=page_file)
    with Visit(browser, f"{page_file.as_uri()}#tree={pair['tree_id']}&pair={pair['pair_id']}") as visit:
        page = visit.page
        page.wait_for_selector("#compare[open]")
        assert page.inner_text(".chosen .parts .call-name") == "look"
        assert page.locator(".chosen .parts .argument.differs mark").count() == 1
        assert page.locator(".rejected .parts .call").count() == 2
        page.keyboard.press("Escape")
        page.evaluate(f"location.hash = '#tree={pair['tree_id']}&node={pair['chosen_node_id']}'")
        page.wait_for_selector("#side-body .call")
        assert page.inner_text("#side-body .call .argument").split() == ["city", valued(pair)]


def valued(pair: dict[str, Any]) -> str:
    return str(json.loads(pair["chosen"][0]["tool_calls"][0])["function"]["arguments"]["city"])


@needs_chromium
def test_a_pair_stands_side_by_side_with_the_step_at_which_it_parts(browser: Any, folder: Path, address: str) -> None:
    store = open_store(folder)
    pair = store.sql("SELECT * FROM pairs ORDER BY margin DESC, pair_id LIMIT 1").to_pylist()[0]
    with Visit(browser, f"{address}#tree={pair['tree_id']}") as visit:
        page = visit.page
        page.click("#tab-pairs")
        page.click("#side-body .pair >> nth=0")
        page.wait_for_selector("#compare[open]")
        assert visit.place()["pair"]
        page.evaluate(f"location.hash = '#tree={pair['tree_id']}&pair={pair['pair_id']}'")
        visit.until(f"document.querySelector('.chosen h3').textContent.includes('{pair['chosen_score']:.2f}')")
        boxes = [page.locator(f".{side}").bounding_box() for side in ("chosen", "rejected")]
        assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
        for side in ("chosen", "rejected"):
            assert page.locator(f".{side} .parts").count() == 1
            assert page.inner_text(f".{side} .parts .text") == pair[side][0]["content"]
            assert page.locator(f".{side} .turn").count() == len(pair[side])
        assert page.locator(".chosen .parts mark").count() > 0
        page.keyboard.press("Escape")
        visit.until("!document.querySelector('#compare').open")
        assert "pair" not in visit.place()


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_on_a_telephone(browser: Any, folder: Path, address: str, scheme: str) -> None:
    with Visit(browser, address, 390, 844, scheme) as visit:
        page = visit.page
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.evaluate("document.documentElement.scrollHeight") <= 844
        page.evaluate(f"location.hash = '#tree={tree_with_most_pairs(folder)}'")
        page.wait_for_selector("#outline .outline-row")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.evaluate("document.querySelector('main').scrollWidth") <= 390
        assert page.is_hidden("#side-body")
        rows = page.locator("#outline .outline-row .row")
        tops = [rows.nth(i).bounding_box()["y"] for i in range(rows.count())]
        assert tops == sorted(tops)
        assert min(rows.nth(i).bounding_box()["height"] for i in range(rows.count())) >= 44
        rows.nth(2).click()
        page.wait_for_selector("#side-body .node-head")
        assert page.is_hidden("#outline")
        page.click("#tab-tree")
        assert page.get_attribute("#outline .row >> nth=2", "aria-current") == "true"
        page.click("#theme")
        assert page.evaluate("document.documentElement.dataset.theme") != scheme


@needs_chromium
def test_everything_that_can_be_pressed_has_a_name(browser: Any, folder: Path, address: str) -> None:
    pressable = "document.querySelectorAll('button, input, select, a[href]')"
    nameless = f"() => [...{pressable}].filter((node) => !(node.ariaLabel || node.textContent.trim())).length"
    with Visit(browser, address) as visit:
        assert visit.page.evaluate(nameless) == 0
        visit.page.evaluate(f"location.hash = '#tree={tree_with_most_pairs(folder)}'")
        visit.page.wait_for_selector("#stage canvas")
        assert visit.page.evaluate(nameless) == 0
        assert visit.page.get_attribute("#stage", "aria-activedescendant") == "spoken-item"


def hostile_store(folder: Path) -> Path:
    """Every text that anybody could have written carries the attack."""
    rollouts, steps = toy_rollouts(tasks=2, attempts=6, seed=4, text=lambda text: ATTACK + text)
    for row in rollouts:
        row |= {"environment": ATTACK, "task_id": ATTACK + row["task_id"], "split": ATTACK, "environment_version": ATTACK, "prompt": ATTACK}
    tree = toy_tree(rollouts, steps)
    merge_by_similarity(steps, tree)
    pairs: list[Row] = [row | {"environment": ATTACK} for row in pair_rows(rollouts, steps, tree)]
    for pair in pairs:
        pair["prompt"] = [{"role": ATTACK, "content": ATTACK}]
    return write_store(folder, {"rollouts": rollouts, "steps": steps, **tree, **search_rows(tree["nodes"]), "pairs": pairs})


@needs_chromium
@pytest.mark.parametrize("served", [False, True])
def test_no_text_becomes_markup_or_script(browser: Any, tmp_path: Path, served: bool) -> None:
    folder = hostile_store(tmp_path / "<img src=x onerror=window.harmed=1>&$x")
    server = PageServer(folder) if served else None
    if server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    with Visit(browser, server.url if server else view(folder, out=tmp_path / "page.html").path.as_uri()) as visit:
        page = visit.page
        allowed = page.evaluate("[document.scripts.length, document.styleSheets.length]")
        assert ATTACK.replace("\x07", "") in page.evaluate("document.querySelector('.task-text').textContent").replace("\x07", "")
        page.fill("#overview input", "<img")
        page.keyboard.press("Enter")
        page.wait_for_timeout(100)
        page.click("#overview .task-name a >> nth=1", position={"x": 3, "y": 3})
        page.wait_for_selector("#stage canvas")
        for spot in _spots(visit)[:12]:
            page.mouse.move(spot["x"] + 15, spot["y"])
            page.mouse.click(spot["x"] + 5, spot["y"])
        page.fill("#find", "<svg")
        page.keyboard.press("Enter")
        assert "of" in visit.text("#find-count")
        page.click("#tab-rollouts")
        page.click("#side-body .row >> nth=0")
        page.wait_for_selector("text=end reason")
        page.click("#tab-pairs")
        page.click("#side-body .pair >> nth=0")
        page.wait_for_selector("#compare[open]")
        page.click("#compare summary")
        assert "<script>window.harmed=1</script>" in page.evaluate("document.querySelector('#compare').textContent")
        page.wait_for_timeout(200)
        assert page.evaluate("window.harmed") is None
        assert page.evaluate("[document.scripts.length, document.styleSheets.length]") == allowed
        assert page.locator("img, iframe, object, embed, a[href^='javascript']").count() == 0
        assert page.evaluate(
            "[...document.querySelectorAll('*')].every((node) => ![...node.attributes].some((it) => it.name.startsWith('on')))"
        )
    if server:
        server.stop()
        server.server.server_close()


def test_the_command_names_how_to_see_trees_that_the_page_leaves_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    built = toy_store(tmp_path / "built", searched=False, tasks=4)
    show_page(built, None, out=str(tmp_path / "page.html"), trees=2, serve=False, port=0, browser=False)
    assert capsys.readouterr().err.endswith(f"MB; all of them: tratree view {built} --serve\n")
    show_page(built, None, out=str(tmp_path / "page.html"), trees=4, serve=False, port=0, browser=False)
    assert capsys.readouterr().err.endswith("MB\n")


@needs_chromium
def test_what_is_not_there_yet_is_said(browser: Any, tmp_path: Path) -> None:
    rollouts, steps = toy_rollouts(tasks=4)
    imported = write_store(tmp_path / "imported", {"rollouts": rollouts, "steps": steps})
    with Visit(browser, view(imported, out=tmp_path / "imported.html").path.as_uri()) as visit:
        assert "tratree build /" in visit.text("#overview .note")
    built = toy_store(tmp_path / "built", searched=False, tasks=4)
    page = view(built, out=tmp_path / "built.html", trees=2)
    assert (page.trees, page.trees_in_all) == (2, 4)
    with Visit(browser, page.path.as_uri()) as visit:
        assert "2 of 4 trees" in visit.text("#overview .note")
        assert f"tratree view {built} --serve" in visit.text("#overview .note")
        assert visit.page.locator("#overview .task-name a").count() == 2
        assert [name.locator("a").count() for name in visit.page.locator("#overview .task-name").all()] == [1, 1, 0, 0]
        visit.page.click("#overview .task-name a >> nth=0")
        visit.page.wait_for_selector(".node-head")
        assert "value" not in visit.text(".node-head")
        assert visit.page.is_hidden("#tab-pairs")
        visit.page.evaluate("location.hash = '#tree=0000000000000000'")
        visit.page.wait_for_selector("#loading:not([hidden])")
        assert "not in the page" in visit.text("#loading")
        visit.page.click("#loading a")
        visit.page.wait_for_selector("#overview:not([hidden])")


@needs_chromium
def test_one_task_is_one_tree_opened(browser: Any, folder: Path, tmp_path: Path) -> None:
    page = view(folder, "task_004", out=tmp_path / "one.html")
    assert page.trees == 1
    with Visit(browser, page.path.as_uri()) as visit:
        visit.page.wait_for_selector("#stage canvas")
        assert visit.place()["tree"] == find_tree(open_store(folder), "task_004")


def test_unwritable_places_and_unknown_tasks(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="cannot be written"):
        view(folder, out=tmp_path / "file" / "page.html")
    with pytest.raises(NotFoundError, match="Did you mean 'task_004'"):
        view(folder, "tusk_004", out=tmp_path / "page.html")
    with pytest.raises(NotFoundError, match="No such folder"):
        view(tmp_path / "absent")


@pytest.fixture
def server(folder: Path) -> Iterator[PageServer]:
    found = PageServer(folder)
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield found
    found.stop()
    thread.join()
    found.server.server_close()


def ask(server: PageServer, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    for name, value in ({"Host": f"127.0.0.1:{server.port}"} | {key.replace("_", "-"): value for key, value in headers.items()}).items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def test_the_server_answers_only_for_this_dataset_on_this_machine(server: PageServer, folder: Path) -> None:
    assert server.server.server_address[0] == "127.0.0.1"
    status, headers, body = ask(server, "/")
    assert status == 200
    assert b"<title>toy</title>" in body
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers
    for host in (
        "evil.example",
        f"evil.example:{server.port}",
        "127.0.0.1",
        "",
        f"127.0.0.1:{server.port}.evil.example",
        f"[::1]:{server.port}",
    ):
        assert ask(server, "/api/overview", Host=host)[0] == 403, host
    assert ask(server, "/api/overview", Host=f"LOCALHOST:{server.port}")[0] == 200
    assert ask(server, "/api/overview", Sec_Fetch_Site="cross-site")[0] == 403
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"):
        assert ask(server, "/", method)[0] == 405, method
    for path in (
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/rollouts/_delta_log/00000000000000000000.json",
        "/api/tree/../../x",
        "/api/tree/%27%20OR%201=1",
        "/api/tree/",
        "//etc/passwd",
        "/page.html",
        "/api/tree/" + "a" * 100,
        "http://evil.example/",
    ):
        status, _, body = ask(server, path)
        assert status == 404 or (path.startswith("http") and status == 200 and b"<title>toy" in body), path
        assert b"root:x:" not in body


def test_the_server_gives_the_same_rows_as_the_page(server: PageServer, folder: Path, tmp_path: Path) -> None:
    packed = blocks(view(folder, out=tmp_path / "toy.html").path.read_text(encoding="utf-8"))
    overview = json.loads(ask(server, "/api/overview")[2])
    assert overview["tasks"] == packed["overview-data"]["tasks"]
    assert overview["histogram"] == packed["overview-data"]["histogram"]
    for name in sorted(packed.keys() - {"overview-data"}):
        assert json.loads(ask(server, f"/api/tree/{name.removeprefix('tree-')}")[2]) == packed[name]
    found = json.loads(ask(server, "/api/search?text=YOU%20SEE%205%20MUGS")[2])
    assert found["tree_ids"] == [find_tree(open_store(folder), "task_005")]
    assert {hit["field"] for hit in found["hits"]} == {"observation"}
    assert all(hit["tree_id"] == found["tree_ids"][0] and "you see 5 mugs" in hit["words"].lower() for hit in found["hits"])
    assert json.loads(ask(server, "/api/search?text=%27%3B%20DROP%20TABLE%20nodes%25_")[2]) == {"tree_ids": [], "hits": []}


@needs_chromium
def test_the_served_page_works_like_the_file(browser: Any, server: PageServer, folder: Path) -> None:
    with Visit(browser, server.url) as visit:
        page = visit.page
        page.fill("#overview input", "you see 3 mugs")
        page.keyboard.press("Enter")
        visit.until("document.querySelectorAll('#overview .task-name a').length === 1")
        page.click("#overview .task-name a")
        page.wait_for_selector(".node-head")
        assert "Find 3 mugs" in visit.text("#heading")
        assert {url.split("?")[0].rpartition(str(server.port))[2].split("/")[1] for url in visit.requests} <= {"", "api"}


def test_a_taken_port_is_said(folder: Path, server: PageServer) -> None:
    with pytest.raises(BadInputError, match=f"Port {server.port} cannot be used"):
        PageServer(folder, port=server.port)


@pytest.mark.slow
def test_the_commands_in_the_docs_run(tmp_path: Path) -> None:
    """They name a task of the demo; here it is one of a smaller dataset."""
    toy_store(tmp_path / "demo", tasks=4)
    text = (Path(__file__).parents[1] / "docs" / "viewing.md").read_text(encoding="utf-8")
    assert str(show(tmp_path / "demo", "task_001")) in text
    typed = re.findall(r"^    (tratree .*)$", text.replace("B021E72XTX-5", "task_001"), re.MULTILINE)
    commands = [line.split()[1:] for line in typed]
    assert len(commands) > 8
    program = "import sys\nfrom tratree_data.cli import app\nfor line in sys.stdin:\n    app(line.split(), standalone_mode=False)\n"
    lines = "\n".join(" ".join(command) for command in commands if "--serve" not in command)
    subprocess.run([sys.executable, "-c", program], input=lines, text=True, cwd=tmp_path, check=True, capture_output=True)
    written = {command[command.index("--out") + 1] for command in commands if "--out" in command}
    assert written <= {file.name for file in tmp_path.iterdir()}


def test_the_served_verb_says_where_and_stops_when_asked(folder: Path) -> None:
    command = [sys.executable, "-m", "tratree_data.cli", "view", str(folder), "--serve", "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        connection = http.client.HTTPConnection(address.removeprefix("http://").rstrip("/"), timeout=10)
        connection.request("GET", "/api/overview")
        assert json.loads(connection.getresponse().read())["built"] is True
        connection.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130


@needs_chromium
def test_of_a_tree_too_large_the_most_visited_part_is_shown(
    browser: Any, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tratree_data.viewing.page_data.MOST_NODES", 9)
    tree_id = tree_with_most_pairs(folder)
    tree = tree_data(open_store(folder), tree_id)
    assert len(tree["nodes"]["id"]) == 9 < tree["node_count"]
    assert tree["nodes"]["parent"].count(-1) == 1
    visits = open_store(folder).sql("SELECT visits FROM nodes WHERE tree_id = $tree ORDER BY visits DESC LIMIT 9", {"tree": tree_id})
    assert sorted(tree["nodes"]["visits"], reverse=True) == visits.column("visits").to_pylist()
    page = view(folder, tree_id, out=tmp_path / "part.html")
    with Visit(browser, page.path.as_uri()) as visit:
        visit.page.wait_for_selector("#stage canvas")
        assert f"9 most visited of {tree['node_count']} nodes" in visit.text("#heading")
        visit.page.click("#tab-rollouts")
        for number in range(4):
            visit.page.click(f"#side-body .row >> nth={number}")
        visit.page.click("#tab-pairs")
        visit.page.click("#side-body .pair >> nth=0")
        visit.page.wait_for_selector("#compare[open]")


@pytest.fixture
def annotated(folder: Path, tmp_path: Path) -> Iterator[PageServer]:
    found = PageServer(shutil.copytree(folder, tmp_path / "toy"), author="ann")
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield found
    found.stop()
    thread.join()
    found.server.server_close()


@needs_chromium
def test_people_can_say_what_they_think_of_a_rollout(browser: Any, annotated: PageServer) -> None:
    rollout = open_store(annotated.store.path).sql("SELECT * FROM rollouts ORDER BY rollout_id LIMIT 1").to_pylist()[0]
    place = f"{annotated.url}#tree={rollout['tree_id']}&tab=rollouts&rollout={rollout['rollout_id']}"
    with Visit(browser, place) as visit:
        visit.page.click(".annotate >> text=bad")
        visit.page.fill(".annotate input", "Ignored the mug.")
        visit.page.keyboard.press("Tab")
        visit.page.wait_for_selector(".annotate >> text=Saved")
        visit.until("document.querySelector('.annotate [data-label=bad]').getAttribute('aria-pressed') === 'true'")
    rows = open_store(annotated.store.path).read("annotations").to_pylist()
    assert [(row["subject_id"], row["label"], row["note"], row["author"]) for row in rows] == [
        (rollout["rollout_id"], "bad", "Ignored the mug.", "ann")
    ]
    with Visit(browser, place.replace("#", "?again#")) as visit:
        assert visit.page.input_value(".annotate input") == "Ignored the mug."
    scored = score(annotated.store.path, source="annotations", override=True)
    assert scored.counts["scored"] == 1
    found = open_store(annotated.store.path).sql("SELECT score, reason FROM rollout_scores").to_pylist()
    assert found == [{"score": 0.0, "reason": "Ignored the mug."}]
    assert not check(annotated.store.path).filter(pc.field("offending_rows") > 0).num_rows


@pytest.mark.slow
def test_only_the_served_page_may_annotate(annotated: PageServer, server: PageServer) -> None:
    node = open_store(annotated.store.path).sql("SELECT node_id FROM nodes ORDER BY node_id LIMIT 1")["node_id"][0].as_py()
    good = {"subject": "node", "subject_id": node, "label": "good", "note": "x" * 100}

    def post(to: PageServer, given: Any, **headers: str) -> int:
        body = given if isinstance(given, bytes) else json.dumps(given).encode()
        connection = http.client.HTTPConnection("127.0.0.1", to.port, timeout=10)
        sent = {"Host": f"127.0.0.1:{to.port}", "X-Tratree-Token": to.token, "Content-Type": "application/json"} | headers
        connection.request("POST", "/api/annotations", body, sent)
        return connection.getresponse().status

    assert post(server, good) == 405, "not served for annotating"
    assert post(annotated, good, **{"X-Tratree-Token": "guess"}) == 403
    assert post(annotated, good, Host="attacker.example") == 403
    assert post(annotated, good, **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert post(annotated, b"x" * 70_000) == 413
    for wrong in (b"{", [], good | {"subject": "table"}, good | {"label": "great"}, good | {"note": 3}, good | {"note": "x" * 10_001}):
        assert post(annotated, wrong) == 400
    assert post(annotated, good | {"subject_id": "' OR 1=1"}) == 404
    assert not open_store(annotated.store.path).has("annotations")
    assert post(annotated, good | {"note": "a\0b\ud800"}) == 200
    assert open_store(annotated.store.path).read("annotations")["note"].to_pylist() == ["a\ufffdb\ufffd"]
    assert post(annotated, good | {"label": "", "note": ""}) == 200
    assert open_store(annotated.store.path).count("annotations") == 0, "without a label and a note it is gone"
