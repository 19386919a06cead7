"""A tree as a figure: the positions of its boxes and links.

Drawn from left to right like the page, with one row per leaf. A large tree shows e* and its most visited nodes; the rest is counted.
tree_shapes.py turns it into shapes.
"""

from dataclasses import dataclass, field

from tratree_data.system.plain_text import shorten
from tratree_data.viewing.briefs import brief
from tratree_data.viewing.shown_trees import Node, Tree

ROW, HEIGHT, GAP, CHARACTER = 34, 24, 34, 7.3
MOST_ROWS = 14
LONGEST_LABELS = (34, 26, 20, 15)
"""Labels get shorter until the drawing is narrow enough."""
WIDEST = 1000
MOST_BESIDE = 20


@dataclass
class Box:
    """A node with the steps that follow it without an alternative, or a state of the environment."""

    kind: str
    node: Node
    label: str
    parent: "Box | None" = None
    on_path: bool = False
    more: str = ""
    """Says how many steps without an alternative the box contains after the first."""
    mean: str = ""
    ends: str = ""
    hidden: int = 0
    visits: int = 0
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    below: list["Box"] = field(default_factory=list)


@dataclass(frozen=True)
class Drawing:
    boxes: tuple[Box, ...]
    width: float
    height: float
    most_visits: int

    def thickness(self, box: Box) -> float:
        return float(1.4 + 7 * (box.visits / max(self.most_visits, 1)) ** 0.5)


def place_tree(tree: Tree, rows: int = MOST_ROWS, widest: float = WIDEST) -> Drawing:
    shown = _most_visited(tree, rows)
    drawing = _place(tree, shown, LONGEST_LABELS[0])
    for longest in LONGEST_LABELS[1:]:
        if drawing.width <= widest:
            break
        drawing = _place(tree, shown, longest)
    return drawing


def _place(tree: Tree, shown: set[str], longest: int) -> Drawing:
    boxes = _boxes(tree, shown, longest)
    row = 0
    for box in boxes:
        box.x = box.parent.x + box.parent.width + GAP if box.parent else 0.0
        if not box.below:
            box.y, row = row * ROW + HEIGHT / 2, row + 1
    for box in reversed(boxes):
        if box.below:
            box.y = (box.below[0].y + box.below[-1].y) / 2
    right = max(box.x + box.width + (34 if box.hidden else 0) for box in boxes)
    return Drawing(tuple(boxes), right, max(row, 1) * ROW - (ROW - HEIGHT), tree.root.visits)


def _most_visited(tree: Tree, rows: int) -> set[str]:
    """e*, and as many of the most visited nodes as fit: a node is shown only with its parent, and takes a row unless an only child."""
    shown = {tree.root.node_id, *tree.best_path}
    beside = {node.parent_id for node in tree.nodes.values() if node.node_id in shown}
    used = 1
    for node in sorted(tree.nodes.values(), key=lambda node: (-node.visits, node.depth, node.node_id)):
        if node.node_id in shown or node.parent_id not in shown:
            continue
        cost = 1 if node.parent_id in beside else 0
        if used + cost <= rows:
            shown.add(node.node_id)
            beside.add(node.parent_id)
            used += cost
    return shown


def _boxes(tree: Tree, shown: set[str], longest: int) -> list[Box]:
    """Parents before children, children in reading order."""
    path = {tree.root.node_id, *tree.best_path} if tree.best_path else set()
    boxes: list[Box] = []
    waiting: list[tuple[Node | list[Node], Box | None]] = [(tree.root, None)]
    while waiting:
        item, parent = waiting.pop()
        if isinstance(item, list):
            box = _state_box(tree, item, parent)
            inner: list[Node | list[Node]] = [node for node in item if node.node_id in shown]
        else:
            box = _node_box(tree, _chain(tree, item, shown), parent, shown, longest)
            states = [[node for node in state if node.node_id in shown] for state in tree.children.get(box.node.node_id, [])]
            several = len(states) > 1
            inner = [list(state) for state in states if state] if several else list(states[0]) if states else []
        box.on_path = (box.node.node_id in path) if box.kind != "state" else any(isinstance(n, Node) and n.node_id in path for n in inner)
        boxes.append(box)
        if parent is not None:
            parent.below.append(box)
        waiting.extend((child, box) for child in reversed(inner))
    return boxes


def _chain(tree: Tree, node: Node, shown: set[str]) -> list[Node]:
    """The node and the steps after it without an alternative or an end, which are drawn as one box."""
    chain = [node]
    while node.action is not None and not node.ends:
        states = tree.children.get(node.node_id, [])
        if len(states) != 1 or len(states[0]) != 1 or states[0][0].node_id not in shown:
            break
        node = states[0][0]
        chain.append(node)
    return chain


def _node_box(tree: Tree, chain: list[Node], parent: Box | None, shown: set[str], longest: int) -> Box:
    first, node = chain[0], chain[-1]
    label = "start" if first.action is None else shorten(brief_action(tree, first), longest) or "(empty)"
    box = Box("node", node, label, parent, visits=node.visits, more=f" › {len(chain) - 1} more" if len(chain) > 1 else "")
    leaf = node.node_id not in tree.children
    if node.ends:
        score = "–" if node.end_score is None else f"{node.end_score:.2f}"
        box.ends = score + (f" ×{node.ends}" if node.ends > 1 else "")
    if not (leaf and box.ends):
        box.mean = "–" if node.mean is None else f"{node.mean:.2f}"
    box.hidden = _hidden_children(tree, node, shown)
    numbers = (len(box.mean) * 6.6 + 8 if box.mean else 0) + (len(box.ends) * 6.6 + 20 if box.ends else 0)
    box.width = 24 + (len(label) + len(box.more)) * CHARACTER + numbers
    return box


def brief_action(tree: Tree, node: Node) -> str:
    """The action of a node in one line, beside its alternatives."""
    group = next((state for state in tree.children.get(node.parent_id or "", []) if node in state), [])
    return brief(node.action or "", [other.action or "" for other in group[:MOST_BESIDE] if other is not node])


def _hidden_children(tree: Tree, node: Node, shown: set[str]) -> int:
    """The number of hidden nodes below a node."""
    folded = [child for state in tree.children.get(node.node_id, []) for child in state if child.node_id not in shown]
    return sum(1 + sum(1 for _ in tree.below(child)) for child in folded)


def _state_box(tree: Tree, alternatives: list[Node], parent: Box | None) -> Box:
    visits = sum(node.visits for node in alternatives)
    box = Box("state", alternatives[0], f"{visits} saw …", parent, visits=visits)
    box.width = 20 + len(box.label) * 6.2
    return box
