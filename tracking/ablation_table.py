"""What each flag of a tracker is worth, with intervals over sequences."""

from collections.abc import Sequence

from tracking.score_resampling import difference_interval, resamples
from tracking.score_tables import SPEED, ScoredRun, TextTable

SCORES = ("HOTA", "AssA", "MOTA", "IDF1")


def ablation_table(runs: Sequence[ScoredRun], count: int, seed: int) -> TextTable:
    """Returns the base's COMBINED scores, and each other run's difference from them.

    In brackets the 95% interval of the percentile bootstrap over sequences, in which both runs are resampled alike.

    Args:
        runs: The base first; all scored.
        count: Resamples.
        seed: Of the resampling.
    """
    base = runs[0]
    assert base.evaluation is not None
    sequences = len(base.evaluation["sequences"])
    weights = resamples(sequences, count, seed)
    rows = []
    for run in runs:
        assert run.evaluation is not None
        cells = []
        for score in SCORES:
            value = 100 * run.evaluation["COMBINED"][score]
            if run is base:
                cells.append(f"{value:.2f}")
                continue
            cell = f"{value - 100 * base.evaluation['COMBINED'][score]:+.2f}"
            interval = difference_interval(base.evaluation, run.evaluation, score, weights)
            cells.append(cell if interval is None else f"{cell} [{100 * interval[0]:+.2f}, {100 * interval[1]:+.2f}]")
        switches = run.evaluation["COMBINED"]["IDSW"] - (0 if run is base else base.evaluation["COMBINED"]["IDSW"])
        cells.append(f"{switches:.0f}" if run is base else f"{switches:+.0f}")
        rows.append((run.switched or base.label, *cells, f"{run.speed['COMBINED']:.0f}"))
    notes = [f"[ ]: 95% interval of {count} resamples of {sequences} sequences, seed {seed}"]
    if sequences < 2:
        notes = ["one sequence has no interval"]
    elif sequences < 7:
        notes.append(f"{sequences} sequences are few: the true interval is wider")
    header = ("flag", *SCORES, "IDSW", SPEED)
    return TextTable(f"Each flag of {base.method} switched", header, tuple(rows), tuple(notes))
