"""Detectors behind `--detector`: what they find, what they are known by, what they refuse."""

import importlib.util
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tracking.boxes import iou_matrix, xywh_to_xyxy
from tracking.detectors import DetectorOptions, build_detector
from tracking.detectors.base import weights_digest
from tracking.detectors.hog import is_part, suppress
from tracking.frame_source import open_source
from tracking.images import read_frame

needs_ultralytics = pytest.mark.skipif(
    importlib.util.find_spec("ultralytics") is None, reason="ultralytics-opencv-headless is not installed"
)


@pytest.fixture(scope="session")
def street(shared_data: Path) -> tuple[np.ndarray, np.ndarray]:
    """A real frame, and the boxes (N, 4) of people in it who are mostly visible and 100 pixels tall."""
    folder = shared_data / "mot17-mini" / "train" / "MOT17-04-FRCNN"
    rows = np.loadtxt(folder / "gt" / "gt.txt", delimiter=",")
    rows = rows[(rows[:, 0] == 1) & (rows[:, 7] == 1) & (rows[:, 8] > 0.7) & (rows[:, 5] > 100)]
    return read_frame(folder / "img1" / "000001.jpg"), xywh_to_xyxy(rows[:, 2:6])


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("nothing", {}, ["got 'nothing'", "yolo:WEIGHTS"]),
        ("hog:x", {}, ["got 'x' behind the colon"]),
        ("hog", {"device": "cpu"}, ["device", "not an option of hog"]),
        ("hog", {"confidence": 1.0}, ["between 0 and 1"]),
        ("yolo:absent.pt", {}, ["absent.pt", "on this machine"]),
        ("torchvision:resnet50=random", {}, ["fasterrcnn_resnet50_fpn"]),
        ("torchvision:ssd300_vgg16=absent.pth", {}, ["ssd300_vgg16=FILE.pth"]),
        ("torchvision:ssd300_vgg16=random", {"overlap": 0.5}, ["overlap"]),
        ("no.such.module:run", {}, ["no.such.module cannot be imported"]),
        ("json:nothing", {}, ["has no callable 'nothing'"]),
        ("json:dumps", {"size": 640}, ["size"]),
        ("absent.npy", {}, ["absent.npy is no file"]),
    ],
)
def test_what_is_refused(name: str, options: dict, words: list[str]) -> None:
    with pytest.raises(ValueError) as error:
        build_detector(name, DetectorOptions(**options))
    assert all(word in str(error.value) for word in words), error.value


def test_options_are_checked() -> None:
    for wrong in ({"confidence": 1.5}, {"size": 8}, {"overlap": -1}):
        with pytest.raises(ValueError, match=f"detector {next(iter(wrong))}"):
            DetectorOptions(**wrong)


def test_a_file_answers_frame_by_frame(tmp_path: Path) -> None:
    (tmp_path / "det.txt").write_text("2,-1,1,2,10,20,0.5\n2,-1,5,6,10,20,0.9\n")
    detector = build_detector(str(tmp_path / "det.txt"))
    assert not detector.needs_images and len(detector(None, 1)) == 0 and len(detector(None, 2)) == 2
    strict = build_detector(str(tmp_path / "det.txt"), DetectorOptions(confidence=0.6))
    assert strict(None, 2).xyxy.tolist() == [[5, 6, 15, 26]] and strict.identity != detector.identity
    np.save(tmp_path / "d.npy", np.concatenate([[[1, -1, 1, 2, 10, 20, 0.5]], np.eye(16)[:1]], axis=1))
    embeddings = build_detector(str(tmp_path / "d.npy"))(None, 1).embeddings
    assert embeddings is not None and embeddings.shape == (1, 16)


def test_a_python_function_from_the_current_folder(tmp_path: Path, monkeypatch) -> None:
    text = """
import numpy as np
from tracking.detections import Detections
def rows(image): return [[1, 2, 11, 22, 0.9], [1, 2, 1, 22, 0.9], [3, 3, 9, 9, 0.2]]
def none(image): return []
def wrong(image): return np.zeros((2, 3))
def other(image):
    import supervision
    return supervision.Detections(xyxy=np.array([[0.0, 0, 5, 5]]), confidence=np.array([0.7]))
class Made:
    identity = "weights 7"
    def __call__(self, image): return Detections.from_xyxy([[0, 0, image.shape[1], image.shape[0]]])
"""
    (tmp_path / "my_people.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    image = np.zeros((48, 64, 3), np.uint8)
    assert build_detector("my_people:rows")(image).xyxy.tolist() == [[1, 2, 11, 22], [3, 3, 9, 9]]
    assert len(build_detector("my_people:rows", DetectorOptions(confidence=0.5))(image)) == 1
    assert len(build_detector("my_people:none")(image)) == 0
    assert build_detector("my_people:other")(image).confidence.tolist() == pytest.approx([0.7])
    made = build_detector("my_people:Made")
    assert "weights 7" in made.identity and made(image).xyxy.tolist() == [[0, 0, 64, 48]]
    with pytest.raises(ValueError, match=r"my_people:wrong: got a result of shape \(2, 3\)"):
        build_detector("my_people:wrong")(image)


def test_suppression_against_torchvision() -> None:
    import torch
    from torchvision.ops import nms

    random = np.random.default_rng(0)
    corner = random.uniform(0, 100, (200, 2))
    xyxy = np.hstack([corner, corner + random.uniform(10, 40, (200, 2))]).astype(np.float32)
    confidence = random.random(200).astype(np.float32)
    want = nms(torch.from_numpy(xyxy), torch.from_numpy(confidence), 0.4)
    np.testing.assert_array_equal(suppress(xyxy, confidence, 0.4), want.numpy())
    assert len(suppress(np.empty((0, 4)), np.empty(0), 0.4)) == 0


def test_hog_needs_no_weights_and_its_options_act() -> None:
    assert len(build_detector("hog")(np.zeros((30, 30, 3), np.uint8))) == 0
    assert len(build_detector("hog")(np.zeros((300, 300, 3), np.uint8))) == 0
    identities = {
        build_detector("hog", DetectorOptions(**options)).identity
        for options in ({}, {"confidence": 0.6}, {"size": 640}, {"overlap": 0.2})
    }
    assert len(identities) == 4


@pytest.mark.real_data
def test_hog_finds_people_in_a_street(street) -> None:
    image, people = street
    found = build_detector("hog", DetectorOptions(size=1280))(image)
    hits = iou_matrix(found.xyxy, people) > 0.5
    assert hits.any(axis=0).mean() > 0.1 and hits.any(axis=1).mean() > 0.2
    sure = build_detector("hog", DetectorOptions(size=1280, confidence=0.7))(image)
    assert 0 < len(sure) < len(found) and sure.confidence.min() >= 0.7
    assert len(build_detector("hog", DetectorOptions(size=1280, overlap=0.9))(image)) > len(found)


def test_hog_knows_arms_and_legs_from_people() -> None:
    person = [100.0, 0, 200, 300]
    boxes = np.array([person, [90, 50, 130, 150], [60, 50, 120, 150], [105, 0, 195, 250], [110, 50, 150, 150]])
    confidence = np.array([0.8, 0.7, 0.7, 0.7, 0.9])
    # Inside by 3/4 of it only, nearly as large, more certain: those stay.
    assert is_part(boxes, confidence).tolist() == [False, False, False, False, False]
    boxes[1] = [95, 50, 135, 150]
    assert is_part(boxes, confidence).tolist() == [False, True, False, False, False]
    assert is_part(np.empty((0, 4)), np.empty(0)).shape == (0,)


@pytest.mark.real_data
def test_hog_finds_a_person_as_tall_as_the_image(shared_data: Path) -> None:
    video = open_source(shared_data / "video" / "one-by-one-person-detection.mp4")
    image = next(islice(video.frames(), 74, None))[1]
    person = np.array([[384.5, 38.9, 545.0, 401.1]])
    part = image[30:410]  # 7 pixels above, 8 below: no room for the window's margins
    overlap = iou_matrix(build_detector("hog")(part).xyxy, person - [0, 30, 0, 30])
    assert overlap.max() > 0.7


def test_torchvision_with_random_and_with_local_weights(tmp_path: Path) -> None:
    import torch
    from torchvision.models import get_model

    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    options = DetectorOptions(confidence=0.0, size=96, device="cpu")
    build_detector(f"torchvision:{name}=random", options)(image)
    torch.manual_seed(0)
    network = get_model(name, weights=None, weights_backbone=None, num_classes=2).eval()
    torch.save(network.state_dict(), tmp_path / "a.pth")
    found = build_detector(f"torchvision:{name}={tmp_path / 'a.pth'}", options)(image)
    assert len(found) and found.xyxy[:, 2].max() <= 160
    strict = build_detector(f"torchvision:{name}={tmp_path / 'a.pth'}", replace(options, confidence=0.9))
    assert len(strict(image)) == 0  # random weights are never that sure
    small = build_detector(f"torchvision:{name}={tmp_path / 'a.pth'}", replace(options, size=64))
    assert len({small.identity, strict.identity}) == 2 and not np.array_equal(small(image).xyxy, found.xyxy)
    torch.save({"a": torch.zeros(1)}, tmp_path / "b.pth")
    with pytest.raises(ValueError, match=r"b\.pth: these are not weights of"):
        build_detector(f"torchvision:{name}={tmp_path / 'b.pth'}", options)(image)
    fixed = build_detector("torchvision:ssdlite320_mobilenet_v3_large=random", DetectorOptions(size=96))
    with pytest.raises(ValueError, match="input of fixed size"):
        fixed(image)


def test_weights_are_known_by_their_content(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    for name in ("a.bin", "a.xml"):
        (tmp_path / "net" / name).write_text(name)
    before = weights_digest(tmp_path / "net")
    (tmp_path / "net" / "a.xml").write_text("other")
    assert weights_digest(tmp_path / "net") != before
    before = weights_digest(tmp_path / "net" / "a.xml")
    (tmp_path / "net" / "a.bin").write_text("other weights of the same graph")
    assert weights_digest(tmp_path / "net" / "a.xml") != before
    (tmp_path / "m.onnx").write_text("graph")
    alone = weights_digest(tmp_path / "m.onnx")
    (tmp_path / "m.onnx.data").write_text("weights")
    assert weights_digest(tmp_path / "m.onnx") != alone


@needs_ultralytics
def test_yolo_of_random_weights(tmp_path: Path) -> None:
    network = "nc: 1\nbackbone: [[-1, 1, Conv, [8, 3, 2]], [-1, 1, Conv, [16, 3, 2]], [-1, 1, Conv, [16, 3, 2]]]\n"
    (tmp_path / "tiny.yaml").write_text(network + "head: [[[0, 1, 2], 1, Detect, [nc]]]\n")
    options = DetectorOptions(confidence=0.0, size=64, device="cpu", overlap=1.0)
    found = build_detector(f"yolo:{tmp_path / 'tiny.yaml'}", options)(np.zeros((48, 64, 3), np.uint8))
    assert len(found) and found.xyxy[:, 2].max() <= 64
    (tmp_path / "broken.pt").write_text("nothing")
    with pytest.raises(ValueError, match=r"broken\.pt: ultralytics cannot load it"):
        build_detector(f"yolo:{tmp_path / 'broken.pt'}")(np.zeros((48, 64, 3), np.uint8))


@needs_ultralytics
@pytest.mark.real_data
@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed")
def test_a_real_yolo_finds_the_people(street, shared_data: Path) -> None:
    image, people = street
    weights = shared_data / "models" / "yolov8n_int8_openvino_model"
    found = build_detector(f"yolo:{weights}")(image)
    assert (iou_matrix(found.xyxy, people) > 0.5).any(axis=0).mean() > 0.6
    assert len(build_detector(f"yolo:{weights}", DetectorOptions(confidence=0.5))(image)) < len(found)
    with pytest.raises(ValueError, match="device"):
        build_detector(f"yolo:{weights}", DetectorOptions(device="cuda"))


def test_yolo_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "w.pt", format="PNG")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ultralytics" else find(name))
    with pytest.raises(ValueError, match="pip install ultralytics-opencv-headless"):
        build_detector(f"yolo:{tmp_path / 'w.pt'}")
