"""Ids are content hashes where we make them, but a stranger's dataset may have anything there: markup, or a path to another folder."""

import contextlib
import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from helpers.poisoned import poisoned
from helpers.shop import make_dataset
from helpers.visits import CHROMIUM, needs_chromium

from tratree_data import export, figure, open_store, publish, states, view
from tratree_data.errors import TratreeError
from tratree_data.system.safe_paths import name_part

MARKUP = '"></script></title><meta http-equiv="refresh" content="0;url=https://x.invalid/"><img src=x onerror=alert(1)>)<script>alert(1)'
PATHS = ("{outside}/", "../../../../../../outside/", "6/../../../outside/", "\0")
ENUMS = {"kind", "form", "merged_by", "method", "end_reason", "role"}
IDS = re.compile("(_id|_ids|split|environment)$")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_dataset(tmp_path_factory.mktemp("ids") / "d", range(2))
    states(folder)
    return folder


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found |= {tag, *(f"{tag} {name}" for name, _ in attrs if name.startswith("on") or name == "http-equiv")}


def test_ids_that_are_markup_stay_text_in_pages_and_cards(source: Path, tmp_path: Path) -> None:
    clean = Tags(view(source, out=tmp_path / "clean.html").path.read_text()).found
    d = poisoned(source, tmp_path / "d", lambda column, text: text if column in ENUMS else text + MARKUP)
    assert Tags(view(d, out=tmp_path / "page.html").path.read_text()).found == clean
    publish(d, tmp_path / "release", "1.0.0", traces=4)
    assert Tags((tmp_path / "release/reports/trees.html").read_text()).found == clean
    card = (tmp_path / "release/README.md").read_text()
    assert Tags(card).found <= {"details", "summary", "pre"}
    assert all("<" not in link and '"' not in link for link in re.findall(r"\]\(([^)]*)\)", card))
    assert not Tags((tmp_path / "release/images/tree.svg").read_text()).found & {"script", "img", "meta", "foreignobject", "a"}


@needs_chromium
def test_a_browser_stays_on_a_page_whose_ids_are_markup(source: Path, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    d = poisoned(source, tmp_path / "d", lambda column, text: text if column in ENUMS else text + MARKUP)
    address = view(d, out=tmp_path / "page.html").path.as_uri()
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: asked.append(f"dialog {dialog.message}"))
        page.goto(address)
        page.wait_for_selector("#overview h1", state="attached")
        page.wait_for_timeout(300)
        assert asked == [address]
        assert page.url.partition("#")[0] == address
        assert page.locator("img, meta[http-equiv=refresh], iframe").count() == 0
        browser.close()


@pytest.mark.parametrize("path", PATHS, ids=ascii)
def test_ids_that_are_paths_lead_nowhere(source: Path, tmp_path: Path, path: str) -> None:
    outside, work = tmp_path / "outside", tmp_path / "a/b/work"
    outside.mkdir()
    work.mkdir(parents=True)
    prefix = path.format(outside=outside)
    d = poisoned(source, work / "d", lambda column, text: prefix + text if IDS.search(column) else text)
    tree_id = open_store(d).sql("SELECT min(tree_id) AS t FROM rollouts")["t"][0].as_py()
    before = _files(tmp_path, work)
    with contextlib.chdir(work):
        for attempt in (
            lambda: view("d", tree_id),
            lambda: figure("d", "tree", task=tree_id),
            *(lambda kind=kind: export("d", f"as-{kind}", kind) for kind in ("atif", "sts", "agenttraj")),
            lambda: publish("d", "release", "1.0.0", traces=4),
        ):
            with contextlib.suppress(TratreeError):
                attempt()
        assert (work / "as-sts").is_dir(), "a plain name is found for every file"
    assert _files(tmp_path, work) == before


def test_only_plain_ids_are_names() -> None:
    assert name_part("61b7c5a09b90580e") == "61b7c5a09b90580e"
    for text in ("../x", "/x", "", ".", "-", "a\0", "a\n", "é", "x" * 65):
        assert re.fullmatch("[0-9a-f]{16}", name_part(text)), text


def _files(folder: Path, apart_from: Path) -> list[str]:
    def walk() -> Iterator[str]:
        for place, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if Path(place, name) != apart_from]
            yield from (os.path.join(place, name) for name in (*folders, *names))

    return sorted(walk())
