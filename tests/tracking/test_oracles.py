"""Oracles by hand, by their bounds, and switches against TrackEval's count."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reid.data.mot import MotGroundTruth, MotResults, read_ground_truth, read_results
from tracking.evaluation import evaluate_mot
from tracking.identity_switches import follow_people, match_boxes
from tracking.oracles import (
    ORACLES,
    mend_boxes,
    mend_identities,
    perfect_association,
    perfect_detections,
    perfect_looks,
)
from tracking.sequences import read_sequence
from tracking.sources import SequenceDetections
from tracking.trackeval_scores import ScoreTask, flatten, score_tasks

Make = Callable[..., None]


def truth_of(rows: list[tuple[int, int, float]], kind: int = 1) -> MotGroundTruth:
    """Ground truth of (frame, identity, left)."""
    frame, track_id, left = (np.array(column) for column in zip(*rows))
    count = len(frame)
    xywh = np.stack([left, np.zeros(count), np.full(count, 10.0), np.full(count, 20.0)], axis=1).astype(float)
    ones = np.ones(count, np.int64)
    return MotGroundTruth(frame, track_id, xywh, ones, kind * ones, ones.astype(float), np.arange(count))


def result_of(rows: list[tuple[int, int, float]]) -> MotResults:
    truth = truth_of(rows)
    count = len(truth.frame)
    return MotResults(truth.frame, truth.track_id, truth.xywh, np.ones(count), np.full(count, -1), np.arange(count))


def test_switches_by_hand() -> None:
    truth = truth_of([(frame, 1, 0) for frame in range(1, 7)] + [(frame, 2, 100) for frame in range(1, 7)])
    rows = result_of([(1, 7, 0), (2, 7, 0), (5, 9, 1), (6, 7, 0), (1, 8, 100), (3, 8, 101), (6, 8, 300)])
    following = follow_people(truth, rows, "MOT16")
    assert [(s.person, s.before, s.frame, s.earlier, s.later) for s in following.switches] == [
        (1, 2, 5, 7, 9),
        (1, 5, 6, 9, 7),
    ]
    assert following.truth_row.tolist() == [0, 1, 4, 5, 6, 8, -1]
    static = truth_of([(frame, 1, 0) for frame in range(1, 7)], kind=7)
    assert follow_people(static, rows, "MOT16").truth_row.max() == -1


def test_mended_by_hand() -> None:
    truth = truth_of(
        [(frame, 1, 0) for frame in range(1, 7)] + [(frame, 2, 100) for frame in range(1, 7)] + [(1, 3, 500)]
    )
    # Track 7 follows person 1 and, from frame 4 on, person 2.
    rows = result_of([(1, 7, 0), (2, 7, 0), (4, 7, 100), (6, 7, 100), (2, 9, 300)])
    mended = mend_identities(rows, truth)
    assert mended.track_id.tolist() == [1, 1, 2, 2, 5] and np.array_equal(mended.xywh, rows.xywh)
    boxes = mend_boxes(rows, truth, "MOT16")
    np.testing.assert_array_equal(boxes.xywh, truth.xywh)
    # Person 1 lost it to person 2 where that one is nearer to a frame in which it had it: from frame 3, a tie, on.
    first, second = boxes.track_id[:6].tolist(), boxes.track_id[6:12].tolist()
    assert first[:2] == [7, 7] and first[3:] == [10, 10, 10] and second[3:] == [7, 7, 7] and second[:2] == [11, 11]
    assert sorted((first[2], second[2])) in ([7, 10], [7, 11], [7, 10]) and boxes.track_id[12] == 12


Case = tuple[Path, MotGroundTruth, MotResults]


@pytest.fixture
def random_case(tmp_path: Path, random_sequence: Make, disturb: Make) -> Case:
    """A folder with gt/A and results/A.txt, and what they hold."""
    rng = np.random.default_rng(5)
    random_sequence(tmp_path / "gt" / "A", rng)
    (tmp_path / "results").mkdir()
    truth = tmp_path / "gt" / "A" / "gt" / "gt.txt"
    disturb(truth, tmp_path / "results" / "A.txt", rng)
    return tmp_path, read_ground_truth(truth), read_results(tmp_path / "results" / "A.txt")


@pytest.mark.parametrize("benchmark", ["MOT16", "MOT20"])
def test_bounds_and_switches_as_trackeval_counts_them(benchmark: str, random_case: Case) -> None:
    root, truth, rows = random_case
    scores = evaluate_mot(root / "gt", root / "results", benchmark=benchmark)["COMBINED"]
    following = follow_people(truth, rows, benchmark)
    assert len(following.switches) == scores["IDSW"] > 10
    assert (following.truth_row >= 0).sum() == scores["CLR_TP"]
    sequence = read_sequence(root / "gt" / "A")

    def score(result: MotResults) -> dict[str, float]:
        return flatten(score_tasks({"A": ScoreTask("A", sequence, result, benchmark)})["COMBINED"])

    identities, boxes = score(mend_identities(rows, truth)), score(mend_boxes(rows, truth, benchmark))
    assert identities["IDSW"] == 0 and identities["AssA"] > scores["AssA"] + 0.1
    assert identities["CLR_TP"] == scores["CLR_TP"] and identities["CLR_FP"] == scores["CLR_FP"]
    assert boxes["DetA"] == boxes["LocA"] == boxes["MOTP"] == 1 and scores["HOTA"] < boxes["HOTA"] < 1


def source_of(truth: MotGroundTruth, rng: np.random.Generator) -> SequenceDetections:
    order = np.argsort(truth.frame, kind="stable")
    order = order[rng.random(len(order)) < 0.8]
    xywh = truth.xywh[order]
    xywh[:5, 0] += 1000  # nobody is there
    looks = rng.normal(size=(len(order), 4)).astype(np.float32)
    return SequenceDetections("A", truth.frame[order], xywh, rng.random(len(order)), looks, int(truth.frame.max()))


def test_oracles_of_detections(random_case: Case) -> None:
    _, truth, _ = random_case
    source = source_of(truth, np.random.default_rng(0))
    met = match_boxes(source.frame, source.xywh, truth)
    assert (met < 0).sum() == 5
    associated = perfect_association(source, truth)
    assert len(associated.frame) == len(source.frame) - 5
    np.testing.assert_array_equal(associated.track_id, truth.track_id[met[met >= 0]])
    looks = perfect_looks(source, truth).embeddings
    same = looks @ looks.T
    person = np.where(met >= 0, truth.track_id[met], 0)
    np.testing.assert_array_equal(same, person[:, None] == person[None])
    found = perfect_detections(source, truth, "MOT16")
    scored = (truth.flag != 0) & (truth.class_id == 1)
    assert len(found.frame) == scored.sum() and (found.confidence == 1).all() and (np.diff(found.frame) >= 0).all()
    assert match_boxes(found.frame, found.xywh, truth).min() >= 0
    for row in range(0, len(found.frame), 37):  # the plain loop
        identity = truth.track_id[match_boxes(found.frame, found.xywh, truth)[row]]
        own = np.flatnonzero((person == identity) & (met >= 0))
        gaps = np.abs(source.frame[own] - found.frame[row])
        nearest = own[gaps == gaps.min()]
        assert any(np.array_equal(found.embeddings[row], source.embeddings[place]) for place in nearest)
    assert perfect_detections(source.with_embeddings(None), truth, "MOT16").embeddings is None


def test_empty_results_and_detections(random_case: Case) -> None:
    _, truth, rows = random_case
    none = MotResults(**{name: value[:0] for name, value in vars(rows).items()})
    assert len(mend_identities(none, truth).frame) == 0
    assert mend_boxes(none, truth, "MOT16").track_id.min() >= 1
    nobody = MotGroundTruth(**{name: value[:0] for name, value in vars(truth).items()})
    assert len(mend_boxes(rows, nobody, "MOT16").frame) == 0 and len(mend_identities(rows, nobody).frame) == len(
        rows.frame
    )
    source = source_of(truth, np.random.default_rng(0))
    assert perfect_looks(source, nobody).embeddings.shape == (len(source.frame), 1)
    assert len(perfect_association(source, nobody).frame) == 0 and len(ORACLES) == 6


@pytest.mark.real_data
def test_switches_of_a_real_result(shared_data: Path, tmp_path: Path) -> None:
    text = (shared_data / "tracker-results" / "MOT16-05-deepsort-baseline.txt").read_text()
    (tmp_path / "MOT16-05.txt").write_text(text)
    gt = shared_data / "mot16" / "train"
    expected = evaluate_mot(gt, tmp_path)["sequences"]["MOT16-05"]
    truth = read_ground_truth(gt / "MOT16-05" / "gt" / "gt.txt")
    following = follow_people(truth, read_results(tmp_path / "MOT16-05.txt"), "MOT16")
    assert len(following.switches) == expected["IDSW"] and (following.truth_row >= 0).sum() == expected["CLR_TP"]
