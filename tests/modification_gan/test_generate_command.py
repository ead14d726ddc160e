"""The command synthetic_generate: what it reads, what its options do, what it says of bad input."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from generation_runs import NEEDS_DIFFUSERS, TINY, arguments, generate, same, small, weights, without_pictures

from modification_gan.diffusion import Diffuser
from modification_gan.generative_model import Architecture
from modification_gan.options import GenerateConfig
from modification_gan.weights import load_source
from reid.config import option_names, parse_config
from reid.data.generated import read_manifest, training_fingerprint
from reid.data.market1501 import read_market1501
from reid.records import file_sha256

QUICK = [*small("dcgan"), "--steps", 2, "--num-images", 0]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    without_pictures(monkeypatch)


@pytest.fixture(scope="module")
def base(tiny_market: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, torch.Tensor]]:
    """Weights of a short training of each model and setting that an option is added to."""
    found: dict[str, dict[str, torch.Tensor]] = {}
    with pytest.MonkeyPatch.context() as patch:
        without_pictures(patch)
        for name, options in STARTS.items():
            found[name] = generate(tiny_market, tmp_path_factory.mktemp("base"), *options)
    return found


def copied(tiny_market: Path, folder: Path) -> Path:
    shutil.copytree(tiny_market, folder)
    return folder


def test_a_run_leaves_everything_that_it_promises(tiny_market: Path, tmp_path: Path) -> None:
    options = [*small("dcgan"), "--steps", 4, "--num-images", 20, "--groups", 3, "--grid-every", 2, "--state-every", 2]
    generate(tiny_market, tmp_path, *options)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"images", "samples", "states"} | {
        *("manifest.csv", "card.json", "model.safetensors", "model.json", "config.yaml", "metrics.jsonl"),
        "curves.png",
    }
    assert [path.name for path in sorted((tmp_path / "samples").iterdir())] == ["step-0000002.png", "step-0000004.png"]
    images = read_manifest(tmp_path)
    assert [image.file for image in images] == [f"images/{number:06d}.jpg" for number in range(20)]
    assert {image.group for image in images} <= {0, 1, 2} and len({image.seed for image in images}) == 20
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["weights_sha256"] == file_sha256(tmp_path / "model.safetensors")
    assert card["data"] == tiny_market.name and card["split"] == "train" and card["training_images"] == 72
    assert (card["model"], card["groups"], card["condition"], card["images"]) == ("dcgan", 3, "colours", 20)
    assert card["options"]["root"] == tiny_market.name  # no folder of the machine
    own = load_source(tmp_path / "model.safetensors")[1]
    wanted = training_fingerprint(read_market1501(tiny_market).train)
    assert card["training_sha256"] == own.training_sha256 == wanted and 0 <= card["diversity"] < 1
    assert sum(own.shares) == pytest.approx(1) and card["images_per_second"] > 0
    for image in images:
        assert image.group is not None and image.labels is not None
        assert image.labels == pytest.approx(own.labels[image.group], abs=1e-5)
        assert set(image.labels) <= set(range(1, 9))  # people of the training split


def test_test_images_have_no_part_in_it(tiny_market: Path, tmp_path: Path, quick: None) -> None:
    options = [*small("dcgan"), "--steps", 2, "--num-images", 3, "--groups", 3]
    wanted = generate(tiny_market, tmp_path / "all", *options)
    market = copied(tiny_market, tmp_path / "market")
    for folder in ("query", "bounding_box_test"):
        for path in (market / folder).iterdir():
            path.write_bytes(os.urandom(64))  # no image any more: reading one would be an error
    assert same(wanted, generate(market, tmp_path / "train", *options))
    folders = [tmp_path / name / "images" for name in ("all", "train")]
    for path in folders[0].iterdir():
        assert path.read_bytes() == (folders[1] / path.name).read_bytes()
    # Training images do have a part in it.
    for path in (market / "bounding_box_train").iterdir():
        if path.name.startswith(("0001", "0002", "0003")):
            shutil.copy(sorted((tiny_market / "query").iterdir())[0], path)
    assert not same(wanted, generate(market, tmp_path / "other", *options))


def test_what_is_wrong_is_said(
    tiny_market: Path, tmp_path: Path, quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    market = copied(tiny_market, tmp_path / "market")
    victim = sorted((market / "bounding_box_train").iterdir())[0]
    victim.write_bytes(b"no image")
    generate(market, tmp_path / "out", *QUICK)
    said = capsys.readouterr().out
    assert "1 training images cannot be read" in said and victim.name in said and "71 training images" in said
    with pytest.raises(ValueError, match=r"batch_size: got 80 x 1 processes.*at most the 71 training images"):
        generate(market, tmp_path / "out", *QUICK, "--bs", 80)
    for path in (market / "bounding_box_train").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="none of the 72 training images can be read"):
        generate(market, tmp_path / "out", *QUICK)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty"):
        generate(tmp_path / "empty", tmp_path / "out", *QUICK)
    (tmp_path / "mine" / "images").mkdir(parents=True)
    (tmp_path / "mine" / "images" / "000000.jpg").touch()
    with pytest.raises(ValueError, match=r"out: got .*mine, whose folder images holds files that no run wrote"):
        generate(tiny_market, tmp_path / "mine", *QUICK)
    assert (tmp_path / "mine" / "images" / "000000.jpg").exists()


def test_more_images_of_a_finished_training(tiny_market: Path, tmp_path: Path, quick: None) -> None:
    options = [*small("dcgan"), "--steps", 1, "--groups", 3]
    before = generate(tiny_market, tmp_path, *options, "--num-images", 6)
    few = read_manifest(tmp_path)
    stored = [(tmp_path / image.file).read_bytes() for image in few]
    after = generate(tiny_market, tmp_path, *options, "--num-images", 9, "--resume", "--sample-batch", 6)
    assert same(before, after) and read_manifest(tmp_path)[:6] == few and len(read_manifest(tmp_path)) == 9
    assert [(tmp_path / image.file).read_bytes() for image in few] == stored
    generate(tiny_market, tmp_path, *options, "--num-images", 2, "--resume")
    assert len(list((tmp_path / "images").iterdir())) == 2
    generate(tiny_market, tmp_path, *options, "--num-images", 0, "--resume")  # none are left
    assert not (tmp_path / "manifest.csv").exists() and not list((tmp_path / "images").iterdir())
    generate(tiny_market, tmp_path, *options, "--num-images", 2)
    generate(tiny_market, tmp_path, *options, "--num-images", 0)  # anew: nothing of the earlier run stays
    assert not (tmp_path / "manifest.csv").exists() and json.loads((tmp_path / "card.json").read_text())["images"] == 0


STARTS: dict[str, list[object]] = {
    "dcgan": QUICK,
    "wide": [*QUICK, "--width", 48],
    "smooth": [*QUICK, "--label-smoothing", 0.1],
    "ema": [*QUICK, "--ema"],
    "grouped": [*QUICK, "--groups", 2],
    "vae-gan": [*small("vae-gan"), "--steps", 2, "--num-images", 0],
    "vae-wgangp": [*small("vae-wgangp"), "--steps", 1, "--num-images", 0],
}
CHANGES = [
    ("dcgan", ["--ngf", 4]),
    ("dcgan", ["--ndf", 4]),
    ("dcgan", ["--noise-size", 4]),
    ("dcgan", ["--height", 64]),
    ("dcgan", ["--width", 32]),
    ("dcgan", ["--attention", 8]),
    ("dcgan", ["--spectral-norm", "none"]),
    ("dcgan", ["--spectral-norm", "both"]),
    ("dcgan", ["--adversarial-loss", "hinge"]),
    ("dcgan", ["--label-smoothing", 0.1]),
    ("smooth", ["--label-sides", "two"]),
    ("dcgan", ["--diff-augment", "none"]),
    ("dcgan", ["--diff-augment", "color"]),
    ("dcgan", ["--groups", 2]),
    ("grouped", ["--groups", 3]),
    ("grouped", ["--group-by", "cameras", "--groups", "None"]),
    ("dcgan", ["--group-by", "identities"]),
    ("dcgan", ["--steps", 1]),
    ("dcgan", ["--bs", 4]),
    ("dcgan", ["--generator-lr", 1e-3]),
    ("dcgan", ["--discriminator-lr", 1e-3]),
    ("dcgan", ["--beta1", 0.1]),
    ("dcgan", ["--beta2", 0.5]),
    ("dcgan", ["--ema"]),
    ("ema", ["--ema-decay", 0.05]),
    ("wide", ["--precision", "bf16"]),
    ("dcgan", ["--seed", 1]),
    ("vae-gan", ["--similarity-weight", 0]),
    ("vae-wgangp", ["--critic-steps", 2]),
    ("vae-wgangp", ["--penalty-weight", 0]),
    ("vae-wgangp", ["--spectral-norm", "discriminator"]),
]


@pytest.mark.parametrize(("start", "more"), CHANGES, ids=lambda value: " ".join(map(str, value)))
def test_options_change_the_weights(
    start: str,
    more: list[object],
    base: dict[str, dict[str, torch.Tensor]],
    tiny_market: Path,
    tmp_path: Path,
    quick: None,
) -> None:
    assert not same(base[start], generate(tiny_market, tmp_path, *STARTS[start], *more))


def test_what_options_stand_for_unless_told(
    base: dict[str, dict[str, torch.Tensor]], tiny_market: Path, tmp_path: Path, quick: None
) -> None:
    told = ["--adversarial-loss", "non-saturating", "--spectral-norm", "discriminator", "--generator-lr", 2e-4]
    told += ["--discriminator-lr", 4e-4, "--beta1", 0.5, "--beta2", 0.999, "--label-smoothing", 0]
    told += ["--diff-augment", "color,translation,cutout", "--log-every", 2, "--grid-every", 1, "--collapse-below", 0]
    assert same(base["dcgan"], generate(tiny_market, tmp_path, *STARTS["dcgan"], *told))


def test_other_options_change_what_they_say(tiny_market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_pictures(monkeypatch)
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    out = tmp_path / "out"
    generate(tiny_market, out, *QUICK, "--threads", 3, "--state-every", 1, "--log-every", 2)
    assert threads == [3] and len((out / "metrics.jsonl").read_text().splitlines()) == 2
    assert len(list((out / "states").iterdir())) == 2
    generate(tiny_market, out, *QUICK, "--state-every", 5)
    assert len(list((out / "states").iterdir())) == 1
    table = tmp_path / "people.csv"
    rows = [f"{path},{number % 4},train" for number, path in enumerate((tiny_market / "bounding_box_train").iterdir())]
    test = sorted((tiny_market / "query").iterdir())[:2]
    rows += [f"{path},9,{split}" for path, split in zip(test, ("query", "gallery"))]
    table.write_text("\n".join(["path,pid,split", *rows]))
    generate(table, out, *QUICK, "--dataset", "folder", "--group-by", "identities")
    assert len(load_source(out / "model.safetensors")[1].labels) == 4
    whole = tmp_path / "whole.csv"
    whole.write_text("\n".join(["path,pid", *(row.rsplit(",", 1)[0] for row in rows[:-2])]))
    for fraction, people in (("0.25", 3), ("0.5", 2)):
        told = ["--dataset", "folder", "--dataset-options", f"test_fraction={fraction}", "--group-by", "identities"]
        generate(whole, out, *QUICK, *told)
        assert len(load_source(out / "model.safetensors")[1].labels) == people


def test_every_option_is_tried_here(tmp_path: Path) -> None:
    text = Path(__file__).read_text() + (Path(__file__).parent / "generation_runs.py").read_text()
    text += (Path(__file__).parent / "test_generative_training.py").read_text()
    text += (Path(__file__).parent / "test_image_groups.py").read_text()
    text += (Path(__file__).parent / "test_generation_folder.py").read_text()
    spelt = {"batch_size": "bs"}
    missing = [
        name for name in option_names(GenerateConfig) if f'"--{spelt.get(name, name).replace("_", "-")}"' not in text
    ]
    assert not missing


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "diffusion", "--ndf", 8], "ndf: got 8 with diffusion"),
        (["--model", "vae-wgangp", "--adversarial-loss", "hinge"], "adversarial_loss: got hinge with vae-wgangp"),
        (["--critic-steps", 3], "critic_steps: got 3 with dcgan"),
        (["--ddim-steps", 3], "ddim_steps: got 3 with dcgan"),
        (["--similarity-weight", 3], "similarity_weight: got 3.0 with dcgan"),
        (["--label-sides", "two"], "label_sides: got two without"),
        (["--label-smoothing", 0.1, "--adversarial-loss", "hinge"], "label_smoothing: got 0.1 with hinge"),
        (["--label-smoothing", 0.7], "label_smoothing: got 0.7"),
        (["--diff-augment", "blur"], "diff_augment: got 'blur'"),
        (["--ema-decay", 0.9], "ema_decay: got 0.9 without --ema"),
        (["--ema", "--ema-decay", 1], "ema_decay: got 1.0"),
        (["--groups", 1], "groups: got 1,"),
        (["--groups", 4, "--group-by", "cameras"], "groups: got 4 with cameras"),
        (["--group-by", "colours"], "groups: got none"),
        (["--group-by", "embeddings", "--groups", 4], "ckpt: got none"),
        (["--ckpt", "a.onnx"], "ckpt: got a.onnx, which groups of the kind none"),
        (["--beta1", 1], "beta1: got 1.0"),
        (["--steps", 0], "steps: got 0"),
        (["--num-images", -1], "num_images: got -1"),
        (["--sample-batch", 0], "sample_batch: got 0"),
        (["--collapse-below", 1], "collapse_below: got 1.0"),
        (["--collapse-below", 0, "--collapse-after", 5], "collapse_after: got 5"),
        (["--height", 40], "height, width: got 40, 64"),
        (["--attention", 5], "attention: got 5 rows"),
        (["--dataset", "marked"], "dataset: got 'marked'"),
        (["--dataset", "msmt17"], "root: got none"),
        (["--dataset-options", "level"], "dataset_options: got 'level'"),
    ],
)
def test_options_that_cannot_be_meant(
    options: list[object], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")  # one line, not a box of several
    with pytest.raises((SystemExit, ValueError)) as caught:
        parse_config(GenerateConfig, list(map(str, options)))
    assert message in f"{caught.value} {capsys.readouterr().err}".replace("\n", " ")


@pytest.mark.slow
def test_without_a_folder_a_world_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    without_pictures(monkeypatch)
    world = ["pids=4", "cameras=2", "width=16", "height=32", "level=easy"]
    options = [*TINY, *QUICK, "--bs", 4, "--out", "out", "--dataset-options", *world]
    from modification_gan.synthetic_generate import main

    main(parse_config(GenerateConfig, list(map(str, options))))
    assert load_source(tmp_path / "out" / "model.safetensors")[1].data.startswith("world-")
    assert weights(tmp_path / "out")


def test_diffusion_without_its_library_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ModuleNotFoundError, match="pip install diffusers"):
        Diffuser(Architecture(), torch.Generator())


@NEEDS_DIFFUSERS
def test_sizes_of_diffusion() -> None:
    for sizes, message in (
        (Architecture(32, 16, ngf=12), "ngf: got 12"),
        (Architecture(32, 16, ngf=8, ddim_steps=0), "ddim_steps: got 0"),
        (Architecture(32, 16, ngf=8, attention=5), "attention: got 5"),
    ):
        with pytest.raises(ValueError, match=message):
            Diffuser(sizes, torch.Generator().manual_seed(0))
    noise = torch.randn(2, 3, 32, 16)
    made = [
        Diffuser(Architecture(32, 16, ngf=8, ddim_steps=steps, attention=rows), torch.Generator().manual_seed(0))(noise)
        for steps, rows in ((2, 0), (3, 0), (2, 8))
    ]
    assert not torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
    asked = Diffuser(Architecture(32, 16, ngf=8, ddim_steps=1, num_groups=2), torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=r"groups: got none, allowed: a tensor of B numbers in 0\.\.1"):
        asked(noise)
    assert asked(noise, torch.tensor([0, 1])).shape == noise.shape


@pytest.mark.slow
def test_two_processes_learn_from_their_shares(run_python, tiny_market: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    command = arguments(tiny_market, tmp_path / "two", *small("vae-wgangp"), "--steps", 2, "--num-images", 4, "--bs", 3)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", 2]
    run_python(*launch, "modification_gan/synthetic_generate.py", *command)
    assert len(read_manifest(tmp_path / "two")) == 4
    done = run_python(*launch, "modification_gan/synthetic_generate.py", *command, "--bs", 40, check=False)
    assert done.returncode != 0 and "40 x 2 processes" in done.stderr
