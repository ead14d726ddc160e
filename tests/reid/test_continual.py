"""Continual training on images without labels, with a network small enough to follow."""

import copy
import dataclasses
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from tiny_network import TinyNet
from torch import nn

import reid.continual
from reid.cluster_features import ClusterableFeatures, embed_for_clusters
from reid.continual import Adaptation, Unlabelled, adapt, choose_unlabelled, pseudo_labelled
from reid.continual_options import ContinualOptions
from reid.data import read_dataset
from reid.data.base import ReIDDataset, Sample, Split, relabel
from reid.data.images import Preprocessing, load_image
from reid.losses import CombinedLoss
from reid.models.cameras import CameraVectors
from reid.pseudo_labels import PseudoLabels

SIZE = Preprocessing(16, 16)
OPTIONS = ContinualOptions(continual=True, cluster_k1=8, cluster_k2=3, min_samples=3)


@pytest.fixture(scope="module")
def data(tiny_market: Path) -> ReIDDataset:
    return read_dataset("market1501", tiny_market)


@pytest.fixture
def model(data: ReIDDataset) -> TinyNet:
    torch.manual_seed(0)
    return TinyNet(len(relabel(data.train)))


@pytest.fixture
def loss(data: ReIDDataset) -> CombinedLoss:
    weights = {"cross_entropy": 1.0, "triplet": 1.0, "center": 5e-4}
    return CombinedLoss(weights, num_classes=len(relabel(data.train)), feature_size=6)


Run = Callable[..., Adaptation]


@pytest.fixture
def run(data: ReIDDataset, model: TinyNet, loss: CombinedLoss) -> Run:
    def start(unlabelled: Unlabelled | None = None, **options: Any) -> Adaptation:
        keywords: dict[str, Any] = {"options": OPTIONS, "train": lambda samples: None, "say": lambda text: None}
        keywords |= {"preprocessing": SIZE, "accelerator": Accelerator(cpu=True)}
        return adapt(model, loss, data.train, unlabelled or choose_unlabelled(data, OPTIONS), **(keywords | options))

    return start


def test_clusters_become_identities_behind_those_of_the_source(
    run: Run, data: ReIDDataset, model: TinyNet, loss: CombinedLoss
) -> None:
    old = model.head.classifier.weight.detach().clone()  # type: ignore[union-attr]
    old_centers = loss.terms["center"].centers.detach().clone()
    seen: list[Split] = []
    adaptation = run(train=seen.append)
    clusters = adaptation.labels.num_clusters
    assert clusters == 6 and adaptation.purity == 1 and adaptation.num_source == 8
    assert seen == [adaptation.samples]
    assert adaptation.samples[: len(data.train)] == data.train
    labels = relabel(adaptation.samples)
    known = relabel(data.train)
    assert len(labels) == 8 + clusters and all(labels[pid] == known[pid] for pid in known)
    weight, centers = model.head.classifier.weight, loss.terms["center"].centers  # type: ignore[union-attr]
    assert weight.shape == (8 + clusters, 6) and torch.equal(weight[:8], old)
    assert centers.shape == (8 + clusters, 6) and torch.equal(centers[:8], old_centers)
    # Each new row points to the centroid of its cluster, each new center is one.
    added = adaptation.samples[len(data.train) :]
    for label in range(8, 8 + clusters):
        own = [sample for sample in added if labels[sample.pid] == label]
        batch = torch.from_numpy(SIZE.normalise(SIZE.batch([load_image(sample.path) for sample in own])))
        with torch.no_grad():
            output = model.eval()(batch)
        torch.testing.assert_close(centers[label], output.features.mean(0), atol=1e-5, rtol=1e-5)
        centroid = F.normalize(output.embeddings).mean(0)
        similarity = F.cosine_similarity(weight[label].detach(), centroid, dim=0)
        assert float(similarity) == pytest.approx(1, abs=1e-5)


def test_true_labels_of_unlabelled_images_do_not_matter(run: Run, data: ReIDDataset, model: TinyNet) -> None:
    state = {name: value.clone() for name, value in model.state_dict().items()}
    base = run()
    test = choose_unlabelled(data, OPTIONS)
    shuffled = [dataclasses.replace(sample, pid=index % 7) for index, sample in enumerate(test.samples)]
    fresh = TinyNet(8)
    fresh.load_state_dict(state)
    other = adapt(
        fresh,
        CombinedLoss({"triplet": 1.0}, num_classes=8, feature_size=6),
        data.train,
        dataclasses.replace(test, samples=shuffled),
        lambda samples: None,
        preprocessing=SIZE,
        accelerator=Accelerator(cpu=True),
        options=OPTIONS,
        say=lambda text: None,
    )
    assert np.array_equal(base.labels.labels, other.labels.labels)
    assert [sample.pid for sample in base.samples] == [sample.pid for sample in other.samples]
    assert other.purity is not None and other.purity < 0.5


def test_the_test_set_is_transductive_and_says_so(run: Run) -> None:
    said: list[str] = []
    assert run(say=said.append).protocol == "transductive"
    assert any("TRANSDUCTIVE" in line for line in said)
    assert any("6 clusters, 0 of 54 images are outliers" in line and "purity 1.000" in line for line in said)


def test_a_folder_of_its_own_is_inductive(run: Run, data: ReIDDataset, tmp_path: Path) -> None:
    for index, sample in enumerate(data.gallery):
        image = tmp_path / "inbox" / str(index % 3) / f"{index}.jpg"
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(Path(sample.path).read_bytes() + b"\0")  # another file, the same picture
    (tmp_path / "inbox" / "broken.jpg").write_bytes(b"none")
    said: list[str] = []
    unlabelled = choose_unlabelled(data, dataclasses.replace(OPTIONS, unlabelled=tmp_path / "inbox"))
    assert (unlabelled.protocol, unlabelled.cameras_known) == ("inductive", False)
    adaptation = run(unlabelled, say=said.append)
    assert adaptation.protocol == "inductive" and adaptation.purity is None
    assert [Path(path).name for path in adaptation.skipped] == ["broken.jpg"]
    assert len(adaptation.labels.labels) == len(data.gallery)
    assert not any("TRANSDUCTIVE" in line for line in said)
    assert any("1 images could not be read" in line for line in said)


def test_a_folder_with_test_images_is_transductive(data: ReIDDataset, tmp_path: Path) -> None:
    shutil.copy(data.query[0].path, tmp_path / "innocent.jpg")
    unlabelled = choose_unlabelled(data, dataclasses.replace(OPTIONS, unlabelled=tmp_path))
    assert unlabelled.protocol == "transductive" and "1 images of the test set" in unlabelled.origin


def test_training_images_of_another_target_are_inductive(data: ReIDDataset) -> None:
    options = dataclasses.replace(OPTIONS, cross_domain=Path("other"), continual_on="train")
    unlabelled = choose_unlabelled(data, options)
    assert (unlabelled.protocol, unlabelled.samples, unlabelled.same_cameras) == ("inductive", data.train, False)
    unlabelled = choose_unlabelled(data, dataclasses.replace(options, continual_on="test"))
    assert (unlabelled.protocol, unlabelled.same_cameras) == ("transductive", False)


@pytest.mark.parametrize(
    "options", [{"eps": 0.05}, {"min_samples": 10}, {"cluster_k1": 2}, {"cluster_k2": 1, "eps": 0.1}]
)
def test_options_reach_the_clusters(run: Run, options: dict[str, Any]) -> None:
    try:
        found = run(options=dataclasses.replace(OPTIONS, **options)).labels
        assert (found.num_clusters, found.num_outliers) != (6, 0)
    except ValueError as error:
        assert "raise eps" in str(error)


def test_outliers_are_dropped_and_cameras_numbered() -> None:
    source = [Sample("a", 5, 2, 0, "s"), Sample("b", 9, 0, 0, "s")]
    new = [Sample(str(index), 3, index - 1, 0, "u") for index in range(4)]
    labels = PseudoLabels(np.array([1, -1, 0, 1]), 2, 1, 0.5, 2)
    found = pseudo_labelled(source, new, labels, same_cameras=False)
    assert [(sample.path, sample.pid, sample.camid) for sample in found] == [("0", 11, 3), ("2", 10, 5), ("3", 11, 6)]
    same = pseudo_labelled(source, new, labels, same_cameras=True)
    assert [sample.camid for sample in same] == [-1, 1, 2]


def test_a_network_of_other_identities_or_cameras_is_refused(run: Run, model: TinyNet, data: ReIDDataset) -> None:
    other = choose_unlabelled(data, dataclasses.replace(OPTIONS, cross_domain=Path()))
    model.head.cameras = CameraVectors(3, 6, 1.0)
    with pytest.raises(ValueError, match=r"vectors of its 3 cameras .* --cam-factor 0"):
        run(other)
    model.head.cameras = None
    model.head.classifier = nn.Linear(6, 11, bias=False)
    with pytest.raises(ValueError, match="11 rows and the source images show 8 identities"):
        run()


def test_camera_vectors_of_the_same_cameras_are_used(run: Run, model: TinyNet) -> None:
    model.head.cameras = CameraVectors(3, 6, 1.0)
    assert run().labels.num_clusters == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": 1.0}, "eps: got 1.0, allowed: above 0, below 1"),
        ({"min_samples": 0}, "min_samples: got 0"),
        ({"cluster_k1": 0}, "cluster_k1: got 0"),
        ({"cluster_k2": 0}, "cluster_k2: got 0"),
        ({"continual_epochs": -1}, "continual_epochs: got -1"),
        ({"continual_lr": 0.0}, "continual_lr: got 0.0"),
        ({"continual_step_epochs": 0}, "continual_step_epochs: got 0"),
        ({"continual": False, "eps": 0.6}, "eps: got 0.6 without --continual"),
        ({"continual": False, "eps": 0.5}, "eps: got 0.5 without --continual"),
        ({"continual": False, "cluster_k1": 20}, "cluster_k1: got 20 without --continual"),
        ({"continual": False, "cluster_backend": "auto"}, "cluster_backend: got auto without --continual"),
        ({"continual": False, "continual_epochs": 40}, "continual_epochs: got 40 without --continual"),
        ({"continual": False, "unlabelled": Path("x")}, "unlabelled: got x without --continual"),
        ({"unlabelled": Path("x"), "continual_on": "test"}, "continual_on: got test beside --unlabelled x"),
        ({"continual_on": "train"}, "got train without --cross-domain"),
        ({"cross_dataset": "msmt17"}, "cross_dataset: got msmt17 without --cross-domain"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ContinualOptions(**({"continual": True} | options))


def test_scores_on_another_set_need_no_continual_training() -> None:
    assert ContinualOptions(cross_domain=Path("x"), cross_dataset="msmt17").continual is False


def test_features_leave_the_network_as_it_was(model: TinyNet, data: ReIDDataset) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    found = embed_for_clusters(model, data.query, SIZE, torch.device("cpu"), batch_size=5)
    assert model.training and all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert found.usable.all() and list(found.classifier_inputs) == ["head"]
    np.testing.assert_array_equal(found.classifier_inputs["head"], found.embeddings)
    halves = [
        embed_for_clusters(model, part, SIZE, torch.device("cpu"), 5) for part in (data.query[:5], data.query[5:])
    ]
    np.testing.assert_allclose(ClusterableFeatures.joined(halves).embeddings, found.embeddings, atol=1e-6)
    with torch.no_grad():
        model.mix.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="NaN or infinity"):
        embed_for_clusters(model, data.query, SIZE, torch.device("cpu"), 5)


def test_processes_share_the_work(
    data: ReIDDataset, model: TinyNet, loss: CombinedLoss, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads stand for two processes; what accelerate carries between them goes through a list."""
    barrier, box = threading.Barrier(2), {}
    rank = threading.local()

    def gather(items: list[Any]) -> list[Any]:
        box[rank.index] = items
        barrier.wait()
        return box[0] + box[1]

    def broadcast(items: list[Any]) -> None:
        if rank.index == 0:
            box["sent"] = items[0]
        barrier.wait()
        items[0] = box["sent"]

    monkeypatch.setattr(reid.continual, "gather_object", gather)
    monkeypatch.setattr(reid.continual, "broadcast_object_list", broadcast)
    seen: list[int] = []
    embed = reid.continual.embed_for_clusters
    monkeypatch.setattr(
        reid.continual, "embed_for_clusters", lambda *args: (seen.append(len(args[1])), embed(*args))[1]
    )

    def process(index: int, min_samples: int) -> Any:
        rank.index = index
        accelerator = SimpleNamespace(
            num_processes=2, process_index=index, is_main_process=index == 0, device=torch.device("cpu")
        )
        own = copy.deepcopy(model), copy.deepcopy(loss)
        options = dataclasses.replace(OPTIONS, min_samples=min_samples)
        try:
            keywords: dict[str, Any] = {"preprocessing": SIZE, "accelerator": accelerator, "options": options}
            found = adapt(*own, data.train, choose_unlabelled(data, OPTIONS), lambda samples: None, say=str, **keywords)
            return found.labels.labels.tolist(), own[0].head.classifier.weight.sum().item()  # type: ignore[union-attr]
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(process, (0, 1), (3, 3))
        assert first == second and max(first[0]) == 5 and seen == [27, 27]
        first, second = pool.map(process, (0, 1), (40, 40))
        assert first == second and "raise eps" in first


def test_a_missing_backend_is_noticed_before_the_training(data: ReIDDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="cuml is not installed"):
        choose_unlabelled(data, dataclasses.replace(OPTIONS, cluster_backend="cuml"))
