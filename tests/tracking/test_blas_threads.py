"""Trackers and scores run with one thread of BLAS and leave the rest of the program as it was."""

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
from threadpoolctl import threadpool_info, threadpool_limits

from tracking import build_tracker
from tracking.benchmark_runs import Run
from tracking.blas_threads import blas_limiter, one_blas_thread
from tracking.detections import Detections
from tracking.offline import OfflineOptions
from tracking.runner import track_sequence
from tracking.sources import SequenceDetections
from tracking.track_video import _Pipeline
from tracking.track_video_options import TrackVideoConfig


def threads() -> int:
    """The most threads that any BLAS of this process may take."""
    return max(library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas")


@pytest.fixture(autouse=True)
def two_threads():
    scipy.linalg.norm(np.eye(2))  # so that both libraries are loaded
    with threadpool_limits(2, user_api="blas"):
        if threads() != 2:
            pytest.skip("this BLAS has one thread only")
        yield
        assert threads() == 2


class Spy:
    """A tracker that notes how many threads it has."""

    def __init__(self) -> None:
        self._tracker = build_tracker("sort")
        self.options, self.decisions, self.seen = self._tracker.options, None, []

    def reset(self) -> None:
        self._tracker.reset()

    def update(self, detections: Detections, frame: np.ndarray | None = None):
        self.seen.append(threads())
        return self._tracker.update(detections)


def source() -> SequenceDetections:
    return SequenceDetections("a", np.array([1, 2]), np.array([[5, 5, 20, 40.0]] * 2), np.ones(2), None, 2)


def test_blocks_bound_it_and_let_it_go() -> None:
    with one_blas_thread():
        assert threads() == 1
    limit = blas_limiter()
    for _ in range(2):
        with limit():
            assert threads() == 1
        assert threads() == 2


def test_trackers_have_one_thread_also_after_an_error() -> None:
    spy = Spy()
    track_sequence(spy, source(), [1, 2])
    assert spy.seen == [1, 1]
    spy.update = None  # type: ignore[assignment]
    with pytest.raises(TypeError):
        track_sequence(spy, source(), [1, 2])


def test_a_video_bounds_the_tracker_alone() -> None:
    spy, detector_saw = Spy(), []

    def detector(image: np.ndarray, number: int) -> Detections:
        detector_saw.append(threads())
        return source().at(1)

    pipeline = _Pipeline(
        detector, Run("sort", "sort", spy, OfflineOptions()), TrackVideoConfig(source="v.mp4", save_txt=Path("v.txt"))
    )
    assert [len(pipeline(number, np.zeros((60, 60, 3), np.uint8))) for number in (1, 2)] == [1, 1]
    assert spy.seen == [1, 1] and detector_saw == [2, 2]


def test_scores_have_one_thread(tmp_path: Path, monkeypatch) -> None:
    import tracking.trackeval_scores as scores

    seen = []
    monkeypatch.setattr(scores, "score_task", lambda task: seen.append(threads()))
    scores._score_all({"a": None}, 1)
    assert seen == [1]
