"""Scores of MOT results by TrackEval, the only judge: HOTA, CLEAR and Identity.

python -m tracking.evaluation --gt DIR --results DIR
python -m tracking.evaluation check PATH
python -m tracking.evaluation explain RESULT --gt DIR
"""

import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

if __package__ in (None, ""):  # run as a file: the repository root, not this folder, is where imports start
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from tracking.sequences import Sequence, find_sequences, match_sequences, read_sequence
from tracking.trackeval_scores import BENCHMARKS, RATIOS, ScoreTask, flatten, score_tasks

# By localisation threshold; with the counts, whoever has them can combine sequences as TrackEval does.
CURVES = ("HOTA", "DetA", "AssA", "LocA", "HOTA_TP", "HOTA_FN", "HOTA_FP")
ALPHAS = tuple(round(0.05 * step, 2) for step in range(1, 20))
# Word to the module whose main() runs it.
COMMANDS = {"check": "tracking.check_command", "explain": "tracking.explain_command"}
TABLE = ("HOTA", "DetA", "AssA", "LocA", "MOTA", "MOTP", "IDF1", "IDSW", "MT", "PT", "ML", "Frag")


def evaluate_mot(
    gt_dir: str | os.PathLike[str],
    results_dir: str | os.PathLike[str],
    sequence_map: Mapping[str, str] | None = None,
    benchmark: str = "MOT16",
    processes: int = 1,
) -> dict[str, Any]:
    """Scores MOT result files against ground truth with TrackEval's MOTChallenge protocol.

    A sequence whose image folder has fewer images than seqinfo.ini says is scored on the frames that have one.

    Args:
        gt_dir: Folder of sequence folders (gt/gt.txt, seqinfo.ini) in the style of MOT15, 16, 17 or 20.
        results_dir: Folder with one <sequence>.txt a sequence; commas or spaces.
        sequence_map: Name of a result to name of its ground truth, where neither the name nor the two-digit number
            says it (MOT17-05-FRCNN finds MOT16-05 by its number).
        benchmark: One of `BENCHMARKS`; in MOT20 boxes on vehicles are dropped too. MOT15 is told by its ten columns.
        processes: Over which the sequences are spread. With more than one, a script that calls this at its top level
            needs `if __name__ == "__main__":`, as always where Python starts processes.

    Returns:
        "sequences": result name to scores, and "COMBINED": scores over all of them, counts summed (HOTA is not a
        mean over sequences). Scores are spelt as TrackEval spells them, ratios in 0..1. "matched": result to ground
        truth; "missing": ground truth without a result, which is not scored; "extra": results without ground
        truth; "frames": frames scored a sequence; "curves": sequence name and "COMBINED" to `CURVES`, a list over
        `ALPHAS` each; "notes": what a reader should know, in words.

    Raises:
        ValueError: When a file cannot be scored, with file, line, and what to do; when nothing can be scored.
    """
    if benchmark not in BENCHMARKS:
        raise ValueError(f"benchmark: got {benchmark!r}, allowed: {', '.join(BENCHMARKS)}")
    ground_truth = find_sequences(gt_dir)
    results = {path.stem: path for path in sorted(Path(results_dir).glob("*.txt"))}
    if not results:
        raise ValueError(f"{results_dir}: no result files; write one <sequence>.txt a sequence there")
    matched = match_sequences(results, ground_truth, sequence_map)
    if not matched:
        raise ValueError(
            f"{results_dir}: no result belongs to a ground truth; results: {', '.join(results)}; "
            f"ground truth: {', '.join(ground_truth)}; name them alike or pass sequence_map"
        )
    missing = sorted(set(ground_truth) - set(matched.values()))
    extra = sorted(set(results) - set(matched))
    sequences = {name: read_sequence(ground_truth[target]) for name, target in matched.items()}
    tasks = {name: ScoreTask(name, sequences[name], results[name], benchmark) for name in matched}
    raw = score_tasks(tasks, processes)
    scores = {name: flatten(value) for name, value in raw.items()}
    return {
        "sequences": {name: scores[name] for name in matched},
        "COMBINED": scores["COMBINED"],
        "matched": matched,
        "missing": missing,
        "extra": extra,
        "frames": {name: len(sequences[name].frames) for name in matched},
        "curves": {name: {key: value["HOTA"][key].tolist() for key in CURVES} for name, value in raw.items()},
        "notes": _notes(matched, sequences, missing, extra),
    }


def _notes(
    matched: Mapping[str, str], sequences: Mapping[str, Sequence], missing: list[str], extra: list[str]
) -> list[str]:
    notes = [f"{name} is scored against {target}" for name, target in matched.items() if name != target]
    for name, sequence in sequences.items():
        if len(sequence.frames) < sequence.info.length:
            notes.append(
                f"{name}: {len(sequence.frames)} of {sequence.info.length} frames have an image and are scored"
            )
    if missing:
        notes.append(f"not scored, no result: {', '.join(missing)}")
    if extra:
        notes.append(f"not scored, no ground truth: {', '.join(extra)}")
    return notes


def format_row(scores: Mapping[str, float], columns: tuple[str, ...] = TABLE) -> list[str]:
    """Returns the scores as text, ratios in percent with two digits."""
    return [f"{100 * scores[key]:.2f}" if key in RATIOS else f"{scores[key]:.0f}" for key in columns]


def print_scores(
    evaluation: Mapping[str, Any], title: str, extra: Mapping[str, Mapping[str, str]] | None = None
) -> None:
    """Prints a table: one row a sequence, then COMBINED, then the notes.

    Args:
        evaluation: What `evaluate_mot` returned.
        title: Stands above the table.
        extra: Column to (row name to text), put behind the scores.
    """
    from rich.console import Console
    from rich.table import Table

    extra = extra or {}
    table = Table(title=title)
    for column in ("sequence", "frames", *TABLE, *extra):
        table.add_column(column, justify="left" if column == "sequence" else "right", no_wrap=True)
    rows = {**evaluation["sequences"], "COMBINED": evaluation["COMBINED"]}
    for name, scores in rows.items():
        frames = evaluation["frames"].get(name, sum(evaluation["frames"].values()))
        more = [column.get(name, "") for column in extra.values()]
        table.add_row(name, str(frames), *format_row(scores), *more, style="bold" if name == "COMBINED" else None)
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for note in evaluation["notes"]:
        console.print(f"note: {note}", highlight=False)


@dataclass(frozen=True)
class EvaluationConfig:
    """Scores MOT results with TrackEval and prints the table.

    Two more commands have a --help of their own: `check PATH` reports everything that is wrong in MOT files and writes
    repaired copies, `explain RESULT` tells what a result loses where, and why identities switch.

    Attributes:
        gt: Folder of sequence folders with gt/gt.txt and seqinfo.ini.
        results: Folder with one <sequence>.txt a sequence.
        sequence_map: Pairs of result name and ground-truth name, where they cannot be guessed.
        benchmark: Whose rules: MOT20 drops boxes on vehicles too; MOT15 is told by its ten columns.
        processes: Over which the sequences are spread.
    """

    gt: Path
    results: Path
    sequence_map: dict[str, str] | None = None
    benchmark: Literal["MOT15", "MOT16", "MOT17", "MOT20"] = "MOT16"
    processes: int = 1


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    import tyro

    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in COMMANDS:
        command = importlib.import_module(COMMANDS[words[0]])
        return int(command.main(words[1:]))
    config = tyro.cli(EvaluationConfig, args=words)
    try:
        evaluation = evaluate_mot(config.gt, config.results, config.sequence_map, config.benchmark, config.processes)
        print_scores(evaluation, str(config.results))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
