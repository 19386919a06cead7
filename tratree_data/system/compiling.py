"""Loops compiled by Numba, kept on disk where some folder for that is writable."""

from collections.abc import Callable
from typing import Any

import numba
from numba.np import linalg


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


def _spare_scipy() -> None:
    """Numba looks for SciPy's BLAS with its first kernel, which takes longer than most kernels; whoever multiplies finds it as ever."""
    look = linalg.ensure_blas
    linalg.ensure_blas = lambda: None
    try:
        from numba.np import arraymath
    finally:
        linalg.ensure_blas = look
    arraymath.ensure_blas = look


_spare_scipy()
