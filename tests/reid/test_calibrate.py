"""Distances on cards: found, stored in every kind of file, read again, kept where they hold and dropped where not."""

import dataclasses
import json
import shutil
from pathlib import Path

import onnx
import pytest
import torch
from training_runs import train

from reid import export_onnx as export
from reid.calibrate import CalibrateConfig, main
from reid.calibration import describe_calibration
from reid.checkpoint import Card, load_checkpoint
from reid.config import option_names, parse_config
from reid.cosine_limits import read_calibration
from reid.data.images import Preprocessing
from reid.embedder import Embedder, read_cosine_limit
from reid.reid_model import ReIDModel

RATES = ("--rates", 0.1, 0.001)


def calibrate(path: Path, root: Path, *words: object) -> None:
    main(parse_config(CalibrateConfig, list(map(str, [path, "--root", root, "--resamples", 20, *RATES, *words]))))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plain") / "model.safetensors"
    ReIDModel("timm:test_resnet", preprocessing=Preprocessing(32, 16), device="cpu").save(path)
    return path


@pytest.fixture(scope="module")
def calibrated(checkpoint: Path, noisy_market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("calibrated") / "model.safetensors"
    shutil.copy(checkpoint, path)
    calibrate(path, noisy_market)
    return path


def test_the_card_tells_and_the_weights_stay(calibrated: Path, checkpoint: Path) -> None:
    state, card = load_checkpoint(calibrated)
    before, older = load_checkpoint(checkpoint)
    assert all(torch.equal(state[name], before[name]) for name in before) and older.calibration is None
    assert card == dataclasses.replace(older, calibration=card.calibration)
    assert json.loads(calibrated.with_suffix(".json").read_text())["calibration"] == card.calibration
    record = read_calibration(calibrated)
    assert record == card.calibration and record["protocol"] == "inductive" and record["distance"] == "cosine"
    assert record["cameras"].startswith("known") and record["commit"]
    # 30 query and 30 gallery images of 10 people in 3 cameras.
    scores = record["scores"]
    assert (scores["impostor_pairs"], scores["genuine_pairs"], scores["identities"]) == (810, 60, 10)
    told, unresolved = scores["points"]
    assert (told["fmr"], told["false_matches"]) == (0.1, 81) and told["low"] < told["high"]
    assert unresolved == {"fmr": 0.001, "false_matches": 0, "threshold": None, "low": None, "high": None, "fnmr": None}
    lines = describe_calibration(record)
    assert f"{told['threshold']:.3f} (95 % interval" in lines[1] and "not resolved" in lines[2]


def test_the_limit_is_read_with_and_without_the_network(calibrated: Path, checkpoint: Path) -> None:
    threshold = load_checkpoint(calibrated)[1].calibration["scores"]["points"][0]["threshold"]
    embed = Embedder(calibrated, device="cpu")
    assert embed.cosine_limit(0.1) == read_cosine_limit(calibrated, 0.1) == threshold
    for rate, why in ((0.001, "is not resolved by"), (0.5, "was not asked of")):
        with pytest.raises(ValueError, match=rf"fmr: got {rate:g}, which {why} .* allowed: 0\.1; "):
            embed.cosine_limit(rate)
    assert Embedder(calibrated, device="cpu", preprocessing=Preprocessing(64, 32)).cosine_limit(0.1) is None
    assert Embedder(checkpoint, device="cpu").cosine_limit(0.1) is None
    model = ReIDModel.from_checkpoint(calibrated, device="cpu")
    assert Embedder.from_model(model.model, model.preprocessing).cosine_limit(0.1) is None
    with pytest.raises(FileNotFoundError, match=r"absent\.onnx"):
        read_cosine_limit(calibrated.with_name("absent.onnx"), 0.1)


def test_files_without_such_a_card_say_nothing(tmp_path: Path) -> None:
    for name in ("damaged.onnx", "damaged.safetensors"):
        (tmp_path / name).write_text("no network")
        assert read_calibration(tmp_path / name) is None


def test_export_carries_it_over_and_onnx_files_get_their_own(
    calibrated: Path, noisy_market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.onnx"
    export.export_onnx(calibrated, path)
    assert read_calibration(path) == read_calibration(calibrated)
    calibrate(path, noisy_market, "--rates", 0.2)
    record = read_calibration(path)
    assert [point["fmr"] for point in record["scores"]["points"]] == [0.2]
    copy = json.loads((tmp_path / "model.onnx.json").read_text())
    assert copy["calibration"] == record and copy["parity"]["num_images"] == 6
    model = onnx.load(str(path))
    onnx.checker.check_model(model)
    del model.metadata_props[:]
    onnx.save(model, str(path))
    before = path.read_bytes()
    capsys.readouterr()
    calibrate(path, noisy_market)
    assert "model.onnx has no card: nothing is stored" in capsys.readouterr().out
    assert path.read_bytes() == before and read_calibration(path) is None


def test_options_act(checkpoint: Path, noisy_market: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    shutil.copy(checkpoint, path)

    def found(*words: object) -> dict[str, object]:
        calibrate(path, noisy_market, "--no-store", "--out", tmp_path / "out.json", *words)
        return json.loads((tmp_path / "out.json").read_text())

    usual = found()
    assert load_checkpoint(path)[1].calibration is None
    point = usual["scores"]["points"][0]
    for words in (("--seed", 1), ("--confidence", 0.5), ("--resamples", 30)):
        other = found(*words)["scores"]["points"][0]
        assert (other["low"], other["high"]) != (point["low"], point["high"])
        assert other["threshold"] == point["threshold"]
    assert found("--dataset", "market1501", "--batch-size", 7)["scores"]["points"][0]["threshold"] == pytest.approx(
        point["threshold"], abs=1e-5
    )
    with pytest.raises(ValueError, match="device: got 'tpu'"):
        found("--device", "tpu")
    with pytest.raises(ValueError, match="dataset: got 'nowhere'"):
        found("--dataset", "nowhere")
    with pytest.raises((ValueError, TypeError), match="level"):
        found("--dataset-options", "level=hard")
    tested = {"ckpt", "root", "rates", "store", "out", "confidence", "resamples", "seed", "batch_size", "device"}
    assert set(option_names(CalibrateConfig)) == tested | {"dataset", "dataset_options"}


def test_files_of_the_zoo_are_left_alone(checkpoint: Path, noisy_market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reid.calibrate.ZOO", checkpoint.with_name("zoo.yaml"))
    with pytest.raises(ValueError, match=r"is the zoo's, which names its SHA-256; copy it, or give --no-store"):
        calibrate(checkpoint, noisy_market)
    calibrate(checkpoint, noisy_market, "--no-store")


def test_cards_of_earlier_versions_load() -> None:
    values = Card("seres18", {}, 3, 512, Preprocessing(64, 32)).to_dict()
    assert values.pop("calibration", 0) is None
    assert Card.from_dict(values, "file").calibration is None


def test_a_training_leaves_one_of_its_first_test_set(
    tiny_market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny_market, tmp_path, "--backbone", "timm:test_resnet", "--epochs", 0, "--warmup-epochs", 0)
    record = load_checkpoint(tmp_path / "model.safetensors")[1].calibration
    assert (record["dataset"], record["protocol"]) == (tiny_market.name, "inductive")
    assert [point["fmr"] for point in record["scores"]["points"]] == [0.03, 0.01, 0.001, 0.0001]
    assert "not resolved by this set" in capsys.readouterr().out


def test_a_notebook_keeps_it_until_it_trains(calibrated: Path, tiny_market: Path, tmp_path: Path) -> None:
    model = ReIDModel.from_checkpoint(calibrated, device="cpu")
    model.save(tmp_path / "copy.safetensors")
    assert read_calibration(tmp_path / "copy.safetensors") == read_calibration(calibrated)
    model.fit(tiny_market, epochs=0)
    model.save(tmp_path / "trained.safetensors")
    assert read_calibration(tmp_path / "trained.safetensors") is None


def test_a_camera_baked_in_leaves_it_out(tmp_path: Path, noisy_market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ReIDModel("timm:test_resnet", preprocessing=Preprocessing(32, 16), num_cameras=3, cam_factor=2.0)
    model.save(tmp_path / "model.safetensors")
    calibrate(tmp_path / "model.safetensors", noisy_market)
    # The file itself takes long to write.
    monkeypatch.setattr(export, "write_onnx", lambda network, path, *_: path.write_text("network"))
    monkeypatch.setattr(export, "compare_session", lambda network, path: export.Parity(0.0, 1.0, 6))
    export.export_onnx(tmp_path / "model.safetensors", tmp_path / "model.onnx", camera=1)
    card = json.loads((tmp_path / "model.onnx.json").read_text())
    assert read_calibration(tmp_path / "model.safetensors") and card["calibration"] is None
