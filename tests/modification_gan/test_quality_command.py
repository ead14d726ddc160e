"""The command that judges generated images."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console

from modification_gan.inception_distance import inception_distance
from modification_gan.quality import (
    ImageSet,
    QualityConfig,
    distribution_scores,
    draw_rows,
    group_scores,
    judge,
    lines_of,
    main,
)
from reid.checkpoint import Card, save_checkpoint
from reid.data.base import Sample
from reid.data.generated import GeneratedImage, write_manifest
from reid.data.images import Preprocessing
from reid.data.market1501 import read_market1501
from reid.models import build_model

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("quality") / "model.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_model("timm:test_resnet")
    size = int(model.embedding_size)  # type: ignore[arg-type]
    save_checkpoint(path, model.state_dict(), Card("timm:test_resnet", {}, 0, size, Preprocessing(32, 16)))
    return path


def write(folder: Path, images: list[np.ndarray], labels: list[dict[int, float] | None]) -> Path:
    (folder / "images").mkdir(parents=True)
    rows = []
    for number, (image, given) in enumerate(zip(images, labels, strict=True)):
        cv2.imwrite(str(folder / f"images/{number:06d}.jpg"), image)
        group = None if given is None else number % 2
        rows.append(GeneratedImage(f"images/{number:06d}.jpg", "dcgan", group, given, number))
    write_manifest(folder, rows)
    return folder


def copies(root: Path, count: int) -> list[np.ndarray]:
    return [cv2.imread(sample.path) for sample in read_market1501(root).train[:count]]  # of pid 1, then 2


def noise(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 255, (count, 64, 32, 3)).astype(np.uint8))


def scores(root: Path, folder: Path, network: Path, out: Path, **given: Any) -> dict[str, Any]:
    config = QualityConfig(folder, root, network, out, groups=4, subsets=5, sheet_rows=4, **given)
    return judge(config, read_market1501(root), Console(quiet=True))[0]


def test_copies_and_noise_are_told_apart(tiny_market: Path, network: Path, tmp_path: Path) -> None:
    labels = [{1: 1.0}] * 9 + [{2: 0.5, 3: 0.5}] * 3
    copied = scores(tiny_market, write(tmp_path / "a", copies(tiny_market, 12), labels), network, tmp_path / "out-a")
    noisy = scores(tiny_market, write(tmp_path / "b", noise(12), [None] * 12), network, tmp_path / "out-b")
    assert copied["leak"]["pixel_copies"] == 12 and noisy["leak"]["pixel_copies"] == 0
    assert copied["leak"]["closer_than_test"]["nearest"] == 1 > noisy["leak"]["closer_than_test"]["nearest"]
    assert copied["generated"]["precision"] == 1 > noisy["generated"]["precision"]
    assert copied["generated"]["frechet"] < noisy["generated"]["frechet"]
    assert copied["conditions"]["agreement"] == 1 > copied["conditions"]["chance"] and noisy["conditions"] == {}
    assert copied["modes"]["identities"]["covered"] == 2 / 8 and copied["modes"]["groups"]["modes"] == 4
    assert copied["test"] == noisy["test"] and copied["train_diversity"] == noisy["train_diversity"]
    for out in (tmp_path / "out-a", tmp_path / "out-b"):
        assert cv2.imread(str(out / "sheet.png")).std() > 10
    assert len(lines_of(copied)) == len(lines_of(noisy)) + 1
    assert "Inception FID: 3.00" in lines_of(copied | {"inception_fid": 3.0})


def test_every_option_acts(tiny_market: Path, network: Path, tmp_path: Path) -> None:
    images = [(image // 2 + other // 2) for image, other in zip(copies(tiny_market, 12), noise(12))]
    folder = write(tmp_path / "images", images, [None] * 12)
    config = QualityConfig(folder, tiny_market, network, tmp_path / "out", sheet_rows=4, subsets=2, subset_size=5)
    main(config)
    record = json.loads((tmp_path / "out" / "quality.json").read_text())
    assert record["protocol"] == "inductive" and record["options"]["subsets"] == 2 and record["checkpoint_sha256"]
    size = cv2.imread(str(tmp_path / "out" / "sheet.png")).shape
    plain = record["scores"]
    told = {"groups": 3, "seed": 1, "sheet_rows": 6, "sheet_neighbours": 3, "subsets": 2, "subset_size": 5}
    other = judge(
        QualityConfig(folder, tiny_market, network, tmp_path / "tall", **told),
        read_market1501(tiny_market),
        Console(quiet=True),
    )[0]
    assert other["modes"]["groups"]["modes"] == 3 and plain["modes"]["groups"]["modes"] == 16
    assert other["generated"]["kid"] != plain["generated"]["kid"]  # the seed's subsets
    height, width, _ = cv2.imread(str(tmp_path / "tall" / "sheet.png")).shape
    assert height > size[0] and width < size[1]


def test_numbers_of_neighbours_and_subsets_act() -> None:
    images, train = np.random.default_rng(0).normal(size=(2, 20, 4))
    found = []
    for told in ({}, {"neighbours": 9}, {"subsets": 7}, {"subset_size": 9}, {"seed": 1}):
        given = {"subsets": 3, "subset_size": 5} | told
        found.append(distribution_scores(images, train, QualityConfig(Path("a"), Path("b"), Path("c"), **given)))
    assert not any(a == b for number, a in enumerate(found) for b in found[:number])


def test_unreadable_images_are_counted(
    tiny_market: Path, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path / "images", noise(8), [None] * 8)
    (folder / "images" / "000002.jpg").write_bytes(b"no image")
    main(QualityConfig(folder, tiny_market, network, tmp_path / "out", subsets=2))
    said = capsys.readouterr().out
    assert "1 generated images cannot be read" in said and "WARNING" not in said
    assert json.loads((tmp_path / "out" / "quality.json").read_text())["scores"]["generated"]["images"] == 7
    (folder / "card.json").write_text(json.dumps({"data": "B", "training_sha256": "0" * 64}))
    main(QualityConfig(folder, tiny_market, network, tmp_path / "out", subsets=2))
    assert "has learnt from other training images (B) than those of" in capsys.readouterr().out
    for path in (folder / "images").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match="generated: got no readable image"):
        main(QualityConfig(folder, tiny_market, network, tmp_path / "out"))


def test_too_few_images_are_refused(tiny_market: Path, network: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "images", noise(3), [None] * 3)
    with pytest.raises(ValueError, match="generated: got 3 readable images, allowed: 4 or more, above --neighbours"):
        scores(tiny_market, folder, network, tmp_path / "out")
    assert scores(tiny_market, folder, network, tmp_path / "out", neighbours=2)["generated"]["images"] == 3


def test_distractors_are_no_yardstick(tiny_market: Path, network: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "images", noise(8), [None] * 8)
    market = tmp_path / "market"
    shutil.copytree(tiny_market, market)
    plain = scores(market, folder, network, tmp_path / "out")
    for number, image in enumerate(noise(5)):
        cv2.imwrite(str(market / f"bounding_box_test/0000_c1s1_{number:06d}_01.jpg"), image)
    assert scores(market, folder, network, tmp_path / "out") == plain


def test_sets_are_compared_in_the_same_number(tiny_market: Path, network: Path, tmp_path: Path) -> None:
    folder = write(tmp_path / "few", noise(8), [None] * 8)
    few = scores(tiny_market, folder, network, tmp_path / "out")
    assert [(few[name]["images"], few[name]["drawn_from"]) for name in ("generated", "test")] == [(8, 8), (8, 54)]
    assert any("8 of 8 generated and of 54 test images" in line for line in lines_of(few))
    assert few == scores(tiny_market, folder, network, tmp_path / "out")
    other = scores(tiny_market, folder, network, tmp_path / "out", seed=1)
    assert other["test"]["frechet"] != few["test"]["frechet"]
    assert other["generated"]["frechet"] == few["generated"]["frechet"]
    rows = np.arange(20.0)[:, None]
    drawn = draw_rows(rows, 7, 3)[:, 0]
    assert len(set(drawn)) == 7 and (np.diff(drawn) > 0).all() and draw_rows(rows, 20, 3) is rows


def test_what_is_missing_is_said_before_anything_is_embedded(
    tmp_path: Path, tiny_market: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is a file; allowed: a folder"):
        main(QualityConfig(tmp_path, tiny_market, tmp_path, tmp_path / "file" / "out"))
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(ModuleNotFoundError, match="pip install torch-fidelity"):
        main(QualityConfig(tmp_path, tiny_market, tmp_path, tmp_path, inception_weights=tmp_path / "file"))


def test_a_group_of_one_image_has_no_diversity() -> None:
    rows = np.eye(4, dtype=np.float32)[[0, 1, 2]]
    images = ImageSet([Sample(str(number), 1, 0, 0, "") for number in range(3)], rows)
    listed = [GeneratedImage(f"{number}.jpg", "dcgan", group, {1: 1.0}, 0) for number, group in enumerate((0, 0, 1))]
    found = group_scores(listed, images, images, np.zeros(3, int))
    assert found["groups"] == 2 and found["diversity"] == 1
    alone = ImageSet(images.samples[1:], rows[1:])
    assert group_scores(listed[1:], alone, images, np.zeros(2, int))["diversity"] is None


def test_inception_needs_its_package_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(ModuleNotFoundError, match="pip install torch-fidelity"):
        inception_distance([], [], tmp_path / "weights.pth")


@pytest.mark.slow
def test_inception_distance_with_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch_fidelity", reason="torch-fidelity is not installed")
    from torch_fidelity import feature_extractor_inceptionv3 as inception

    samples = []
    for number, image in enumerate(noise(4)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
        samples.append(Sample(str(tmp_path / f"{number}.png"), 1, 0, 0, "noise"))
    with pytest.raises(FileNotFoundError, match="no such file"):
        inception_distance(samples, samples, tmp_path / "weights.pth")
    (tmp_path / "weights.pth").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="no file of weights alone"):
        inception_distance(samples, samples, tmp_path / "weights.pth")
    torch.save({"a": torch.zeros(1)}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="torch-fidelity cannot use it"):
        inception_distance(samples, samples, tmp_path / "weights.pth")
    monkeypatch.setattr(inception.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
    assert inception_distance(samples, samples, tmp_path / "weights.pth") == pytest.approx(0, abs=1e-2)
    assert inception_distance(samples[:2], samples[2:], tmp_path / "weights.pth") > 0


def test_options_are_checked(tmp_path: Path) -> None:
    for name, value in (("dataset", "nowhere"), ("groups", 1), ("neighbours", 0), ("subset_size", 1), ("seed", -1)):
        with pytest.raises(ValueError, match=f"{name}: got"):
            QualityConfig(tmp_path, tmp_path, tmp_path, **{name: value})


def test_the_command_refuses(run_python: Run, repository: Path, tmp_path: Path, tiny_market: Path) -> None:
    told = ["--generated", tmp_path, "--root", tiny_market, "--ckpt", tmp_path / "a.onnx"]
    done = run_python(repository / "modification_gan/quality.py", *told, cwd=tmp_path, check=False)
    assert done.returncode == 2 and "manifest.csv" in done.stderr and "Traceback" not in done.stderr
