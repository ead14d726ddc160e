"""The video entry point: every option, determinism, going on, what it writes; scores against a plain loop."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from reid import video_reid_train
from reid.checkpoint import load_checkpoint, save_checkpoint
from reid.data.images import Preprocessing
from reid.data.mot_tracklets import read_mot_tracklets
from reid.data.transforms import Augmentation
from reid.data.video_datasets import VIDEO_DATASETS, WORLD_OPTIONS, read_video_world
from reid.embedder import Embedder
from reid.loss_config import LossConfig
from reid.models.video import VIDEO_MODELS
from reid.optim import OptimisationOptions
from reid.training import LoadingOptions, SamplingOptions
from reid.training_log import TrainingLog, read_rows
from reid.video_embedder import VideoEmbedder, load_video_model, score_tracklets
from reid.video_reid_train import VideoTrainConfig, main, read_data

Videos = Callable[[], Path]
SMALL: dict[str, Any] = {
    "dataset": "mot",
    "max_length": 6,
    "epochs": 1,
    "height": 32,
    "width": 16,
    "frames": 2,
    "sampling": SamplingOptions(batch_size=4, num_instances=2),
    "optimisation": OptimisationOptions(warmup_epochs=0.5),
    "threads": 1,
}


def train(root: Path, out: Path, **options: Any) -> dict[str, torch.Tensor]:
    main(VideoTrainConfig(root=root, out=out, **(SMALL | options)))
    return load_checkpoint(out / "model.safetensors")[0]


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def run(tiny_videos: Videos, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("video") / "run"
    train(tiny_videos(), out, epochs=2)
    return out


@pytest.fixture(scope="module")
def baseline(tiny_videos: Videos, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    return train(tiny_videos(), tmp_path_factory.mktemp("baseline"))


def test_training_describes_itself(run: Path, tiny_videos: Videos) -> None:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    _, card = load_checkpoint(run / "model.safetensors")
    assert card.backbone == "video/average" and card.config["frames"] == 2 and card.config["batch_size"] == 4
    assert [score["method"].split(",")[0] for score in card.scores] == [
        "trained network",
        "untrained network",
        "colour histogram",
    ]
    assert all(score["protocol"] == "inductive" and score["cameras_known"] for score in card.scores)
    data = read_mot_tracklets(tiny_videos(), max_length=6)
    embed = VideoEmbedder.from_checkpoint(run / "model.safetensors")
    result = score_tracklets(embed, data)
    assert result.scores()["mAP"] == pytest.approx(card.scores[0]["scores"]["mAP"])
    features = embed(data.gallery)
    assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)


def test_scores_against_a_loop(tiny_videos: Videos) -> None:
    data = read_mot_tracklets(tiny_videos(), max_length=6)
    embed = VideoEmbedder.from_histogram(3, 1.0)
    features = dict(zip(data.gallery, embed(data.gallery), strict=True))
    precisions = []
    for query in data.query:
        rest = [one for one in data.gallery if (one.pid, one.camid) != (query.pid, query.camid)]
        rest.sort(key=lambda one: float(np.linalg.norm(features[one] - features[query])))
        hits = [rank for rank, one in enumerate(rest, start=1) if one.pid == query.pid]
        precisions.append(np.mean([count / rank for count, rank in enumerate(hits, start=1)]))
    assert score_tracklets(embed, data).mAP == pytest.approx(float(np.mean(precisions)))


def test_image_models_and_video_models_are_told_apart(run: Path, tiny_videos: Videos, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="backbone: got 'video/average'"):
        Embedder(run / "model.safetensors", device="cpu")
    state, card = load_checkpoint(run / "model.safetensors")
    save_checkpoint(tmp_path / "image.safetensors", state, dataclasses.replace(card, backbone="cares18"))
    with pytest.raises(ValueError, match="holds the image model cares18"):
        load_video_model(tmp_path / "image.safetensors")
    save_checkpoint(tmp_path / "lstm.safetensors", state, dataclasses.replace(card, backbone="video/lstm"))
    with pytest.raises(ValueError, match="the weights do not fit video/lstm"):
        load_video_model(tmp_path / "lstm.safetensors")


def test_same_seed_gives_the_same_weights(
    tiny_videos: Videos, tmp_path: Path, baseline: dict[str, torch.Tensor]
) -> None:
    assert equal(baseline, train(tiny_videos(), tmp_path))


def test_an_interrupted_training_goes_on(
    tiny_videos: Videos, tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = TrainingLog.write

    def stop(self: TrainingLog, row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            raise KeyboardInterrupt
        write(self, row)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TrainingLog, "write", stop)
        train(tiny_videos(), tmp_path, epochs=2)
    with pytest.raises(ValueError, match=r"config\.yaml has height 32 \(now 48\)"):
        train(tiny_videos(), tmp_path, epochs=2, resume=True, height=48)
    resumed = train(tiny_videos(), tmp_path, epochs=2, resume=True)
    assert [row["epoch"] for row in read_rows(tmp_path / "metrics.jsonl")] == [1, 2]
    assert (tmp_path / "curves.png").is_file()
    assert equal(resumed, load_checkpoint(run / "model.safetensors")[0])


@pytest.mark.parametrize(
    "options",
    [
        {"temporal": "attention"},
        {"temporal": "lstm"},
        {"temporal": "resnet3d18"},
        {"backbone": "seres18"},
        {"frames": 3},
        {"crop_factor": 1.3},
        {"epochs": 2},
        {"height": 48},
        {"width": 24},
        {"loss": LossConfig(cross_entropy_weight=0.5)},
        {"loss": LossConfig(circle_weight=0.5)},
        {"seed": 1},
        {"sampling": SamplingOptions(batch_size=6, num_instances=2)},
        {"augmentation": Augmentation(flip=0.0)},
        {"optimisation": OptimisationOptions(warmup_epochs=0.5, lr=1e-3)},
    ],
    ids=lambda options: "-".join(options),
)
def test_every_option_changes_the_weights(
    tiny_videos: Videos, tmp_path: Path, baseline: dict[str, torch.Tensor], options: dict[str, Any]
) -> None:
    assert not equal(baseline, train(tiny_videos(), tmp_path, **options))


MOT_OPTIONS: list[dict[str, Any]] = [
    {"min_visibility": 0.8},
    {"min_height": 41},
    {"min_width": 17},
    {"min_length": 15},
    {"max_length": 8},
    {"max_gap": 0},
    {"test_fraction": 0.25},
    {"split_seed": 1},
]


@pytest.mark.parametrize("options", MOT_OPTIONS, ids=lambda options: "-".join(options))
def test_mot_options_change_the_data_and_are_refused_elsewhere(tiny_videos: Videos, options: dict[str, Any]) -> None:
    config = VideoTrainConfig(root=tiny_videos(), dataset="mot")
    assert read_data(dataclasses.replace(config, **options)) != read_data(config)
    with pytest.raises(ValueError, match="got a value with mars"):
        read_data(VideoTrainConfig(root=tiny_videos(), dataset="mars", **options))


def test_the_list_of_options_is_whole() -> None:
    marks = test_every_option_changes_the_weights.pytestmark  # type: ignore[attr-defined]
    tested = {name for options in (*marks[0].args[1], *MOT_OPTIONS) for name in options}
    # Where data come from and go to, and what other tests look at.
    elsewhere = {"dataset", "root", "out", "loading", "threads", "resume"}
    assert tested | elsewhere == {field.name for field in dataclasses.fields(VideoTrainConfig)}
    assert {"world", "mot", "mars"} == set(VIDEO_DATASETS)


def test_loading_acts_but_changes_nothing(
    tiny_videos: Videos, tmp_path: Path, baseline: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    build = video_reid_train.tracklet_loader

    def look(*arguments: Any, **options: Any) -> Any:
        seen.append(build(*arguments, **options))
        return seen[-1]

    monkeypatch.setattr(video_reid_train, "tracklet_loader", look)
    assert equal(baseline, train(tiny_videos(), tmp_path, loading=LoadingOptions(workers=1, cache_megabytes=0)))
    assert seen[0].num_workers == 1 and torch.get_num_threads() == 1


def test_mars_is_trained_on(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for part, pids in (("bbox_train", (1, 2, 3, 4)), ("bbox_test", (5, 6))):
        for pid in pids:
            (tmp_path / part / f"{pid:04d}").mkdir(parents=True)
            for camera in (1, 2):
                for frame in (1, 2, 3):
                    name = f"{pid:04d}C{camera}T0001F{frame:03d}.jpg"
                    cv2.imwrite(str(tmp_path / part / f"{pid:04d}" / name), random.integers(0, 256, (32, 16, 3)))
    options = {"dataset": "mars", "max_length": None}
    whole = train(tmp_path, tmp_path / "whole", **options)
    assert not equal(whole, train(tmp_path, tmp_path / "inner", crop_factor=0.7, **options))
    scores = load_checkpoint(tmp_path / "whole" / "model.safetensors")[1].scores
    assert scores[0]["scores"]["num_valid"] == 4


def test_corrupt_frames_are_counted(tiny_videos: Videos, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(tiny_videos(), tmp_path / "mot")
    victim = tmp_path / "mot" / "train" / "VIEW-01-c1" / "img1" / "000007.jpg"
    victim.write_bytes(victim.read_bytes()[:200])
    train(tmp_path / "mot", tmp_path / "out", epochs=0)
    said = capsys.readouterr().out
    assert "1 files are left out" in said and "000007.jpg" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 0}, "frames: got 0, allowed: 1 or more"),
        ({"epochs": -1}, "epochs: got -1"),
        ({"threads": -1}, "threads: got -1"),
        ({"crop_factor": 0.0}, "crop_factor: got 0"),
        ({"crop_factor": 1.1, "dataset": "mars"}, r"crop_factor: got 1\.1, allowed: at most 1"),
        ({"sampling": SamplingOptions(sampler="random")}, "which needs pairs"),
        ({"sampling": SamplingOptions(batch_size=64)}, "at most the 4 identities"),
        ({"backbone": "vgg"}, "backbone: got 'vgg'"),
        ({"backbone": "cares18", "temporal": "resnet3d18"}, "a network of its own"),
    ],
)
def test_bad_options_are_refused(tiny_videos: Videos, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(tiny_videos(), tmp_path, **options)


def test_a_missing_world_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"sequences": 1, "cameras": 2, "people": 6, "frames": 6, "fps": 2, "width": 320, "height": 180}
    monkeypatch.setattr("reid.data.video_datasets.WORLD_OPTIONS", WORLD_OPTIONS | small)
    options = {"min_height": 16, "min_width": 4, "min_length": 2, "min_visibility": 0.0}
    data = read_video_world(tmp_path / "world", **options)
    assert "does not exist: writing a world" in capsys.readouterr().out
    assert read_video_world(tmp_path / "world", **options) == data and data.cameras_known
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("reid.data.video_datasets.WORLD_OPTIONS", {"people": 0})
    with pytest.raises(ValueError, match=r"the world could not be written: .*people: got 0"):
        read_video_world(tmp_path / "none")


def test_the_command_runs_as_written(
    repository: Path, run_python: Callable[..., Any], tiny_videos: Videos, tmp_path: Path
) -> None:
    shown = run_python("reid/video_reid_train.py", "--help").stdout
    assert "--crop-factor" in shown and "--batch-size" in shown and all(name in shown for name in VIDEO_MODELS)
    options = ["--crop_factor", 1.0, "--dataset", "mot", "--root", tiny_videos(), "--out", tmp_path, "--epochs", 0]
    options += ["--height", 32, "--width", 16, "--bs", 4, "--instance", 2, "--max-length", 8]
    done = run_python(repository / "reid/video_reid_train.py", *options, cwd=tmp_path)
    assert "mAP" in done.stdout and "inductive" in done.stdout
    card = load_checkpoint(tmp_path / "model.safetensors")[1]
    assert card.config["crop_factor"] == 1.0 and card.preprocessing == Preprocessing(32, 16)
    done = run_python("reid/video_reid_train.py", "--dataset", "mars", "--root", tmp_path, check=False)
    assert done.returncode == 2 and "expected bbox_train" in done.stderr and "Traceback" not in done.stderr
