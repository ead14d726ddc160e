from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tracking.detections import Detections
from tracking.embedding_cache import embed_detections
from tracking.images import crop_box, read_frame
from tracking.sources import SequenceDetections, det_txt_source, find_detections, read_source
from tracking.tracks import Tracks


def test_validation_names_field_got_and_allowed() -> None:
    with pytest.raises(ValueError, match=r"xyxy: got shape \(2, 3\), allowed: \(any, 4\)"):
        Detections(np.zeros((2, 3)), np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match=r"confidence: got shape \(1,\), allowed: \(2\)"):
        Detections(np.zeros((2, 4)), np.zeros(1), np.zeros(2))
    with pytest.raises(ValueError, match="xyxy: got NaN or infinity in 1 rows, first row 1"):
        Detections(np.array([[0, 0, 1, 1], [0, np.nan, 1, 1]]), np.zeros(2), np.zeros(2))


def test_indexing_and_boxes_without_area() -> None:
    detections = Detections.from_xyxy([[0, 0, 5, 5], [0, 0, 0, 5], [3, 3, 2, 9]], [0.1, 0.2, 0.3], np.eye(3))
    kept, dropped = detections.with_area()
    assert (len(kept), dropped) == (1, 2)
    second = detections[detections.confidence > 0.15]
    assert len(second) == 2 and second.embeddings is not None and second.embeddings.tolist() == [[0, 1, 0], [0, 0, 1]]
    assert len(detections[:1]) == 1


@pytest.mark.parametrize("count", [0, 3])
def test_supervision_round_trip(count: int) -> None:
    random = np.random.default_rng(0)
    xyxy = np.tile(np.array([1, 2, 30, 40], np.float32), (count, 1))
    detections = Detections(xyxy, random.random(count), np.arange(count), random.random((count, 5)))
    back = Detections.from_supervision(detections.to_supervision())
    for name in ("xyxy", "confidence", "class_id", "embeddings"):
        np.testing.assert_array_equal(getattr(back, name), getattr(detections, name))
    tracks = Tracks(xyxy, np.arange(1, count + 1), detections.confidence, detections.class_id)
    again = Tracks.from_supervision(tracks.to_supervision())
    for name in ("xyxy", "track_id", "confidence", "class_id"):
        np.testing.assert_array_equal(getattr(again, name), getattr(tracks, name))


def test_supervision_without_confidence_or_identity() -> None:
    import supervision

    bare = supervision.Detections(xyxy=np.array([[0.0, 0, 1, 1]]))
    assert Detections.from_supervision(bare).confidence.tolist() == [1]
    with pytest.raises(ValueError, match="tracker_id: got None"):
        Tracks.from_supervision(bare)


def test_a_source_yields_every_frame(tmp_path: Path) -> None:
    (tmp_path / "det.txt").write_text("3,-1,1,2,10,20,0.5\n1,-1,5,6,10,20,0.9\n3,-1,7,8,10,20,0.4\n")
    source = det_txt_source(tmp_path / "det.txt", "A", length=4)
    found = dict(source)
    assert list(found) == [1, 2, 3, 4] and [len(found[frame]) for frame in found] == [1, 0, 2, 0]
    assert found[3].xyxy.tolist() == [[1, 2, 11, 22], [7, 8, 17, 28]]
    assert source.only(np.array([3])).frame.tolist() == [3, 3] and source.above(0.5).frame.tolist() == [1, 3]


def test_find_detections(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"neither \.npy files nor"):
        find_detections(tmp_path)
    (tmp_path / "A" / "det").mkdir(parents=True)
    (tmp_path / "A" / "det" / "det.txt").write_text("1,-1,1,2,10,20,0.5\n")
    assert list(find_detections(tmp_path)) == ["A"] == list(find_detections(tmp_path / "A"))
    with pytest.raises(ValueError, match="detection_columns"):
        read_source(tmp_path / "A" / "det" / "det.txt", "A", detection_columns=7)
    np.save(tmp_path / "B.npy", np.zeros((0, 8)))
    assert list(find_detections(tmp_path / "B.npy")) == ["B"]
    with pytest.raises(ValueError, match="one kind"):
        find_detections(tmp_path)


class MeanColour:
    """Embeds a crop as its mean colour, and counts."""

    def __init__(self) -> None:
        self.crops = 0

    def __call__(self, crops) -> np.ndarray:
        self.crops += len(crops)
        return np.stack([crop.mean(axis=(0, 1)) / 255 for crop in crops]).astype(np.float32)


@pytest.fixture
def sequence(tmp_path: Path) -> tuple[SequenceDetections, dict[int, Path]]:
    images = {}
    for frame, colour in ((1, (255, 0, 0)), (3, (0, 255, 0))):
        images[frame] = tmp_path / "img1" / f"{frame:06d}.jpg"
        images[frame].parent.mkdir(exist_ok=True)
        Image.new("RGB", (64, 48), colour).save(images[frame], quality=95)
    frame = np.array([1, 1, 3])
    xywh = np.array([[0.0, 0, 10, 20], [-50, 5, 20, 20], [30, 10, 500, 20]])
    return SequenceDetections("S", frame, xywh, np.ones(3), None, 3), images


def test_embeddings_are_computed_once(sequence, tmp_path: Path) -> None:
    detections, images = sequence
    embedder = MeanColour()
    embedded = embed_detections(detections, images, embedder, "model", tmp_path / "cache")
    np.testing.assert_allclose(embedded.embeddings, [[1, 0, 0], [1, 0, 0], [0, 1, 0]], atol=0.03)
    assert embedder.crops == 3
    again = embed_detections(detections, images, embedder, "model", tmp_path / "cache")
    np.testing.assert_array_equal(again.embeddings, embedded.embeddings)
    assert embedder.crops == 3
    embed_detections(detections, images, embedder, "other model", tmp_path / "cache")
    moved = SequenceDetections("S", detections.frame, detections.xywh + 1, detections.confidence, None, 3)
    embed_detections(moved, images, embedder, "model", tmp_path / "cache")
    assert embedder.crops == 9
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:60])
    embed_detections(detections, images, embedder, "model", tmp_path / "cache")
    assert embedder.crops == 12


def test_damaged_and_missing_images_are_named(sequence, tmp_path: Path) -> None:
    detections, images = sequence
    images[3].write_bytes(images[3].read_bytes()[:400])
    with pytest.raises(ValueError, match=r"000003\.jpg: the image cannot be read"):
        embed_detections(detections, images, MeanColour(), "model", tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*"))
    del images[3]
    with pytest.raises(ValueError, match="S: frame 3 and 0 more have no image"):
        embed_detections(detections, images, MeanColour(), "model", tmp_path / "cache")
    with pytest.raises(ValueError, match="cannot be read"):
        read_frame(tmp_path / "nothing.jpg")


def test_crops_have_at_least_one_pixel() -> None:
    image = np.zeros((10, 20, 3), np.uint8)
    for xywh in ([-9, -9, 3, 3], [50, 50, 3, 3], [19.9, 9.9, 0.1, 0.1], [0, 0, 99, 99]):
        assert min(crop_box(image, np.array(xywh, float)).shape) > 0
    assert crop_box(image, np.array([2.0, 3, 4, 5])).shape == (5, 4, 3)


def test_a_broken_embedder_is_refused(sequence, tmp_path: Path) -> None:
    detections, images = sequence
    with pytest.raises(ValueError, match=r"embedder: got \(1, 2\)"):
        embed_detections(detections, images, lambda crops: np.zeros((1, 2)), "model", tmp_path)
    with pytest.raises(ValueError, match="embedder"):
        embed_detections(detections, images, lambda crops: np.full((len(crops), 2), np.nan), "model", tmp_path)
