"""Walks for AFLink: ground truth as the world itself writes it, without a rendered pixel."""

from pathlib import Path

import numpy as np
import pytest

from experiments.aflink_world import AfLinkWorldConfig, walk_rows, world_task, write_worlds
from reid.data.mot import read_ground_truth
from synthetic_world.frames import render_frame
from tracking.aflink import read_trajectories
from tracking.sequences import read_sequence


def test_boxes_are_those_of_the_rendered_world() -> None:
    task = world_task(701, 2, "easy")  # the smallest image, and a camera that moves
    rows = np.array([[float(value) for value in line.split(",")] for line in walk_rows(task)])
    *_, group, truth = render_frame(task, 2, 0)
    drawn = {group.stands[index].track + 1: box for index, box in zip(truth.index, truth.boxes)}
    found = {int(row[1]): row[2:6] for row in rows if row[0] == 2}
    assert len(found) > 3 and set(found) <= set(drawn)
    for person, box in found.items():
        np.testing.assert_allclose(box, drawn[person], atol=0.006)
    inside = [
        p
        for p, box in drawn.items()
        if (0 <= box[:2] + box[2:] / 2).all() and (box[:2] + box[2:] / 2 <= task.size).all()
    ]
    assert set(inside) == set(found)


def test_worlds_differ_by_seed_and_are_written_once(tmp_path: Path, capsys) -> None:
    assert {world_task(seed, 1, "easy").size for seed in (700, 701, 702)} == {(640, 480), (960, 540), (1920, 1080)}
    assert {world_task(seed, 1, "easy").people for seed in range(700, 709)} == {12, 24, 40}
    assert world_task(701, 1, "easy").camera_motion and not world_task(700, 1, "easy").camera_motion
    config = AfLinkWorldConfig(tmp_path, seeds=(702,), frames=12, level="easy")
    write_worlds(config)
    folder = tmp_path / "WORLD-702"
    before = (folder / "gt" / "gt.txt").stat().st_mtime_ns
    assert read_sequence(folder).info.length == 12 and set(read_ground_truth(folder / "gt" / "gt.txt").class_id) == {1}
    assert sum(len(points) for points in read_trajectories(folder)) > 12
    write_worlds(config)
    assert (folder / "gt" / "gt.txt").stat().st_mtime_ns == before and capsys.readouterr().out.count("people") == 1
    for wrong in ({"seeds": (1, 1)}, {"frames": 0}):
        with pytest.raises(ValueError, match="allowed: "):
            AfLinkWorldConfig(tmp_path, **wrong)
