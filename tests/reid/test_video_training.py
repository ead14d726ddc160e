"""Video training: every option, what a run writes, going on, smaller batches."""

import gc
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from safetensors.torch import save_file

from experiments.results import read_records, section
from reid import run_folder, video_reid_train, video_training
from reid.checkpoint import load_checkpoint
from reid.config import option_names, parse_config
from reid.data.images import Preprocessing
from reid.data.video_datasets import VIDEO_DATASETS
from reid.models import build_model
from reid.models.foreign_weights import load_foreign
from reid.models.video import VIDEO_MODELS, build_video_model
from reid.training_log import TrainingLog, read_rows
from reid.video_embedder import VideoEmbedder, score_tracklets
from reid.video_options import VideoTrainConfig
from reid.video_reid_train import main, read_data

Videos = Callable[[], Path]
# timm's smallest network: what is looked at here are options, not networks.
SMALL = ["--dataset", "mot", "--max-length", 12, "--epochs", 1, "--height", 32, "--width", 16, "--frames", 2]
SMALL += ["--batch-size", 4, "--num-instances", 2, "--warmup-epochs", 0.5, "--threads", 1, "--state-every", 0]
SMALL += ["--backbone", "timm:test_resnet"]


def options(root: Path, out: Path, *given: object) -> VideoTrainConfig:
    return parse_config(VideoTrainConfig, list(map(str, [*SMALL, "--root", root, "--out", out, *given])))


def train(root: Path, out: Path, *given: object) -> dict[str, torch.Tensor]:
    # accelerate keeps the precision of the first accelerator in a process.
    AcceleratorState._reset_state(reset_partial_state=True)
    main(options(root, out, *given))
    AcceleratorState._reset_state(reset_partial_state=True)
    return load_checkpoint(out / "model.safetensors")[0]


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    # accelerate collects garbage before each training: much longer than so small a training among so many objects.
    gc.freeze()
    yield
    gc.unfreeze()
    torch.set_num_threads(before)


@pytest.fixture
def weights_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out what takes most of the time of so small a run and changes no weight."""
    monkeypatch.setattr(video_reid_train, "_baselines", lambda session: [])
    monkeypatch.setattr(video_reid_train, "repository_commit", lambda: "unknown")
    monkeypatch.setattr(run_folder, "draw_loss_curve", lambda rows, path: None)


@pytest.fixture(scope="module")
def run(tiny_videos: Videos, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs, both scored."""
    out = tmp_path_factory.mktemp("video") / "run"
    train(tiny_videos(), out, "--epochs", 2, "--eval-every", 1, "--state-every", 1)
    return out


CIRCLE = ("--circle-weight", 1)
CONTRAST = ("--cluster-contrast-weight", 1)
MEMORY = ("--xbm-weight", 1, "--xbm-start", 0)
MULTI_STEP = ("--schedule", "multi-step", "--milestones", 1, "--epochs", 2)
LSTM = ("--temporal", "lstm")
# Options and what they are added to; each must change the weights. First those that video training has to itself or
# assembles itself.
CHANGES: list[tuple[tuple[object, ...], tuple[object, ...]]] = [
    ((), ("--frames", 3)),
    ((), ("--crop_factor", 1.3)),
    ((), ("--temporal", "attention")),
    ((), LSTM),
    (LSTM, ("--hidden", 8)),
    ((), ("--backbone", "timm:test_efficientnet")),
    ((), ("--height", 48)),
    ((), ("--width", 24)),
    ((), ("--min-visibility", 0.8)),
    ((), ("--min-height", 41)),
    ((), ("--min-width", 17)),
    (("--max-length", 30), ("--min-length", 15)),
    ((), ("--max-length", 8)),
    ((), ("--max-gap", 0)),
    ((), ("--test-fraction", 0.25)),
    ((), ("--split-seed", 1)),
    ((), ("--batch-size", 6)),
    ((), ("--num-instances", 4)),
    ((), ("--sampler", "camera-balanced")),
    (("--triplet-weight", 0), ("--sampler", "random", "--num-instances", "None")),
    ((), ("--cross-entropy-weight", 0.5)),
    ((), ("--flip", 0)),
    ((), ("--lr", 3e-4)),
    (("--backbone", "seres18", "--width", 40), ("--precision", "bf16")),
    ((), ("--seed", 1)),
    ((), ("--epochs", 2)),
]
# A large network, and groups of options that come as they are from image training, where each is tested too.
SLOW: list[tuple[tuple[object, ...], tuple[object, ...]]] = [
    ((), ("--temporal", "resnet3d18", "--backbone", "default")),
    ((), ("--smoothing", 0)),
    ((), ("--poly-epsilon", -1.0)),
    ((), ("--temperature", "2.")),
    ((), ("--triplet-weight", 0.5)),
    ((), ("--triplet", "weighted-regularised")),
    ((), ("--margin", 0)),
    ((), ("--center-weight", 0)),
    ((), CIRCLE),
    (CIRCLE, ("--circle-margin", 0.4)),
    (CIRCLE, ("--circle-gamma", 64)),
    ((), CONTRAST),
    (CONTRAST, ("--contrast-momentum", 0.9)),
    (CONTRAST, ("--contrast-scale", 5)),
    ((), MEMORY),
    (MEMORY, ("--xbm-size", 4)),
    (MEMORY, ("--xbm-start", 2)),
    ((), ("--pad-crop", 0)),
    ((), ("--jitter", 0)),
    ((), ("--erasing", 0.9)),
    ((), ("--gray-patch", 0.9)),
    ((), ("--gray-image", 0.9)),
    ((), ("--policy", "autoaugment")),
    ((), ("--optimizer", "adamw")),
    ((), ("--weight-decay", 0.1)),
    ((), ("--warmup-epochs", 0)),
    (("--epochs", 2), MULTI_STEP),
    (("--epochs", 2), ("--schedule", "step", "--step-epochs", 1)),
    (MULTI_STEP, ("--decay", 0.5)),
    ((), ("--max-grad-norm", 0.1)),
    ((), ("--accumulate", 2)),
    ((), ("--ema", 0.9)),
    ((), ("--freeze-epochs", 1)),
    ((), ("--center-lr", 0.1)),
]
# What other tests look at: here, or what image training and this one share in test_training and test_training_parts.
ELSEWHERE = {
    *("dataset", "root", "out", "eval_every", "resume", "state_every", "state_steps", "workers", "cache_megabytes"),
    *("threads", "class_balance", "accelerate", "compile", "activation_checkpointing"),
    *("fused", "log", "weights"),
}
_weights: dict[tuple[object, ...], dict[str, torch.Tensor]] = {}


@pytest.mark.usefixtures("weights_only")
@pytest.mark.parametrize(
    ("base", "change"),
    [*CHANGES, *(pytest.param(*row, marks=pytest.mark.slow) for row in SLOW)],
    ids=lambda value: " ".join(map(str, value)),
)
def test_every_option_changes_the_weights(
    tiny_videos: Videos, tmp_path: Path, base: tuple[object, ...], change: tuple[object, ...]
) -> None:
    if base not in _weights:
        _weights[base] = train(tiny_videos(), tmp_path / "base", *base)
    assert not equal(_weights[base], train(tiny_videos(), tmp_path / "changed", *base, *change))


def test_the_list_of_options_is_whole() -> None:
    words = [str(word) for _, change in (*CHANGES, *SLOW) for word in change]
    tested = {word.removeprefix("--").replace("-", "_") for word in words if word.startswith("--")}
    assert tested | ELSEWHERE == set(option_names(VideoTrainConfig))
    assert {"world", "mot", "mars"} == set(VIDEO_DATASETS)


@pytest.mark.parametrize("inner", ["image", "video"])
def test_training_begins_with_the_weights_of_a_file(
    inner: str, tiny_videos: Videos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if inner == "image":
        donor = build_model("timm:test_resnet", 9)
        expected = {f"frames.backbone.{key}": value for key, value in donor.state_dict().items() if "trunk" in key}
    else:
        donor = build_video_model("average", "timm:test_resnet", 9, height=32, width=16)
        expected = {key: value for key, value in donor.state_dict().items() if "classifier" not in key}
    save_file(donor.state_dict(), tmp_path / "donor.safetensors")
    words = ("--epochs", 0, "--warmup-epochs", 0, "--weights", tmp_path / "donor.safetensors")
    state = train(tiny_videos(), tmp_path / "out", *words)
    assert len(expected) > 20 and all(torch.equal(state[key], value) for key, value in expected.items())
    said = capsys.readouterr().out
    assert said.count(f"donor.safetensors: {len(expected)} of {len(state)} tensors loaded") == 1
    assert ("frames.backbone.head.classifier.weight" in said) == (inner == "image")
    records = json.loads((tmp_path / "out" / "result.json").read_text())
    assert records[0]["method"] == "network with the weights of donor.safetensors, untrained, as stored"


@pytest.mark.parametrize("backbone", ["cares18", "osnet_x0_25", "plr_osnet", "vit_tiny"])
def test_weights_of_every_network_of_images_fit_its_tracklets(backbone: str, tmp_path: Path) -> None:
    donor = build_model(backbone, 3, **({"image_size": (64, 32)} if backbone == "vit_tiny" else {}))
    with torch.no_grad():
        for parameter in donor.parameters():
            parameter.normal_(std=0.1)
    torch.save(donor.state_dict(), tmp_path / "donor.pth")
    network = parse_config(VideoTrainConfig, ["--backbone", backbone, "--height", "64", "--width", "32"]).network
    model = build_video_model("average", height=64, width=32, **network.model_options()).eval()
    report = load_foreign(model, tmp_path / "donor.pth")
    assert all(name.startswith("head.") for name in report.missing) and not report.mismatched
    assert all("bottleneck" in name or "classifier" in name for name in report.unexpected)
    image = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        assert torch.allclose(model(image[:, None]).features, donor.eval()(image).features, atol=1e-4)


@pytest.mark.usefixtures("weights_only")
def test_class_balance_counts_tracklets(tiny_videos: Videos, tmp_path: Path) -> None:
    # The person who is away for a while has fewer tracklets.
    plain, balanced = (
        train(tiny_videos(), tmp_path / name, "--max-length", 4, *more)
        for name, more in (("plain", ()), ("balanced", ("--class-balance",)))
    )
    assert not equal(plain, balanced)


@pytest.mark.usefixtures("weights_only")
def test_other_ways_to_the_same_weights(
    tiny_videos: Videos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    build = video_training.tracklet_loader

    def look(*arguments: Any, **more: Any) -> Any:
        seen.append(build(*arguments, **more))
        return seen[-1]

    monkeypatch.setattr(video_training, "tracklet_loader", look)
    first = train(tiny_videos(), tmp_path / "first", "--state-every", 1)
    assert list((tmp_path / "first" / "states" / "source").iterdir()) and seen[-1].num_workers == 0
    given = ["--workers", 1, "--cache-megabytes", 0, "--accelerate"]
    assert equal(first, train(tiny_videos(), tmp_path / "second", *given))
    assert seen[-1].num_workers == 1 and torch.get_num_threads() == 1
    assert not list((tmp_path / "second").glob("states/source/*"))
    assert "accelerate is always on" in capsys.readouterr().out
    checkpointed = train(tiny_videos(), tmp_path / "third", "--activation-checkpointing")
    assert all(torch.allclose(first[name], checkpointed[name], atol=1e-5) for name in first)


def test_a_run_describes_itself(run: Path, tiny_videos: Videos) -> None:
    rows = read_rows(run / "metrics.jsonl")
    assert [row["epoch"] for row in rows] == [1, 2]
    assert ["mAP" in row for row in rows] == [True, False] and rows[0]["protocol"] == "inductive"
    assert {"loss/cross_entropy", "loss/triplet", "lr", "images_per_second"} <= rows[0].keys()
    assert {"config.yaml", "curves.png", "states", "tensorboard", "result.json"} <= {
        path.name for path in run.iterdir()
    }
    _, card = load_checkpoint(run / "model.safetensors")
    assert card.backbone == "video/average" and card.options == {"backbone": "timm:test_resnet"}
    assert card.config["frames"] == 2 and card.config["batch_size"] == 4 and card.preprocessing == Preprocessing(32, 16)
    assert [score["method"] for score in card.scores] == [
        "trained network",
        "untrained network",
        "colour histogram, mean of the frames",
    ]
    assert all(score["protocol"] == "inductive" and score["items"] == "tracklets" for score in card.scores)
    assert all(score["split"] == "query/gallery tracklets" for score in card.scores)
    assert json.loads((run / "result.json").read_text()) == card.scores
    best = load_checkpoint(run / "best.safetensors")[1].scores[0]
    last = card.scores[0]["scores"]["mAP"]
    assert best["scores"]["mAP"] == max(rows[0]["mAP"], last) and best["epoch"] == (2 if last > rows[0]["mAP"] else 1)
    read = parse_config(VideoTrainConfig, ["--config", str(run / "config.yaml")])
    assert read == options(tiny_videos(), run, "--epochs", 2, "--eval-every", 1, "--state-every", 1)


def test_the_stored_network_scores_as_its_record_says(run: Path, tiny_videos: Videos) -> None:
    data = read_data(options(tiny_videos(), run).data, print)
    embed = VideoEmbedder.from_checkpoint(run / "model.safetensors")
    record = load_checkpoint(run / "model.safetensors")[1].scores[0]
    assert score_tracklets(embed, data).scores()["mAP"] == pytest.approx(record["scores"]["mAP"])
    assert np.allclose(np.linalg.norm(embed(data.gallery), axis=1), 1, atol=1e-5)


def test_runs_are_listed_in_a_table_of_tracklets(run: Path) -> None:
    records, faults = read_records(run.parent)
    text = section(records)
    assert not faults and len(records) == 3 and "### Inductive tracklets" in text and "### Inductive:" not in text
    assert "| run |" in text and "| run, untrained network |" in text


def test_same_seed_gives_the_same_weights_and_an_interrupted_run_goes_on(
    tiny_videos: Videos, tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = TrainingLog.write

    def stop(self: TrainingLog, row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            raise KeyboardInterrupt
        write(self, row)

    given = ["--epochs", 2, "--eval-every", 1, "--state-every", 1]
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TrainingLog, "write", stop)
        train(tiny_videos(), tmp_path, *given, "--state-steps", 1)
    assert len(list((tmp_path / "states" / "source").iterdir())) == 2
    with pytest.raises(ValueError, match=r"config\.yaml has height 32 \(now 48\)"):
        train(tiny_videos(), tmp_path, *given, "--resume", "--height", 48)
    # From within the second epoch.
    resumed = train(tiny_videos(), tmp_path, *given, "--resume", "--state-steps", 1)
    assert [row["epoch"] for row in read_rows(tmp_path / "metrics.jsonl")] == [1, 2]
    assert equal(resumed, load_checkpoint(run / "model.safetensors")[0])


@pytest.mark.usefixtures("weights_only")
def test_batches_that_do_not_fit_are_halved(
    tiny_videos: Videos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = train(tiny_videos(), tmp_path / "small", "--bs", 4)
    build = video_reid_train.build_video_trainer

    def narrow(*arguments: Any, **more: Any) -> Any:
        if arguments[5].sampling.batch_size > 4:
            raise RuntimeError("CUDA out of memory.")
        return build(*arguments, **more)

    monkeypatch.setattr(video_reid_train, "build_video_trainer", narrow)
    assert equal(expected, train(tiny_videos(), tmp_path / "large", "--bs", 8))
    assert "out of memory with batches of 8; starting again with 4" in capsys.readouterr().out


@pytest.mark.usefixtures("weights_only")
def test_mars_is_trained_on(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for part, pids in (("bbox_train", (1, 2, 3, 4)), ("bbox_test", (5, 6))):
        for pid in pids:
            (tmp_path / part / f"{pid:04d}").mkdir(parents=True)
            for camera in (1, 2):
                for frame in (1, 2, 3):
                    name = f"{pid:04d}C{camera}T0001F{frame:03d}.jpg"
                    cv2.imwrite(str(tmp_path / part / f"{pid:04d}" / name), random.integers(0, 256, (32, 16, 3)))
    given = ["--dataset", "mars", "--max-length", "None"]
    whole = train(tmp_path, tmp_path / "whole", *given)
    assert not equal(whole, train(tmp_path, tmp_path / "inner", *given, "--crop_factor", 0.7))
    (record,) = load_checkpoint(tmp_path / "whole" / "model.safetensors")[1].scores
    assert record["scores"]["num_valid"] == 4 and record["dataset"] == f"mars ({tmp_path.name})"


@pytest.mark.usefixtures("weights_only")
def test_corrupt_frames_are_counted(tiny_videos: Videos, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(tiny_videos(), tmp_path / "mot")
    victim = tmp_path / "mot" / "train" / "VIEW-01-c1" / "img1" / "000007.jpg"
    victim.write_bytes(victim.read_bytes()[:200])
    train(tmp_path / "mot", tmp_path / "out", "--epochs", 0)
    said = capsys.readouterr().out
    assert "1 files are left out" in said and "000007.jpg" in said
    (record,) = load_checkpoint(tmp_path / "out" / "model.safetensors")[1].scores
    assert record["method"] == "untrained network, as stored" and yaml.safe_load(
        (tmp_path / "out" / "config.yaml").read_text()
    )["root"] == str(tmp_path / "mot")


def test_the_command_runs_as_written(
    repository: Path, run_python: Callable[..., Any], tiny_videos: Videos, tmp_path: Path
) -> None:
    shown = run_python("reid/video_reid_train.py", "--help").stdout
    assert "--crop-factor" in shown and "--batch-size" in shown and all(name in shown for name in VIDEO_MODELS)
    given = ["--crop_factor", 1.0, "--dataset", "mot", "--root", tiny_videos(), "--out", tmp_path, "--epochs", 0]
    given += ["--height", 32, "--width", 16, "--batch-size", 4, "--num-instances", 2, "--max-length", 8]
    done = run_python(repository / "reid/video_reid_train.py", *given, cwd=tmp_path)
    assert "mAP" in done.stdout and "inductive" in done.stdout
    card = load_checkpoint(tmp_path / "model.safetensors")[1]
    assert card.config["crop_factor"] == 1.0 and card.options == {"backbone": "default"}
    done = run_python("reid/video_reid_train.py", "--dataset", "mars", "--root", tmp_path, check=False)
    assert done.returncode == 2 and "expected bbox_train" in done.stderr and "Traceback" not in done.stderr
