"""Checks that the trackers' option classes share."""

from typing import Any


def require_range(name: str, value: Any, low: float, high: float) -> None:
    """Raises a ValueError when `value` is no number in low..high, both included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{name}: got {value!r}, allowed: a number in {low:g}..{high:g}")


def require_count(name: str, value: Any, low: int) -> None:
    """Raises a ValueError when `value` is no integer of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(f"{name}: got {value!r}, allowed: an integer >= {low}")


def require_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raises a ValueError when `value` is not one of `allowed`."""
    if value not in allowed:
        raise ValueError(f"{name}: got {value!r}, allowed: {', '.join(allowed)}")
