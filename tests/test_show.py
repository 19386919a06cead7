"""The tree as text: what it says, that it fits, and that no text in it can do more than be read."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from helpers.viewing import toy_rollouts, toy_store, toy_tree, write_store
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tratree_data.cli.tables import print_calls
from tratree_data.errors import BadInputError, NotFoundError
from tratree_data.store.reader import open_store
from tratree_data.system.plain_text import from_first_difference, one_line, pad, shorten
from tratree_data.viewing.show import draw_tree, show
from tratree_data.viewing.shown_trees import Node, Tree, find_tree, make_tree, read_tree

HOSTILE = "\x1b[31mred\x1b]8;;http://x\x07\u202e\u2066 [bold red]not markup[/] \x00\x9b\u200b\r\nnext\ttab"


def node(
    node_id: str, parent: Node | None, action: str | None, score: float = 0.0, state: int = 0, ends: int = 0, value: float | None = None
) -> Node:
    depth = parent.depth + 1 if parent else 0
    seen = f"You see a long room with a door that is {'shut' if state else 'open'}."
    visits = (1, 1, score, ends, ends, score * ends)
    return Node(node_id, parent.node_id if parent else None, depth, state, seen, "", action, *visits, value)


@pytest.fixture
def golden() -> Tree:
    root = node("root", None, None, 0.5)
    left = node("a", root, "open door", 1.0, value=0.9)
    chain = [left]
    for i in range(5):
        chain.append(node(f"a{i}", chain[-1], f"walk {i}", 1.0))
    end = node("b", chain[-1], "sit down", 1.0, ends=1, value=0.9)
    right = node("c", root, "knock", 0.0)
    first, second = node("d", right, "wait", 0.25, ends=1), node("e", right, "leave", 0.0, state=1, ends=2)
    task = {
        "environment": "toy",
        "task_id": "t1",
        "attempts": 4,
        "mean_score": 0.5,
        "solved": 1,
        "judged": 4,
        "instruction": "Find the mug.",
    }
    path = ("a", "a0", "a1", "a2", "a3", "a4", "b")
    return make_tree(task, [root, *chain, end, right, first, second], path, support=1, searched=True)


def test_the_golden_tree_reads_as_written_by_hand(golden: Tree) -> None:
    expected = """\
toy · t1
4 rollouts · mean score 0.50 · solved 1 of 4 · 11 nodes
Find the mug.

                                      visits  mean  value
★ (start)                                  1  0.50      –
★ ├─ open door                             1  1.00   0.90
★ │  ┆ 5 steps: walk 0 › walk 1 › walk 2 › walk 3 › walk 4
★ │  sit down                              1  1.00   0.90 ■ 1.00
  └─ knock                                 1  0.00      –
     ├─ ◇ 1 saw …a door that is open.
     │  wait                               1  0.25      – ■ 0.25
     └─ ◇ 1 saw …a door that is shut.
        leave                              1  0.00      – ■ 0.00 ×2
★ e* 1.00, 1 of 1 rollout   ◇ state   ■ end: mean score ×rollouts"""
    assert str(draw_tree(golden, 67)) == expected


def test_folding_says_what_it_hides(golden: Tree) -> None:
    text = str(draw_tree(golden, 80, depth=1))
    assert "… 6 more nodes, 1 end, best 1.00" in text
    assert "… 2 more nodes, 3 ends, best 0.25" in text
    assert "sit down" not in text


def test_every_node_is_drawn_or_counted(tmp_path: Path) -> None:
    store = open_store(toy_store(tmp_path / "toy", tasks=3, attempts=12, seed=5))
    for tree_id in store.sql("SELECT DISTINCT tree_id FROM nodes ORDER BY tree_id").column("tree_id").to_pylist():
        tree = read_tree(store, tree_id)
        text = str(draw_tree(tree, 100))
        folded = sum(int(count) for count in re.findall(r"┆ (\d+) steps", text))
        rows = sum(bool(re.search(r" \d+ +(?:\d\.\d\d|–) +(?:\d\.\d\d|–)", line)) for line in text.splitlines())
        assert rows + folded == len(tree.nodes)
        ends = sum(int(count or 1) for count in re.findall(r"■ (?:\d\.\d\d|–)(?: ×(\d+))?$", text, re.MULTILINE))
        assert ends == sum(found.ends for found in tree.nodes.values()) == tree.task["attempts"]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_line_is_wider_than_asked_for(tmp_path: Path, width: int) -> None:
    folder = toy_store(tmp_path / "toy", tasks=2, attempts=8, text=lambda text: f"広い部屋 {text} " + HOSTILE * 3)
    for text in (str(show(folder, width=width)), str(show(folder, "task_001", width=width))):
        drawn = [line for line in text.splitlines() if not line.startswith(("Next: ", "All: "))]  # commands stay whole
        assert max(cell_len(line) for line in drawn) <= width


def test_deep_trees_fit_too() -> None:
    """A choice at each of 400 steps: branches alone would need 1200 columns, and recursion 400 frames."""
    nodes = [node("root", None, None)]
    spine = nodes[0]
    for i in range(400):
        nodes.append(node(f"x{i}", spine, f"stop {i}", 0.1, ends=1))
        spine = node(f"s{i}", spine, f"go on {i}", 0.5, ends=i == 399)
        nodes.append(spine)
    task = {"environment": "toy", "task_id": "deep", "attempts": 401, "mean_score": 0.1, "solved": 0, "judged": 401, "instruction": ""}
    text = str(draw_tree(make_tree(task, nodes), 80))
    assert all(cell_len(line) <= 80 for line in text.splitlines())
    assert "stop 399" in text


def test_hostile_text_is_only_text(tmp_path: Path) -> None:
    folder = toy_store(tmp_path / "toy", tasks=1, text=lambda text: HOSTILE + text)
    for width in (80, 300):
        text = str(show(folder, "task_000", width=width)) + str(show(folder, width=width))
        assert not set(text) & set("\x1b\x00\x07\x9b\r\t\u202e\u2066\u200b")
        assert "[bold red]not markup[/]" in str(show(folder, "task_000", width=300))
    assert "⏎next tab" in str(show(folder, "task_000", width=300))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(max_size=60), st.integers(min_value=0, max_value=30))
def test_any_text_becomes_one_safe_line(text: str, width: int) -> None:
    line = one_line(text)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", line)
    assert cell_len(shorten(text, width)) <= width
    assert cell_len(pad(text, width)) == width


def test_what_is_offered_to_be_copied_is_harmless(tmp_path: Path) -> None:
    rollouts, steps = toy_rollouts(tasks=2)
    tree = toy_tree(rollouts, steps)
    for row in rollouts:
        row["task_id"] = "$(rm -rf ~) ; " + row["task_id"]
    folder = write_store(tmp_path / "a `b`", {"rollouts": rollouts, "steps": steps, **tree})
    offered = next(line for line in str(show(folder)).splitlines() if line.startswith("Next: "))
    assert shlex.split(offered.removeprefix("Next: "))[:3] == ["tratree", "show", str(folder)]
    assert re.fullmatch(r"[0-9a-f]{16}", shlex.split(offered)[-1])


def test_errors_carry_no_escapes(tmp_path: Path) -> None:
    rollouts, _ = toy_rollouts(tasks=2)
    for row in rollouts:
        row["task_id"] = "b" + HOSTILE + row["task_id"]
    store = open_store(write_store(tmp_path / "toy", {"rollouts": rollouts}))
    for task, error in (("zzz", NotFoundError), ("b", BadInputError)):
        with pytest.raises(error) as caught:
            find_tree(store, task)
        assert not set(str(caught.value)) & set("\x1b\x00\x07\u202e")


def test_a_task_is_found_by_id_tree_or_prefix(tmp_path: Path) -> None:
    folder = toy_store(tmp_path / "toy", tasks=12)
    store = open_store(folder)
    tree_id = find_tree(store, "task_003")
    assert find_tree(store, tree_id) == find_tree(store, tree_id[:10]) == tree_id
    assert find_tree(store, "task_011") == find_tree(store, "task_0" + "11")
    with pytest.raises(BadInputError, match="more than one task"):
        find_tree(store, "task_00")
    with pytest.raises(NotFoundError, match="Did you mean 'task_003'"):
        find_tree(store, "tsk_003")
    with pytest.raises(NotFoundError, match="has no task"):
        find_tree(store, "' OR 1=1 --")


def test_without_search_and_without_a_tree(tmp_path: Path) -> None:
    built = toy_store(tmp_path / "built", searched=False)
    text = str(show(built, "task_001"))
    assert "★" not in text
    assert "search" not in text
    rollouts, steps = toy_rollouts()
    imported = write_store(tmp_path / "imported", {"rollouts": rollouts, "steps": steps})
    assert "Next: tratree build" in str(show(imported))
    with pytest.raises(NotFoundError, match="tratree build"):
        show(imported, "task_001")


def test_the_list_of_tasks_adds_up(tmp_path: Path) -> None:
    text = str(show(toy_store(tmp_path / "toy", tasks=50, attempts=3), width=200))
    assert "50 tasks, 150 rollouts" in text
    assert "… 10 more\n" in text
    never, sometimes, always = (int(n) for n in re.search(r"(\d+) never solved · (\d+) sometimes · (\d+) always", text).groups())  # type: ignore[union-attr]
    assert never + sometimes + always == 50


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"PYTHONIOENCODING": "ascii"}])
def test_a_pipe_gets_plain_text(tmp_path: Path, environment: dict[str, str]) -> None:
    folder = toy_store(tmp_path / "toy", tasks=1)
    command = [sys.executable, "-m", "tratree_data.cli", "show", str(folder), "task_000"]
    result = subprocess.run(command, capture_output=True, check=True, env=os.environ | environment)
    assert b"\x1b" not in result.stdout
    assert b"task_000" in result.stdout
    if "PYTHONIOENCODING" in environment:
        assert result.stdout.isascii()
    else:
        assert max(cell_len(line) for line in result.stdout.decode().splitlines()) <= 80


@pytest.mark.parametrize("name", ["my data", "é", "a'b", "a<b>&$", "a[1]*"])
def test_a_folder_may_be_called_anything_that_delta_can_address(tmp_path: Path, name: str) -> None:
    rollouts, _ = toy_rollouts()
    assert "3 tasks, 18 rollouts" in str(show(write_store(tmp_path / name, {"rollouts": rollouts}), width=200))


def test_other_folders_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="name another folder"):
        write_store(tmp_path / "a#b", {})
    assert not list(tmp_path.iterdir())


def test_close_calls_are_shown_from_shortly_before_they_differ(capsys: pytest.CaptureFixture[str]) -> None:
    shared = "the same listing, word for word; " * 20
    assert from_first_difference("ticket 1", "ticket 2") == ("ticket 1", "ticket 2")
    texts = {"a_text": shared + "ticket 237", "b_text": shared + "ticket 847"}
    call = {"similarity": 0.99, "merged": True, "agrees": None, "action": "ls", **texts}
    print_calls(pa.Table.from_pylist([call]))
    one, other = capsys.readouterr().out.splitlines()[1:]
    assert one.endswith("ticket 237")
    assert other.endswith("ticket 847")
