"""What a study leaves: tables of the default against the tuned options, and a picture of its history."""

import os
from collections.abc import Mapping, Sequence

from reid.files import atomic_path
from tracking.evaluation import format_row
from tracking.score_tables import TextTable
from tracking.tune_ranges import Range
from tracking.tune_study import Trial
from tracking.tune_trials import Scores

COLUMNS = ("HOTA", "IDF1", "MOTA", "DetA", "AssA", "IDSW", "Frag")
DEFAULT, TUNED = "default", "tuned"
GROUPS = {"tune": "tuned on", "hold_out": "held out"}
NO_HOLD_OUT = "no sequence was held out, so the tuned options are judged on what they were chosen on; see --hold-out"


def score_table(scores: Mapping[str, Mapping[str, Scores]]) -> TextTable:
    """Returns the default and the tuned options, one row a sequence, and over the sequences of each group.

    Args:
        scores: "tune" and, where there is one, "hold_out" to `DEFAULT` and `TUNED` to the scores.
    """
    rows = []
    for group, both in scores.items():
        for name in both[DEFAULT]:
            for kind in (DEFAULT, TUNED):
                rows.append((f"{GROUPS[group]}: {name}", kind, *format_row(both[kind][name], COLUMNS)))
    notes = () if "hold_out" in scores else (NO_HOLD_OUT,)
    return TextTable("Default against tuned", ("sequences", "options", *COLUMNS), tuple(rows), notes)


def option_table(method: str, before: object, after: object, ranges: Mapping[str, Range]) -> TextTable:
    """Returns the options that were tuned, before and after."""
    rows = tuple((name, _text(getattr(before, name)), _text(getattr(after, name))) for name in ranges)
    return TextTable(f"Options of {method}", ("option", DEFAULT, TUNED), rows)


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def draw_history(path: str | os.PathLike[str], trials: Sequence[Trial], default: float, objective: str) -> None:
    """Draws every trial, the best so far, and the default, as PNG, whole or not at all.

    Args:
        path: The picture.
        trials: In their order, at least one.
        default: What the default options reach.
        objective: Name of the value.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    values = [100 * trial.value for trial in trials]
    best = [max(values[: number + 1]) for number in range(len(values))]
    numbers = range(1, len(values) + 1)
    axes.scatter(numbers, values, s=14, color="#56b4e9", label="trial")
    axes.step(numbers, best, where="post", color="#d55e00", label="best so far")
    axes.axhline(100 * default, color="#000000", linestyle="--", linewidth=1, label="default")
    # A few hopeless trials would press all others into one line.
    ordered = sorted(values)
    low = min(ordered[len(ordered) // 4], 100 * default)
    high = max(*values, 100 * default)
    room = max(0.1 * (high - low), 0.1)
    axes.set_ylim(low - 5 * room, high + room)
    hidden = sum(value < low - 5 * room for value in values)
    axes.set_xlabel("trial" + (f" ({hidden} lie below the picture)" if hidden else ""))
    axes.set_ylabel(f"{objective} on the sequences tuned on (%)")
    axes.legend(loc="lower right")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
