"""Query expansion and database augmentation: features averaged with their nearest gallery items. All transductive."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reid.cosine_neighbours import most_similar, unit_rows

_BLOCK_ROWS = 1024


def average_query_expansion(query: ArrayLike, gallery: ArrayLike, k: int = 5) -> NDArray[np.float32]:
    """Returns each query averaged with its k most similar gallery items (AQE; Chum et al., ICCV 2007).

    Args:
        query: (Q, D), finite; normalised here.
        gallery: (G, D), likewise.
        k: Gallery items that join the query; more than there are mean all of them.

    Returns:
        float32 (Q, D), rows of norm 1, or 0 where nothing but zeros came together.

    Raises:
        ValueError: When shapes do not fit, a side is empty, a value is not finite, or k < 1.
    """
    return alpha_query_expansion(query, gallery, k, alpha=0.0)


def alpha_query_expansion(query: ArrayLike, gallery: ArrayLike, k: int = 5, alpha: float = 3.0) -> NDArray[np.float32]:
    """Returns each query plus its k most similar gallery items, weighted by similarity ** alpha (arXiv 1711.02512).

    The query itself has weight 1. Items at a right angle or more from the query have weight 0, whatever alpha is.

    Args:
        query: (Q, D), finite; normalised here.
        gallery: (G, D), likewise.
        k: Gallery items that join the query.
        alpha: Exponent of the similarity, 0 or more; 0 is the plain average.

    Returns:
        float32 (Q, D), rows of norm 1 or 0.

    Raises:
        ValueError: When alpha < 0, or for a reason that `average_query_expansion` names.
    """
    rows, columns = unit_rows("query", query), unit_rows("gallery", gallery)
    return _expand(rows, columns, *most_similar(rows, columns, k), alpha)


def database_augmentation(gallery: ArrayLike, k: int = 5, alpha: float = 3.0) -> NDArray[np.float32]:
    """Returns each gallery item plus its k most similar others, weighted likewise (Arandjelovic et al., CVPR 2012).

    Args:
        gallery: (G, D), finite; normalised here.
        k: Other items that join the item.
        alpha: Exponent of the similarity, 0 or more.

    Returns:
        float32 (G, D), rows of norm 1 or 0.

    Raises:
        ValueError: As `alpha_query_expansion`.
    """
    rows = unit_rows("gallery", gallery)
    return _expand(rows, rows, *most_similar(rows, rows, k, exclude_self=True), alpha)


def _expand(
    rows: NDArray[np.float32],
    columns: NDArray[np.float32],
    indices: NDArray[np.int32],
    similarities: NDArray[np.float32],
    alpha: float,
) -> NDArray[np.float32]:
    if alpha < 0:
        raise ValueError(f"alpha: got {alpha}, allowed: 0 or more")
    positive = similarities > 0
    weights = np.where(positive, np.where(positive, similarities, 1) ** np.float32(alpha), 0).astype(np.float32)
    result = rows.copy()
    for start in range(0, len(rows), _BLOCK_ROWS):  # the neighbours' features are k times as many
        block = slice(start, start + _BLOCK_ROWS)
        result[block] += np.einsum("nk,nkd->nd", weights[block], columns[indices[block]])
    return unit_rows("expanded features", result)
