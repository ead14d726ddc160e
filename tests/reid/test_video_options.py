"""Options of video training: what is refused, what the recipes say, where data are looked for."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from reid.config import parse_config
from reid.data.video_datasets import WORLD_OPTIONS, read_video_world
from reid.video_options import VideoTrainConfig
from reid.video_reid_train import main

RECIPES = sorted((Path(__file__).resolve().parents[2] / "experiments" / "recipes").glob("video-*.yaml"))
MOT_OPTIONS = ("min-visibility", "min-height", "min-width", "min-length", "max-length", "max-gap")
MOT_OPTIONS += ("test-fraction", "split-seed")


def parse(*arguments: object) -> VideoTrainConfig:
    return parse_config(VideoTrainConfig, list(map(str, arguments)))


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Returns what is said of bad options; tyro puts a frame around some of it and breaks the lines."""
    with pytest.raises((ValueError, SystemExit)) as caught:
        parse(*arguments)
    return " ".join(f"{caught.value} {capsys.readouterr().err}".replace("│", " ").split())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--frames", 0), "frames: got 0, allowed: 1 or more"),
        (("--epochs", -1), "epochs: got -1"),
        (("--threads", -1), "threads: got -1"),
        (("--crop_factor", 0), "crop_factor: got 0"),
        (("--crop_factor", 1.1, "--dataset", "mars", "--root", "A"), "crop_factor: got 1.1, allowed: at most 1"),
        (("--dataset", "mot"), "root: got none, allowed: the folder of mot"),
        (("--sampler", "random"), "which needs pairs"),
        (("--backbone", "cares18", "--temporal", "resnet3d18"), "a network of its own"),
        (("--hidden", 8), "hidden: got 8 with average, allowed: with attention and lstm"),
        (("--hidden", 8, "--temporal", "resnet3d50"), "hidden: got 8 with resnet3d50"),
        (("--hidden", 0, "--temporal", "lstm"), "hidden: got 0, allowed: 1 or more"),
        (("--temporal", "attention", "--frames", 1), "attention with 1 frame, whose weight is always 1"),
        (("--compile", "--activation-checkpointing"), "activation_checkpointing: got True with --compile"),
        (("--freeze-epochs", 99), "freeze_epochs: got 99"),
        (("--eval-every", 99), "eval_every: got 99"),
        (("--center-lamda", 0, "--center-lr", 0.1), "center_lr: got 0.1 with center_weight 0"),
        (("--sampler", "random", "--triplet-weight", 0, "--instance", 4), "num_instances: got 4 with sampler random"),
        (("--milestones", 3), "milestones: got (3,) with schedule cosine"),
        (("--height", 0), "input size: got 0 x 64"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_options_without_effect_are_refused(
    capsys: pytest.CaptureFixture[str], given: tuple[object, ...], message: str
) -> None:
    assert message in refusal(capsys, *given)


@pytest.mark.parametrize("name", MOT_OPTIONS)
def test_options_of_mot_sequences_are_refused_with_mars(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert parse(f"--{name}", 1).data.reader_options()
    said = refusal(capsys, f"--{name}", 1, "--dataset", "mars", "--root", "A")
    assert f"{name.replace('-', '_')}: got a value with mars, allowed: with MOT" in said


@pytest.mark.parametrize(
    ("given", "message"),
    [(("--bs", 64), "at most the 4 identities"), (("--backbone", "vgg"), "backbone: got 'vgg'")],
)
def test_what_does_not_fit_is_refused_before_training(
    tiny_videos: Callable[[], Path], tmp_path: Path, given: tuple[object, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        main(
            parse("--dataset", "mot", "--root", tiny_videos(), "--out", tmp_path, "--height", 32, "--width", 16, *given)
        )


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_parses(path: Path) -> None:
    command = path.read_text(encoding="utf-8").splitlines()[1]
    words = shlex.split(command.removeprefix("# python reid/video_reid_train.py "))
    assert words[:2] == ["--config", f"experiments/recipes/{path.name}"] and words[-1] == f"runs/{path.stem}"
    config = parse("--config", path, *words[2:])
    assert f"video-{config.data.dataset}" == path.stem and config.data.root is not None


def test_there_is_a_recipe_for_every_dataset() -> None:
    assert [path.stem for path in RECIPES] == ["video-mars", "video-mot", "video-world"]


def test_the_recipe_of_the_world_is_the_default() -> None:
    (path,) = (path for path in RECIPES if path.stem == "video-world")
    assert parse("--config", path, "--out", "A") == parse("--out", "A", "--crop_factor", 1.0)


def test_the_world_lies_under_runs() -> None:
    assert parse().data.folder() == Path("runs/video-world") and parse("--root", "A").data.folder() == Path("A")


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
