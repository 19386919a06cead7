"""Takes the picture on the README's first screen, light and dark, from the demo: python -m helpers.picture demo."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

from helpers.visits import CHROMIUM, Visit
from tratree_data.viewing.view import view

DOCS = Path(__file__).parents[2] / "docs"
TASK = "B021E72XTX-5"


def take_pictures(dataset: str) -> None:
    """The most decisive step of the task, selected."""
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        address = view(dataset, TASK, out=Path(folder) / "demo.html").path.as_uri()
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for scheme, name in (("light", "view.png"), ("dark", "view-dark.png")):
            with Visit(chromium, address, 1280, 720, scheme, scale=1.5) as visit:
                visit.page.click("#tab-decisions")
                visit.page.click("#side-body .pair >> nth=0")
                visit.page.wait_for_timeout(1000)
                visit.page.screenshot(path=DOCS / name)
        chromium.close()


if __name__ == "__main__":
    take_pictures(sys.argv[1])
