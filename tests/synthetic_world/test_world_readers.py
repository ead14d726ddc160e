"""Written folders through the readers of the other packages, masks against a second render, feet in two cameras."""

import json
from pathlib import Path

import numpy as np
import pytest

from reid.data.market1501 import read_market1501
from synthetic_world.export import MotOptions, ReidOptions, write_mot, write_reid
from synthetic_world.frames import SequenceTask, frame_camera, render_frame
from synthetic_world.masks import decode_mask
from synthetic_world.render import Window, person_boxes, silhouette_pixels
from tracking.mot_check import check_ground_truth
from tracking.sequences import find_sequences, read_sequence
from tracking.sources import det_txt_source

MOT = MotOptions(sequences=1, frames=5, people=8, cameras=2, seed=5, width=480, height=270, fps=2.0)
TASK = SequenceTask(5, "medium", 1, 5, 8, 2, (480, 270), 2.0)


@pytest.fixture(scope="module")
def mot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mot") / "world"
    write_mot(MOT, out)
    return out


def test_reid_reads_the_folder(tmp_path: Path) -> None:
    write_reid(ReidOptions(pids=6, cameras=3, width=16, height=32, seed=3), tmp_path / "world")
    data = read_market1501(tmp_path / "world")
    assert not data.skipped and len(data.train) == 3 * 3 * 2 and len(data.query) == 3 * 3
    assert {sample.pid for sample in data.gallery} == {0, 4, 5, 6} and data.num_junk > 0
    assert {sample.camid for sample in data.train} == {0, 1, 2}


def test_tracking_reads_the_folder(mot: Path) -> None:
    found = find_sequences(mot / "train")
    assert set(found) == {"WORLD-01-c1", "WORLD-01-c2"}
    for folder in found.values():
        sequence = read_sequence(folder)
        assert sequence.info.length == 5 and (sequence.info.width, sequence.info.height) == (480, 270)
        truth = check_ground_truth(folder / "gt" / "gt.txt", 5)
        assert len(truth.frame) > 10 and set(truth.class_id.tolist()) == {1}
        assert sum(len(found) for _, found in det_txt_source(folder / "det" / "det.txt", folder.name, 5)) > 10


def test_masks_boxes_and_visibility_are_those_of_another_render(mot: Path) -> None:
    shared = 0
    for camera in range(2):
        notes = json.loads((mot / f"train/WORLD-01-c{camera + 1}/annotations.json").read_text())
        for frame in notes["frames"]:
            _, view, group, truth = render_frame(TASK, frame["frame"], camera)
            eye = frame_camera(TASK, frame["frame"], camera)
            boxes = person_boxes(eye, group.primitives, len(group.stands))
            for person, index in zip(frame["people"], truth.index, strict=True):
                mask = decode_mask(person["mask"])
                assert (mask == (view.people == index)).all()
                x0, y0 = np.floor(boxes[index, :2])
                x1, y1 = np.ceil(boxes[index, 2:])
                window = Window(x0, y0, x1, y1, int(x1 - x0), int(y1 - y0))
                alone = silhouette_pixels(eye, window, group.one(int(index)))
                assert person["visibility"] == pytest.approx(mask.sum() / alone, abs=0.001)
                shared += 0 < mask.sum() < alone
                for x, y, state in person["keypoints"]:
                    if state == 2:
                        rows, columns = np.nonzero(mask)
                        assert np.hypot(columns + 0.5 - x, rows + 0.5 - y).min() <= 1.5
                    elif 0 <= x < 480 and 0 <= y < 270:
                        assert state == 1
    assert shared > 5


def test_two_cameras_put_the_same_walker_on_the_same_ground(mot: Path) -> None:
    views = [json.loads((mot / f"train/WORLD-01-c{n}/annotations.json").read_text()) for n in (1, 2)]
    met = 0
    for first, second in zip(*(view["frames"] for view in views), strict=True):
        others = {person["id"]: person for person in second["people"]}
        for person in first["people"]:
            if person["id"] not in others:
                continue
            other = others[person["id"]]
            met += 1
            assert person["ground"] == other["ground"] and person["identity"] == other["identity"]
            found = []
            for camera, view in enumerate(views):
                eye = frame_camera(TASK, first["frame"], camera)
                pixel, depth = eye.project(np.array([[*person["ground"], 0.0]]))
                assert depth[0] > 0
                # To a hundredth of a pixel, as boxes are written.
                back = np.linalg.inv(view["view"]["ground_homography"]) @ (*np.round(pixel[0], 2), 1.0)
                found.append(back[:2] / back[2])
            assert np.linalg.norm(found[0] - person["ground"]) < 0.05 > np.linalg.norm(found[1] - person["ground"])
            assert np.linalg.norm(found[0] - found[1]) < 0.05
    assert met > 10
