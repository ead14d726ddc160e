"""The folder of a generator's run: what a new run may remove, and when."""

import json
import runpy
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from generation_runs import WATCHED, generate, same, small, weights, without_pictures

from modification_gan import image_folder, sampling, synthetic_generate
from modification_gan.dcgan import DCGAN
from modification_gan.diversity import CollapseError
from modification_gan.options import GenerateConfig
from modification_gan.run_files import RunFiles
from modification_gan.weights import load_source
from reid.config import parse_config
from reid.data.generated import read_manifest
from reid.records import file_sha256

QUICK = [*small("dcgan"), "--steps", 2, "--num-images", 2]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    without_pictures(monkeypatch)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_run_that_cannot_start_removes_nothing(tiny_market: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(tiny_market, out, *QUICK)
    before = files_of(out)
    for more, message in (
        (["--bs", 80], "batch_size: got 80"),
        (["--groups", 400], "groups: got 400"),
        (["--groups", 2, "--ckpt", tmp_path / "absent.safetensors"], "absent"),
        (["--root", tmp_path / "nowhere"], "nowhere"),
    ):
        with pytest.raises((ValueError, OSError), match=message):
            generate(tiny_market, out, *QUICK, *more)
        assert files_of(out) == before


def test_the_generator_stays_until_a_good_one_takes_its_place(
    tiny_market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = generate(tiny_market, tmp_path, *QUICK)
    told = [*small("dcgan"), "--steps", 2, "--seed", 1, "--num-images", 2, *WATCHED, "--collapse-after", 0]
    losses = DCGAN.losses

    def crash(self, turn, batch, random):  # type: ignore[no-untyped-def]
        raise RuntimeError("out of memory")

    def forget(self, turn, batch, random):  # type: ignore[no-untyped-def]
        self.source.project.weight.detach().zero_()
        return losses(self, turn, batch, random)

    monkeypatch.setattr(DCGAN, "losses", crash)
    with pytest.raises(RuntimeError, match="out of memory"):
        generate(tiny_market, tmp_path, *told)
    assert same(wanted, weights(tmp_path))
    assert not (tmp_path / "card.json").exists() and not (tmp_path / "manifest.csv").exists()
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["seed"] == 1
    monkeypatch.setattr(DCGAN, "losses", forget)  # the earlier generator is not taken for this run's
    with pytest.raises(CollapseError, match="the images of no step"):
        generate(tiny_market, tmp_path, *told, "--resume")
    assert same(wanted, weights(tmp_path)) and not (tmp_path / "manifest.csv").exists()
    monkeypatch.setattr(DCGAN, "losses", losses)
    assert not same(wanted, generate(tiny_market, tmp_path, *QUICK, "--seed", 1))
    assert (tmp_path / "manifest.csv").is_file() and len(list((tmp_path / "states").iterdir())) == 1


def test_folders_of_others_are_refused(tiny_market: Path, tmp_path: Path) -> None:
    reid, model, loose = (tmp_path / name for name in ("reid", "model", "loose"))
    for folder in (reid, model, loose):
        folder.mkdir()
    (reid / "config.yaml").write_text("backbone: cares18\n")
    (model / "model.json").write_text('{"backbone": "cares18"}')
    (loose / "metrics.jsonl").write_text("{}\n")
    (tmp_path / "file").touch()
    for out, message in (
        (reid, "config.yaml is not that of a generator"),
        (model, "model.json is not that of a generator"),
        (loose, "holds metrics.jsonl, but no config.yaml"),
        (tmp_path / "file", "file is a file; allowed: a folder"),
        (tmp_path / "file" / "out", "file is a file; allowed: a folder"),
        (tiny_market, "lies in the dataset"),
        (tiny_market / "runs" / ".." / "new", "lies in the dataset"),
    ):
        before = files_of(tmp_path)
        for more in ([], ["--resume"]):
            with pytest.raises(ValueError, match=f"out: got .*{message}"):
                generate(tiny_market, out, *QUICK, *more)
        assert files_of(tmp_path) == before
    assert not (tiny_market / "new").exists()


@pytest.mark.parametrize(("text", "message"), [("", "not that of"), ("7", "got int"), ("a: [", "not valid YAML")])
def test_a_damaged_list_of_options_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    for resume in (False, True):
        with pytest.raises(ValueError, match=rf"config\.yaml.*{message}"):
            RunFiles(tmp_path, {}, resume, print)


def test_damaged_rows_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("ngf: 8\n")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"st')
    with pytest.raises(ValueError, match=r"metrics\.jsonl: damaged"):
        RunFiles(tmp_path, {}, True, print).begin()


def test_missing_weights_are_written_again(
    tiny_market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = generate(tiny_market, tmp_path, *QUICK)
    (tmp_path / "model.safetensors").unlink()
    assert same(wanted, generate(tiny_market, tmp_path, *QUICK, "--resume"))
    assert "model.safetensors is missing: the newest state's are written" in capsys.readouterr().out
    assert load_source(tmp_path / "model.safetensors")[1].step == 2
    assert json.loads((tmp_path / "card.json").read_text())["step"] == 2


def sample(*words: object) -> None:
    synthetic_generate.main(parse_config(GenerateConfig, ["--threads", "1", *map(str, words)]))


def test_images_of_stored_weights_need_no_data(tiny_market: Path, tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "more"
    generate(tiny_market, run, *QUICK, "--groups", 2)
    before, own = files_of(run), read_manifest(run)
    sample("--sample-from", run / "model.safetensors", "--num-images", 5, "--out", out)
    assert files_of(run) == before and read_manifest(out)[:2] == own and len(read_manifest(out)) == 5
    assert (out / "images" / "000000.jpg").read_bytes() == (run / "images" / "000000.jpg").read_bytes()
    card = json.loads((out / "card.json").read_text())
    assert (card["images"], card["images_seed"], card["data"]) == (5, 0, tiny_market.name)
    assert card["weights_sha256"] == file_sha256(run / "model.safetensors")
    shutil.copy(run / "model.safetensors", tmp_path / "copy.safetensors")
    told = ["--sample-from", tmp_path / "copy.safetensors", "--num-images", 1, "--seed", 7]
    sample(*told, "--out", out)  # in the place of the earlier ones
    assert len(read_manifest(out)) == 1 and read_manifest(out)[0].seed not in {image.seed for image in own}
    with pytest.raises(ValueError, match="where another training has its images"):
        sample(*told, "--out", run)
    assert files_of(run) == before
    sample("--sample-from", run / "model.safetensors", "--num-images", 3, "--out", run)
    assert len(read_manifest(run)) == 3
    generate(tiny_market, run, *QUICK, "--groups", 2, "--resume")
    assert len(read_manifest(run)) == 2
    with pytest.raises(ValueError, match=r"resume: .*sample_from .*copy.safetensors.* \(now None\)"):
        generate(tiny_market, out, *QUICK, "--groups", 2, "--resume")
    with pytest.raises(FileNotFoundError, match="no such file of a generator"):
        sample("--sample-from", tmp_path / "absent.safetensors", "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--steps", 3], "steps: got 3 with --sample-from, which trains nothing"),
        (["--root", "a"], "root: got a with --sample-from"),
        (["--resume"], "resume: got True with --sample-from"),
        (["--num-images", 0], "num_images: got 0 with --sample-from"),
    ],
)
def test_options_of_a_training_have_no_use_without_one(
    more: list[object], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises((SystemExit, ValueError)) as caught:
        parse_config(GenerateConfig, ["--sample-from", "a.safetensors", *map(str, more)])
    assert message in f"{caught.value} {capsys.readouterr().err}".replace("\n", " ")


def test_who_stops_the_making_of_images_is_told_how_to_go_on(
    tiny_market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as stopped:
        patch.setattr(image_folder, "write_images", stop)
        generate(tiny_market, tmp_path, *QUICK)
    assert stopped.value.code == 130 and "the same command with --resume makes them" in capsys.readouterr().err
    generate(tiny_market, tmp_path, *QUICK, "--resume")
    assert len(read_manifest(tmp_path)) == 2


def test_an_image_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "000000.jpg").mkdir()
    with pytest.raises(OSError, match=r"000000\.jpg: could not be written .*; is the disk full"):
        sampling._write((tmp_path / "000000.jpg", np.zeros((4, 2, 3), np.uint8)))


@pytest.mark.parametrize("more", [[], ["--groups", 2]])
def test_the_readmes_code_makes_the_images_again(
    more: list[object], repository: Path, tiny_market: Path, tmp_path: Path
) -> None:
    generate(tiny_market, tmp_path / "generated", *QUICK, *more)
    page = (repository / "modification_gan" / "README.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("```")[0].replace("runs/", f"{tmp_path}/")
    (tmp_path / "code.py").write_text(code)
    assert runpy.run_path(str(tmp_path / "code.py"))["pixels"].shape == (2, 32, 16, 3)
    for line in page.splitlines():  # its commands are understood
        if line.startswith("python modification_gan/synthetic_generate.py "):
            parse_config(GenerateConfig, shlex.split(line.replace("--ckpt CKPT", "--ckpt a.onnx"))[2:])
