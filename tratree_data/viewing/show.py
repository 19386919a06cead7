"""A tree in the terminal: the same tree as on the page, as text.

One line per node. Only alternatives are indented: a step without an alternative is right below its parent, and long runs of such steps are
folded. ★ in the left margin marks e*, ◇ a state (what the environment answered), and ■ a node where rollouts end.
"""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from textwrap import wrap
from typing import Any

from rich.console import Console
from rich.text import Text

from tratree_data.store.published.release import open_dataset
from tratree_data.system.plain_text import NEWLINE_MARK, one_line, pad, shorten
from tratree_data.viewing.colours import value_colour
from tratree_data.viewing.shown_trees import Node, Tree, find_tree, most_divergent, read_tasks, read_tree
from tratree_data.viewing.tree_drawing import brief_action

LONGEST_CHAIN = 3
"""Longer runs of steps without an alternative become one line."""
TASKS_SHOWN = 40
INSTRUCTION_LINES = 4
ASCII = str.maketrans(
    {"├": "+", "└": "`", "│": "|", "─": "-", "★": "*", "■": "#", "◇": "?", "×": "x", "…": "~", "┆": ":", "›": ">", "·": "-"}
)


def show(directory: str | Path, task: str | None = None, *, depth: int | None = None, width: int = 80) -> Text:
    """The tree of a task (by its id, the id of its tree, or the beginning of either), or the list of tasks. `str()` gives plain text."""
    store = open_dataset(directory)
    if task is None:
        return draw_tasks(str(directory), read_tasks(store).to_pylist(), width)
    return draw_tree(read_tree(store, find_tree(store, task)), width, depth)


def print_text(draw: Callable[[int], Text]) -> None:
    """Prints in colour to a terminal, as plain text to a pipe or with NO_COLOR, and in ASCII where the encoding has nothing else."""
    console = Console(highlight=False, markup=False, emoji=False)
    text = draw(console.width if console.is_terminal else 80)
    if not (sys.stdout.encoding or "ascii").lower().startswith("utf"):
        sys.stdout.write(str(text).translate(ASCII).encode("ascii", "replace").decode() + "\n")
    else:
        console.print(text, soft_wrap=True)


@dataclass(frozen=True)
class Line:
    """A line of the drawing: the branches that lead to it, its label, and the node whose numbers are shown beside it."""

    branches: str
    label: str
    node: Node | None = None
    style: str = ""
    on_path: bool = False


def draw_tree(tree: Tree, width: int = 80, depth: int | None = None) -> Text:
    """The tree as text of at most `width` columns, folded below `depth`."""
    width = max(width, 40)
    columns = _Columns(tree, width)
    text = _tree_heading(tree, width)
    text.append(columns.heading() + "\n", "dim")
    for line in _lines(tree, depth):
        columns.append(text, line)
    best = f"★ {_evidence(tree)}   " if tree.best_path else ""
    states = "◇ state   " if any(len(states) > 1 for states in tree.children.values()) else ""
    text.append(shorten(f"{best}{states}■ end: mean score ×rollouts", width), "dim")
    return text


def _evidence(tree: Tree) -> str:
    """e* with its score, and how many of the scored rollouts it rests on."""
    end = tree.nodes.get(tree.best_path[-1])
    score = f" {end.end_score:.2f}" if end is not None and end.end_score is not None else ""
    return f"e*{score}, {tree.support} of {tree.root.scored_visits} rollout{'s' if tree.root.scored_visits != 1 else ''}"


def _tree_heading(tree: Tree, width: int) -> Text:
    task = tree.task
    text = Text()
    text.append(shorten(f"{task['environment']} · {task['task_id']}", width) + "\n", "bold")
    mean = f"mean score {task['mean_score']:.2f}" if task["mean_score"] is not None else "no scores"
    solved = [f"solved {task['solved']} of {task['attempts']}"] if task["judged"] else []
    facts = [f"{task['attempts']} rollout{'s' if task['attempts'] > 1 else ''}", mean, *solved, f"{len(tree.nodes)} nodes"]
    text.append(shorten(" · ".join(facts), width) + "\n", "dim")
    lines = wrap(one_line(task["instruction"]).replace(NEWLINE_MARK, f"{NEWLINE_MARK} "), width) or [""]
    if len(lines) > INSTRUCTION_LINES:
        lines = [*lines[: INSTRUCTION_LINES - 1], shorten(" ".join(lines[INSTRUCTION_LINES - 1 :]), width)]
    text.append("\n".join(shorten(line, width) for line in lines) + "\n\n")
    return text


def _lines(tree: Tree, depth: int | None) -> Iterator[Line]:
    """The tree from top to bottom, from a stack of (what to draw, branches of its line, branches of the lines below)."""
    path = set(tree.best_path) | ({tree.root.node_id} if tree.best_path else set())
    waiting: list[tuple[Node | list[Node], str, str]] = [(tree.root, "", "")]
    while waiting:
        item, branches, below = waiting.pop()
        if isinstance(item, list):
            yield Line(branches, _state_label(tree, item), style="italic", on_path=any(node.node_id in path for node in item))
            inner: list[Node | list[Node]] = list(item)
        else:
            yield Line(branches, brief_action(tree, item) if item.action is not None else "(start)", item, on_path=item.node_id in path)
            states = tree.children.get(item.node_id, [])
            if states and depth is not None and item.depth >= depth:
                yield Line(below, _folded_label(tree, item), style="dim", on_path=False)
                continue
            inner = list(states) if len(states) > 1 else list(states[0]) if states else []
        if len(inner) == 1:
            chain = _chain(tree, inner[0], depth)
            if len(chain) > LONGEST_CHAIN:
                steps = " › ".join(brief_action(tree, node)[:60] for node in chain)
                yield Line(below, f"┆ {len(chain)} steps: {steps}", style="dim", on_path=chain[-1].node_id in path)
                inner = _only_child(tree, chain[-1])
            waiting.append((inner[0], below, below))
            continue
        for i, child in reversed(list(enumerate(inner))):
            last = i == len(inner) - 1
            waiting.append((child, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  ")))


def _only_child(tree: Tree, node: Node) -> list[Node | list[Node]]:
    states = tree.children.get(node.node_id, [])
    return list(states[0]) if len(states) == 1 and len(states[0]) == 1 else []


def _chain(tree: Tree, item: Node | list[Node], depth: int | None) -> list[Node]:
    """The steps from `item` on without an alternative and without an end."""
    chain: list[Node] = []
    while isinstance(item, Node) and not item.ends and (depth is None or item.depth < depth):
        following = _only_child(tree, item)
        if not following:
            break
        chain.append(item)
        item = following[0]
    return chain


def _state_label(tree: Tree, alternatives: list[Node]) -> str:
    """What distinguishes a state: its observation, from where it differs from the other states of the same parent."""
    parent_id = alternatives[0].parent_id or ""
    visits = sum(node.visits for node in alternatives)
    text = alternatives[0].observation
    others = [state[0].observation for state in tree.children[parent_id] if state[0] is not alternatives[0]]
    shared = max((_shared_prefix(text, other) for other in others), default=0)
    start = _context(text, shared) if shared > 20 else 0
    return f"◇ {visits} saw {'…' if start else ''}{text[start : start + 200]}"


def _context(text: str, place: int) -> int:
    """Where to start reading so that the character at `place` makes sense: at its sentence, or a few words earlier."""
    sentence = max(text.rfind("\n", 0, place), text.rfind(". ", 0, place) + 1)
    return sentence + 1 if place - sentence <= 24 else text.find(" ", max(place - 16, 0)) + 1


def _shared_prefix(first: str, second: str) -> int:
    for i, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return i
    return min(len(first), len(second))


def _folded_label(tree: Tree, node: Node) -> str:
    below = list(tree.below(node))
    ends = sum(found.ends for found in below)
    scores = [found.end_score for found in below if found.end_score is not None]
    best = f", best {max(scores):.2f}" if scores else ""
    return f"… {len(below)} more node{'s' if len(below) > 1 else ''}, {ends} end{'s' if ends != 1 else ''}{best}"


class _Columns:
    """The columns of numbers on the right, as many of them as the width allows."""

    def __init__(self, tree: Tree, width: int) -> None:
        ends = [len(_end_label(node)) for node in tree.nodes.values() if node.ends]
        self.end_width = max(ends, default=0) + 1
        self.search = tree.searched and width >= 64
        self.numbers = 6 + 6 + (7 if self.search else 0)
        self.tree_width = width - 2 - self.numbers - self.end_width

    def heading(self) -> str:
        return f"{'':{self.tree_width + 2}}visits  mean{'  value' if self.search else ''}"

    def append(self, text: Text, line: Line) -> None:
        text.append("★ " if line.on_path else "  ", "bold")
        branches = line.branches
        room = max(self.tree_width - 16, 6)
        if len(branches) > room:
            branches = "⋯" + branches[-(room - 1) :]
        text.append(branches, "dim")
        if line.node is None:
            text.append(shorten(line.label, self.tree_width + self.numbers + self.end_width - len(branches)) + "\n", line.style)
            return
        node = line.node
        text.append(pad(line.label, self.tree_width - len(branches)), "bold" if line.on_path else line.style)
        text.append(f"{node.visits:>6}", "dim")
        text.append(f"{_score(node.mean):>6}", value_colour(node.mean))
        if self.search:
            text.append(f"{_score(node.value):>7}", value_colour(node.value))
        if node.ends:
            text.append(f" {_end_label(node)}", value_colour(node.end_score))
        text.append("\n")


def _score(score: float | None) -> str:
    return "–" if score is None else f"{score:.2f}"


def _end_label(node: Node) -> str:
    return f"■ {_score(node.end_score)}" + (f" ×{node.ends}" if node.ends > 1 else "")


def draw_tasks(name: str, tasks: list[dict[str, Any]], width: int = 80, limit: int = TASKS_SHOWN) -> Text:
    """The list of tasks with their outcomes and the size of their trees."""
    built = bool(tasks) and "nodes" in tasks[0]
    shapes = built and width >= 66
    numbers = "attempts   mean   solved" + ("  nodes  divergences" if shapes else "")
    room = width - len(numbers) - 1
    rollouts = sum(task["attempts"] for task in tasks)
    unjudged = sum(not task["judged"] for task in tasks)
    never = sum(task["solved"] == 0 for task in tasks) - unjudged
    always = sum(task["solved"] == task["attempts"] for task in tasks)
    text = Text()
    text.append(shorten(f"{name}: {len(tasks):,} tasks, {rollouts:,} rollouts", width) + "\n", "bold")
    outcomes = f"{never:,} never solved · {len(tasks) - unjudged - never - always:,} sometimes · {always:,} always"
    text.append(outcomes + (f" · {unjudged:,} without scores" if unjudged else "") + "\n\n", "dim")
    text.append(f"{pad('task', room)} {numbers}\n", "dim")
    for task in tasks[:limit]:
        text.append(_task_line(task, room, shapes))
    if len(tasks) > limit:
        text.append(f"… {len(tasks) - limit:,} more\nAll: tratree sql {quote(one_line(name))} task_scores\n", "dim")
    address = quote(one_line(name))
    text.append(f"\nNext: tratree show {address} {_example(tasks)}" if built else f"\nNext: tratree build {address}", "dim")
    return text


def _example(tasks: list[dict[str, Any]]) -> str:
    """A task worth showing, by a name that needs no quotes in a shell, because people copy it."""
    best = most_divergent(tasks)[:1]
    name = next((str(task["task_id"]) for task in tasks if [task["tree_id"]] == best), "")
    return name if re.fullmatch(r"\w[\w.:/-]*", name, re.ASCII) else quote(one_line(best[0])) if best else "TASK"


def _middle_out(name: str, width: int) -> str:
    """Shortens a long name in its middle, because the names of tasks often differ at the end."""
    if Text(name).cell_len <= width:
        return name
    tail = name[-(width // 2) :] if Text(name).cell_len == len(name) else ""
    return shorten(name, width - len(tail)) + tail


def _task_line(task: dict[str, Any], room: int, shapes: bool) -> Text:
    text = Text()
    label = _middle_out(one_line(str(task["task_id"])), max(room // 2, min(room, 12)))
    text.append(label, "bold")
    rest = room - Text(label).cell_len
    text.append(pad("  " + task["instruction"], rest), "dim")
    names = {0: "never" if task["judged"] else "–", task["attempts"]: "always"}
    solved = names.get(task["solved"], f"{task['solved']} of {task['attempts']}")
    text.append(f" {task['attempts']:>8} ")
    text.append(f"{_score(task['mean_score']):>6}", value_colour(task["mean_score"]))
    text.append(f" {solved:>8}")
    if shapes:
        text.append(f" {task['nodes'] or 0:>6} {task['divergences'] or 0:>12}")
    text.append("\n")
    return text
