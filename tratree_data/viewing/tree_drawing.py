"""A tree as a figure: the positions of its boxes and links, and an SVG of them, made without a library.

Drawn from left to right like the page, with one row per leaf. A large tree shows e* and its most visited nodes; the rest is counted.
"""

from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from tratree_data.store.reader import Store
from tratree_data.system.plain_text import one_line, shorten
from tratree_data.viewing.colours import value_colour
from tratree_data.viewing.shown_trees import Node, Tree, read_tree

ROW, HEIGHT, GAP, CHARACTER = 34, 24, 34, 7.3
MOST_ROWS = 14
LONGEST_LABEL = 26
GREY = "#b9b3a8"
STAR = "#a87900"
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace"
SANS = "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', Arial, sans-serif"


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


def draw_tree_svg(store: Store, tree_id: str) -> str:
    """The tree as an SVG document, for cards and papers."""
    return tree_svg(read_tree(store, tree_id))


def place_tree(tree: Tree, rows: int = MOST_ROWS) -> Drawing:
    shown = _most_visited(tree, rows)
    boxes = _boxes(tree, shown)
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


def _boxes(tree: Tree, shown: set[str]) -> list[Box]:
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
            box = _node_box(tree, _chain(tree, item, shown), parent, shown)
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


def _node_box(tree: Tree, chain: list[Node], parent: Box | None, shown: set[str]) -> Box:
    first, node = chain[0], chain[-1]
    label = "start" if first.action is None else shorten(first.action, LONGEST_LABEL) or "(empty)"
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


def _hidden_children(tree: Tree, node: Node, shown: set[str]) -> int:
    """The number of hidden nodes below a node."""
    folded = [child for state in tree.children.get(node.node_id, []) for child in state if child.node_id not in shown]
    return sum(1 + sum(1 for _ in tree.below(child)) for child in folded)


def _state_box(tree: Tree, alternatives: list[Node], parent: Box | None) -> Box:
    visits = sum(node.visits for node in alternatives)
    box = Box("state", alternatives[0], f"{visits} saw …", parent, visits=visits)
    box.width = 20 + len(box.label) * 6.2
    return box


def tree_svg(tree: Tree, rows: int = MOST_ROWS) -> str:
    drawing = place_tree(tree, rows)
    margin, top = 22, 74
    width, height = max(drawing.width + 2 * margin, 560), drawing.height + top + 54
    task = tree.task
    mean = "no scores" if task["mean_score"] is None else f"mean score {task['mean_score']:.2f}"
    facts = f"{task['attempts']} rollouts, {len(tree.nodes)} nodes, {mean}, solved {task['solved']} of {task['attempts']}"
    title = shorten(task["instruction"], int((width - 2 * margin) / 7.4))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img">',
        f"<title>{escape(f'Trajectory tree: {title}')}</title>",
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="12" fill="#fbfaf8" stroke="#e3e0da"/>',
        _text(margin, 30, title, f'font-family="{SANS}" font-size="14" font-weight="600" fill="#1f1d1a"'),
        _text(margin, 50, facts, f'font-family="{SANS}" font-size="12" fill="#77726a"'),
        f'<g transform="translate({margin} {top})" font-family="{FONT}">',
        *(_link_svg(drawing, box, casing=True) for box in drawing.boxes if box.parent and box.on_path),
        *(_link_svg(drawing, box, casing=False) for box in drawing.boxes if box.parent),
        *(_box_svg(box) for box in drawing.boxes),
        "</g>",
        _legend_svg(tree, margin, height - 20),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _text(x: float, y: float, text: str, attributes: str) -> str:
    """XML has no place for control characters, escaped or not; `one_line` leaves none."""
    return f'<text x="{x:.1f}" y="{y:.1f}" xml:space="preserve" {attributes}>{escape(one_line(text))}</text>'


def _link_svg(drawing: Drawing, box: Box, casing: bool) -> str:
    start = box.parent
    if start is None:
        return ""
    x0, x1 = start.x + start.width - 1, box.x
    middle = (x0 + x1) / 2 if start.hidden == 0 else x0 + 26 + (x1 - x0 - 26) / 2
    width = drawing.thickness(box) + (3 if casing else 0)
    shade = STAR if casing else GREY if box.kind == "state" else pale(box.node.mean)
    dash = ' stroke-dasharray="5 4"' if box.kind == "state" and not casing else ""
    curve = f"M{x0:.1f} {start.y:.1f}C{middle:.1f} {start.y:.1f} {middle:.1f} {box.y:.1f} {x1:.1f} {box.y:.1f}"
    return f'<path d="{curve}" fill="none" stroke="{shade}" stroke-width="{width:.1f}"{dash}/>'


def pale(value: float | None) -> str:
    """The colour of a broad link: the value's, lightened."""
    colour = value_colour(value)
    if not colour:
        return GREY
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(part + (249 - part) * 0.35):02x}" for part in parts)


def _box_svg(box: Box) -> str:
    if box.kind == "state":
        diamond = f"M{box.x:.1f} {box.y:.1f}l7 -7l7 7l-7 7z"
        label = _text(box.x + 19, box.y + 4, box.label, f'font-family="{SANS}" font-style="italic" font-size="12" fill="#5d5953"')
        return f'<path d="{diamond}" fill="#fbfaf8" stroke="#5d5953"/>{label}'
    top = box.y - HEIGHT / 2
    border = STAR if box.on_path else "#c9c4bb"
    colour = value_colour(box.node.mean) or GREY
    corner = f"M{box.x + 5:.1f} {top:.1f}v{HEIGHT}h-1q-4 0 -4 -4v-{HEIGHT - 8}q0 -4 4 -4z"
    weight = ' font-weight="600"' if box.on_path else ""
    ink = "#5d5953" if box.node.action is None else "#1f1d1a"
    parts = [
        f'<rect x="{box.x:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{HEIGHT}" rx="5" fill="#ffffff" stroke="{border}"/>',
        f'<path d="{corner}" fill="{colour}"/>',
        _text(box.x + 12, box.y + 4, box.label, f'font-size="12" fill="{ink}"{weight}'),
    ]
    x = box.x + 12 + len(box.label) * CHARACTER
    if box.more:
        parts.append(_text(x, box.y + 4, box.more, 'font-size="12" fill="#77726a"'))
        x += len(box.more) * CHARACTER
    x += 8
    if box.mean:
        parts.append(_text(x, box.y + 4, box.mean, 'font-size="11" fill="#77726a"'))
        x += len(box.mean) * 6.6 + 8
    if box.ends:
        parts.append(f'<rect x="{x:.1f}" y="{box.y - 4:.1f}" width="8" height="8" fill="{value_colour(box.node.end_score) or GREY}"/>')
        parts.append(_text(x + 12, box.y + 4, box.ends, 'font-size="11" fill="#1f1d1a"'))
    if box.hidden:
        parts.append(_text(box.x + box.width + 5, box.y + (4 if not box.below else -5), f"+{box.hidden}", 'font-size="11" fill="#77726a"'))
    return "".join(parts)


def _legend_svg(tree: Tree, x: float, y: float) -> str:
    style = f'font-family="{SANS}" font-size="11.5" fill="#77726a"'
    parts = [_text(x, y, "mean score 0", style)]
    for i in range(12):
        parts.append(f'<rect x="{x + 74 + i * 5}" y="{y - 8:.1f}" width="5.2" height="7" fill="{value_colour(i / 11)}"/>')
    rest = "1     width: rollouts     ■ end: mean score" + ("     gold: e*, the best path" if tree.best_path else "")
    states = "     ◇ state of the environment" if any(len(states) > 1 for states in tree.children.values()) else ""
    parts.append(_text(x + 140, y, rest + states, style))
    return "".join(parts)
