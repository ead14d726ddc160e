"""8-bit networks: ranges, the search for float layers, the file."""

import io
import itertools
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console

from reid.onnx_backend import open_session
from reid.quantise import QUANTISATION_KEY, QuantiseOptions, quantise_onnx
from reid.quantise_ranges import activation_ranges, entropy_bound, percentile_range
from reid.quantise_search import choose_float_layers, search_progress


def write_network(path: Path, spread: float = 1.0) -> onnx.ModelProto:
    """Two convolutions with a ReLU between, a mean and a matrix; channels of the first differ by `spread`."""
    random = np.random.default_rng(0)
    first = random.normal(size=(8, 3, 3, 3)).astype(np.float32)
    first[0] *= spread
    second = random.normal(size=(6, 8, 1, 1)).astype(np.float32)
    second[:, 0] /= spread
    weights = {"first": first, "second": second, "last": random.normal(size=(6, 4)).astype(np.float32)}
    nodes = [
        helper.make_node("Conv", ["images", "first"], ["a"], name="conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="relu"),
        helper.make_node("Conv", ["b", "second"], ["c"], name="conv2"),
        helper.make_node("ReduceMean", ["c", "axes"], ["d"], name="mean", keepdims=0),
        helper.make_node("MatMul", ["d", "last"], ["embeddings"], name="matrix"),
    ]
    constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    constants.append(numpy_helper.from_array(np.array([2, 3], np.int64), "axes"))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 16, 8])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", 4])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    model.metadata_props.add(key="card", value="{}")
    onnx.save(model, str(path))
    return model


def images(count: int = 24) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, 3, 16, 8)).astype(np.float32)


def test_ranges_against_all_values_at_once(tmp_path: Path) -> None:
    model = write_network(tmp_path / "m.onnx")
    del model.graph.output[:]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "abc")
    onnx.save(model, str(tmp_path / "all.onnx"))
    session = open_session(tmp_path / "all.onnx", "cpu", 1)
    values = dict(zip("abc", session.run(list("abc"), {"images": images()}), strict=True)) | {"images": images()}
    model = write_network(tmp_path / "m.onnx")
    names = ["images", "a", "b", "c", "axes", "absent"]
    found = activation_ranges(model, names, images(), "minmax", batch_size=5)
    assert set(found) == set(values)
    for name, (low, high) in found.items():
        assert np.isclose(low, min(0, values[name].min()), atol=1e-5) and np.isclose(
            high, values[name].max(), atol=1e-5
        )
    cut = activation_ranges(model, names, images(), "percentile", percentile=98)
    for name, value in values.items():
        step = np.abs(value).max() / 1024
        assert abs(cut[name][0] - min(0, np.percentile(value, 1))) < 2 * step
        assert abs(cut[name][1] - np.percentile(value, 99)) < 2 * step
    near = activation_ranges(model, names, images(), "entropy")
    assert all(found[n][0] <= near[n][0] and near[n][1] <= found[n][1] for n in found) and near != found
    with pytest.raises(ValueError, match="calibration_method: got 'mean'"):
        activation_ranges(model, names, images(), "mean")
    with pytest.raises(ValueError, match="calibration_percentile: got 0"):
        activation_ranges(model, names, images(), percentile=0)
    with pytest.raises(ValueError, match="got none"):
        activation_ranges(model, names, images(0))
    with pytest.raises(ValueError, match="is NaN or infinite"):
        activation_ranges(model, names, np.full_like(images(), np.nan))


def test_histograms() -> None:
    counts = np.zeros(4096, np.int64)
    counts[1024:3072] = 10
    low, high = percentile_range(counts, 2.0, 100)
    assert np.isclose(low, -1.0) and np.isclose(high, 1.0)
    low, high = percentile_range(counts, 2.0, 90)
    assert np.isclose(low, -0.9, atol=1e-3) and np.isclose(high, 0.9, atol=1e-3)
    # A far outlier costs every other value its resolution: it is cut off. Without it there is nothing to cut.
    values = np.abs(np.random.default_rng(0).normal(size=200_000))
    tail = np.histogram(np.append(values, 60.0) / 60.0, 4096, (-1, 1))[0]
    assert 3.0 < 60.0 * entropy_bound(tail) < 12.0
    even = np.zeros(4096, np.int64)
    even[2048:] = 100
    assert entropy_bound(even) > 0.99


def test_the_file_is_near_smaller_and_says_what_was_done(tmp_path: Path) -> None:
    write_network(tmp_path / "m.onnx")
    found = quantise_onnx(tmp_path / "m.onnx", tmp_path / "q.onnx", images(), QuantiseOptions("minmax"))
    assert found.float_layers == () and found.num_layers == 3 and found.num_images == 18
    assert 0.995 < found.mean_cosine < 1 and found.min_cosine <= found.mean_cosine
    model = onnx.load(str(tmp_path / "q.onnx"))
    onnx.checker.check_model(model)
    kinds = [node.op_type for node in model.graph.node]
    assert "QuantizeLinear" in kinds and "Relu" not in kinds  # the range begins at zero instead
    scales = {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}
    assert scales["first_scale"].shape == (8,)  # per channel
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["card"] == "{}" and json.loads(metadata[QUANTISATION_KEY])["method"] == "minmax"
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "n"
    batch = images(5)
    a, b = (open_session(tmp_path / f"{n}.onnx", "cpu", 1).run(None, {"images": batch})[0] for n in "mq")
    assert np.abs(a - b).max() < 0.1 * np.abs(a).max()
    with pytest.raises(ValueError, match="is quantised already"):
        quantise_onnx(tmp_path / "q.onnx", tmp_path / "qq.onnx", images())
    with pytest.raises(ValueError, match="got 1, allowed: 2 or more"):
        quantise_onnx(tmp_path / "m.onnx", tmp_path / "qq.onnx", images(1))
    with pytest.raises(ValueError, match="min_cosine: got 1"):
        QuantiseOptions(min_cosine=1)


def test_layers_that_suffer_stay_in_float(tmp_path: Path) -> None:
    # One channel is so large that eight bits for all of them leave nothing to the others.
    write_network(tmp_path / "m.onnx", spread=300.0)
    options = QuantiseOptions("minmax", min_cosine=0.99)
    found = quantise_onnx(tmp_path / "m.onnx", tmp_path / "q.onnx", images(), options)
    assert found.float_layers and len(found.float_layers) < 3 and found.mean_cosine >= 0.99
    loose = quantise_onnx(tmp_path / "m.onnx", tmp_path / "l.onnx", images(), QuantiseOptions("minmax", min_cosine=0.1))
    assert loose.float_layers == () and loose.mean_cosine < 0.99


def test_search_takes_as_few_layers_as_it_needs() -> None:
    layers = [f"layer{n}" for n in range(11)]
    harm = {name: 0.001 for name in layers} | {"layer3": 0.05, "layer7": 0.02, "layer9": 0.03}
    calls: list[int] = []

    def measure(kept: list[str]) -> np.ndarray:
        calls.append(len(kept))
        return np.full(4, 1.0 - sum(harm[name] for name in layers if name not in kept))

    kept, cosines = choose_float_layers(layers, measure, 0.985)
    assert kept == ["layer3", "layer9", "layer7"] and np.isclose(cosines.mean(), 0.992)
    kept, _ = choose_float_layers(layers, measure, 0.9995)
    assert len(kept) == 11
    calls.clear()
    told: list[tuple[int, int]] = []
    choose_float_layers(layers, measure, 0.985, lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == list(range(1, len(calls)))  # the first trial decides whether to search
    assert {total for _, total in told} == {11 + 2 * 4} and told[-1][0] <= 11 + 2 * 4
    calls.clear()
    told.clear()
    assert choose_float_layers(layers, measure, 0.5, lambda *_: told.append((0, 0)))[0] == [] and calls == [0]
    assert not told
    with pytest.raises(ValueError, match="with all layers in float"):
        choose_float_layers(layers, lambda kept: np.full(2, 0.9), 0.95)


def test_progress_is_a_bar_or_a_line_now_and_then() -> None:
    for terminal in (False, True):
        out, clock = io.StringIO(), itertools.count()  # a second a look
        with search_progress(Console(file=out, force_terminal=terminal, width=80), clock.__next__) as tell:
            for done in range(1, 41):
                tell(done, 50)
        lines = [line for line in out.getvalue().splitlines() if "trials" in line]
        if terminal:
            assert "40/50" in out.getvalue() and not lines
        else:
            assert lines == [f"layers that stay in float: {n} of at most 50 trials" for n in (15, 30)]
            assert out.getvalue().splitlines() == lines
    out = io.StringIO()
    with search_progress(Console(file=out, force_terminal=False)):
        pass
    assert not out.getvalue()
