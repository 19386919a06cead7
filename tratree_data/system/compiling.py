"""Loops compiled by Numba, kept on disk where some folder for that is writable."""

import sys
import warnings
from collections.abc import Callable
from typing import Any


def _import_numba() -> Any:
    """Numba takes settings, also where its pickled code is, from a file in the current folder, which may be somebody's dataset.

    It reads that file with YAML when it is imported, and again whenever it compiles.
    """
    if "numba" in sys.modules:  # by a program of the user's, with its settings
        return sys.modules["numba"]
    yaml = sys.modules.get("yaml")
    sys.modules["yaml"] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "A Numba config file is found")
            import numba
    finally:
        del sys.modules["yaml"]
        if yaml is not None:
            sys.modules["yaml"] = yaml
    from numba.core import config

    config._config_fname = ""
    return numba


numba = _import_numba()

COMPILATION = "numba:compile"
"""Numba's event for a loop that it did not find on disk."""


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """numba.njit that runs without the interpreter's lock. A process that may write nowhere, as in many containers, compiles anew."""

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, nogil=True, **options)(function)
        except RuntimeError as error:
            if "no locator" not in str(error):
                raise
            return numba.njit(nogil=True, **options)(function)

    return decorate


def _say_what_takes_so_long() -> None:
    """Says in a terminal, with the first compilation, why nothing seems to happen."""
    from numba.core import event

    class FirstCompilation(event.Listener):  # type: ignore[misc]
        def on_start(self, event_: Any) -> None:
            event.unregister(COMPILATION, self)
            if sys.stderr.isatty():
                print("Compiling the loops of trees and search: half a minute, once per installation …", file=sys.stderr, flush=True)

        def on_end(self, event_: Any) -> None:
            pass

    event.register(COMPILATION, FirstCompilation())


def _spare_scipy() -> None:
    """Numba looks for SciPy's BLAS with its first kernel, which takes longer than most kernels; whoever multiplies finds it as ever."""
    from numba.np import linalg

    look = linalg.ensure_blas
    linalg.ensure_blas = lambda: None
    try:
        from numba.np import arraymath
    finally:
        linalg.ensure_blas = look
    arraymath.ensure_blas = look


_spare_scipy()
_say_what_takes_so_long()
