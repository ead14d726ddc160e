"""The comparison of trackers: its worker, its table, and other libraries as it calls them."""

import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.tracking import Measured, ask, print_table, worker
from benchmarks.tracking_sides import build_trackers
from benchmarks.tracking_worker import run
from tracking import build_tracker
from tracking.detections import Detections
from tracking.runner import track_sequence
from tracking.sources import deepsort_npy_source

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def walkers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with MOT17-05.npy: three people over 30 frames, 8-d features."""
    rng = np.random.default_rng(0)
    looks = rng.normal(size=(3, 8))
    rows = [
        [frame, -1, 40 + 150 * who + 2 * frame, 50, 40, 100, 0.9, -1, -1, -1, *(looks[who] + rng.normal(0, 0.05, 8))]
        for frame in range(1, 31)
        for who in range(3)
    ]
    folder = tmp_path_factory.mktemp("walkers")
    np.save(folder / "MOT17-05.npy", np.array(rows))
    return folder


@pytest.mark.parametrize("name", ["sort", "strongsort"])
def test_the_worker_tracks_as_the_runner_does(name: str, walkers: Path, tmp_path: Path) -> None:
    source = deepsort_npy_source(walkers / "MOT17-05.npy")
    times = run("ours", name, source, 0.1, tmp_path / "worker")
    assert times.shape == (2,) and (times > 0).all()
    tracker = build_tracker(name, min_confidence=0.1)
    track_sequence(tracker, source, range(1, 31)).write(tmp_path / "runner" / "MOT17-05.txt")
    files = [tmp_path / side / "MOT17-05.txt" for side in ("worker", "runner")]
    assert files[0].read_bytes() == files[1].read_bytes() and files[0].stat().st_size > 0


def test_times_and_scores(run_python: Run, walkers: Path, tmp_path: Path) -> None:
    folder = tmp_path / "MOT16-05" / "gt"
    folder.mkdir(parents=True)
    rows = [f"{f},{who + 1},{40 + 150 * who + 2 * f},50,40,100,1,1,1" for f in range(1, 31) for who in range(3)]
    (folder / "gt.txt").write_text("\n".join(rows) + "\n")
    (folder.parent / "seqinfo.ini").write_text("[Sequence]\nseqLength=30\n")
    options = ["--data", walkers, "--gt", tmp_path, "--trackers", "sort", "bytetrack", "--repeats", 2]
    done = run_python("benchmarks/tracking.py", *options)
    assert "30 frames, 3.0 boxes a frame" in done.stdout and "| bytetrack | 100.00 | 100.00 | " in done.stdout
    assert (
        "| tracker | HOTA | AssA | MOTA | IDF1 | IDSW | frames/s | " in done.stdout and "strongsort" not in done.stdout
    )


def test_a_worker_that_ends_is_told(walkers: Path, tmp_path: Path) -> None:
    options = ["--side", "ours", "--data", str(walkers), "--out", str(tmp_path), "--min-confidence", "0.1"]
    script = Path(__file__).resolve().parents[1] / "benchmarks" / "tracking_worker.py"
    with worker([sys.executable, str(script), *options]) as process, pytest.raises(RuntimeError, match="status 1"):
        ask(process, "nothing")


def test_ratios_are_taken_between_trackers_of_one_name(capsys: pytest.CaptureFixture[str]) -> None:
    measured = {
        ("ours", "sort"): Measured([1.0, 2.0, 9.0], [1.0, 1.0, 1.0]),
        ("trackers", "sort"): Measured([5.0, 6.0, 7.0], [4.0, 4.0, 4.0]),
        ("trackers", "c-biou"): Measured([4.0], [4.0]),
    }
    print_table(measured, {}, frames=600)
    rows = capsys.readouterr().out.splitlines()[2:]
    assert rows == [
        "| sort | 300 | 600 | - |",
        "| trackers sort | 100 | 150 | 4.0 |",
        "| trackers c-biou | 150 | 150 | - |",
    ]


def test_roboflows_boxes_without_a_track_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class SORTTracker:
        def update(self, detections: Any) -> Any:
            detections.tracker_id = np.array([-1, 0])
            return detections

    monkeypatch.setitem(sys.modules, "trackers", types.SimpleNamespace(SORTTracker=SORTTracker))
    tracker = build_trackers("sort", 0.1)
    found = Detections.from_xyxy([[0, 0, 10, 20], [30, 0, 40, 20]], [0.5, 0.9])
    boxes, identities, confidences = tracker.rows(tracker.update(tracker.prepare(1, found)))
    assert boxes.tolist() == [[30, 0, 40, 20]] and identities.tolist() == [1] and confidences == pytest.approx([0.9])
