"""Continual training: a trained network goes on learning from images without labels, beside those it knows.

The images are embedded with the trained network, clustered (`reid.pseudo_labels`), and each cluster becomes one more
identity: classifier and centers grow by a row, the old rows stay. Then the same loop trains on source and
pseudo-labelled images together.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import nn

from reid.cluster_features import ClusterableFeatures, embed_for_clusters
from reid.continual_options import ContinualOptions
from reid.data.base import DISTRACTOR_PID, ReIDDataset, Sample, Split, relabel
from reid.data.images import Preprocessing
from reid.data.unlabelled import read_unlabelled, shared_images
from reid.losses import CombinedLoss
from reid.models.cameras import CameraVectors
from reid.pseudo_labels import OUTLIER, PseudoLabels, check_backend, cluster, purity

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Unlabelled:
    """Images to adapt to. Their pids, where they have any, serve the purity alone.

    Attributes:
        samples: The images.
        protocol: What scores on the test set are after the adaptation, "inductive" or "transductive".
        origin: Where the images come from, in words.
        cameras_known: False leaves the camera bias in.
        same_cameras: The numbers of the cameras mean the same as in the source images.
    """

    samples: Split
    protocol: str
    origin: str
    cameras_known: bool = True
    same_cameras: bool = False


@dataclasses.dataclass(frozen=True)
class Adaptation:
    """What came of it.

    Attributes:
        samples: Source and pseudo-labelled images, labels by `relabel`: source identities first, then the clusters.
        labels: The clusters of the unlabelled images, unreadable ones left out.
        num_source: Source identities.
        purity: Of the clusters, None when the images have no identities.
        skipped: Files that could not be read.
        protocol: That of every score from now on.
    """

    samples: Split
    labels: PseudoLabels
    num_source: int
    purity: float | None
    skipped: tuple[str, ...]
    protocol: str

    def facts(self) -> dict[str, Any]:
        """Returns what a score record keeps of the adaptation."""
        return {
            "clusters": self.labels.num_clusters,
            "outliers": self.labels.num_outliers,
            "purity": self.purity,
            "eps": self.labels.eps,
            "min_samples": self.labels.min_samples,
        }


def choose_unlabelled(target: ReIDDataset, options: ContinualOptions) -> Unlabelled:
    """Returns the images to adapt to, and the protocol that follows from them.

    Test images make it transductive, the folder's own ones too: their files are compared with those of the test set.

    Args:
        target: The dataset that is scored in the end: the --cross-domain one, if any.
        options: Which images.

    Raises:
        FileNotFoundError: When the folder is missing.
        ValueError: When the folder holds no image, or an option is about cameras that are unknown.
        ModuleNotFoundError: When the images cannot be clustered as asked for.
    """
    check_backend(options.cluster_backend or "auto")
    unlabelled = _chosen(target, options)
    if options.camera_bias is not None and not unlabelled.cameras_known:
        raise ValueError(
            f"camera_bias: got {options.camera_bias} with {unlabelled.origin}, whose cameras are unknown; leave it out"
        )
    return unlabelled


def _chosen(target: ReIDDataset, options: ContinualOptions) -> Unlabelled:
    test = [*target.query, *target.gallery]
    if options.unlabelled is not None:
        samples = read_unlabelled(options.unlabelled)
        known = any(sample.camid >= 0 for sample in samples)
        shared = shared_images(samples, test)
        if not shared:
            return Unlabelled(samples, "inductive", str(options.unlabelled), known)
        origin = f"{options.unlabelled}, which holds {len(shared)} images of the test set (e.g. {shared[0]})"
        return Unlabelled(samples, "transductive", origin, known)
    same_cameras = options.cross_domain is None
    if options.continual_on == "train":
        origin = f"training images of {target.name}, without their labels"
        return Unlabelled(list(target.train), "inductive", origin, target.cameras_known, same_cameras)
    origin = f"query and gallery of {target.name}, without their labels"
    return Unlabelled(test, "transductive", origin, target.cameras_known, same_cameras)


def adapt(
    model: nn.Module,
    loss: CombinedLoss,
    source: Split,
    unlabelled: Unlabelled,
    train: Callable[[Split], None],
    *,
    preprocessing: Preprocessing,
    accelerator: Accelerator,
    options: ContinualOptions,
    batch_size: int = 64,
    say: Say = print,
) -> Adaptation:
    """Clusters the unlabelled images, grows model and loss, and trains both on source and pseudo-labelled images.

    Works after a training as well as on a checkpoint alone (`model` with its classifier, a new `loss` for its classes).

    Args:
        model: The trained network, not wrapped; its classifier, if any, has a row for each source identity, by
            `relabel(source)`. Grown in place.
        loss: For the source identities. Grown in place.
        source: The images that the network was trained on.
        unlabelled: From `choose_unlabelled`.
        train: Trains model and loss, as they are then, on the samples it is given, with labels by `relabel`, through
            the one loop and for `options.epochs()`. Its optimisers are new ones (`optimisation_changes`),
            because those of before do not know the new rows.
        preprocessing: What the network's input wants.
        accelerator: Its processes share the embedding; one clusters.
        options: How the images are clustered.
        batch_size: Images a forward pass while embedding.
        say: Told what happens, on the main process only.

    Raises:
        ValueError: When the network does not fit the source, its cameras are not those of the new images, or there is
            no cluster.
    """
    num_source = len(relabel(source))
    _check_model(model, num_source, unlabelled)
    main_say: Say = say if accelerator.is_main_process else lambda _: None
    _announce(unlabelled, main_say)
    features = _embed(model, unlabelled, preprocessing, accelerator, batch_size)
    kept = [sample for sample, usable in zip(unlabelled.samples, features.usable, strict=True) if usable]
    skipped = tuple(s.path for s, usable in zip(unlabelled.samples, features.usable, strict=True) if not usable)
    labels = _shared(lambda: _cluster(features, kept, unlabelled, options), accelerator)
    adaptation = Adaptation(
        samples=source + pseudo_labelled(source, kept, labels, unlabelled.same_cameras),
        labels=labels,
        num_source=num_source,
        purity=_purity_if_known(labels, kept),
        skipped=skipped,
        protocol=unlabelled.protocol,
    )
    _report(adaptation, main_say)
    grow(model, loss, features, labels)
    train(adaptation.samples)
    return adaptation


def pseudo_labelled(source: Split, samples: Split, labels: PseudoLabels, same_cameras: bool) -> Split:
    """Returns the clustered samples with identities behind those of the source; outliers are dropped.

    Cameras get numbers behind those of the source as well, unless they are the same ones.
    """
    first_pid = max(sample.pid for sample in source) + 1
    lowest = min((sample.camid for sample in samples), default=0)
    shift = 0 if same_cameras else max(sample.camid for sample in source) + 1 - min(0, lowest)
    return [
        dataclasses.replace(sample, pid=first_pid + int(label), camid=sample.camid + shift)
        for sample, label in zip(samples, labels.labels, strict=True)
        if label != OUTLIER
    ]


def grow(model: nn.Module, loss: CombinedLoss, features: ClusterableFeatures, labels: PseudoLabels) -> None:
    """Adds a row for each cluster to each classifier and to the loss, starting at the cluster's centroid.

    Classifiers get the mean of their own L2-normalised inputs (they choose the length of the row themselves), the
    centers the mean of the features before BNNeck.
    """
    for name, inputs in features.classifier_inputs.items():
        head: Any = model.get_submodule(name)
        norms = np.linalg.norm(inputs, axis=1, keepdims=True)
        head.grow(_centroids(inputs / np.maximum(norms, 1e-12), labels))
    loss.grow(_centroids(features.features, labels))


def _centroids(rows: np.ndarray, labels: PseudoLabels) -> torch.Tensor:
    sums = np.zeros((labels.num_clusters, rows.shape[1]))
    clustered = labels.labels != OUTLIER
    np.add.at(sums, labels.labels[clustered], rows[clustered])
    counts = np.bincount(labels.labels[clustered], minlength=labels.num_clusters)
    return torch.from_numpy((sums / counts[:, None]).astype(np.float32))


def _check_model(model: nn.Module, num_source: int, unlabelled: Unlabelled) -> None:
    for module in model.modules():
        classifier = getattr(module, "classifier", None)
        if isinstance(classifier, nn.Linear) and classifier.out_features != num_source:
            raise ValueError(
                f"continual training: the classifier has {classifier.out_features} rows and the source images show "
                f"{num_source} identities; give the training set of the checkpoint"
            )
        if isinstance(module, CameraVectors) and not unlabelled.same_cameras:
            raise ValueError(
                f"continual training: the network has vectors of its {len(module.vectors)} cameras and knows none of "
                f"{unlabelled.origin}; train it with --cam-factor 0 to adapt it to other cameras"
            )


def _announce(unlabelled: Unlabelled, say: Say) -> None:
    say(f"continual training on {len(unlabelled.samples)} images: {unlabelled.origin}")
    if unlabelled.protocol == "transductive":
        say(
            "WARNING: this is TRANSDUCTIVE. The network learns from the test images themselves; its scores are not "
            "comparable with inductive ones. --unlabelled DIR adapts to images of your own."
        )
    if not unlabelled.cameras_known:
        say("note: cameras are unknown; their bias stays in the features")


def _embed(
    model: nn.Module, unlabelled: Unlabelled, preprocessing: Preprocessing, accelerator: Accelerator, batch_size: int
) -> ClusterableFeatures:
    """Embeds a share of the images on each process and gives all of them to every process."""
    count, rank = accelerator.num_processes, accelerator.process_index
    edges = [len(unlabelled.samples) * part // count for part in range(count + 1)]
    own = unlabelled.samples[edges[rank] : edges[rank + 1]]
    part = embed_for_clusters(model, own, preprocessing, accelerator.device, batch_size)
    return ClusterableFeatures.joined(gather_object([part]))


def _shared(compute: Callable[[], PseudoLabels], accelerator: Accelerator) -> PseudoLabels:
    """Computes on the main process and gives the result, or the error, to all."""
    found: list[Any] = [None]
    if accelerator.is_main_process:
        try:
            found = [compute()]
        except ValueError as error:
            found = [error]
    broadcast_object_list(found)
    if isinstance(found[0], ValueError):
        raise found[0]
    return found[0]


def _cluster(
    features: ClusterableFeatures, samples: Split, unlabelled: Unlabelled, options: ContinualOptions
) -> PseudoLabels:
    if not samples:
        raise ValueError(f"continual training: none of the {len(unlabelled.samples)} images could be read")
    camids = np.array([sample.camid for sample in samples]) if unlabelled.cameras_known else None
    return cluster(features.embeddings, camids, **options.clustering())


def _purity_if_known(labels: PseudoLabels, samples: list[Sample]) -> float | None:
    pids = np.array([sample.pid for sample in samples])
    known = (pids > DISTRACTOR_PID) & (labels.labels != OUTLIER)
    return purity(labels.labels[known], pids[known]) if known.any() else None


def _report(adaptation: Adaptation, say: Say) -> None:
    labels = adaptation.labels
    say(
        f"{labels.num_clusters} clusters, {labels.num_outliers} of {len(labels.labels)} images are outliers and left "
        f"out (eps {labels.eps}, min_samples {labels.min_samples}), purity "
        + ("unknown" if adaptation.purity is None else f"{adaptation.purity:.3f}")
    )
    if adaptation.skipped:
        say(f"note: {len(adaptation.skipped)} images could not be read and are left out, e.g. {adaptation.skipped[0]}")
