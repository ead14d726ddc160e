"""Boxes of supervision and of Ultralytics."""

import re
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import supervision

from reid.embed_boxes import embed_boxes
from reid.foreign_boxes import UltralyticsEncoder, embed_supervision


class Colours:
    """Embeds a crop as its mean colour; crops must be of one piece, as OpenCV wants them."""

    def __call__(self, crops) -> np.ndarray:
        rows = np.stack([cv2.resize(crop, (4, 8)).reshape(-1, 3).mean(axis=0) + 1 for crop in crops])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def frame() -> np.ndarray:
    image = np.zeros((60, 80, 3), np.uint8)
    image[:, :40], image[:, 40:] = (200, 30, 10), (10, 40, 180)
    return image


BOXES = np.array([[5, 5, 25, 45], [45, 0, 65, 60], [70, 20, 90, 40], [200, 0, 220, 20]], np.float32)


def test_supervision_in_and_out() -> None:
    detections = supervision.Detections(
        xyxy=BOXES, confidence=np.array([0.9, 0.8, 0.7, 0.6]), class_id=np.zeros(4, int), data={"name": np.arange(4)}
    )
    (expected,) = embed_boxes(Colours(), [frame()], [BOXES])
    found = embed_supervision(Colours(), frame(), detections, bgr=False)
    assert isinstance(found, supervision.Detections) and "embeddings" not in detections.data
    np.testing.assert_array_equal(found.data["embeddings"], expected.embeddings)
    assert found.data["quality"].tolist() == [1, 1, 0.5, 0] and found.data["name"].tolist() == [0, 1, 2, 3]
    turned = embed_supervision(Colours(), frame()[..., ::-1], detections, bgr=True)
    np.testing.assert_allclose(turned.data["embeddings"], expected.embeddings, atol=1e-6)
    wrong = embed_supervision(Colours(), frame(), detections, bgr=True)
    assert np.abs(wrong.data["embeddings"] - expected.embeddings).max() > 0.1
    # supervision's own selection and merging go on working, over a frame without usable boxes too.
    assert found[found.data["quality"] > 0].data["embeddings"].shape == (3, 3)
    none = embed_supervision(Colours(), frame(), detections[3:], bgr=False)
    assert none.data["embeddings"].tolist() == [[0, 0, 0]]
    assert supervision.Detections.merge([found, none]).data["embeddings"].shape == (5, 3)
    empty = embed_supervision(Colours(), frame(), supervision.Detections.empty(), bgr=False)
    assert empty.data["embeddings"].shape == (0, 3)


def test_ultralytics_encoder() -> None:
    xywh = np.concatenate([(BOXES[:, :2] + BOXES[:, 2:]) / 2, BOXES[:, 2:] - BOXES[:, :2]], axis=1)
    xywh = np.concatenate([xywh, np.arange(4)[:, None]], axis=1)  # as its trackers give them, with their number
    rows = UltralyticsEncoder(Colours())(frame()[..., ::-1], xywh)
    (expected,) = embed_boxes(Colours(), [frame()], [BOXES])
    assert len(rows) == 4 and np.allclose(rows, expected.embeddings, atol=1e-6)
    assert UltralyticsEncoder(Colours())(frame(), np.zeros((0, 5))) == []
    assert UltralyticsEncoder(Colours())(frame(), xywh[3:])[0].tolist() == [0, 0, 0]


def test_attaching_to_a_predictor() -> None:
    encoder = UltralyticsEncoder(Colours())
    tracker = SimpleNamespace(encoder=None, args=SimpleNamespace(with_reid=False))
    encoder.attach(SimpleNamespace(trackers=[tracker]))
    assert tracker.encoder is encoder and tracker.args.with_reid
    encoder.attach(SimpleNamespace())  # no tracking
    with pytest.raises(ValueError, match="tracker: got SimpleNamespace"):
        encoder.attach(SimpleNamespace(trackers=[SimpleNamespace()]))


def test_botsort_of_ultralytics_follows_looks() -> None:
    pytest.importorskip("ultralytics", reason="ultralytics is not installed (AGPL-3, only where asked for)")
    from ultralytics.engine.results import Boxes
    from ultralytics.trackers.bot_sort import BOTSORT

    settings = {
        **{"track_high_thresh": 0.25, "track_low_thresh": 0.1, "new_track_thresh": 0.25, "track_buffer": 30},
        **{"match_thresh": 0.8, "fuse_score": False, "gmc_method": "none", "proximity_thresh": 0.0},
        **{"appearance_thresh": 0.5, "with_reid": False, "model": "auto", "device": "cpu"},
    }
    for attached in (True, False):
        tracker = BOTSORT(SimpleNamespace(**settings))
        if attached:
            UltralyticsEncoder(Colours()).attach(SimpleNamespace(trackers=[tracker]))
        image = frame()[..., ::-1].copy()
        rows = []
        for left, right in (([10, 10], [50, 10]), ([10, 10], [50, 10])):
            boxes = [[*left, left[0] + 20, left[1] + 40, 0.9, 0], [*right, right[0] + 20, right[1] + 40, 0.9, 0]]
            found = tracker.update(Boxes(np.array(boxes, np.float32), image.shape[:2]), image)
            rows.append(found[:, 4].tolist())
        assert rows[0] == rows[1] and len(set(rows[0])) == 2
        assert (tracker.tracked_stracks[0].curr_feat is not None) == attached


def test_the_readmes_example_runs(repository: Path, checkpoint: Path) -> None:
    readme = (repository / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    place = next(number for number, block in enumerate(blocks) if "embed_supervision" in block)
    code = blocks[place - 1] + blocks[place]  # it goes on from the one before
    assert '"runs/mine.onnx"' in code
    variables: dict = {}
    exec(code.replace('"runs/mine.onnx"', repr(str(checkpoint))), variables)  # noqa: S102 - it is our own text
    assert variables["detections"].data["embeddings"].shape == (2, 512) and len(variables["tracks"].xyxy) == 2
