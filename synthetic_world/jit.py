"""Compilation of the pixel loops."""

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a pixel loop for one thread, keeping the machine code on disk where that is possible.

    The cache makes further processes start without compiling. Numba refuses to cache when neither the package's
    folder nor the user's cache folder can be written; the loop is then compiled anew by each process. Numba only
    notices changes in the file of the loop itself, so loops that call each other live in one file.
    """
    options: dict[str, Any] = {"nogil": True, "fastmath": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)
