"""Visits to the page in a real Chromium, with everything that went wrong on it."""

import shutil
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install chromium")


class Visit:
    """A page, with everything that went wrong on it."""

    def __init__(self, browser: Any, address: str, width: int = 1280, height: int = 860, scheme: str = "light", scale: float = 1) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme, device_scale_factor=scale)
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.problems.append(message.text) if message.type in {"error", "warning"} else None)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: self.problems.append(f"dialog {dialog.message}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(address)
        self.page.wait_for_selector("#overview h1, #stage canvas, #outline-rows > *, #side-body > *, #loading .text", state="attached")

    def __enter__(self) -> "Visit":
        return self

    def __exit__(self, *error: object) -> None:
        self.page.close()
        if error[0] is None:
            assert not self.problems

    def place(self) -> dict[str, str]:
        fields = self.page.evaluate("Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")
        assert isinstance(fields, dict)
        return fields

    def until(self, expression: str) -> None:
        """Waits until the expression holds. (Playwright's own way evaluates in the page, which its security policy forbids.)"""
        for _ in range(200):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(25)
        raise AssertionError(f"never came true: {expression}")

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))
