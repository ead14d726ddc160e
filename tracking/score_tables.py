"""Scores of runs as tables: on the console, and as CSV, Markdown and HTML."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracking.evaluation import format_row
from tracking.trackeval_scores import RATIOS

COLUMNS = (
    *("HOTA", "DetA", "AssA", "LocA", "MOTA", "MOTP", "MODA", "sMOTA", "IDF1", "CLR_Re", "CLR_Pr"),
    *("MT", "PT", "ML", "IDSW", "Frag"),
)
SPEED = "frames/s"


@dataclass(frozen=True)
class ScoredRun:
    """A run and its scores.

    Attributes:
        label: Its name.
        method: The tracker.
        checkpoint: Label of the network, "" for none.
        evaluation: What `tracking.evaluation.evaluate_mot` returned; None where there is no ground truth.
        speed: Sequence, and "COMBINED", to frames a second inside update().
        frames: Sequence to frames tracked.
        switched: The flag that an ablation changed, "" for none.
    """

    label: str
    method: str
    checkpoint: str
    evaluation: Mapping[str, Any] | None
    speed: Mapping[str, float]
    frames: Mapping[str, int]
    switched: str = ""


@dataclass(frozen=True)
class TextTable:
    """A table of text: the first column on the left, the others on the right.

    Attributes:
        title: Stands above it.
        header: Names of the columns.
        rows: As many texts each.
        notes: Stand below it.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def markdown(self) -> str:
        """Returns the table in Markdown, title and notes included."""
        lines = [f"## {self.title}", "", "| " + " | ".join(self.header) + " |"]
        lines.append("|---" + "|---:" * (len(self.header) - 1) + "|")
        lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in self.rows]
        lines += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines) + "\n"

    def show(self) -> None:
        """Prints the table as wide as it is; a narrower terminal wraps its lines and cuts nothing off."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]
        texts = []
        for first, *others in lines:
            right = "".join(f"  {cell:>{width}}" for cell, width in zip(others, widths[1:]))
            texts.append(f"{first:<{widths[0]}}{right}")
        print("\n".join(["", self.title, "", texts[0], "─" * len(texts[0]), *texts[1:]]))
        for note in self.notes:
            print(f"note: {note}")


def run_table(run: ScoredRun) -> TextTable:
    """Returns one row a sequence, then COMBINED; where nothing is scored, frames and speed alone."""
    evaluation = run.evaluation
    if evaluation is None:
        total = sum(run.frames.values())
        counts = {**run.frames, "COMBINED": total}
        rows = tuple((name, str(counts[name]), f"{run.speed[name]:.0f}") for name in counts)
        return TextTable(run.label, ("sequence", "frames", SPEED), rows, ("not scored: there is no ground truth",))
    scored = {**evaluation["sequences"], "COMBINED": evaluation["COMBINED"]}
    frames = {**run.frames, "COMBINED": sum(run.frames.values())}
    rows = tuple(
        (name, str(frames[name]), *format_row(scores, COLUMNS), f"{run.speed[name]:.0f}")
        for name, scores in scored.items()
    )
    return TextTable(run.label, ("sequence", "frames", *COLUMNS, SPEED), rows, tuple(evaluation["notes"]))


def summary_table(runs: Sequence[ScoredRun]) -> TextTable:
    """Returns the COMBINED scores, one row a run."""
    rows = tuple(
        (run.label, *format_row(run.evaluation["COMBINED"], COLUMNS), f"{run.speed['COMBINED']:.0f}")
        for run in runs
        if run.evaluation is not None
    )
    return TextTable("COMBINED", ("run", *COLUMNS, SPEED), rows)


def matrix_table(runs: Sequence[ScoredRun]) -> TextTable | None:
    """Returns HOTA / IDF1 by checkpoint and tracker, or None for fewer than two checkpoints or trackers."""
    checkpoints = list(dict.fromkeys(run.checkpoint for run in runs if run.checkpoint))
    methods = list(dict.fromkeys(run.method for run in runs))
    if len(checkpoints) < 2 or len(methods) < 2 or any(run.evaluation is None for run in runs):
        return None
    cells = {}
    for run in runs:
        assert run.evaluation is not None
        scores = run.evaluation["COMBINED"]
        cells[run.checkpoint, run.method] = f"{100 * scores['HOTA']:.2f} / {100 * scores['IDF1']:.2f}"
    # A tracker without appearance has one result, whatever the network.
    rows = tuple(
        (checkpoint, *(cells.get((checkpoint, method), cells.get(("", method), "")) for method in methods))
        for checkpoint in checkpoints
    )
    return TextTable("HOTA / IDF1 by network and tracker", ("network", *methods), rows)


def scores_csv(runs: Sequence[ScoredRun]) -> str:
    """Returns one line a run and sequence, COMBINED included; ratios are in 0..1."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("run", "tracker", "checkpoint", "sequence", "frames", *COLUMNS, "frames_per_second"))
    for run in runs:
        scored: dict[str, Any] = dict.fromkeys((*run.frames, "COMBINED"))
        if run.evaluation is not None:
            scored = {**run.evaluation["sequences"], "COMBINED": run.evaluation["COMBINED"]}
        for name, scores in scored.items():
            values = [""] * len(COLUMNS) if scores is None else [_number(key, scores[key]) for key in COLUMNS]
            frames = run.frames.get(name, sum(run.frames.values()))
            writer.writerow((run.label, run.method, run.checkpoint, name, frames, *values, f"{run.speed[name]:.1f}"))
    return text.getvalue()


def _number(key: str, value: float) -> str:
    return f"{value:.6f}" if key in RATIOS else f"{value:.0f}"
