"""Builds the page: the template, style and scripts of page/, and the data of the dataset.

The texts of a dataset are not trusted. They are embedded as deflated, base64-encoded JSON, from which the script creates text nodes only.
A content security policy with the hashes of the one script and the one style keeps everything else from running or loading.
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

from tratree_data import __version__
from tratree_data.store.reader import Store
from tratree_data.system.plain_text import one_line
from tratree_data.viewing.colours import SCALE
from tratree_data.viewing.page_data import only_trees, overview_data, tree_data
from tratree_data.viewing.shown_trees import most_divergent, read_tasks

PAGE = Path(__file__).parent / "page"
BYTES_PER_PAGE = 24_000_000
TREES_PER_QUERY = 64
SCRIPTS = (
    *("base", "calls", "observed", "copy", "source", "model", "layout", "paint", "input", "stage"),
    *("overview", "panel", "decisions", "rollouts", "merges", "annotate", "words", "graph", "outline", "tree", "follow", "main"),
)


def page_of_trees(
    store: Store, name: str, *, address: str, tree_id: str | None = None, trees: int, tasks: pa.Table | None = None
) -> tuple[str, int, int]:
    """A self-contained page, the number of its trees, and the number of tasks; `address` is the dataset in the commands it shows."""
    tasks = read_tasks(store) if tasks is None else tasks
    if tree_id is not None:
        store.need("nodes")
    planned = [tree_id] if tree_id is not None else most_divergent(tasks.to_pylist())
    blocks: dict[str, str] = {}
    size = 0
    for packed_id, block in _packed_trees(store, planned[:trees]):
        if blocks and size + len(block) > BYTES_PER_PAGE:
            break
        size += len(block)
        blocks[packed_id] = block
    address = quote(one_line(address))
    overview = overview_data(store, tasks) | {"built": store.has("nodes"), "here": sorted(blocks), "address": address}
    overview["notes"] = _notes(store, address, len(blocks), tasks.num_rows, tree_id)
    text, _ = render_page(name, overview, blocks, opened=tree_id)
    return text, len(blocks), tasks.num_rows


def _packed_trees(store: Store, tree_ids: list[str]) -> Iterator[tuple[str, str]]:
    for start in range(0, len(tree_ids), TREES_PER_QUERY):
        some = tree_ids[start : start + TREES_PER_QUERY]
        with only_trees(store, some) as near:
            for tree_id in some:
                yield tree_id, pack(tree_data(near, tree_id))


def _notes(store: Store, address: str, here: int, in_all: int, tree_id: str | None) -> list[dict[str, str]]:
    """Says which trees are not in the page, and how to see them; `address` is quoted."""
    if not store.has("nodes"):
        return [{"text": "The trees have not been built yet:", "command": f"tratree build {address}"}]
    if here == in_all:
        return []
    what = f"{here:,} of {in_all:,} trees" + ("" if tree_id else ", those with the most divergences")
    return [{"text": f"This page contains {what}. To see all of them:", "command": f"tratree view {address} --serve"}]


def render_page(
    name: str,
    overview: dict[str, Any] | None,
    blocks: dict[str, str],
    *,
    opened: str | None = None,
    served: bool = False,
    annotating: dict[str, str] | None = None,
) -> tuple[str, str]:
    """The whole page and its content security policy; with `served` the data comes from the server.

    `annotating` has the author and the token with which our page identifies itself.
    """
    settings = {"name": name, "served": served, "open": opened, "scale": [[at, list(rgb)] for at, rgb in SCALE]}
    settings |= {"annotate": annotating is not None, **(annotating or {"author": "", "token": ""})}
    library = (PAGE / "vendor" / "d3-hierarchy.min.js").read_text(encoding="utf-8")
    parts = "\n".join((PAGE / "script" / f"{part}.js").read_text(encoding="utf-8") for part in SCRIPTS)
    script = "\n".join([library, f"(() => {{\n'use strict';\nconst settings = {script_json(settings)};\n{parts}\n}})();"])
    style = (PAGE / "style.css").read_text(encoding="utf-8")
    data = [_block(f"tree-{tree_id}", packed) for tree_id, packed in blocks.items()]
    if overview is not None:
        data.insert(0, _block("overview-data", pack(overview)))
    policy = content_policy(script, style, served)
    text = Template((PAGE / "page.html").read_text(encoding="utf-8")).substitute(
        policy=html.escape(policy),
        version=html.escape(__version__),
        title=html.escape(name),
        style=style,
        script=script,
        data="\n".join(data),
    )
    return text, policy


def _block(name: str, packed: str) -> str:
    return f'<script type="application/octet-stream" id="{html.escape(name)}">{packed}</script>'


def content_policy(script: str, style: str, served: bool) -> str:
    """Allows this script and this style only, and data from the server if it is served."""
    sources = {"script-src": _hash(script), "style-src": _hash(style), "img-src": "data:", "connect-src": "'self'" if served else "'none'"}
    closed = ("default-src", "base-uri", "form-action")
    return "; ".join([*(f"{name} 'none'" for name in closed), *(f"{name} {value}" for name, value in sources.items())])


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def pack(value: Any) -> str:
    """JSON, deflated and in base64: small, and unable to close the script element that contains it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode("utf-8", "surrogatepass"), 6)).decode()


def script_json(value: Any) -> str:
    """JSON inside a script: '<' and JavaScript's line separators are escaped."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def dataset_name(directory: str | Path) -> str:
    """The name of a dataset in the page: its folder, or its address."""
    text = str(directory)
    name = text if ":" in text else Path(text).resolve().name or "dataset"
    return name.encode("utf-8", "replace").decode()
