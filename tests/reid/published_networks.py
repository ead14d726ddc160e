"""What networks of other libraries compute, recorded once, so that tests need none of these libraries.

A network is filled by a formula of its sorted names and shapes, so any two networks with the same names get the same
weights. Run by an interpreter that has torchreid 0.2.5 and fastreid 1.4.0, this file writes published_networks.json
beside itself; entries of networks that it cannot build stay.
"""

import hashlib
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

RECORDS = Path(__file__).with_suffix(".json")
CLASSES = 5
TORCHREID = (
    "osnet_x0_25",
    "osnet_x0_5",
    "osnet_x0_75",
    "osnet_x1_0",
    "osnet_ibn_x1_0",
    "osnet_ain_x1_0",
    "resnet18",
    "resnet50",
    "resnet50_ibn_a",
)


def images() -> torch.Tensor:
    """Returns float32 (2, 3, 64, 32)."""
    return torch.sin(torch.arange(2 * 3 * 64 * 32, dtype=torch.float64) * 0.37).float().view(2, 3, 64, 32)


def filled(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Returns the tensors with other values: noise of the usual size in weights, statistics near 0 and 1."""
    result = {}
    for index, name in enumerate(sorted(state)):
        tensor = state[name]
        if not tensor.is_floating_point():
            result[name] = tensor.clone()
            continue
        # A prime period is out of step with every number of channels.
        noise = torch.sin((torch.arange(4099, dtype=torch.float64) + 1) * (12.9898 + 0.1 * index)) * 43758.5
        noise = (2 * (noise - noise.floor()) - 1).float()  # -1..1
        noise = noise.repeat(tensor.numel() // len(noise) + 1)[: tensor.numel()]
        if tensor.ndim > 1:
            noise *= math.sqrt(3.0 / tensor[0].numel())
        elif name.endswith("running_var") or (name.endswith("weight") and tensor.ndim == 1):
            noise = 1 + 0.2 * noise
        elif name.endswith(".p"):
            noise = 3 + 0.1 * noise
        else:
            noise *= 0.1
        result[name] = noise.view(tensor.shape)
    return result


def checksum(state: Mapping[str, torch.Tensor]) -> str:
    """Returns the SHA-256 of the sorted names and shapes."""
    lines = [f"{name} {list(tensor.shape)}" for name, tensor in sorted(state.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def numbers(embeddings: torch.Tensor) -> dict[str, Any]:
    """Returns the norm of each row and its first eight values."""
    return {
        "size": embeddings.shape[1],
        "norms": [round(value, 7) for value in embeddings.double().norm(dim=1).tolist()],
        "first": [[round(value, 7) for value in row[:8]] for row in embeddings.double().tolist()],
    }


@torch.no_grad()
def record(network: nn.Module, source: str) -> dict[str, Any]:
    """Returns what is kept of a network whose evaluation returns embeddings (B, D)."""
    network.load_state_dict(filled(network.state_dict()))
    state = network.state_dict()
    return {"source": source, "tensors": len(state), "names_and_shapes": checksum(state)} | numbers(
        network.eval()(images())
    )


def from_torchreid() -> dict[str, Any]:
    from torchreid.reid.models import build_model

    return {
        f"torchreid {name}": record(build_model(name, CLASSES, pretrained=False), "torchreid 0.2.5")
        for name in TORCHREID
    }


class FastReID(nn.Module):
    """Backbone and head of fast-reid under the names that its checkpoints have."""

    def __init__(self, backbone: nn.Module, pool: str, size: int) -> None:
        from fastreid.modeling.heads.embedding_head import EmbeddingHead

        super().__init__()
        self.backbone = backbone
        self.heads = EmbeddingHead(
            feat_dim=size,
            embedding_dim=0,
            num_classes=CLASSES,
            neck_feat="before",
            pool_type=pool,
            cls_type="Linear",
            scale=1,
            margin=0,
            with_bnneck=True,
            norm_type="BN",
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.heads(self.backbone(x))


def from_fast_reid() -> dict[str, Any]:
    from fastreid.modeling.backbones.osnet import OSBlock, OSNet
    from fastreid.modeling.backbones.resnet import BasicBlock, Bottleneck, ResNet

    def resnet(block: Any, depths: list[int], ibn: bool, non_local: list[int]) -> nn.Module:
        return ResNet(1, "BN", ibn, False, any(non_local), block, depths, non_local)

    none = [0, 0, 0, 0]
    networks = {
        "resnet18_ibn_a": (resnet(BasicBlock, [2, 2, 2, 2], True, none), "GlobalAvgPool", 512),
        "resnet50": (resnet(Bottleneck, [3, 4, 6, 3], False, none), "FastGlobalAvgPool", 2048),
        "agw": (resnet(Bottleneck, [3, 4, 6, 3], False, [0, 2, 3, 0]), "GeneralizedMeanPoolingP", 2048),
        "osnet_x0_25": (OSNet([OSBlock] * 3, [2, 2, 2], [16, 64, 96, 128], "BN"), "GlobalAvgPool", 128),
    }
    return {
        f"fast-reid {name}": record(FastReID(backbone, pool, size), "fastreid 1.4.0")
        for name, (backbone, pool, size) in networks.items()
    }


def main() -> None:
    """Records what can be built here."""
    records: dict[str, Any] = json.loads(RECORDS.read_text()) if RECORDS.exists() else {}
    for build in (from_torchreid, from_fast_reid):
        try:
            records |= build()
        except ImportError as error:
            print(f"{build.__name__}: {error}", file=sys.stderr)
    RECORDS.write_text(json.dumps(dict(sorted(records.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
