"""Which layers of a quantised network stay in float: those that move the embeddings most."""

from collections.abc import Callable, Sequence

import numpy as np

Measure = Callable[[Sequence[str]], np.ndarray]


def choose_float_layers(layers: Sequence[str], measure: Measure, least: float) -> tuple[list[str], np.ndarray]:
    """Returns as few layers as it takes, in the order of their effect, to bring the mean cosine to `least`.

    When all in 8 bits are near enough, nothing is searched. Otherwise each layer is quantised alone, which tells its
    effect; the layers with the largest stay in float, first one, then twice as many until it is enough, then bisection
    between the last two counts.

    Args:
        layers: Names.
        measure: Maps the names of layers in float to the cosines (N,) between the embeddings then and all in float.
        least: Mean cosine.

    Returns:
        The layers that stay in float, and the cosines with them.

    Raises:
        ValueError: When the mean cosine is not reached with every layer in float.
    """
    cosines = measure([])
    if cosines.mean() >= least:
        return [], cosines
    alone = [float(measure([other for other in layers if other != layer]).mean()) for layer in layers]
    order = [layers[number] for number in np.argsort(alone, kind="stable")]
    enough, short, count = len(order), 0, 1
    best: np.ndarray | None = None
    while count < len(order):
        cosines = measure(order[:count])
        if cosines.mean() >= least:
            enough, best = count, cosines
            break
        short, count = count, 2 * count
    while enough - short > 1:
        middle = (enough + short) // 2
        cosines = measure(order[:middle])
        if cosines.mean() >= least:
            enough, best = middle, cosines
        else:
            short = middle
    if best is None:
        best = measure(order)
        if not best.mean() >= least:
            raise ValueError(f"min_cosine: got {least}, but with all layers in float it is {best.mean():.6f}")
    return order[:enough], best
