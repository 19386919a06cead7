"""One demo for all tests that look at it: the recipe runs once, whatever the number of test processes."""

import fcntl
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.visits import CHROMIUM

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch's threads spin while they wait, and other tests need the core
os.environ["TRATREE_CACHE"] = "off"  # what a test embeds depends on nothing that another left behind


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder that holds demo/ and demo-release/, made by `tratree run demo demo`. Read it, do not write to it."""
    from tratree_data.pipelines import run

    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "demo-run"
    folder.mkdir(exist_ok=True)
    with open(folder / ".once", "a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            assert all(report.changed for report in run(folder / "demo", "demo"))
            (folder / "done").touch()
    return folder


@pytest.fixture
def demo_copy(demo_run: Path, tmp_path: Path) -> Path:
    """A demo of one's own, to be changed."""
    return Path(shutil.copytree(demo_run, tmp_path / "copy", ignore=shutil.ignore_patterns(".once", "done")))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium; tests that visit pages are marked needs_chromium."""
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


def pytest_configure() -> None:
    """A shell that starts the tests in the background has Ctrl-C ignored, and so would every process that they start and interrupt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
