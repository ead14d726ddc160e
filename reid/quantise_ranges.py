"""Ranges of activations for 8-bit quantisation, from calibration images."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

METHODS = ("percentile", "entropy", "minmax")
_BINS = 2048  # on each side of zero
_LEVELS = 256


def activation_ranges(
    model: onnx.ModelProto,
    tensors: Iterable[str],
    images: np.ndarray,
    method: str = "percentile",
    *,
    percentile: float = 99.999,
    batch_size: int = 8,
) -> dict[str, tuple[float, float]]:
    """Runs a network and returns the range that each activation should be given.

    Args:
        model: A float network with one input.
        tensors: Names of activations; those that the network does not compute in float32 are left out.
        images: As the network's input wants them, (N, 3, H, W).
        method: "minmax" takes the extremes. "percentile" cuts an equal share off both ends. "entropy" cuts where the
            rounded distribution is nearest to the original one by Kullback-Leibler divergence (Migacz, 8-bit inference
            with TensorRT, GTC 2017), one bound for both signs.
        percentile: Share that is kept by "percentile", in percent.
        batch_size: Images a forward pass.

    Returns:
        (low, high) by name, low <= 0 <= high.

    Raises:
        ValueError: When the method is unknown, there is no image, the percentile is not in 50..100, or an activation is
            not finite.
    """
    if method not in METHODS:
        raise ValueError(f"calibration_method: got {method!r}, allowed: {', '.join(METHODS)}")
    if not 50 < percentile <= 100:
        raise ValueError(f"calibration_percentile: got {percentile}, allowed: above 50, up to 100")
    if not len(images):
        raise ValueError("calibration_images: got none, allowed: one or more")
    run = _Activations(model, list(tensors), batch_size)
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    for name, values in run(images):
        # Of Python's own min and max NaN would get lost.
        low[name] = float(np.minimum(low.get(name, 0.0), values.min()))
        high[name] = float(np.maximum(high.get(name, 0.0), values.max()))
    broken = [name for name in low if not np.isfinite([low[name], high[name]]).all()]
    if broken:
        raise ValueError(f"{broken[0]}: is NaN or infinite on the calibration images; the weights are damaged")
    if method == "minmax":
        return {name: (low[name], high[name]) for name in low}
    bounds = {name: max(-low[name], high[name], 1e-12) for name in low}
    counts = {name: np.zeros(2 * _BINS, np.int64) for name in low}
    for name, values in run(images):
        places = ((values.ravel() / bounds[name] + 1.0) * _BINS).astype(np.int32)
        counts[name] += np.bincount(np.clip(places, 0, 2 * _BINS - 1), minlength=2 * _BINS)
    found = {}
    for name, own in counts.items():
        if method == "percentile":
            cut = percentile_range(own, bounds[name], percentile)
        else:
            bound = entropy_bound(own) * bounds[name]
            cut = (-bound, bound)
        found[name] = (min(0.0, max(low[name], cut[0])), max(0.0, min(high[name], cut[1])))
    return found


def percentile_range(counts: np.ndarray, bound: float, percentile: float) -> tuple[float, float]:
    """Returns the range of so many percent of a histogram over [-bound, bound], as much cut off at both ends."""
    share = np.cumsum(counts) / counts.sum()
    cut = (100.0 - percentile) / 200.0
    width = 2.0 * bound / len(counts)
    left = int(np.searchsorted(share, cut, side="right"))
    right = int(np.searchsorted(share, 1.0 - cut, side="left"))
    return -bound + left * width, -bound + (min(right, len(counts) - 1) + 1) * width


def entropy_bound(counts: np.ndarray) -> float:
    """Returns the share of the largest absolute value at which "entropy" cuts, above 0, up to 1.

    Args:
        counts: int64 (2 * B,), a histogram over [-1, 1].
    """
    half = len(counts) // 2
    folded = counts[half:] + counts[:half][::-1]
    # Values of one sign have all levels for themselves.
    one_sided = counts[:half].sum() == 0 or counts[half:].sum() == 0
    levels = _LEVELS if one_sided else _LEVELS // 2
    # The lowest bin holds exact zeros, which every scale keeps; they would drown the rest.
    folded = folded.astype(np.float64)
    folded[0] = folded[1]
    if folded.sum() == 0:
        return 1.0
    ends = range(levels, half + 1, max(1, half // 128))
    divergences = [_divergence(folded, end, levels) for end in ends]
    return ends[int(np.argmin(divergences))] / half


def _divergence(counts: np.ndarray, end: int, levels: int) -> float:
    """Returns the divergence of the counts below `end`, the rest clipped to them, from what so many levels leave."""
    reference = counts[:end].copy()
    kept = reference > 0
    group = np.arange(end) * levels // end
    sums = np.bincount(group, weights=reference, minlength=levels)
    filled = np.bincount(group, weights=kept, minlength=levels)
    spread = np.where(kept, sums[group] / np.maximum(filled[group], 1), 0.0)
    reference[-1] += counts[end:].sum()
    if not spread.sum():
        return np.inf
    p, q = reference / reference.sum(), spread / spread.sum()
    both = p > 0
    return float((p[both] * np.log(p[both] / np.maximum(q[both], 1e-12))).sum())


class _Activations:
    """Runs a network and yields its activations, batch by batch."""

    def __init__(self, model: onnx.ModelProto, tensors: list[str], batch_size: int) -> None:
        from reid.onnx_backend import open_session

        copied = onnx.ModelProto()
        copied.CopyFrom(model)
        inputs = {entry.name for entry in model.graph.input}
        computed = {name for node in model.graph.node for name in node.output} & _float_tensors(model)
        self.names = sorted(name for name in set(tensors) & computed)
        self.inputs = sorted(set(tensors) & inputs)
        del copied.graph.output[:]
        for name in self.names:
            copied.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        self.batch_size = batch_size
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "activations.onnx"
            onnx.save(copied, str(path))
            self.session = open_session(path, "cpu", None)

    def __call__(self, images: np.ndarray) -> Iterable[tuple[str, np.ndarray]]:
        name = self.session.get_inputs()[0].name
        for start in range(0, len(images), self.batch_size):
            batch = images[start : start + self.batch_size]
            for entry in self.inputs:
                yield entry, batch
            yield from zip(self.names, self.session.run(self.names, {name: batch}), strict=True)


def _float_tensors(model: onnx.ModelProto) -> set[str]:
    inferred = onnx.shape_inference.infer_shapes(model).graph
    known = [*inferred.value_info, *inferred.output, *inferred.input]
    return {entry.name for entry in known if entry.type.tensor_type.elem_type == TensorProto.FLOAT}
