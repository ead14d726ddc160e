"""A result explained: what it loses where, why identities switch, and where the tracker was least sure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reid.data.mot import MotGroundTruth, MotResults
from tracking.close_calls import CloseCall, close_calls
from tracking.identity_switches import Following, follow_people
from tracking.oracles import (
    ORACLES,
    mend_boxes,
    mend_identities,
    perfect_association,
    perfect_detections,
    perfect_looks,
)
from tracking.run_record import RunRecord, run_again, with_detections
from tracking.runner import TrackedSequence
from tracking.sequences import Sequence
from tracking.switch_stories import Evidence, Story, tell
from tracking.trackeval_scores import ScoreTask, flatten, score_tasks

COLUMNS = ("HOTA", "DetA", "AssA", "LocA", "MOTA", "IDF1", "IDSW")
CALLS = 20


@dataclass(frozen=True)
class Subject:
    """A result to explain, and all that is at hand for it.

    Attributes:
        name: Of the sequence.
        rows: The result, in the frames that are scored.
        sequence: Its ground truth's folder, None without ground truth.
        truth: The ground truth in the frames that are scored.
        run: The run that made the result, None where that is not known.
        images: Frame to image.
        benchmark: Whose rules; see `tracking.trackeval_scores`.
    """

    name: str
    rows: MotResults
    sequence: Sequence | None
    truth: MotGroundTruth | None
    run: RunRecord | None
    images: dict[int, Path]
    benchmark: str = "MOT16"


@dataclass(frozen=True)
class Explanation:
    """What came out for a sequence.

    Attributes:
        subject: What was explained.
        oracles: Name of an oracle to the result that it makes.
        following: Who follows whom; None without ground truth.
        stories: Of the switches, in their order.
        calls: The closest calls.
        notes: What a reader should know.
    """

    subject: Subject
    oracles: dict[str, MotResults] = field(default_factory=dict)
    following: Following | None = None
    stories: list[Story] = field(default_factory=list)
    calls: list[CloseCall] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def explain(subject: Subject) -> Explanation:
    """Explains one sequence.

    Raises:
        ValueError: When the run cannot be made again.
    """
    notes: list[str] = []
    tracked, log = None, None
    if subject.run is not None:
        tracked, log = run_again(subject.run, subject.images, log=True)
        if not is_same(tracked, subject.rows):
            notes.append(
                "The tracker, run again, gives another result than this one, so that its costs say nothing here; give "
                "the detections and the options that the result was made with."
            )
            tracked, log = None, None
    elif subject.truth is not None:
        notes.append(
            "The run that made this result is not known, so that there are no costs; track with --log-costs, or give "
            "--detections."
        )
    following, stories, oracles = None, [], {}
    if subject.truth is not None:
        oracles = _oracles(subject, notes)
        following = follow_people(subject.truth, subject.rows, subject.benchmark)
        evidence = None
        if subject.run is not None and tracked is not None and log is not None:
            evidence = Evidence(subject.run.detections, tracked, log, subject.truth)
        for switch in following.switches:
            unknown = Story(switch, "unknown", switch.frame, switch.earlier, switch.later)
            stories.append(unknown if evidence is None else tell(switch, evidence))
    calls = [] if log is None else close_calls(log, CALLS)
    return Explanation(subject, oracles, following, stories, calls, notes)


def is_same(tracked: TrackedSequence, rows: MotResults) -> bool:
    """Returns whether tracks are those of a result, which is rounded to hundredths of a pixel."""
    if len(tracked.frame) != len(rows.frame):
        return False
    names = np.array_equal(tracked.frame, rows.frame) and np.array_equal(tracked.track_id, rows.track_id)
    return names and bool(np.allclose(tracked.xywh, rows.xywh, rtol=0, atol=0.0051))


def _oracles(subject: Subject, notes: list[str]) -> dict[str, MotResults]:
    """Returns name to result, in the order of `ORACLES`; those that lack something are left out and noted."""
    truth, rows, run = subject.truth, subject.rows, subject.run
    assert truth is not None
    made = {
        "as tracked": rows,
        "identities mended": mend_identities(rows, truth),
        "boxes mended": mend_boxes(rows, truth, subject.benchmark),
    }
    if run is None:
        return made
    source = run.detections
    usable = source.above(run.options["min_confidence"])
    made["perfect association"] = perfect_association(usable, truth)
    again = {"perfect detection": perfect_detections(source, truth, subject.benchmark)}
    if run.uses_looks:
        again["perfect appearance"] = perfect_looks(source, truth)
    else:
        notes.append("The tracker takes no appearance, so there is no oracle of it.")
    for name, detections in again.items():
        tracked, _ = run_again(with_detections(run, detections), subject.images)
        made[name] = _as_result(tracked)
    return made


def _as_result(tracked: TrackedSequence) -> MotResults:
    count = len(tracked.frame)
    line, kind = np.arange(1, count + 1), np.full(count, -1)
    return MotResults(tracked.frame, tracked.track_id, tracked.xywh, tracked.confidence, kind, line)


def oracle_scores(explained: Mapping[str, Explanation]) -> dict[str, dict[str, dict[str, float]]]:
    """Returns oracle -> sequence and "COMBINED" -> scores, of the oracles that every sequence has.

    Raises:
        ValueError: As `tracking.trackeval_scores.score_tasks`.
    """
    scored: dict[str, dict[str, dict[str, float]]] = {}
    for oracle in ORACLES:
        tasks = {}
        for name, explanation in explained.items():
            subject = explanation.subject
            if subject.sequence is not None and oracle in explanation.oracles:
                tasks[name] = ScoreTask(name, subject.sequence, explanation.oracles[oracle], subject.benchmark)
        if tasks and len(tasks) == len(explained):
            scored[oracle] = {name: flatten(raw) for name, raw in score_tasks(tasks).items()}
    return scored


def as_record(
    explained: Mapping[str, Explanation], scores: Mapping[str, Mapping[str, Mapping[str, float]]]
) -> dict[str, Any]:
    """Returns everything as JSON takes it."""
    sequences = {}
    for name, explanation in explained.items():
        stories = [
            {**asdict(story), "switch": {key: int(value) for key, value in asdict(story.switch).items()}}
            for story in explanation.stories
        ]
        calls = [asdict(call) for call in explanation.calls]
        sequences[name] = {"switches": stories, "close_calls": calls, "notes": explanation.notes}
    return {"oracles": {name: dict(value) for name, value in scores.items()}, "sequences": sequences}
