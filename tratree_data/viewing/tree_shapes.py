"""The drawing of a tree as shapes, and the shapes as an SVG; figure_plots.py draws the same ones for PNG and PDF."""

from dataclasses import dataclass
from textwrap import wrap
from xml.sax.saxutils import escape

from tratree_data.results import counted
from tratree_data.store.reader import Store
from tratree_data.system.plain_text import one_line, shorten
from tratree_data.viewing.colours import FAINT, GREY, INK, LINE, SOFT, STAR, value_colour
from tratree_data.viewing.shown_trees import Tree, read_tree
from tratree_data.viewing.tree_drawing import CHARACTER, HEIGHT, MOST_ROWS, Box, Drawing, place_tree

PAPER = "#fbfaf8"
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace"
SANS = "-apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', Arial, sans-serif"
MARGIN = 22
NARROWEST = 560
TITLE_LINES = 3


@dataclass(frozen=True)
class Rectangle:
    x: float
    y: float
    width: float
    height: float
    fill: str
    edge: str = ""
    radius: float = 0.0


@dataclass(frozen=True)
class Curve:
    """From (x, y) to (to_x, to_y), horizontal at both ends."""

    x: float
    y: float
    to_x: float
    to_y: float
    shade: str
    width: float
    dashed: bool = False


@dataclass(frozen=True)
class Diamond:
    x: float
    y: float


@dataclass(frozen=True)
class Words:
    """`y` is the baseline."""

    x: float
    y: float
    text: str
    size: float = 12.0
    shade: str = INK
    mono: bool = False
    bold: bool = False
    italic: bool = False


Shape = Rectangle | Curve | Diamond | Words


@dataclass(frozen=True)
class Picture:
    title: str
    width: float
    height: float
    shapes: tuple[Shape, ...]


def draw_tree_svg(store: Store, tree_id: str) -> str:
    """The tree as an SVG document, for cards and papers."""
    return picture_svg(tree_picture(read_tree(store, tree_id)))


def tree_picture(tree: Tree, rows: int = MOST_ROWS) -> Picture:
    """Instruction, facts, tree and legend, from top to bottom."""
    drawing = place_tree(tree, rows)
    width = max(drawing.width + 2 * MARGIN, NARROWEST)
    task = tree.task
    lines = wrap(one_line(task["instruction"].replace("\n", " ")), int((width - 2 * MARGIN) / 7.2), max_lines=TITLE_LINES, placeholder=" …")
    mean = (
        "no scores" if task["mean_score"] is None else f"mean score {task['mean_score']:.2f}, solved {task['solved']} of {task['attempts']}"
    )
    facts = f"{counted(task['attempts'], 'rollouts')}, {counted(len(tree.nodes), 'nodes')}, {mean}"
    shapes: list[Shape] = [Words(MARGIN, 30 + 19 * i, line, 14, bold=True) for i, line in enumerate(lines)]
    top = 30 + 19 * len(lines) + 1
    shapes.append(Words(MARGIN, top, facts, 12, FAINT))
    top += 26
    shapes += _tree_shapes(drawing, MARGIN, top)
    legend, bottom = _legend(tree, MARGIN, top + drawing.height + 32, width - MARGIN)
    return Picture(" ".join(lines), width, bottom + 18, (*shapes, *legend))


def _tree_shapes(drawing: Drawing, left: float, top: float) -> list[Shape]:
    linked = [box for box in drawing.boxes if box.parent]
    casings: list[Shape] = [_link(drawing, box, left, top, casing=True) for box in linked if box.on_path]
    links: list[Shape] = [_link(drawing, box, left, top, casing=False) for box in linked]
    return casings + links + [shape for box in drawing.boxes for shape in _box(box, left, top)]


def _link(drawing: Drawing, box: Box, left: float, top: float, casing: bool) -> Curve:
    start = box.parent or box
    shade = STAR if casing else GREY if box.kind == "state" else pale(box.node.mean)
    width = drawing.thickness(box) + (3 if casing else 0)
    return Curve(
        left + start.x + start.width - 1, top + start.y, left + box.x, top + box.y, shade, width, box.kind == "state" and not casing
    )


def pale(value: float | None) -> str:
    """The colour of a broad link: the value's, lightened."""
    colour = value_colour(value)
    if not colour:
        return GREY
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(part + (249 - part) * 0.35):02x}" for part in parts)


def _box(box: Box, left: float, top: float) -> list[Shape]:
    x, y = left + box.x, top + box.y
    if box.kind == "state":
        return [Diamond(x, y), Words(x + 19, y + 4, box.label, 12, SOFT, italic=True)]
    edge = STAR if box.on_path else "#c9c4bb"
    ink = SOFT if box.node.action is None else INK
    shapes: list[Shape] = [
        Rectangle(x, y - HEIGHT / 2, box.width, HEIGHT, "#ffffff", edge, 5),
        Rectangle(x + 0.5, y - HEIGHT / 2 + 1, 5, HEIGHT - 2, value_colour(box.node.mean) or GREY, radius=2),
        Words(x + 12, y + 4, box.label, 12, ink, mono=True, bold=box.on_path),
    ]
    right = x + box.width
    at = x + 12 + len(box.label) * CHARACTER
    if box.more:
        shapes.append(Words(at, y + 4, box.more, 12, FAINT, mono=True))
        at += len(box.more) * CHARACTER
    at += 8
    if box.mean:
        shapes.append(Words(at, y + 4, box.mean, 11, FAINT, mono=True))
        at += len(box.mean) * 6.6 + 8
    if box.ends:
        shapes += [
            Rectangle(at, y - 4, 8, 8, value_colour(box.node.end_score) or GREY),
            Words(at + 12, y + 4, box.ends, 11, INK, mono=True),
        ]
    if box.hidden:
        shapes.append(Words(right + 5, y + (4 if not box.below else -5), f"+{box.hidden}", 11, FAINT, mono=True))
    return shapes


def _legend(tree: Tree, left: float, y: float, right: float) -> tuple[list[Shape], float]:
    """Entries from left to right, on as many lines as they need, and the last baseline."""
    scored = tree.task["mean_score"] is not None
    entries = [
        ("scale", "") if scored else ("", "no scores"),
        ("", "width: rollouts"),
        ("end", "end, its mean score, ×rollouts" if scored else "end"),
    ]
    if any(len(states) > 1 for states in tree.children.values()):
        entries.append(("state", "state of the environment"))
    if tree.best_path:
        entries.append(("path", "e*, the best path"))
    entries.append(("", "› steps without an alternative, +n: nodes left out"))
    shapes: list[Shape] = []
    x = left
    for mark, text in entries:
        needed = 165 if mark == "scale" else len(text) * 5.9 + (18 if mark else 0)
        if x > left and x + needed > right:
            x, y = left, y + 19
        if mark == "scale":
            shapes.append(Words(x, y, "mean score 0", 11.5, FAINT))
            shapes += [Rectangle(x + 74 + i * 5, y - 8, 5.2, 7, value_colour(i / 11) or GREY) for i in range(12)]
            shapes.append(Words(x + 140, y, "1", 11.5, FAINT))
        else:
            if mark == "end":
                shapes.append(Rectangle(x, y - 8, 8, 8, SOFT))
            elif mark == "path":
                shapes.append(Rectangle(x, y - 9, 11, 9, "#ffffff", STAR, 2))
            elif mark == "state":
                shapes.append(Diamond(x - 2, y - 4))
            shapes.append(Words(x + (18 if mark else 0), y, text, 11.5, FAINT))
        x += needed + 20
    return shapes, y


def picture_svg(picture: Picture) -> str:
    width, height = f"{picture.width:.0f}", f"{picture.height:.0f}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
            f"<title>{escape(f'Trajectory tree: {shorten(picture.title, 200)}')}</title>",
            f'<rect width="{width}" height="{height}" rx="12" fill="{PAPER}" stroke="{LINE}"/>',
            *(_shape_svg(shape) for shape in picture.shapes),
            "</svg>\n",
        ]
    )


def _shape_svg(shape: Shape) -> str:
    if isinstance(shape, Words):  # XML has no place for control characters, escaped or not; `one_line` leaves none
        more = (' font-weight="600"' if shape.bold else "") + (' font-style="italic"' if shape.italic else "")
        look = f'font-family="{FONT if shape.mono else SANS}" font-size="{shape.size:g}" fill="{shape.shade}"{more}'
        return f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" xml:space="preserve" {look}>{escape(one_line(shape.text))}</text>'
    if isinstance(shape, Rectangle):
        more = (f' rx="{shape.radius:g}"' if shape.radius else "") + (f' stroke="{shape.edge}"' if shape.edge else "")
        size = f'width="{shape.width:.1f}" height="{shape.height:.1f}"'
        return f'<rect x="{shape.x:.1f}" y="{shape.y:.1f}" {size} fill="{shape.fill}"{more}/>'
    if isinstance(shape, Diamond):
        return f'<path d="M{shape.x:.1f} {shape.y:.1f}l7 -7l7 7l-7 7z" fill="{PAPER}" stroke="{SOFT}"/>'
    middle = (shape.x + shape.to_x) / 2
    curve = f"M{shape.x:.1f} {shape.y:.1f}C{middle:.1f} {shape.y:.1f} {middle:.1f} {shape.to_y:.1f} {shape.to_x:.1f} {shape.to_y:.1f}"
    dash = ' stroke-dasharray="5 4"' if shape.dashed else ""
    return f'<path d="{curve}" fill="none" stroke="{shape.shade}" stroke-width="{shape.width:.1f}"{dash}/>'
