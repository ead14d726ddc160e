"""Weights of other libraries in our networks: the same outputs, and every name that did not fit told."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import published_networks
import pytest
import timm
import torch
from published_networks import CLASSES, filled, images
from safetensors.torch import save_file

from reid.models import build_model
from reid.models.foreign_weights import load_foreign, read_state
from reid.models.plr_osnet import RELEASED

RECORDS: dict[str, Any] = json.loads(published_networks.RECORDS.read_text())
OURS: dict[str, dict[str, Any]] = {
    "IBN-Net": {"last_stride": 2},
    "PLR-OSNet": {},
    "fast-reid": {"stem_pool": "ceil"},
    "fast-reid osnet_x0_25": {"head": "bnneck"},
    "torchreid": {},
    "torchreid resnet": {"last_stride": 2},
}


def options(record: str) -> dict[str, Any]:
    return OURS[max((key for key in OURS if record.startswith(key)), key=len)]


def foreign_state(record: str, model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Returns our tensors under the names that the other library's checkpoint has."""
    state = dict(model.state_dict())
    if record.startswith("fast-reid"):
        names = {"head.bottleneck.": "heads.bottleneck.0.", "head.pool.": "heads.pool_layer."}
        names |= {"head.classifier.weight": "heads.weight", "": "backbone."}
        if "head.pool.p" in state:
            state["head.pool.p"] = state["head.pool.p"].reshape(1)
    elif record.startswith("PLR"):
        names = {ours: theirs for theirs, ours in reversed(RELEASED.items())}
    elif "osnet" in record:
        names = {"head.fc.": "fc.", "head.classifier.": "classifier."}
    else:
        last = "fc." if record.startswith("IBN") else "classifier."
        state = {name: tensor for name, tensor in state.items() if not name.startswith("head.bottleneck")}
        state["head.classifier.bias"] = torch.zeros(CLASSES)
        names = {"head.classifier.": last}
    found = {}
    for name, tensor in state.items():
        rule = next((start for start in names if name.startswith(start)), "")
        found[names.get(rule, "") + name.removeprefix(rule)] = tensor
    return found


def checkpoint(record: str, state: dict[str, torch.Tensor]) -> Any:
    if record.startswith("torchreid"):
        return {"state_dict": {f"module.{name}": value for name, value in state.items()}, "rank1": np.float64(0.9)}
    return {"model": state, "iteration": 3} if record.startswith("fast-reid") else state


# AGW's trunk is ResNet-50's: the others of its size are for `make test-slow`.
LARGE = [record for record in RECORDS if "resnet50" in record]


@pytest.mark.parametrize(
    "record", [pytest.param(record, marks=[pytest.mark.slow] if record in LARGE else []) for record in RECORDS]
)
@torch.no_grad()
def test_published_networks_load_unchanged_and_compute_the_same(record: str, tmp_path: Path) -> None:
    expected = RECORDS[record]
    model = build_model(record.split()[1], CLASSES, **options(record)).eval()
    state = filled(foreign_state(record, model))
    assert len(state) == expected["tensors"]
    assert published_networks.checksum(state) == expected["names_and_shapes"]
    torch.save(checkpoint(record, state), tmp_path / "weights.pth")
    report = load_foreign(model, tmp_path / "weights.pth")
    assert report.mismatched == {} and report.prefix == ("module." if record.startswith("torchreid") else "")
    bare = record.startswith("IBN") or (record.startswith("torchreid") and "resnet" in record)
    assert {name.rsplit(".", 1)[0] for name in report.missing} <= {"head.bottleneck", "head.classifier"}
    assert bare or report.missing == ()
    output = model(images())
    found = output.features if report.missing else output.embeddings
    if record.startswith("PLR"):
        found = found.roll(-512, dims=1)  # the release has the stripes first
    numbers = published_networks.numbers(found)
    assert numbers["size"] == expected["size"]
    assert np.allclose(numbers["norms"], expected["norms"], rtol=1e-5)
    assert np.allclose(numbers["first"], expected["first"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in published_networks.TORCHREID if "50" not in name])
@torch.no_grad()
def test_outputs_are_those_of_torchreid(name: str, tmp_path: Path) -> None:
    models = pytest.importorskip("torchreid.reid.models", reason="torchreid is not installed here")
    theirs = models.build_model(name, CLASSES, pretrained=False).eval()
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    model = build_model(name, CLASSES, **options(f"torchreid {name}")).eval()
    load_foreign(model, tmp_path / "weights.pth")
    assert torch.allclose(model(images()).features, theirs(images()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        ("resnet18", "resnet18", {"last_stride": 2}),
        ("timm:mobilenetv3_small_050", "mobilenetv3_small_050", {}),
        ("timm:mobilenetv4_conv_small_035", "mobilenetv4_conv_small_035", {}),
        ("timm:test_vit", "test_vit", {}),
    ],
)
@torch.no_grad()
def test_outputs_are_those_of_timm(ours: str, theirs: str, options: dict[str, Any], tmp_path: Path) -> None:
    network = timm.create_model(theirs, num_classes=CLASSES, **({"img_size": (64, 32)} if "vit" in theirs else {}))
    network.load_state_dict(filled(network.state_dict()))
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    model = build_model(ours, CLASSES, **options, **({"image_size": (64, 32)} if "vit" in theirs else {})).eval()
    report = load_foreign(model, tmp_path / "weights.safetensors")
    assert all(name.startswith("head.") for name in report.missing)
    expected = network.eval().forward_head(network.forward_features(images()), pre_logits=True)
    assert torch.allclose(model(images()).features, expected, rtol=1e-5, atol=1e-5)
    assert all("classifier" in name or "fc" in name or "head" in name for name in report.unexpected)


def test_what_does_not_fit_is_told_by_name(tmp_path: Path) -> None:
    state = build_model("resnet18_ibn_a", 9).state_dict()
    state["pixel_mean"] = torch.zeros(3)
    torch.save(state, tmp_path / "weights.pth")
    model = build_model("emares18", 5)
    before = model.head.classifier.weight.clone()
    report = load_foreign(model, tmp_path / "weights.pth")
    assert report.mismatched == {"head.classifier.weight": "(file (9, 512), model (5, 512))"}
    assert torch.equal(model.head.classifier.weight, before)
    assert torch.equal(model.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
    assert report.unexpected == ("pixel_mean",)
    assert "layer1.0.attention.conv1x1.weight" in report.missing and "head.pool.p" in report.missing
    assert set(report.loaded) == set(state) - {"pixel_mean", "head.classifier.weight"}
    text = str(report)
    for name in (
        *report.missing,
        "head.classifier.weight (file (9, 512), model (5, 512))",
        "pixel_mean",
        "weights.pth",
    ):
        assert name in text


def test_wrappers_prefixes_are_taken_off(tmp_path: Path) -> None:
    model = build_model("osnet_x0_25")
    state = {f"module._orig_mod.{name}": tensor for name, tensor in model.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "weights.tar")
    report = load_foreign(model, tmp_path / "weights.tar")
    assert report.prefix == "module._orig_mod." and report.missing == report.unexpected == ()
    assert "module._orig_mod." in str(report)


def test_weights_of_another_network_are_refused_and_change_nothing(tmp_path: Path) -> None:
    torch.save(build_model("osnet_x0_5").state_dict(), tmp_path / "half.pth")
    model = build_model("osnet_x0_25")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"half\.pth: weights of another network.*conv1\.conv\.weight \(file \(32"):
        load_foreign(model, tmp_path / "half.pth")
    torch.save({"encoder.a": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth: .*begins with encoder\.a, the model with conv1\.conv"):
        load_foreign(model, tmp_path / "other.pth")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    fast = {"backbone.conv1.weight": torch.zeros(64, 3, 7, 7), "heads.weight": torch.zeros(3, 512)}
    torch.save(fast, tmp_path / "fast.pth")
    with pytest.raises(ValueError, match=r"fast\.pth: stem_pool: got padded with weights of fast-reid, allowed: ceil"):
        load_foreign(build_model("resnet18"), tmp_path / "fast.pth")


class _RunsCode:
    def __reduce__(self) -> Any:
        return os.system, ("false",)


def test_pickles_that_would_run_code_are_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.zeros(1)}, "more": _RunsCode()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=r"evil\.pth: refused, reading it would run code: it calls (posix|nt)\.system"):
        read_state(tmp_path / "evil.pth")


def test_damaged_files_are_told_from_each_other(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.pth: no such file"):
        read_state(tmp_path / "absent.pth")
    torch.save({"a": torch.zeros(100)}, tmp_path / "half.pth")
    (tmp_path / "half.pth").write_bytes((tmp_path / "half.pth").read_bytes()[:400])
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "empty.pt").touch()
    (tmp_path / "half.safetensors").write_bytes(b"\x08")
    for name in ("half.pth", "text.pth", "empty.pt"):
        with pytest.raises(ValueError, match=rf"{name}: no file of weights, or damaged"):
            read_state(tmp_path / name)
    with pytest.raises(ValueError, match=r"half\.safetensors: not a whole safetensors file"):
        read_state(tmp_path / "half.safetensors")
    torch.save({"epoch": 3}, tmp_path / "none.pth")
    with pytest.raises(ValueError, match=r"none\.pth: no named tensors inside"):
        read_state(tmp_path / "none.pth")
