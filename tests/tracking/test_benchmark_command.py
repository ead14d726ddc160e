"""The benchmark command over layouts, caches, processes and ablations."""

import csv
import importlib.util
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tyro
from PIL import Image

from reid.command_flags import spelt_out
from tracking.mot16_benchmark import Mot16BenchmarkConfig, main, run_benchmark
from tracking.track_video_options import TrackVideoConfig
from tracking.tune_options import TuneConfig

COLOURS = ((255, 0, 0), (0, 0, 255), (0, 255, 0))


def write_sequence(folder: Path, length: int, truth: bool = True, identity: int = 1, people: int = 2) -> None:
    """People of one colour each who walk, with images, detections, and the ground truth where it is public."""
    for name in ("det", "img1", *(["gt"] if truth else [])):
        (folder / name).mkdir(parents=True)
    info = f"[Sequence]\nname={folder.name}\nseqLength={length}\nimWidth=160\nimHeight=120\n"
    (folder / "seqinfo.ini").write_text(info)
    rows, detections = [], []
    for frame in range(1, length + 1):
        image = np.full((120, 160, 3), 90, np.uint8)
        for person in range(people):
            left, top = 10 + 4 * frame if person % 2 == 0 else 120 - 4 * frame, 4 + 38 * person
            image[top : top + 34, left : left + 16] = COLOURS[person]
            rows.append([frame, identity + person, left, top, 16, 34, 1, 1, 1])
            detections.append([frame, -1, left, top, 16, 34, 0.9 - 0.1 * person])
        Image.fromarray(image).save(folder / "img1" / f"{frame:06d}.jpg")
    for path, table in ((folder / "gt" / "gt.txt", rows), (folder / "det" / "det.txt", detections)):
        if path.parent.is_dir():
            path.write_text("".join(",".join(map(str, row)) + "\n" for row in table))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MOT17 with one video three times and another once, a test video of it, and a SportsMOT that counts from 0."""
    root = tmp_path_factory.mktemp("data")
    for detector in ("DPM", "FRCNN", "SDP"):
        write_sequence(root / "MOT17" / "train" / f"MOT17-02-{detector}", 9)
    write_sequence(root / "MOT17" / "train" / "MOT17-04-SDP", 12, people=3)
    write_sequence(root / "MOT17" / "test" / "MOT17-01-SDP", 8, truth=False)
    write_sequence(root / "sportsmot" / "dataset" / "val" / "v_1_c001", 6, identity=0)
    return root


def settings(data: Path, out: Path, **options) -> Mot16BenchmarkConfig:
    given = {"benchmark": "MOT17", "split": "train", "root": data, "tracking_method": ("sort",), **options}
    return Mot16BenchmarkConfig(out=out, **given)


def test_public_detections_of_mot17_and_everything_written(data: Path, tmp_path: Path, capsys) -> None:
    records = run_benchmark(settings(data, tmp_path, tracking_method=("sort", "bytetrack")))
    names = ["MOT17-02-DPM", "MOT17-02-FRCNN", "MOT17-02-SDP", "MOT17-04-SDP"]
    assert list(records["sort"]["scores"]["sequences"]) == names
    assert (records["sort"]["dataset"], records["sort"]["split"]) == ("MOT17", "train")
    assert "curves" not in records["sort"]["scores"]
    shown = capsys.readouterr().out
    for column in "HOTA DetA AssA LocA MOTA MOTP MODA sMOTA IDF1 CLR_Re CLR_Pr MT PT ML IDSW Frag frames/s".split():
        assert column in shown
    with zipfile.ZipFile(tmp_path / "sort.zip") as archive:
        assert archive.namelist() == [f"{name}.txt" for name in names]
        assert all(len(line.split(",")) == 10 for line in archive.read(f"{names[0]}.txt").decode().splitlines())
    with open(tmp_path / "scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], row["sequence"]) for row in rows[4:6]] == [("sort", "COMBINED"), ("bytetrack", names[0])]
    combined = records["sort"]["scores"]["COMBINED"]
    assert float(rows[4]["HOTA"]) == pytest.approx(combined["HOTA"], abs=1e-6) and rows[4]["frames"] == "39"
    curves = json.loads((tmp_path / "curves.json").read_text())["sort"]["COMBINED"]["HOTA"]
    assert len(curves) == 19 and np.mean(curves) == pytest.approx(combined["HOTA"])
    markdown = (tmp_path / "scores.md").read_text()
    assert f"| COMBINED | 39 | {100 * combined['HOTA']:.2f} |" in markdown and "## bytetrack" in markdown
    page = (tmp_path / "scores.html").read_text()
    assert page.count("<polyline") == 6 and "frames/s" in page and "MOT17-04-SDP" in page
    assert "http" not in page and "<script" not in page and "src=" not in page


def test_a_detector_sees_each_video_once_and_counts_for_its_copies(data: Path, tmp_path: Path, capsys) -> None:
    config = settings(data, tmp_path, detector="truth", detector_confidence=0.5)
    scores = run_benchmark(config)["sort"]["scores"]
    assert list(scores["sequences"]) == ["MOT17-02-DPM", "MOT17-04-SDP"] and scores["COMBINED"]["DetRe"] > 0.7
    assert "each video is tracked once" in capsys.readouterr().err
    with zipfile.ZipFile(tmp_path / "sort.zip") as archive:
        assert len(archive.namelist()) == 4
        assert archive.read("MOT17-02-SDP.txt") == archive.read("MOT17-02-DPM.txt")


def test_halves_are_tracked_and_scored_apart(data: Path, tmp_path: Path) -> None:
    halves = {
        split: run_benchmark(settings(data, tmp_path / split, split=split, tracking_method=("ocsort",)))["ocsort"]
        for split in ("train-half", "val-half")
    }
    frames = {split: record["scores"]["frames"]["MOT17-02-SDP"] for split, record in halves.items()}
    assert frames == {"train-half": 5, "val-half": 4}
    for split, record in halves.items():
        scores = record["scores"]["sequences"]["MOT17-02-SDP"]
        assert scores["CLR_TP"] + scores["CLR_FN"] == 2 * frames[split]
        assert record["split"] == split
    rows = np.loadtxt(tmp_path / "val-half" / "ocsort" / "MOT17-02-SDP.txt", delimiter=",")
    # Frame 6 of the whole is frame 1 of the half; the filter's box stays near the detection there.
    first = rows[(rows[:, 0] == rows[0, 0]) & (rows[:, 3] < 30)][0]
    assert abs(first[2] - (10 + 4 * (first[0] + 5))) < 3 and rows[:, 0].max() == 4


def test_a_test_split_is_tracked_but_not_scored(data: Path, tmp_path: Path, capsys) -> None:
    record = run_benchmark(settings(data, tmp_path, split="test"))["sort"]
    assert "COMBINED" not in record["scores"] and record["scores"]["frames"] == {"MOT17-01-SDP": 8}
    assert "there is no ground truth" in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "sort.zip") as archive:
        assert archive.namelist() == ["MOT17-01-SDP.txt"]
    assert "MOT17-01-SDP,8,,,"[:16] in (tmp_path / "scores.csv").read_text()
    assert main(["--benchmark", "MOT17", "--split", "test", "--root", str(data), "--out", str(tmp_path), "--ablate",
                 "sort"]) == 2  # fmt: skip
    assert "no ground truth to score against" in capsys.readouterr().err


def test_sportsmot_counts_identities_from_zero(data: Path, tmp_path: Path) -> None:
    record = run_benchmark(settings(data, tmp_path, benchmark="SportsMOT", split="val"))["sort"]
    assert record["scores"]["COMBINED"]["MT"] + record["scores"]["COMBINED"]["PT"] == 2


class CountingEmbedder:
    """Stands for the networks: the mean colour of a crop."""

    crops = 0

    def __init__(self, source, device: str, precision: str) -> None:
        self.source = source

    def __call__(self, crops) -> np.ndarray:
        CountingEmbedder.crops += len(crops)
        return np.stack([crop.mean(axis=(0, 1)) / 255 + 1e-3 for crop in crops]).astype(np.float32)


DETECTOR = """
import numpy as np
from PIL import Image
calls = 0
def find(image):
    global calls
    calls += 1
    boxes = []
    for channel in range(3):
        others = [other for other in range(3) if other != channel]
        y, x = np.nonzero((image[..., channel] > 200) & (image[..., others].max(-1) < 60))
        if len(x) > 50:
            boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1, 0.8])
    return boxes
"""


def test_a_second_tracker_never_touches_an_image(data: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    import reid.embedder

    monkeypatch.setattr(reid.embedder, "Embedder", CountingEmbedder)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "colour_finder.py").write_text(DETECTOR)
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).write_text(name)
    shutil.copytree(data / "MOT17", tmp_path / "MOT17", copy_function=shutil.copy2)
    options = {"root": tmp_path, "detector": "colour_finder:find", "cache": tmp_path / "cache"}
    options |= {"reid": (tmp_path / "a.onnx", tmp_path / "b.onnx"), "split": "val-half"}
    CountingEmbedder.crops = 0
    first = run_benchmark(settings(data, tmp_path / "1", **{**options, "tracking_method": ("strongsort", "sort")}))
    assert list(first) == ["strongsort@a", "strongsort@b", "sort"]
    assert first["strongsort@a"]["checkpoint_sha256"] != first["strongsort@b"]["checkpoint_sha256"]
    assert first["strongsort@a"]["scores"]["COMBINED"]["DetRe"] > 0.3
    assert "HOTA / IDF1 by network and tracker" in capsys.readouterr().out
    made = CountingEmbedder.crops
    assert made > 0
    import colour_finder

    found = colour_finder.calls
    assert found == 4 + 5
    arrays = [np.load(path)["embeddings"] for path in (tmp_path / "cache").glob("*-embeddings-*.npz")]
    assert len(arrays) == 4 and all(array.dtype == np.float16 for array in arrays)

    for folder in (tmp_path / "MOT17" / "train").glob("*/img1"):
        shutil.rmtree(folder)
    second = run_benchmark(settings(data, tmp_path / "2", **{**options, "tracking_method": ("strongsort", "botsort")}))
    assert (CountingEmbedder.crops, colour_finder.calls) == (made, found)
    assert "has no images any more" in capsys.readouterr().err
    for sequence in ("MOT17-02-DPM", "MOT17-04-SDP"):
        results = [(tmp_path / run / "strongsort@b" / f"{sequence}.txt").read_bytes() for run in "12"]
        assert results[0] == results[1]
    assert second["botsort@a"]["scores"]["COMBINED"]["HOTA"] > 0

    for path in (tmp_path / "cache").glob("*-detections-*.npz"):
        path.write_bytes(path.read_bytes()[:50])
    code = main(["--benchmark", "MOT17", "--split", "val-half", "--root", str(tmp_path), "--out", str(tmp_path / "3"),
                 "--detector", "colour_finder:find", "--cache", str(tmp_path / "cache"),
                 "--tracking-method", "sort"])  # fmt: skip
    error = capsys.readouterr().err
    assert code == 2 and "is damaged" in error and "the image cannot be read" in error


def test_frames_without_images_stay_uncounted_when_the_images_are_gone(data: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "colour_finder.py").write_text(DETECTOR)
    shutil.copytree(data / "MOT17", tmp_path / "MOT17", copy_function=shutil.copy2)
    images = tmp_path / "MOT17" / "train" / "MOT17-04-SDP" / "img1"
    for frame in (10, 11, 12):
        (images / f"{frame:06d}.jpg").unlink()
    config = settings(tmp_path, tmp_path / "out", detector="colour_finder:find", sequences=("MOT17-04-SDP",))
    first = run_benchmark(config)["sort"]["scores"]
    shutil.rmtree(images)
    second = run_benchmark(config)["sort"]["scores"]
    assert first["COMBINED"] == second["COMBINED"] and first["COMBINED"]["CLR_TP"] > 0
    assert first["frames"] == second["frames"] == {"MOT17-04-SDP": 9}


def test_damaged_caches_are_made_anew(data: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "colour_finder.py").write_text(DETECTOR)
    config = settings(data, tmp_path, detector="colour_finder:find", sequences=("MOT17-04-SDP",))
    before = run_benchmark(config)["sort"]["scores"]["COMBINED"]
    (path,) = (tmp_path / "cache").glob("*-detections-*.npz")
    path.write_bytes(path.read_bytes()[:-40])
    assert run_benchmark(config)["sort"]["scores"]["COMBINED"] == before
    assert f"{path} is damaged" in capsys.readouterr().err
    assert len(np.load(path)["frame"]) > 0
    strict = settings(data, tmp_path, detector="colour_finder:find", detector_confidence=0.9)
    assert run_benchmark(strict)["sort"]["scores"]["COMBINED"]["CLR_TP"] == 0  # another threshold, another cache


def ways() -> list:
    ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
    return [pytest.param({}, id="processes"), pytest.param({"cluster": "local"}, id="ray", marks=ray)]


@pytest.mark.parametrize("options", ways())
def test_processes_give_the_same_files(data: Path, tmp_path: Path, options: dict) -> None:
    hog = {"detector": "hog", "tracking_method": ("sort", "reidsort"), "appearance": False, "detector_confidence": 0.01}
    one = run_benchmark(settings(data, tmp_path / "1", **hog))
    two = run_benchmark(settings(data, tmp_path / "2", **hog, processes=2, **options))
    assert one["sort"]["scores"]["COMBINED"] == two["sort"]["scores"]["COMBINED"]
    for path in (tmp_path / "1" / "reidsort").glob("*.txt"):
        assert path.read_bytes() == (tmp_path / "2" / "reidsort" / path.name).read_bytes()


def test_ablation_switches_each_flag_in_turn(data: Path, tmp_path: Path, capsys) -> None:
    options = {"ablate": "strongsort", "tracking_method": ("strongsort",), "resamples": 50, "min_confidence": 0.1}
    features = tmp_path / "features"
    features.mkdir()
    random = np.random.default_rng(0)
    for name in ("MOT17-02-SDP", "MOT17-04-SDP"):
        rows = np.loadtxt(data / "MOT17" / "train" / name / "det" / "det.txt", delimiter=",")
        looks = np.eye(16)[np.round(10 * rows[:, 6]).astype(int)] + random.normal(0, 0.05, (len(rows), 16))
        np.save(features / f"{name}.npy", np.hstack([rows, looks]))
    records = run_benchmark(settings(data, tmp_path / "out", detections=features, detection_columns=7, **options))
    switched = {label.removeprefix("strongsort") for label in records}
    wanted = {"", "-no-appearance", "-no-ema", "-no-motion-cost", "-nsa-released", "-nsa-off", "-cascade"}
    wanted |= {"-camera-motion", "-link-looks", "-link-aflink", "-interpolation-linear", "-interpolation-gaussian"}
    wanted |= {"-cut-tracks", "-take-leftover"}
    assert {label.replace("--", "-") for label in switched} == wanted
    base = records["strongsort"]["scores"]
    assert records["strongsort-no-ema"]["scores"]["options"]["ema"] is False and base["options"]["ema"] is True
    shown = capsys.readouterr()
    assert "Each flag of strongsort switched" in shown.out and "--no-motion-cost" in shown.out
    assert "95% interval of 50 resamples of 2 sequences, seed 0" in shown.out
    table = (tmp_path / "out" / "scores.md").read_text()
    row = next(line for line in table.splitlines() if line.startswith("| --interpolation linear"))
    difference = 100 * (
        records["strongsort-interpolation-linear"]["scores"]["COMBINED"]["HOTA"] - base["COMBINED"]["HOTA"]
    )
    assert f"| {difference:+.2f} [" in row and row.count("[") == 4
    one = {"sequences": ("MOT17-04-SDP",), "resamples": 20, "seed": 3, "tracking_method": ("strongsort",)}
    other = run_benchmark(settings(data, tmp_path / "x", ablate="sort", **one))
    assert list(other) == [
        "sort",
        "sort-take-leftover",
        "sort-link-aflink",
        "sort-interpolation-linear",
        "sort-interpolation-gaussian",
    ]
    assert other["sort"]["seed"] == 3 and "one sequence has no interval" in capsys.readouterr().out


@pytest.mark.parametrize("config", [Mot16BenchmarkConfig, TuneConfig, TrackVideoConfig])
def test_flags_are_said_as_the_ablation_shows_them(config: type) -> None:
    told = ["--out", "x"] if config is not TrackVideoConfig else ["--source", "x"]
    flags = ["--no-ema", "--cascade", "--no-motion-cost", "--camera-motion", "True", "--no-appearance"]
    found = tyro.cli(config, args=spelt_out([*told, *flags, "--ema-momentum", "0.5"], config))
    assert (found.ema, found.cascade, found.motion_cost, found.camera_motion) == (False, True, False, True)
    assert found.appearance is False and found.ema_momentum == 0.5 and found.recovery is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--gt", "x", "--benchmark", "MOT17", "--root", "x"], ["--gt, --benchmark: got both or neither"]),
        ([], ["--gt, --benchmark: got both or neither"]),
        (["--benchmark", "MOT17"], ["--root: got none"]),
        (["--gt", "x", "--split", "val"], ["--split: not used with --gt"]),
        (["--gt", "x", "--seed", "1"], ["--seed: not used with no --ablate"]),
        (["--gt", "x", "--ablate", "sort", "--tracking-method", "ocsort"], ["--ablate, --tracking-method"]),
        (["--gt", "x", "--ablate", "strongsort", "--reid", "a.onnx", "b.onnx"], ["2 checkpoints with --ablate"]),
        (["--gt", "x", "--detector", "hog", "--detections", "y"], ["--detections: not used with --detector hog"]),
        (["--gt", "x", "--detector-confidence", "0.5"], ["--detector-confidence: not used with", "--min-confidence"]),
        (["--gt", "x", "--detector", "truth", "--detector-size", "640"], ["--detector-size: not used with"]),
        (["--gt", "x", "--reid", "a.onnx", "a.onnx"], ["each checkpoint once"]),
        (
            ["--gt", "DATA/MOT17/train", "--detector", "det.txt", "--no-appearance"],
            ["got a .txt file, allowed: .npy, or a folder"],
        ),
        (["--gt", "x", "--reid", "zoo:nothing"], ["zoo: got 'nothing', allowed:"]),
    ],
)
def test_options_without_effect_are_errors(
    options: list[str], words: list[str], data: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "det.txt").write_text("1,-1,1,2,10,20,0.5\n")
    options = [option.replace("DATA", str(data)) for option in options]
    assert main([*options, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ") and "\n" not in error and all(word in error for word in words), error


def test_missing_public_detections_are_named(data: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(data / "MOT17" / "test", tmp_path / "dancetrack" / "test")
    folder = tmp_path / "dancetrack" / "test" / "dancetrack0003"
    (tmp_path / "dancetrack" / "test" / "MOT17-01-SDP").rename(folder)
    config = {"benchmark": "DanceTrack", "split": "test", "root": tmp_path}
    run_benchmark(settings(data, tmp_path / "out", **config))
    with zipfile.ZipFile(tmp_path / "out" / "sort.zip") as archive:
        assert archive.namelist() == ["tracker/dancetrack0003.txt"]
    (folder / "det" / "det.txt").unlink()
    with pytest.raises(ValueError, match=r"dancetrack0003: no det/det\.txt.*pass --detector"):
        run_benchmark(settings(data, tmp_path / "out", **config))
