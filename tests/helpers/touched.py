"""A pytest plug-in of mutants.py: records which functions every test calls, or runs the named tests only, in their order.

MUTANTS_TOUCHED is a file to write: of each test that passed, its seconds and the functions of MUTANTS_FILES that it called.
MUTANTS_TESTS is a file to read: the tests to run.
"""

import json
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

TOUCHED = os.environ.get("MUTANTS_TOUCHED")
TESTS = os.environ.get("MUTANTS_TESTS")
FILES = frozenset(os.environ.get("MUTANTS_FILES", "").split(os.pathsep))

called: dict[str, set[tuple[str, int]]] = defaultdict(set)
"""By test, or by file for what its fixtures call: they may be shared."""
seconds: dict[str, float] = defaultdict(float)
passed: set[str] = set()


@contextmanager
def _recorded(name: str) -> Iterator[None]:
    def note(frame: FrameType, event: str, argument: Any) -> None:
        if frame.f_code.co_filename in FILES:
            called[name].add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

    tracing = note if TOUCHED else None
    threading.settrace(tracing)  # type: ignore[arg-type]
    sys.settrace(tracing)
    try:
        yield
    finally:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Any:
    with _recorded(item.nodeid.partition("::")[0]):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    with _recorded(item.nodeid):
        return (yield)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    seconds[report.nodeid] += report.duration
    if report.when == "call" and report.passed:
        passed.add(report.nodeid)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if TESTS:
        order = {name: place for place, name in enumerate(json.loads(Path(TESTS).read_text(encoding="utf-8")))}
        items[:] = sorted((item for item in items if item.nodeid in order), key=lambda item: order[item.nodeid])


def pytest_sessionfinish() -> None:
    if TOUCHED:
        found = {name: (seconds[name], sorted(called[name] | called[name.partition("::")[0]])) for name in passed}
        Path(TOUCHED).write_text(json.dumps(found), encoding="utf-8")
