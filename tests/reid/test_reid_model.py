"""The interface for notebooks."""

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reid import ReIDModel, get_market1501_dataset
from reid.checkpoint import load_checkpoint, save_checkpoint
from reid.data import read_dataset
from reid.data.images import Preprocessing, load_image
from reid.data.mot import read_ground_truth
from reid.data.transforms import Augmentation
from reid.embedder import Embedder
from reid.training import SamplingOptions, TrainingOptions
from tracking import build_tracker
from tracking.detections import Detections
from tracking.embedding_cache import embed_detections
from tracking.sources import SequenceDetections

SIZE = Preprocessing(64, 32)


def test_fit_embed_save_and_load(tiny_market: Path, tmp_path: Path) -> None:
    model = ReIDModel.from_timm("resnet10t", pretrained=False, preprocessing=SIZE)
    trunk = {name: value.clone() for name, value in model.model.state_dict().items() if name.startswith("trunk")}
    model.fit(tiny_market, epochs=2, freeze_backbone=True, projection_dim=16, learning_rate=1e-2)
    state = model.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in trunk.items())
    assert [row["epoch"] for row in model.history] == [1, 2] and model.history[1]["loss"] < model.history[0]["loss"]
    crops = [load_image(path) for path in sorted((tiny_market / "query").iterdir())[:5]]
    embeddings = model.embed(crops)
    assert embeddings.shape == (5, 16) and np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert np.array_equal(model(crops), embeddings)
    model.save(tmp_path / "model.safetensors")
    for loaded in (ReIDModel.load(tmp_path / "model.safetensors"), Embedder(tmp_path / "model.safetensors")):
        assert np.allclose(loaded(crops), embeddings, atol=1e-5)


def test_fit_goes_on_from_a_checkpoint_and_repeats_itself(tiny_market: Path, tmp_path: Path) -> None:
    model = ReIDModel("seres18", preprocessing=SIZE)
    model.save(tmp_path / "untrained.safetensors")
    data = read_dataset("market1501", tiny_market)
    runs = [ReIDModel.from_checkpoint(tmp_path / "untrained.safetensors").fit(data, epochs=1) for _ in range(2)]
    first, second = (run.model.state_dict() for run in runs)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], model.model.state_dict()["conv1.weight"])


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("untrained") / "model.safetensors"
    ReIDModel("seres18", preprocessing=SIZE).save(path)
    return path


def test_projection_is_new_only_where_its_size_is(tiny_market: Path) -> None:
    # resnet10t gives 512 numbers: the BNNeck in front of a new projection to 512 must not be kept.
    model = ReIDModel.from_timm("resnet10t", preprocessing=SIZE)
    model.model.head.bottleneck.running_mean.fill_(7.0)
    model.fit(tiny_market, epochs=0, projection_dim=512)
    projection = model.model.state_dict()["head.projection.weight"]
    assert projection.shape == (512, 512) and not model.model.head.bottleneck.running_mean.any()
    for again in ({"projection_dim": 512}, {}):
        model.fit(tiny_market, epochs=0, seed=1, **again)
        assert torch.equal(model.model.state_dict()["head.projection.weight"], projection)
    model.fit(tiny_market, epochs=0, projection_dim=8)
    assert model.model.head.size == 8 and model.embed([np.zeros((9, 9, 3), np.uint8)]).shape == (1, 8)
    model = ReIDModel("seres18", preprocessing=SIZE)
    with pytest.raises(ValueError, match="seres18: unknown option projection_dim"):
        model.fit(tiny_market, projection_dim=8)
    assert model.fit(tiny_market, epochs=0).options == {}


def test_every_option_of_fit_acts(tiny_market: Path) -> None:
    def weights(**options: Any) -> torch.Tensor:
        model = ReIDModel.from_timm("test_resnet", preprocessing=Preprocessing(32, 16))
        model.fit(tiny_market, **{"epochs": 1, "batch_size": 8} | options)
        return torch.cat([value.double().flatten() for value in model.model.state_dict().values()])

    plain = weights()
    other_options = TrainingOptions(SamplingOptions(8, 4), augmentation=Augmentation(flip=0.0))
    for options in (
        {"epochs": 2},
        {"freeze_backbone": True},
        {"learning_rate": 1e-2},
        {"batch_size": 16},
        {"num_instances": 2},
        {"seed": 1},
        {"options": other_options},
        {"options": other_options, "freeze_backbone": True},
    ):
        assert not torch.equal(weights(**options), plain), options


def test_fit_takes_folders_datasets_and_triplets_and_refuses_the_rest(tiny_market: Path, untrained: Path) -> None:
    train, validation = get_market1501_dataset(tiny_market, split_ratio=0.75)
    model = ReIDModel.from_checkpoint(untrained)
    assert model.fit(train, epochs=1).config["images"] == len(train) == 54
    for data in (tiny_market, str(tiny_market), read_dataset("market1501", tiny_market)):
        assert model.fit(data, epochs=0).config["images"] == 72
    with pytest.raises(ValueError, match="data: got a tuple, allowed: a folder, what read_dataset returns, or one of"):
        model.fit((train, validation))
    with pytest.raises(ValueError, match="batch_size: got 6, allowed: a multiple of num_instances"):
        model.fit(train, batch_size=6)
    with pytest.raises(FileNotFoundError, match="bounding_box_train"):
        model.fit(str(tiny_market / "query"))


def test_unreadable_images_are_left_out_with_a_warning(tiny_market: Path, untrained: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_market, tmp_path / "market")
    broken = sorted((tmp_path / "market" / "bounding_box_train").iterdir())[5]
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.warns(UserWarning, match=f"^1 training images cannot be read and are left out, e.g. {broken}"):
        model = ReIDModel.from_checkpoint(untrained).fit(tmp_path / "market", epochs=0)
    assert model.config["images"] == 71


def test_an_interrupted_fit_keeps_what_it_learned(tiny_market: Path, untrained: Path) -> None:
    model = ReIDModel.from_checkpoint(untrained)
    crops = [load_image(tiny_market / "query" / name) for name in sorted(os.listdir(tiny_market / "query"))[:3]]
    before = model.embed(crops)

    def stop(row: dict[str, float]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(tiny_market, epochs=3, learning_rate=1e-2, freeze_backbone=True, on_epoch_end=stop)
    assert not model.model.training and all(p.requires_grad for p in model.model.layer4.parameters())
    assert len(model.history) == 1 and np.abs(model.embed(crops) - before).max() > 1e-3


def test_cards_say_how_a_model_was_trained(tiny_market: Path, untrained: Path, tmp_path: Path) -> None:
    state, card = load_checkpoint(untrained)
    save_checkpoint(tmp_path / "scored.safetensors", state, dataclasses.replace(card, scores=[{"mAP": 0.5}]))
    model = ReIDModel.from_checkpoint(tmp_path / "scored.safetensors")
    model.save(tmp_path / "copy.safetensors")
    assert load_checkpoint(tmp_path / "copy.safetensors")[1].scores == [{"mAP": 0.5}]
    model.fit(tiny_market, epochs=1, batch_size=8, seed=3).save(tmp_path / "trained.safetensors")
    card = load_checkpoint(tmp_path / "trained.safetensors")[1]
    assert card.scores == [] and card.num_classes == 8
    assert (card.config["epochs"], card.config["seed"], card.config["sampling"]["batch_size"]) == (1, 3, 8)
    ReIDModel.load(tmp_path / "trained.safetensors").save(tmp_path / "again.safetensors")
    assert load_checkpoint(tmp_path / "again.safetensors")[1].config == card.config


def test_a_device_that_is_not_there_is_refused(tiny_market: Path) -> None:
    model = ReIDModel("seres18", preprocessing=SIZE, device="cuda:99")
    for use in (lambda: model.fit(tiny_market), lambda: model.embed([np.zeros((9, 9, 3), np.uint8)])):
        with pytest.raises(ValueError, match="device: got 'cuda:99', but torch sees"):
            use()
    with pytest.raises(ValueError, match="device: got 'gpu', allowed: auto, cpu, cuda, cuda:N"):
        ReIDModel("seres18", device="gpu").fit(tiny_market)
    assert len(ReIDModel("seres18", preprocessing=SIZE, device="cpu").fit(tiny_market, epochs=1).history) == 1


def test_a_tracker_takes_the_model_as_it_is(
    tiny_market: Path, tiny_videos: Callable[[], Path], untrained: Path, tmp_path: Path
) -> None:
    model = ReIDModel.from_checkpoint(untrained).fit(tiny_market, epochs=1)
    folder = tiny_videos() / "train" / "VIEW-01-c1"
    truth = read_ground_truth(folder / "gt" / "gt.txt")
    tracker = build_tracker("strongsort", max_cosine=0.4)
    for frame in (1, 2, 3):
        rows = (truth.frame == frame) & (truth.track_id <= 8)
        corners = truth.xywh[rows].copy()
        corners[:, 2:] += corners[:, :2]
        image = load_image(folder / "img1" / f"{frame:06d}.jpg")
        crops = [image[int(y1) : int(y2), int(x1) : int(x2)] for x1, y1, x2, y2 in corners]
        tracks = tracker.update(Detections.from_xyxy(corners, np.ones(len(crops)), embeddings=model(crops)))
    assert len(tracks.track_id) == len(set(tracks.track_id.tolist())) == 8
    # And the benchmark's cache of embeddings, which cuts the crops itself.
    xywh, count = truth.xywh[rows], int(rows.sum())
    source = SequenceDetections("VIEW-01-c1", np.full(count, 3), xywh, np.ones(count), None, 3)
    images = {3: folder / "img1" / "000003.jpg"}
    embedded = embed_detections(source, images, model, "notebook", tmp_path).embeddings
    assert embedded is not None and np.allclose(embedded, model(crops), atol=2e-3)


def test_public_names_load_when_they_are_asked_for(run_python: Callable[..., Any]) -> None:
    code = "import reid, sys\nassert 'torch' not in sys.modules\nassert {*reid.__all__} <= {*dir(reid)}\n"
    code += "assert 'torch' not in sys.modules\nfrom reid import ReIDModel, TripletDataset, get_market1501_dataset\n"
    run_python("-c", code + "assert 'torch' in sys.modules and ReIDModel.__module__ == 'reid.reid_model'")


def test_unknown_names_are_refused() -> None:
    import reid

    with pytest.raises(AttributeError, match="it has ReIDModel"):
        _ = reid.NoSuchThing
