"""Test-time steps on features by name, each with the protocol that it leaves or makes."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reid.cosine_neighbours import unit_rows
from reid.neighbour_centralisation import centralise_neighbours
from reid.principal_components import PrincipalComponents
from reid.pseudo_labels import remove_camera_bias
from reid.query_expansion import alpha_query_expansion, average_query_expansion, database_augmentation
from reid.records import PROTOCOLS


@dataclasses.dataclass(frozen=True)
class TestFeatures:
    """What a test-time step works on.

    Attributes:
        query: (Q, D).
        gallery: (G, D).
        query_camids: int (Q,), None when the cameras are unknown.
        gallery_camids: int (G,), likewise.
        training: (N, D) features of the training split, for steps that are fitted there; None when there are none.
    """

    __test__ = False  # pytest takes classes of this name for tests

    query: ArrayLike
    gallery: ArrayLike
    query_camids: ArrayLike | None = None
    gallery_camids: ArrayLike | None = None
    training: ArrayLike | None = None


@dataclasses.dataclass(frozen=True)
class PostOptions:
    """Numbers of the steps.

    Attributes:
        query_k: Gallery items that join a query in aqe and alpha_qe.
        gallery_k: Others that join a gallery item in dba.
        alpha: Exponent of their similarity in alpha_qe and dba.
        nfc_k1: Neighbours an item looks at in nfc.
        nfc_k2: Neighbours among which it must be found again.
        dimensions: Dimensions that pca and whitening leave.
    """

    query_k: int = 5
    gallery_k: int = 5
    alpha: float = 3.0
    nfc_k1: int = 2
    nfc_k2: int = 2
    dimensions: int = 128


@dataclasses.dataclass(frozen=True)
class PostProcessing:
    """A test-time step.

    Attributes:
        function: Maps features and options to new features.
        protocol: "inductive" when a distance still depends on its two images alone, "transductive" when other test
            images take part.
        summary: One line for help and tables.
        numbers: The options that act on it, by their names in `PostOptions`.
    """

    function: Callable[[TestFeatures, PostOptions], TestFeatures]
    protocol: str
    summary: str
    numbers: tuple[str, ...] = ()


def post_process(
    names: Sequence[str], features: TestFeatures, options: PostOptions | None = None
) -> tuple[TestFeatures, str]:
    """Runs steps one after the other.

    Args:
        names: Keys of `POST_PROCESSING`, in the order in which they act; none leaves the features as they are.
        features: What the first one gets.
        options: Numbers of the steps; None takes their defaults.

    Returns:
        The new features, and "transductive" when a step is, else "inductive".

    Raises:
        ValueError: When a name is unknown, or a step cannot work with the features or the options.
    """
    unknown = [name for name in names if name not in POST_PROCESSING]
    if unknown:
        raise ValueError(f"post-processing: got {', '.join(unknown)}, allowed: {', '.join(POST_PROCESSING)}")
    options = options or PostOptions()
    sides = {"query": features.query, "gallery": features.gallery, "training": features.training}
    shapes = {side: np.shape(rows) for side, rows in sides.items() if rows is not None}
    if any(len(shape) != 2 for shape in shapes.values()) or len({shape[1] for shape in shapes.values()}) > 1:
        found = ", ".join(f"{shape} of {side}" for side, shape in shapes.items())
        raise ValueError(f"features: got shapes {found}, allowed: (N, D) with the same D")
    for name in names:
        features = POST_PROCESSING[name].function(features, options)
    return features, strictest(POST_PROCESSING[name].protocol for name in names)


def strictest(protocols: Iterable[str]) -> str:
    """Returns the protocol of steps one after the other: "transductive" when one is, else "inductive"."""
    return max(protocols, key=PROTOCOLS.index, default=PROTOCOLS[0])


def describe_steps(names: Sequence[str], options: PostOptions | None = None) -> list[dict[str, Any]]:
    """Returns what a score record says of steps: of each its name, its protocol and the numbers that act on it.

    Args:
        names: Keys of `POST_PROCESSING`.
        options: Numbers of the steps; None takes their defaults.
    """
    numbers = options or PostOptions()
    return [
        {"step": name, "protocol": POST_PROCESSING[name].protocol}
        | {number: getattr(numbers, number) for number in POST_PROCESSING[name].numbers}
        for name in names
    ]


def needs_training(names: Sequence[str]) -> bool:
    """Returns whether a step is fitted on training features."""
    return any(name in ("pca", "whitening") for name in names)


def average_views(views: Sequence[ArrayLike]) -> NDArray[np.float32]:
    """Returns the mean of several views of the same images (flipped, other crops), each normalised, then normalised.

    Inductive: the views are of one image.

    Args:
        views: One (N, D) a view, finite.

    Raises:
        ValueError: When there is no view or their shapes differ.
    """
    rows = [unit_rows(f"view {number}", view) for number, view in enumerate(views)]
    if not rows or any(other.shape != rows[0].shape for other in rows):
        raise ValueError(f"views: got shapes {[other.shape for other in rows]}, allowed: one or more, all alike")
    return unit_rows("mean of the views", np.mean(rows, axis=0))


def _aqe(features: TestFeatures, options: PostOptions) -> TestFeatures:
    query = average_query_expansion(features.query, features.gallery, options.query_k)
    return dataclasses.replace(features, query=query)


def _alpha_qe(features: TestFeatures, options: PostOptions) -> TestFeatures:
    query = alpha_query_expansion(features.query, features.gallery, options.query_k, options.alpha)
    return dataclasses.replace(features, query=query)


def _dba(features: TestFeatures, options: PostOptions) -> TestFeatures:
    gallery = database_augmentation(features.gallery, options.gallery_k, options.alpha)
    return dataclasses.replace(features, gallery=gallery)


def _nfc(features: TestFeatures, options: PostOptions) -> TestFeatures:
    query, gallery = (
        centralise_neighbours(part, options.nfc_k1, options.nfc_k2) for part in (features.query, features.gallery)
    )
    return dataclasses.replace(features, query=query, gallery=gallery)


def _camera_bias(features: TestFeatures, options: PostOptions) -> TestFeatures:
    if features.query_camids is None or features.gallery_camids is None:
        raise ValueError("camera_bias: the cameras are unknown; leave this step out")
    query, gallery = unit_rows("query", features.query), unit_rows("gallery", features.gallery)
    camids = np.concatenate([np.asarray(features.query_camids), np.asarray(features.gallery_camids)])
    both = remove_camera_bias(np.concatenate([query, gallery]), camids)
    # The training features lie in another space now, where nothing fitted on them fits.
    return dataclasses.replace(features, query=both[: len(query)], gallery=both[len(query) :], training=None)


def _project(features: TestFeatures, fitted_on: ArrayLike | None, dimensions: int, whiten: bool) -> TestFeatures:
    if fitted_on is None:
        raise ValueError(
            "pca, whitening: no training features of this kind to fit on; give them, or take the step on the gallery"
        )
    components = PrincipalComponents.fit(fitted_on, dimensions, whiten)
    training = None if features.training is None else components.apply(features.training)
    query, gallery = components.apply(features.query), components.apply(features.gallery)
    return dataclasses.replace(features, query=query, gallery=gallery, training=training)


def _pca(features: TestFeatures, options: PostOptions) -> TestFeatures:
    return _project(features, features.training, options.dimensions, whiten=False)


def _whitening(features: TestFeatures, options: PostOptions) -> TestFeatures:
    return _project(features, features.training, options.dimensions, whiten=True)


def _gallery_pca(features: TestFeatures, options: PostOptions) -> TestFeatures:
    return _project(features, features.gallery, options.dimensions, whiten=False)


def _gallery_whitening(features: TestFeatures, options: PostOptions) -> TestFeatures:
    return _project(features, features.gallery, options.dimensions, whiten=True)


POST_PROCESSING: dict[str, PostProcessing] = {
    "aqe": PostProcessing(_aqe, "transductive", "query averaged with its nearest gallery items", ("query_k",)),
    "alpha_qe": PostProcessing(_alpha_qe, "transductive", "the same, weighted by similarity", ("query_k", "alpha")),
    "dba": PostProcessing(_dba, "transductive", "gallery items and their nearest others", ("gallery_k", "alpha")),
    "nfc": PostProcessing(_nfc, "transductive", "mutual neighbours, query and gallery apart", ("nfc_k1", "nfc_k2")),
    "camera_bias": PostProcessing(_camera_bias, "transductive", "test features whitened a camera"),
    "pca": PostProcessing(_pca, "inductive", "principal components of the training features", ("dimensions",)),
    "whitening": PostProcessing(_whitening, "inductive", "the same with variance 1", ("dimensions",)),
    "gallery_pca": PostProcessing(_gallery_pca, "transductive", "components of the gallery", ("dimensions",)),
    "gallery_whitening": PostProcessing(_gallery_whitening, "transductive", "with variance 1", ("dimensions",)),
}
