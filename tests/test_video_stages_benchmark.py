"""The benchmark of a video's stages, on a few grey frames."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.video_stages import STAGES, cells, walking_boxes


@pytest.mark.parametrize(("people", "width", "height"), [(8, 768, 432), (1, 320, 240), (30, 1920, 1080)])
def test_everyone_stays_inside_and_walks_on(people: int, width: int, height: int) -> None:
    rows = walking_boxes(500, people, width, height)
    assert rows.shape == (500 * people, 7) and (np.bincount(rows[:, 0].astype(int))[1:] == people).all()
    assert (rows[:, 2:4] >= 0).all() and (rows[:, 2] + rows[:, 4] <= width + 1e-6).all()
    assert (rows[:, 3] + rows[:, 5] <= height + 1e-6).all()
    step = np.abs(np.diff(rows[:, 2].reshape(500, people), axis=0))
    assert step.max() <= 0.0101 * width and step.mean() > 0.002 * width


def test_cells_are_medians_and_absent_stages_take_no_time() -> None:
    speeds = [
        {"milliseconds_per_frame": {"reading": value, "tracker": 2.0}, "frames_per_second": 100 * value}
        for value in (1.0, 5.0, 2.0)
    ]
    found = dict(zip([*STAGES, "sum", "rate"], cells(speeds), strict=True))
    assert (found["reading"], found["tracker"], found["reid"], found["sum"]) == ("2.00", "2.00", "0.00", "4.00")
    assert found["rate"] == "200"


def test_the_command_on_a_few_frames(tmp_path: Path, run_python) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (200, 120))
    for _ in range(8):
        writer.write(np.full((120, 200, 3), 128, np.uint8))
    writer.release()
    options = ["--reid", "none", "--rounds", 1, "--people", 3, "--frames", 6]
    done = run_python("benchmarks/video_stages.py", "--source", tmp_path / "v.avi", *options)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("6 frames of 200 x 120, 3 people each")
    name, *numbers = (cell.strip() for cell in lines[-1].strip("|").split("|"))
    assert name == "`none`" and len(numbers) == len(STAGES) + 2 and float(numbers[STAGES.index("tracker")]) > 0
    bad = run_python("benchmarks/video_stages.py", "--source", tmp_path / "absent.avi", check=False)
    assert bad.returncode == 2 and "absent.avi" in bad.stderr
