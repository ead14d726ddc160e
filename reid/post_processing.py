"""Test-time steps on features by name, each with the protocol that it leaves or makes."""

import dataclasses
from collections.abc import Callable, Sequence

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
        expansion_k: Neighbours that join in aqe, alpha_qe and dba.
        alpha: Exponent of their similarity in alpha_qe and dba.
        nfc_k1: Neighbours an item looks at in nfc.
        nfc_k2: Neighbours among which it must be found again.
        dimensions: Dimensions that pca and whitening leave.
    """

    expansion_k: int = 5
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
    """

    function: Callable[[TestFeatures, PostOptions], TestFeatures]
    protocol: str
    summary: str


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
    for name in names:
        features = POST_PROCESSING[name].function(features, options)
    protocols = {POST_PROCESSING[name].protocol for name in names}
    return features, max(protocols, key=PROTOCOLS.index, default=PROTOCOLS[0])


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
    query = average_query_expansion(features.query, features.gallery, options.expansion_k)
    return dataclasses.replace(features, query=query)


def _alpha_qe(features: TestFeatures, options: PostOptions) -> TestFeatures:
    query = alpha_query_expansion(features.query, features.gallery, options.expansion_k, options.alpha)
    return dataclasses.replace(features, query=query)


def _dba(features: TestFeatures, options: PostOptions) -> TestFeatures:
    return dataclasses.replace(
        features, gallery=database_augmentation(features.gallery, options.expansion_k, options.alpha)
    )


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
    "aqe": PostProcessing(_aqe, "transductive", "query averaged with its nearest gallery items"),
    "alpha_qe": PostProcessing(_alpha_qe, "transductive", "the same, weighted by similarity"),
    "dba": PostProcessing(_dba, "transductive", "gallery items averaged with their nearest others"),
    "nfc": PostProcessing(_nfc, "transductive", "mutual neighbours added, query and gallery apart"),
    "camera_bias": PostProcessing(_camera_bias, "transductive", "test features whitened a camera"),
    "pca": PostProcessing(_pca, "inductive", "principal components of the training features"),
    "whitening": PostProcessing(_whitening, "inductive", "the same with variance 1"),
    "gallery_pca": PostProcessing(_gallery_pca, "transductive", "principal components of the gallery"),
    "gallery_whitening": PostProcessing(_gallery_whitening, "transductive", "the same with variance 1"),
}
