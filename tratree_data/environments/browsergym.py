"""Web pages through BrowserGym, as `browsergym:miniwob.click-test`: the page as its accessibility tree, actions such as `click("12")`.

MiniWoB's pages come with the package `miniwob` and are opened as files; the browser is the system's Chromium unless `browser` names
another.
"""

import os
import shutil
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tratree_data.environments.gymnasium import GymnasiumEnvironment, make_gym
from tratree_data.environments.requirements import Requirement, met, package_version
from tratree_data.errors import MissingPackageError, NotFoundError

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_COMMAND = "apt-get install chromium"
STEPS = 20


class BrowserGymEnvironment(GymnasiumEnvironment):
    def __init__(self, target: str, browser: str = "", data: str | Path = "", steps: int = STEPS, **options: Any) -> None:
        self.browser, self.pages = browser, ""
        if target.startswith("miniwob."):
            for package in self.requirements()[: 1 if data else 2]:
                met(package)
            self.pages = _pages(data)
        super().__init__(target, steps=steps, **options)
        self.name = f"browsergym:{target}"
        self.version = f"browsergym-core {package_version('browsergym-core')}, miniwob {package_version('miniwob')}, {self.version}"

    @classmethod
    def requirements(cls) -> list[Requirement]:
        packages = [
            Requirement(name, package_version(name), "pip install browsergym-miniwob miniwob") for name in ("browsergym-miniwob", "miniwob")
        ]
        return [*packages, Requirement("Chromium", _browser(), BROWSER_COMMAND)]

    def _make(self, target: str, options: Mapping[str, Any]) -> Any:
        package = f"browsergym.{target.partition('.')[0]}"
        os.environ.setdefault(
            "MINIWOB_URL", self.pages
        )  # without it, the package cannot be imported; this process belongs to the environment alone
        try:
            import_module(package)
        except ImportError as error:
            raise MissingPackageError(f"{package} is needed here: {error}.\nNext: pip install browsergym-miniwob miniwob") from error
        from browsergym.core.action.highlevel import HighLevelActionSet

        browser = self.browser or _browser()
        if not browser:
            raise MissingPackageError(f"No Chromium was found.\nNext: {BROWSER_COMMAND}, or --option browser=PATH")
        self.action_set = HighLevelActionSet(["bid"], multiaction=False, strict=False)
        _use_browser(browser)
        task = {"task_kwargs": {"base_url": self.pages}} if self.pages else {}
        return make_gym(f"browsergym/{target}", {"action_mapping": self.action_set.to_python_code, **task, **options})

    def _prompt(self, target: str) -> str:
        actions = self.action_set.describe(with_long_description=False, with_examples=True)
        return f"Act on a web page. Elements have numbers in brackets.\n\n{actions}\n\nThought: your thoughts.\n\nAction: your next action."

    def _text(self, seen: Any) -> str:
        from browsergym.utils.obs import flatten_axtree_to_str

        error = str(seen.get("last_action_error") or "").strip()
        page = flatten_axtree_to_str(seen["axtree_object"], extra_properties=seen["extra_element_properties"]).strip()
        page = page.replace(self.pages, "miniwob/") if self.pages else page
        return f"{error.splitlines()[0]}\n\n{page}" if error else page


def _use_browser(path: str) -> None:
    """BrowserGym starts two browsers but lets the user choose only one; its single Playwright starts both."""
    from browsergym.core import _get_global_playwright

    chromium = _get_global_playwright().chromium
    chromium.launch = partial(type(chromium).launch, chromium, executable_path=path)


def _browser() -> str:
    return next(filter(None, map(shutil.which, BROWSERS)), "")


def _pages(data: str | Path) -> str:
    """The folder of MiniWoB's pages as an address."""
    found = find_spec("miniwob")
    folder = Path(data) if data else Path(next(iter(found.submodule_search_locations or ()), "")) / "html" / "miniwob" if found else None
    if folder is None or not folder.is_dir():
        raise NotFoundError("MiniWoB's pages were not found.\nNext: pip install miniwob, or --data FOLDER with its html/miniwob")
    return f"{folder.resolve().as_uri()}/"
