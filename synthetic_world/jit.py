"""Compilation of the pixel loops."""

import contextlib
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba

OPTIONS: dict[str, Any] = {"nogil": True, "_nrt": False, "fastmath": True, "error_model": "numpy"}


@cache
def _sources() -> str:
    """Hash of all files that hold pixel loops."""
    texts = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"".join(text for text in texts if b".jit import compiled" in text)).hexdigest()


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a pixel loop for one thread, keeping the machine code on disk where that is possible.

    The loop may change the arrays it is given, but not make new ones: without reference counts it is twice as fast.

    The cache makes further processes start without compiling. Numba refuses to cache when neither the package's
    folder nor the user's cache folder can be written; the loop is then compiled anew by each process. Numba only
    notices changes in the file of the loop itself, so the cache is told of changes in the other files, too.
    """
    try:
        loop = numba.njit(cache=True, **OPTIONS)(function)
    except RuntimeError:
        return numba.njit(**OPTIONS)(function)
    with contextlib.suppress(AttributeError):
        index = loop._cache._cache_file
        index._source_stamp = (index._source_stamp, _sources())
    return loop


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a part of a pixel loop that is copied to where it is called, for many arguments take long to pass."""
    return numba.njit(forceinline=True, **OPTIONS)(function)
