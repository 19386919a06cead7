"""The page itself: its template, style and scripts from page/, and the rows that go into it.

Everything in a dataset is somebody's text. It enters the page as deflated, base64-encoded JSON, and the page's script only ever makes text
nodes of it. A content security policy names the hashes of the one script and the one style: nothing else can run or be fetched.
"""

import base64
import hashlib
import html
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from string import Template
from typing import Any

import pyarrow as pa

from tratree_data.store.log import CODE_VERSION
from tratree_data.store.reader import Store
from tratree_data.system.plain_text import one_line
from tratree_data.viewing.colours import SCALE
from tratree_data.viewing.lookup import most_telling, read_tasks
from tratree_data.viewing.page_data import only_trees, overview_data, tree_data

PAGE = Path(__file__).parent / "page"
BYTES_IN_PER_PAGE = 24_000_000
TREES_AT_PER_TIME = 64
SCRIPTS = ("base", "source", "model", "layout", "paint", "input", "stage", "overview", "panel", "tree", "main")


def page_of_trees(
    store: Store, name: str, *, address: str, tree_id: str | None = None, trees: int, tasks: pa.Table | None = None
) -> tuple[str, int, int]:
    """A self-contained page, how many trees it holds, and how many tasks there are; `address` is what a reader types for the dataset."""
    tasks = read_tasks(store) if tasks is None else tasks
    if tree_id is not None:
        store.need("nodes")
    wanted = [tree_id] if tree_id is not None else most_telling(tasks.to_pylist())
    blocks: dict[str, str] = {}
    size = 0
    for wanted_id, block in _packed_trees(store, wanted[:trees]):
        if blocks and size + len(block) > BYTES_IN_PER_PAGE:
            break
        size += len(block)
        blocks[wanted_id] = block
    overview = overview_data(store, tasks) | {"built": store.has("nodes"), "here": sorted(blocks)}
    overview["notes"] = _notes(store, address, len(blocks), tasks.num_rows, tree_id)
    text, _ = render_page(name, overview, blocks, opened=tree_id)
    return text, len(blocks), tasks.num_rows


def _packed_trees(store: Store, tree_ids: list[str]) -> Iterator[tuple[str, str]]:
    for start in range(0, len(tree_ids), TREES_AT_PER_TIME):
        some = tree_ids[start : start + TREES_AT_PER_TIME]
        with only_trees(store, some) as near:
            for tree_id in some:
                yield tree_id, pack(tree_data(near, tree_id))


def _notes(store: Store, address: str, here: int, in_all: int, tree_id: str | None) -> list[dict[str, str]]:
    """What a reader must know about what is not in the page."""
    address = quote(one_line(address))
    if not store.has("nodes"):
        return [{"text": "There are no trees yet.", "command": f"tratree build {address}"}]
    if here == in_all:
        return []
    what = "the tree that was asked for" if tree_id else f"{here:,} of {in_all:,} trees, those with most divergences"
    return [{"text": f"This page holds {what}. All of them:", "command": f"tratree view {address} --serve"}]


def render_page(
    name: str, overview: dict[str, Any] | None, blocks: dict[str, str], *, opened: str | None = None, served: bool = False
) -> tuple[str, str]:
    """The whole page and its content security policy; `served` leaves the rows to the server."""
    settings = {"name": name, "served": served, "open": opened, "scale": [[at, list(rgb)] for at, rgb in SCALE]}
    library = (PAGE / "vendor" / "d3-hierarchy.min.js").read_text(encoding="utf-8")
    parts = "\n".join((PAGE / "script" / f"{part}.js").read_text(encoding="utf-8") for part in SCRIPTS)
    script = "\n".join([library, f"(() => {{\n'use strict';\nconst settings = {script_json(settings)};\n{parts}\n}})();"])
    style = (PAGE / "style.css").read_text(encoding="utf-8")
    data = [f'<script type="application/octet-stream" id="tree-{tree_id}">{block}</script>' for tree_id, block in blocks.items()]
    if overview is not None:
        data.insert(0, f'<script type="application/octet-stream" id="overview-data">{pack(overview)}</script>')
    policy = content_policy(script, style, served)
    text = Template((PAGE / "page.html").read_text(encoding="utf-8")).substitute(
        policy=html.escape(policy),
        version=html.escape(CODE_VERSION),
        title=html.escape(name),
        style=style,
        script=script,
        data="\n".join(data),
    )
    return text, policy


def content_policy(script: str, style: str, served: bool) -> str:
    """Nothing but this script and this style; from the server also its rows."""
    sources = {"script-src": _hash(script), "style-src": _hash(style), "img-src": "data:", "connect-src": "'self'" if served else "'none'"}
    closed = ("default-src", "base-uri", "form-action")
    return "; ".join([*(f"{name} 'none'" for name in closed), *(f"{name} {value}" for name, value in sources.items())])


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def pack(value: Any) -> str:
    """JSON, deflated and in base64: small, and nothing in it can end the script element that holds it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode("utf-8", "surrogatepass"), 6)).decode()


def script_json(value: Any) -> str:
    """JSON that stands in a script: '<' and the line separators of JavaScript are written as escapes."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def dataset_name(directory: str | Path) -> str:
    """What the page calls a dataset: its folder, or its address."""
    text = str(directory)
    name = text if ":" in text else Path(text).resolve().name or "dataset"
    return name.encode("utf-8", "replace").decode()
