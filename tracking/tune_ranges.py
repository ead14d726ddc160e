"""What of each tracker is tuned, and within which bounds, unless one says otherwise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Span:
    """Numbers from `low` to `high`, both included; whole ones where both are, evenly spread or by their logarithm."""

    low: float
    high: float
    logarithmic: bool = False

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def __contains__(self, value: Any) -> bool:
        return isinstance(value, (int, float)) and self.low <= value <= self.high


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    values: tuple[Any, ...]

    def __contains__(self, value: Any) -> bool:
        return value in self.values


Range = Span | Choice
FLAG = Choice((False, True))

_REIDSORT: dict[str, Range] = {
    "high_confidence": Span(0.1, 0.8),
    "new_confidence": Span(0.1, 0.9),
    "max_duplicate": Span(0.4, 1.0),
    "appearance_weight": Span(0.2, 0.9),
    "max_different": Span(0.5, 1.0),
    "max_cost": Span(0.3, 0.9),
    "min_iou": Span(0.05, 0.6),
    "max_reentry": Span(0.0001, 0.1, logarithmic=True),
    "reentry_speed": Span(0.02, 0.5, logarithmic=True),
    "n_init": Span(1, 5),
    "max_age": Span(10, 150),
    "coast_hidden": Span(0, 40),
}
_STRONGSORT: dict[str, Range] = {
    "min_confidence": Span(0.0, 0.8),
    "max_cosine": Span(0.05, 0.9),
    "ema_momentum": Span(0.5, 0.99),
    "appearance_weight": Span(0.8, 1.0),
    "max_iou_distance": Span(0.4, 0.95),
    "n_init": Span(1, 5),
    "max_age": Span(10, 120),
    "coast": Span(0, 5),
    "nsa": Choice(("paper", "released", "off")),
}
_OCSORT: dict[str, Range] = {
    "min_confidence": Span(0.0, 0.8),
    "min_iou": Span(0.05, 0.6),
    "inertia": Span(0.0, 1.0),
    "delta_t": Span(1, 8),
    "n_init": Span(1, 5),
    "max_age": Span(10, 120),
}
_BYTETRACK: dict[str, Range] = {
    "high_confidence": Span(0.2, 0.9),
    "new_confidence": Span(0.2, 0.95),
    "min_iou": Span(0.05, 0.6),
    "min_iou_weak": Span(0.1, 0.8),
    "n_init": Span(1, 5),
    "max_age": Span(10, 120),
}
# Each holds the tracker's defaults, so that a study can begin with them. Confidences are those of detectors in 0..1.
RANGES: dict[str, dict[str, Range]] = {
    "botsort": {
        **_BYTETRACK,
        "max_cosine": Span(0.05, 0.9),
        "max_iou_distance": Span(0.2, 0.95),
        "ema_momentum": Span(0.5, 0.99),
    },
    "bytetrack": _BYTETRACK,
    "deepocsort": {**_OCSORT, "appearance_bonus": Span(0.0, 2.0), "weight_limit": Span(0.0, 1.0)},
    "deepsort": {
        **{name: span for name, span in _STRONGSORT.items() if name not in ("ema_momentum", "appearance_weight")},
        "gallery_size": Span(5, 200, logarithmic=True),
    },
    "ocsort": _OCSORT,
    "reidsort": _REIDSORT,
    "reidsort++": {name: span for name, span in _REIDSORT.items() if name != "coast_hidden"},
    "sort": {
        "min_confidence": Span(0.0, 0.8),
        "min_iou": Span(0.05, 0.6),
        "n_init": Span(1, 5),
        "max_age": Span(0, 30),
    },
    "strongsort": _STRONGSORT,
    "strongsort++": _STRONGSORT,
}
# Options that change something only where a flag of the tracker, if it has that flag, stands so: option -> flag, value.
NEEDS: dict[str, tuple[tuple[str, bool], ...]] = {
    "max_cosine": (("appearance", True),),
    "ema_momentum": (("appearance", True), ("ema", True)),
    "gallery_size": (("appearance", True), ("ema", False)),
    "appearance_weight": (("appearance", True), ("motion_cost", True)),
    "appearance_bonus": (("appearance", True),),
    "weight_limit": (("appearance", True), ("adaptive_weight", True)),
    "max_different": (("appearance", True),),
    "max_reentry": (("appearance", True),),
    "reentry_speed": (("appearance", True),),
}
OWN_NEEDS: dict[str, dict[str, tuple[tuple[str, bool], ...]]] = {
    "botsort": {"max_iou_distance": (("appearance", True),)},
    "reidsort": {"min_iou": (("second_stage", True),)},
    "reidsort++": {"min_iou": (("second_stage", True),)},
}


def chosen_ranges(
    method: str, options: Any, params: Sequence[str] | None, fixed: Mapping[str, Any], lowest: float
) -> dict[str, Range]:
    """Returns what is tuned.

    Args:
        method: The tracker.
        options: Its options otherwise; what they switch off is left out.
        params: Names of options; None takes all of the table that are not fixed.
        fixed: What the user set.
        lowest: No confidence below is tried, since such detections are not there.

    Raises:
        ValueError: When an option has no range, is fixed, or would change nothing.
    """
    table = RANGES[method]
    needs = {**NEEDS, **OWN_NEEDS.get(method, {})}
    off = {
        name: flag
        for name, flags in needs.items()
        for flag, wanted in flags
        if getattr(options, flag, wanted) is not wanted
    }
    if params is None:
        params = [name for name in table if name not in fixed and name not in off]
    for name in params:
        if name not in table:
            raise ValueError(f"--params: got {name}, allowed for {method}: {', '.join(table)}")
        if name in fixed:
            raise ValueError(f"--params: got {name}, which is set to {fixed[name]}; leave one of them out")
        if name in off:
            raise ValueError(
                f"--params: got {name}, which changes nothing with {off[name]} {getattr(options, off[name])}"
            )
    if not params or len(set(params)) < len(params):
        raise ValueError(f"--params: got {' '.join(params) or 'none'}, allowed: one or more, each once")
    ranges = {name: table[name] for name in params}
    limit = ranges.get("min_confidence")
    if isinstance(limit, Span):
        if lowest >= limit.high:
            raise ValueError(f"--min-confidence: got {lowest}, allowed to tune it: below {limit.high}")
        ranges["min_confidence"] = Span(max(limit.low, lowest), limit.high)
    return ranges
