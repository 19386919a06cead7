"""The page in a real Chromium: what coding agents' attempts look like, and that a served page follows its dataset."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.visits import Visit, needs_chromium

from tratree_data import build, import_log, pairs, search
from tratree_data.store.reader import open_store
from tratree_data.viewing.serve import PageServer
from tratree_data.viewing.view import view

pytestmark = [pytest.mark.xdist_group("view"), needs_chromium]
SOURCE = "".join(f"line {number} of the file\n" for number in range(40))
OLD, GOOD, BAD = "    return values", "    return values + rest", "    return []"


def attempts(scored: bool) -> list[dict[str, Any]]:
    """Four attempts of a coding agent at one task; what they edit decides."""
    rows = []
    for number in range(4):
        new = BAD if number == 3 else GOOD
        messages: list[dict[str, Any]] = [{"role": "user", "content": "Keep the last line."}]
        calls = [
            ("read_file", {"path": "parse.py"}, SOURCE + OLD),
            ("edit_file", {"count": 1, "old": OLD, "new": new, "path": "parse.py"}, SOURCE + new),
            ("bash", {"command": "pytest -q"}, "FAILED" if number == 3 else "passed"),
        ]
        for place, (name, arguments, result) in enumerate(calls):
            function = {"name": name, "arguments": json.dumps(arguments)}
            messages.append(
                {"role": "assistant", "content": None, "tool_calls": [{"id": f"c{place}", "type": "function", "function": function}]}
            )
            messages.append({"role": "tool", "tool_call_id": f"c{place}", "content": result})
        messages.append({"role": "assistant", "content": "Done."})
        score = {"score": float(number != 3)} if scored else {}
        rows.append({"task_id": "parser", "attempt": number, "messages": messages} | score)
    return rows


def coded(folder: Path, scored: bool = True, most: int = 4) -> Path:
    log = folder / "log.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in attempts(scored)[:most]), encoding="utf-8")
    import_log(folder / "code", log, environment="repository")
    build(folder / "code", embedder="exact")
    return folder / "code"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = coded(tmp_path_factory.mktemp("code"))
    search(found, simulations=20)
    pairs(found)
    return found


@pytest.fixture(scope="module")
def address(folder: Path) -> str:
    tree = open_store(folder).read("nodes")["tree_id"][0].as_py()
    return view(folder, out=folder.parent / "page.html").path.as_uri() + f"#tree={tree}"


def test_calls_are_named_by_the_arguments_in_which_they_differ(browser: Any, address: str) -> None:
    with Visit(browser, address) as visit:
        visit.page.keyboard.press("n")
        visit.page.wait_for_selector("#side-body .pair")
        labels = [box["label"] for box in visit.page.evaluate("document.querySelector('#stage').boxes()")]
        assert sorted(labels) == ["edit_file new: …[]", "edit_file new: …values + rest", "read_file parse.py", "start"]
        sides = visit.page.locator("#side-body .pair .side-line").all_inner_texts()
        assert [side.split("\n")[1] for side in sides] == ["edit_file new: …values + rest", "edit_file new: …[]"]


def test_the_overview_shows_the_part_in_which_long_paths_differ(browser: Any, tmp_path: Path) -> None:
    rows = []
    for score, name in enumerate(("main", "cache")):
        steps = [{"observation": "src", "thought": "", "action": f'Read {{"file_path": "/home/me/work/ferry/src/{name}.rs"}}'}]
        rows.append({"task_id": "0123456789abcdef", "env": "code", "instruction": "Find the leak.", "reward": score, "steps": steps})
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    import_log(tmp_path / "d", tmp_path / "log.jsonl")
    build(tmp_path / "d", embedder="exact")
    with Visit(browser, view(tmp_path / "d", out=tmp_path / "page.html").path.as_uri()) as visit:
        sides = visit.page.locator(".decisive .side-line").all_inner_texts()
        assert [side.split("\n")[1] for side in sides] == ["Read …rry/src/cache.rs", "Read …rry/src/main.rs"]
        assert visit.page.locator(".decisive .kind").inner_text().startswith("Find the leak., step 1")


def test_of_a_long_result_only_what_changed_is_shown(browser: Any, address: str) -> None:
    with Visit(browser, f"{address}&tab=rollouts") as visit:
        visit.page.click("#side-body .rows .row >> nth=0")
        visit.page.wait_for_selector(".folded")
        results = visit.page.locator("#side-body .turn.result")
        assert [text.split("\n")[0] for text in results.all_inner_texts()] == [
            "Result of read_file",
            "Result of edit_file",
            "Result of bash",
        ]
        edited = results.nth(1).locator(".said")
        assert edited.inner_text().split() == f"⋯ 40 lines as at step 2 {GOOD}".split()[1:]
        visit.page.click(".folded")
        assert edited.inner_text().split() == (SOURCE + GOOD).split()
        assert edited.locator(".again").inner_text().split() == SOURCE.split()


def test_words_are_explained_where_they_stand_and_in_the_help(browser: Any, address: str) -> None:
    with Visit(browser, address) as visit:
        visit.page.focus("#heading [data-term='e*']")
        visit.page.wait_for_selector("#card:not([hidden])")
        assert "best path" in visit.text("#card")
        visit.page.focus("#stage")
        assert visit.page.is_hidden("#card")
        visit.page.keyboard.press("?")
        words = visit.page.locator("#help .words dt").all_inner_texts()
        assert {"e*", "divergence", "credit", "support", "state"} <= set(words)


def test_a_huge_text_is_laid_out_only_when_asked(browser: Any, tmp_path: Path) -> None:
    row = attempts(True)[0]
    row["messages"][2]["content"] = "".join(f"line {number}\n" for number in range(9_000))
    (tmp_path / "log.jsonl").write_text(json.dumps(row), encoding="utf-8")
    import_log(tmp_path / "huge", tmp_path / "log.jsonl", environment="repository")
    build(tmp_path / "huge", embedder="exact")
    with Visit(browser, view(tmp_path / "huge", out=tmp_path / "page.html").path.as_uri()) as visit:
        visit.page.click("#overview .task-name a")
        visit.page.wait_for_selector("#side-body .result")
        length = "document.querySelector('#side-body').textContent.length"
        assert visit.page.evaluate(length) < 10_000
        visit.page.click("text=/Show all 88,8.. characters/")
        assert visit.page.evaluate(length) > 88_000


def test_a_narrow_screen_shows_one_side_at_a_time(browser: Any, address: str) -> None:
    with Visit(browser, f"{address}&tab=pairs", 390, 844) as visit:
        visit.page.click("#side-body .pair >> nth=0")
        visit.page.wait_for_selector("#compare[open] .side-tabs")
        assert (visit.page.is_visible(".chosen"), visit.page.is_visible(".rejected")) == (True, False)
        visit.page.click(".side-tabs >> text=Rejected")
        assert (visit.page.is_visible(".chosen"), visit.page.is_visible(".rejected")) == (False, True)
        assert visit.page.evaluate("document.querySelector('.dialog-body').scrollWidth") <= 390


def test_without_scores_the_page_says_what_is_missing(browser: Any, tmp_path: Path) -> None:
    found = coded(tmp_path, scored=False, most=1)
    with Visit(browser, view(found, out=tmp_path / "page.html").path.as_uri()) as visit:
        assert "No scores yet" in visit.text("#overview .unscored")
        assert f"tratree score {found} --with scores.csv" in visit.text("#overview .unscored")
        assert "Mean score" not in visit.text("#overview thead")
        visit.page.click("#overview .task-name a")
        visit.page.wait_for_selector("#side-body .call")
        assert "score" not in visit.text("#side-body")
        assert visit.page.locator("#side-body .turn.agent").count() == 4, "a tree of one rollout opens with its conversation"


def test_a_task_named_by_a_hash_is_shown_by_what_was_asked(browser: Any, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    steps = [{"observation": "start", "action": "look"}]
    rows = [{"task_id": task, "env": "e", "instruction": "Make the\ntests pass.", "steps": steps} for task in ("a1" * 8, "own name")]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_log(tmp_path / "d", log)
    build(tmp_path / "d", embedder="exact")
    with Visit(browser, view(tmp_path / "d", out=tmp_path / "d.html").path.as_uri()) as visit:
        assert [visit.text(f"#overview .task-name >> nth={i}") for i in (0, 1)] == [f"Make the tests pass.e · {'a1' * 8}", "own namee"]
        visit.page.click("#overview .task-name a >> nth=0")
        visit.page.wait_for_selector(".node-head")
        assert visit.text("#trail") == "e · Make the tests pass."
        assert visit.page.title().startswith("Make the tests pass. · ")


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[PageServer]:
    with PageServer(coded(tmp_path, most=2)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.stop()
        thread.join()


def test_a_served_page_follows_its_dataset_and_keeps_its_place(browser: Any, growing: PageServer, tmp_path: Path) -> None:
    log = tmp_path / "more.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in attempts(True)[2:]), encoding="utf-8")
    folder = growing.store.path
    with Visit(browser, growing.url) as visit:
        assert "2 rollouts" in visit.text("#overview .lead")
        import_log(folder, log, environment="repository")
        visit.until("document.querySelector('#overview .lead').textContent.includes('4 rollouts')")
        visit.page.click("#overview .task-name a")
        visit.page.wait_for_selector(".node-head")
        visit.page.keyboard.press("ArrowRight")
        visit.page.keyboard.press("ArrowRight")
        place = visit.place()
        assert "2 of 4 rollouts are in the tree" in visit.text("#heading")
        build(folder, embedder="exact")
        visit.page.click("#news button")
        visit.until("document.querySelector('.node-head .action').textContent === 'edit_file new: …values + rest'")
        assert visit.place() == place
        assert visit.page.is_hidden("#news")


def test_two_agents_are_compared_by_their_names(browser: Any, tmp_path: Path) -> None:
    """Attempts are numbered by agent; figures of one are named in the singular, and a hit says where its text was cut."""
    log = tmp_path / "log.jsonl"
    rows = [
        {"task_id": "t" * 300, "env": "e", "instruction": "Go.", "agent": agent, "reward": reward,
         "steps": [{"observation": "start", "action": f"go {agent}"}]}
        for agent, reward in (("ada", 1.0), ("bob", 0.0))
    ]  # fmt: skip
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    import_log(tmp_path / "d", log)
    build(tmp_path / "d", embedder="exact")
    store = open_store(tmp_path / "d")
    first, second = store.sql("SELECT rollout_id FROM rollouts ORDER BY agent")["rollout_id"].to_pylist()
    tree = store.sql("SELECT min(tree_id) AS id FROM rollouts")["id"][0].as_py()
    address = view(tmp_path / "d", out=tmp_path / "d.html").path.as_uri()
    with Visit(browser, address) as visit:
        assert visit.page.locator(".task-name").first.bounding_box()["height"] < 60
        visit.page.fill("#overview input", "bob")
        visit.page.press("#overview input", "Enter")
        visit.page.wait_for_selector(".hit-row")
        assert visit.text(".hit-row .label") == "go bob"
    with Visit(browser, f"{address}#tree={tree}&tab=rollouts&rollout={first}&with={second}") as visit:
        visit.page.wait_for_selector("#compare[open]")
        assert "Attempt 0 of ada, attempt 1 of bob" in visit.text("#compare")


@pytest.mark.slow
def test_a_served_page_follows_a_running_exploration(browser: Any, tmp_path: Path) -> None:
    arguments = ["webshop", str(tmp_path / "shop"), "--agent", "scripted:skill=0.5", "--attempts", "40", "--tasks", "6"]
    command = [sys.executable, "-m", "tratree_data.cli", "explore", *arguments, "--commit-seconds", "0", "--commit-rollouts", "5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as explorer:
        while not (tmp_path / "shop" / "rollouts" / "_delta_log").exists():
            assert explorer.poll() is None, explorer.stdout and explorer.stdout.read()
        with PageServer(tmp_path / "shop") as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            seen = {server.store.count("rollouts")}
            with Visit(browser, server.url) as visit:
                while 240 not in seen:
                    seen.add(int(visit.text("#overview .lead").split(" · ")[1].split()[0]))
                    visit.page.wait_for_timeout(50)
            server.stop()
    assert len(seen) > 1
