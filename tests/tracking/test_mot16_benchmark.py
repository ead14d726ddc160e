import json
import shutil
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reid.records import file_sha256
from reid.zoo_entries import resolve_source
from tracking import TRACKERS, tracker_options
from tracking.mot16_benchmark import Mot16BenchmarkConfig, build_trackers, main, run_benchmark
from tracking.tracker_flags import TrackerFlags


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people of two colours on 12 frames, with images, detections and features."""
    root = tmp_path_factory.mktemp("world")
    folder = root / "train" / "MOT16-05"
    for name in ("gt", "det", "img1"):
        (folder / name).mkdir(parents=True)
    (folder / "seqinfo.ini").write_text("[Sequence]\nname=MOT16-05\nseqLength=12\nimWidth=200\nimHeight=160\n")
    truth, detections, table = [], [], []
    for frame in range(1, 13):
        image = np.full((160, 200, 3), 90, np.uint8)
        for identity, (left, colour) in enumerate([(10 + 8 * frame, (255, 0, 0)), (150 - 8 * frame, (0, 0, 255))], 1):
            box = [left, 20 if identity == 1 else 90, 25, 60]
            image[box[1] : box[1] + 60, left : left + 25] = colour
            confidence = 0.9 if identity == 1 else 0.3
            truth.append([frame, identity, *box, 1, 1, 1])
            detections.append([frame, -1, *box, confidence])
            table.append([frame, -1, *box, confidence, *np.eye(16)[identity]])
        Image.fromarray(image).save(folder / "img1" / f"{frame:06d}.jpg")
    for path, rows in ((folder / "gt" / "gt.txt", truth), (folder / "det" / "det.txt", detections)):
        path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    (root / "features").mkdir()
    np.save(root / "features" / "MOT17-05-FRCNN.npy", np.array(table))
    return root


def config(world: Path, out: Path, **options) -> Mot16BenchmarkConfig:
    return Mot16BenchmarkConfig(gt=world / "train", out=out, **options)


def test_as_a_file_from_another_folder(world: Path, tmp_path: Path, repository: Path, run_python) -> None:
    arguments = ["--gt", world / "train", "--detections", world / "features", "--out", tmp_path / "out"]
    script = repository / "tracking" / "mot16_benchmark.py"
    done = run_python(script, *arguments, "--tracking-method", "strongsort", "sort", cwd=tmp_path)
    assert "COMBINED" in done.stdout and "MOT17-05-FRCNN is scored against MOT16-05" in done.stdout
    records = json.loads((tmp_path / "out" / "result.json").read_text())
    assert set(records) == {"strongsort", "sort"}
    record = records["strongsort"]
    assert (record["protocol"], record["split"], record["checkpoint_sha256"]) == ("inductive", "train", None)
    assert record["scores"]["COMBINED"]["IDSW"] == 0 and record["scores"]["frames_per_second"]["COMBINED"] > 0
    assert record["scores"]["options"]["min_confidence"] == 0.1
    first = (tmp_path / "out" / "sort" / "MOT17-05-FRCNN.txt").read_text().splitlines()[0]
    assert first.startswith("1,1,18.00,20.00,25.00,60.00,0.9000,-1,-1,-1")


def test_help_and_module(repository: Path, run_python) -> None:
    assert "--min-confidence" in run_python("-m", "tracking.mot16_benchmark", "--help").stdout
    assert "--results" in run_python("-m", "tracking.evaluation", "--help").stdout
    assert "--results" in run_python(repository / "tracking" / "evaluation.py", "--help", cwd=Path("/")).stdout
    done = run_python("-m", "tracking.mot16_benchmark", "--gt", "x", "--out", "y", "--bogus", "1", check=False)
    assert done.returncode != 0 and "bogus" in done.stderr + done.stdout


def test_import_is_free_of_torch(run_python) -> None:
    code = "import sys, tracking.mot16_benchmark, tracking.drawing, reid.data.mot; sys.exit('torch' in sys.modules)"
    run_python("-c", code)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--no-appearance", "--reid", "x.onnx"], ["--reid with --no-appearance"]),
        (["--tracking-method", "sort", "--reid", "x.onnx"], ["--reid: none of sort"]),
        (["--tracking-method", "sort", "--max-cosine", "0.2"], ["--max-cosine: not an option of sort"]),
        (["--tracking-method", "sort", "--no-appearance"], ["--no-appearance: not an option of sort"]),
        (["--tracking-method", "nosort"], ["got 'nosort', allowed: ", "sort, strongsort"]),
        (["--tracking-method", "sort", "sort"], ["each tracker once"]),
        (["--no-appearance", "--sequences", "MOT16-77"], ["got 'MOT16-77', allowed: MOT16-05"]),
        (["--no-appearance", "--max-age", "-1"], ["max_age: got -1"]),
        (["--reid", "missing.onnx"], ["missing.onnx"]),
        (["--detections", "nowhere"], ["nowhere"]),
    ],
)
def test_user_errors_are_one_line(world: Path, tmp_path: Path, capsys, options: list[str], words: list[str]) -> None:
    assert main(["--gt", str(world / "train"), "--out", str(tmp_path), *options]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and "\n" not in error
    assert all(word in error for word in words), error


def test_a_missing_package_is_one_line(world: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    (tmp_path / "m.xml").write_text("<net/>")
    options = ["--sequences", "MOT16-05", "--reid", str(tmp_path / "m.xml"), "--max-cosine", "0.3"]
    assert main(["--gt", str(world / "train"), "--out", str(tmp_path), *options]) == 2
    assert capsys.readouterr().err.strip().startswith("error: OpenVINO is not installed; pip install")


def test_looks_come_from_the_zoo_unless_told(world: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    options = ["--gt", str(world / "train"), "--sequences", "MOT16-05"]
    assert main([*options, "--out", str(tmp_path / "zoo")]) == 0
    assert "zoo:reidlite_distilled_world; --no-appearance does without" in capsys.readouterr().err
    settings = json.loads((tmp_path / "zoo" / "result.json").read_text())["strongsort"]
    assert settings["checkpoint_sha256"] == file_sha256(resolve_source("zoo:reidlite_distilled_world"))
    assert main([*options, "--out", str(tmp_path / "none"), "--no-appearance"]) == 0
    assert "zoo:" not in capsys.readouterr().err
    monkeypatch.setattr("tracking.default_network.DEFAULT_REID", "zoo:nobody")
    assert main([*options, "--out", str(tmp_path / "gone")]) == 2
    error = capsys.readouterr().err
    assert "no --reid, and no zoo:nobody" in error and "needs appearance" in error and "--no-appearance" in error
    bare = tmp_path / "bare" / "MOT16-05"
    shutil.copytree(world / "train" / "MOT16-05", bare, ignore=shutil.ignore_patterns("img1"))
    assert main(["--gt", str(bare.parent), "--out", str(tmp_path / "x")]) == 2
    assert "needs appearance" in capsys.readouterr().err


def test_every_tracker_option_is_a_field_and_reaches_its_tracker(world: Path, tmp_path: Path) -> None:
    base = config(world, tmp_path, tracking_method=tuple(TRACKERS))
    names = {field.name for field in fields(TrackerFlags)}
    assert names == {option for tracker in TRACKERS for option in tracker_options(tracker)}
    other = {"nsa": "released", "appearance": False, "new_confidence": 0.9, "min_confidence": 0.2, "weight_limit": 0.3}
    booleans = ("ema", "motion_cost", "cascade", "recovery", "re_update", "adaptive_weight", "dynamic_ema")
    booleans += ("calibration", "quality", "second_stage", "common_motion")
    other |= dict.fromkeys(booleans, False)
    for name in sorted(names):
        value = other.get(name, True if name == "camera_motion" else 1)
        trackers = build_trackers(replace(base, **{name: value}))
        reached = [getattr(tracker.options, name) for tracker in trackers.values() if hasattr(tracker.options, name)]
        assert reached and all(got == value for got in reached)


class FakeEmbedder:
    """Stands for the network: the mean colour of a crop."""

    made = 0
    crops = 0

    def __init__(self, source, device: str, precision: str) -> None:
        FakeEmbedder.made += 1
        self.device, self.precision = device, precision

    def __call__(self, crops) -> np.ndarray:
        FakeEmbedder.crops += len(crops)
        return np.stack([crop.mean(axis=(0, 1)) / 255 + 1e-3 for crop in crops]).astype(np.float32)


def test_crops_are_embedded_once_for_all_runs(world: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    import reid.embedder

    monkeypatch.setattr(reid.embedder, "Embedder", FakeEmbedder)
    (tmp_path / "model.onnx").write_text("weights")
    options = {"reid": (tmp_path / "model.onnx",), "cache": tmp_path / "cache"}
    records = run_benchmark(config(world, tmp_path / "a", tracking_method=("strongsort", "sort"), **options))
    assert records["strongsort"]["scores"]["COMBINED"]["IDSW"] == 0
    assert len(records["strongsort"]["checkpoint_sha256"]) == 64
    assert FakeEmbedder.crops == 24
    run_benchmark(config(world, tmp_path / "b", max_age=5, **options))
    assert FakeEmbedder.crops == 24
    run_benchmark(config(world, tmp_path / "c", min_confidence=0.5, **options))
    assert FakeEmbedder.crops == 24 + 12
    rows = (tmp_path / "c" / "strongsort" / "MOT16-05.txt").read_text().splitlines()
    assert {row.split(",")[1] for row in rows} == {"1"}


def test_the_networks_card_sets_the_appearance_limit(world: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    import reid.embedder

    monkeypatch.setattr(reid.embedder, "Embedder", FakeEmbedder)
    monkeypatch.setattr(reid.embedder, "read_cosine_limit", lambda path, fmr: {0.03: 0.55, 0.001: 0.2}[fmr])
    (tmp_path / "model.onnx").write_text("weights")
    options = {"reid": (tmp_path / "model.onnx",), "cache": tmp_path / "cache", "tracking_method": ("botsort", "sort")}
    for told, limit, source in (
        ({}, 0.55, "card of model.onnx, false match rate 0.03"),
        ({"gate_fmr": 0.001}, 0.2, "card of model.onnx, false match rate 0.001"),
        ({"max_cosine": 0.4}, 0.4, "--max-cosine"),
    ):
        records = run_benchmark(config(world, tmp_path / "out", **options, **told))
        assert records["botsort"]["scores"]["options"]["max_cosine"] == limit
        assert records["botsort"]["scores"]["gate"] == f"{limit:.3f} ({source})"
        assert "gate" not in records["sort"]["scores"]
        assert f"appearance limit: {limit:.3f} ({source})" in capsys.readouterr().out


def test_without_appearance_with_camera_motion_and_a_filter(world: Path, tmp_path: Path, capsys) -> None:
    options = {"appearance": False, "camera_motion": True, "sequences": ("MOT16-05",)}
    records = run_benchmark(config(world, tmp_path, **options))
    assert records["strongsort"]["scores"]["frames"] == {"MOT16-05": 12}
    stale = tmp_path / "strongsort" / "MOT16-05.txt"
    assert stale.is_file()
    mapped = config(world, tmp_path, detections=world / "features", sequence_map={"MOT17-05-FRCNN": "MOT16-05"})
    assert list(run_benchmark(replace(mapped, detection_columns=7))["strongsort"]["scores"]["frames"]) == [
        "MOT17-05-FRCNN"
    ]
    assert not stale.exists()
