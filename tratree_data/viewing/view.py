"""Trees in the browser: one self-contained page, or the same page served by this machine if the dataset is too large for a file."""

import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from tratree_data.errors import BadInputError
from tratree_data.store.published.release import open_dataset
from tratree_data.system.plain_text import one_line
from tratree_data.system.safe_paths import name_part, need_local
from tratree_data.viewing.notebooks import page_frame
from tratree_data.viewing.serve import PageServer
from tratree_data.viewing.shown_trees import find_tree
from tratree_data.viewing.web_page import dataset_name, page_of_trees

TREES_PER_PAGE = 200


@dataclass(frozen=True)
class Page:
    """A page that was written; a notebook displays it."""

    path: Path
    trees: int
    trees_in_all: int
    bytes: int

    def _repr_html_(self) -> str:
        return page_frame(self.path.read_text(encoding="utf-8"))


def view(directory: str | Path, task: str | None = None, *, out: str | Path | None = None, trees: int = TREES_PER_PAGE) -> Page:
    """Writes the page of a dataset or release, or of one task. Without `out` the file is named after the dataset."""
    store = open_dataset(directory)
    name = dataset_name(directory)
    tree_id = None if task is None else find_tree(store, task)
    path = need_local(out, "a page") if out is not None else Path(f"{name}-{name_part(tree_id)[:8]}.html" if tree_id else f"{name}.html")
    text, held, in_all = page_of_trees(store, name, address=str(directory), tree_id=tree_id, trees=trees)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"{path} cannot be written: {error.strerror}.\nNext: choose a writable place with --out") from error
    return Page(path, held, in_all, len(text.encode()))


def show_page(
    directory: str | Path,
    task: str | None,
    *,
    out: str | None,
    trees: int,
    serve: bool,
    port: int,
    browser: bool | None,
    annotate: str | None = None,
) -> None:
    """Writes or serves the page, and opens it in the browser if stdout is a terminal (or as `browser` says)."""
    browser = sys.stdout.isatty() if browser is None else browser
    if annotate is not None and not serve:
        raise BadInputError("A page in a file cannot store annotations.\nNext: add --serve")
    if serve:
        with PageServer(directory, task, port=port, author=annotate) as server:
            print(server.url, flush=True)
            print("Serving this dataset to this machine only. Press Ctrl-C to stop.", file=sys.stderr)
            if browser:
                webbrowser.open(server.url)
            server.serve_forever()
        return
    page = view(directory, task, out=out, trees=trees)
    print(page.path)
    more = "" if task or page.trees == page.trees_in_all else f"; all of them: tratree view {quote(one_line(str(directory)))} --serve"
    print(f"{page.trees:,} of {page.trees_in_all:,} trees, {page.bytes / 1e6:.1f} MB{more}", file=sys.stderr)
    if browser:
        webbrowser.open(page.path.resolve().as_uri())
