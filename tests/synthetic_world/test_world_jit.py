"""Compilation of the pixel loops."""

from typing import Any

import numba
import pytest

from synthetic_world.jit import compiled


def test_loops_compile_where_nothing_can_be_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = numba.njit
    asked: list[bool] = []

    def without_cache(*args: Any, **options: Any) -> Any:
        asked.append(options.get("cache", False))
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return plain(*args, **options)

    monkeypatch.setattr(numba, "njit", without_cache)

    def double(x: float) -> float:
        return 2 * x

    assert compiled(double)(3.0) == 6.0
    assert asked[:2] == [True, False]  # numba compiles more of its own on first use
