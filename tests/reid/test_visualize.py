"""The command that draws maps and neighbours: what is drawn, what is left out, what every option does."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reid import visualize
from reid.activation_sheet import overlay
from reid.checkpoint import Card, save_checkpoint
from reid.config import option_names, parse_config
from reid.data.images import Preprocessing
from reid.embedder import Embedder
from reid.models import build_model
from reid.nearest_images import find_near, images_of_folder, images_of_test_set
from reid.training_data import read_test_set
from reid.visualize import VisualizeConfig, main

SIZE = Preprocessing(32, 32)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "model.safetensors"
    model = build_model("timm:test_resnet")
    save_checkpoint(path, model.state_dict(), Card("timm:test_resnet", {}, 0, model.embedding_size, SIZE))
    return path


@pytest.fixture(scope="module")
def folder(tiny_market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images in a folder and a sub-folder, one that is none, and a text."""
    root = tmp_path_factory.mktemp("images")
    (root / "below").mkdir()
    for number, path in enumerate(sorted((tiny_market / "query").iterdir())[:10]):
        shutil.copy(path, (root / "below" if number > 6 else root) / f"{number}.jpg")
    (root / "broken.png").write_text("no image")
    (root / "notes.txt").write_text("no image either")
    return root


def draw(network: Path, out: Path, *words: object) -> str:
    arguments = ["--ckpt", network, "--out", out, "--device", "cpu", *words]
    main(parse_config(VisualizeConfig, list(map(str, arguments))))
    return (out / "index.html").read_text()


def lines(out: Path) -> list[dict[str, str]]:
    with open(out / "neighbours.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_plain_folder(network: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = draw(network, tmp_path, "--images", folder, "--top", 3)
    names = {"index.html", "neighbours.csv", "maps-01.png", "maps-02.png", "neighbours-01.png", "neighbours-02.png"}
    assert {path.name for path in tmp_path.iterdir()} == names
    said = capsys.readouterr().out
    assert "1 images cannot be read" in said and "broken.png" in said and "1 images cannot be read" in page
    assert page.count("data:image/png;base64") == 4 and "<script" not in page and "http" not in page
    assert "Grad-CAM" in page and "rollout" not in page and "10 of 10 images" in page
    assert Image.open(tmp_path / "maps-01.png").height > Image.open(tmp_path / "maps-02.png").height  # 8 and 2 rows
    rows = lines(tmp_path)
    assert len(rows) == 30 and all(row["image"] != row["nearest"] for row in rows)
    embed = Embedder(network, device="cpu")
    files = sorted({row["image"] for row in rows})
    features = embed([np.asarray(Image.open(path)) for path in files])
    for index, path in enumerate(files):
        distances = 1 - features @ features[index]
        distances[index] = np.inf
        found = [row for row in rows if row["image"] == path]
        assert [row["nearest"] for row in found] == [files[place] for place in np.argsort(distances)[:3]]
        assert float(found[0]["cosine_distance"]) == pytest.approx(distances.min(), abs=1e-4)


def test_a_dataset_has_right_and_wrong_neighbours(tiny_market: Path, network: Path, tmp_path: Path) -> None:
    page = draw(network, tmp_path, "--root", tiny_market, "--num", 2, "--top", 2)
    assert "2 of 18 images" in page and len(lines(tmp_path)) == 36
    data = read_test_set("market1501", tiny_market, lambda text: None).data
    images = images_of_test_set(data, 0)
    random = np.random.default_rng(0)
    near = find_near(images, random.normal(size=(18, 4)), random.normal(size=(36, 4)), 36)
    for sample, found in zip(images.all, near, strict=True):
        assert len(found) == 34  # all but the two of the same person and camera
        assert all(one.same == (one.sample.pid == sample.pid) for one in found)
        assert not any(one.same and one.sample.camid == sample.camid for one in found)
        assert sum(one.same is True for one in found) == 4


def test_the_images_drawn_are_evenly_spaced(folder: Path) -> None:
    images = images_of_folder(folder, 3)
    assert [Path(sample.path).name for sample in images.drawn] == ["0.jpg", "4.jpg", "9.jpg"]
    assert images.pool is images.all
    assert len(images_of_folder(folder, 0).drawn) == len(images_of_folder(folder, 99).drawn) == 10


def test_an_onnx_file_has_neighbours_only(
    folder: Path, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(visualize, "Embedder", lambda path, **options: Embedder(network, device="cpu"))
    (tmp_path / "model.onnx").write_text("network")
    page = draw(tmp_path / "model.onnx", tmp_path / "out", "--images", folder, "--num", 2)
    assert "neighbours only" in capsys.readouterr().out and "no activation maps" in page
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"index.html", "neighbours.csv", "neighbours-01.png"}


def test_options_of_maps_act(folder: Path, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(visualize, "draw_maps", lambda samples, maps, others, out: drawn.append((maps, others)) or [])
    usual = ("--images", folder, "--num", 3)
    for words in ((), ("--maps", "norm"), ("--other", folder / "4.jpg"), ("--batch-size", 1)):
        draw(network, tmp_path, *usual, *words)
    (maps, others), (norm, none), (explained, same), (single, _) = drawn
    assert list(maps) == ["norm", "grad"] and maps["grad"].shape == (3, 1, 1) and len(others) == 3
    assert list(norm) == ["norm"] and none is None
    assert {Path(other.sample.path).name for other in same} == {"4.jpg"}
    assert not np.allclose(explained["grad"], maps["grad"])
    assert all(np.allclose(single[name], maps[name], atol=1e-5) for name in maps)
    for words, message in [
        (("--maps", "rollout"), "maps: got rollout, allowed: norm, grad; rollout is for a ViT"),
        (("--device", "tpu"), "device: got 'tpu'"),
        (("--other", folder / "broken.png"), "broken.png"),
    ]:
        with pytest.raises(ValueError, match=message):
            draw(network, tmp_path, *usual, *words)
    tested = {"ckpt", "out", "images", "root", "num", "top", "maps", "other", "device", "batch_size"}
    assert set(option_names(VisualizeConfig)) == tested | {"dataset", "dataset_options", "camera"}


def test_a_vit_has_a_rollout_and_cameras_are_told(
    folder: Path, tiny_market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr(visualize, "draw_maps", lambda samples, maps, others, out: drawn.append(maps) or [])
    path, options = tmp_path / "vit.safetensors", {"num_cameras": 3, "cam_factor": 3.0}
    model = build_model("timm:test_vit", **options)
    save_checkpoint(path, model.state_dict(), Card("timm:test_vit", options, 0, model.embedding_size, SIZE))
    with pytest.raises(ValueError, match="camera: got none, allowed: --camera N"):
        draw(path, tmp_path / "out", "--images", folder)
    for words in (("--images", folder, "--camera", 0), ("--images", folder, "--camera", 1), ("--root", tiny_market)):
        draw(path, tmp_path / "out", "--num", 2, *words)
    assert [list(maps) for maps in drawn] == [["norm", "grad", "rollout"]] * 3
    assert drawn[0]["rollout"].shape == (2, 2, 2)
    assert not np.allclose(drawn[0]["norm"], drawn[1]["norm"], atol=1e-6)


def test_overlay_is_bright_where_the_map_is_high() -> None:
    image = np.full((40, 20, 3), 100, np.uint8)
    heat = np.array([[0.0, 0.0], [5.0, 9.0]])
    drawn = overlay(image, heat)
    assert drawn.shape == image.shape and drawn.dtype == np.uint8
    assert drawn[-1, -1].sum() > drawn[-1, 0].sum() > drawn[0, 0].sum()
    assert np.array_equal(drawn, overlay(image, 3 * heat + 7))
    flat = overlay(image, np.ones((2, 2)))
    assert np.array_equal(flat, np.broadcast_to(drawn[0, 0], flat.shape))


def test_one_image_has_no_neighbour(network: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    shutil.copy(folder / "0.jpg", tmp_path / "one")
    page = draw(network, tmp_path / "out", "--images", tmp_path / "one")
    assert "Nearest images" not in page and "Grad-CAM" not in page and lines(tmp_path / "out") == []


def test_bad_input_is_refused(
    network: Path, folder: Path, tiny_market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    for words, message in [
        ((), "give either --images FOLDER or --root DIR"),
        (("--images", folder, "--root", tiny_market), "give either"),
        (("--images", folder, "--dataset", "msmt17"), "allowed: with --root"),
        (("--root", tiny_market, "--dataset-options", "a"), "NAME=VALUE"),
        (("--images", folder, "--num", -1), "num, top, batch_size: got -1, 8, 32"),
        (("--images", folder, "--maps", "norm", "--other", "a.png"), "without the map grad"),
        (("--images", tmp_path / "nowhere"), "nowhere: no such folder"),
        (("--images", tmp_path / "empty"), "empty: no readable image"),
    ]:
        with pytest.raises((ValueError, FileNotFoundError, SystemExit)) as error:
            draw(network, tmp_path / "out", *words)
        assert message in " ".join((str(error.value) + capsys.readouterr().err).replace("│", " ").split())
    with pytest.raises(ValueError, match=r"model\.onnx, which has neighbours only"):
        VisualizeConfig(Path("model.onnx"), tmp_path, images=folder, maps=("norm",))
