"""Loops compiled by Numba, kept on disk where some folder for that is writable."""

from collections.abc import Callable
from typing import Any

import numba


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
