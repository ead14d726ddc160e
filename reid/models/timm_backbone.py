"""Any network of timm as a backbone: `timm:NAME`."""

import difflib
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from reid.models.cameras import CameraVectors
from reid.models.heads import POOLINGS, BNNeckHead
from reid.models.output import ReIDOutput
from reid.models.resnet18 import check_last_stride
from reid.models.timm_stride import keep_last_resolution

PREFIX = "timm:"
WEIGHTS_FOLDER = Path(__file__).resolve().parents[2] / "checkpoints" / "timm"


class CameraTokens(nn.Module):
    """Stands in the place of a transformer's dropout behind the position embedding and adds the camera's vector.

    All tokens get the vector, the class token too, as in TransReID (arXiv 2102.04378).

    Args:
        drop: What stood there.
        vectors: Of the size of the tokens.
    """

    def __init__(self, drop: nn.Module, vectors: CameraVectors) -> None:
        super().__init__()
        self.drop = drop
        self.cameras = vectors
        self.camids: torch.Tensor | None = None  # of the pass under way: timm hands nothing through

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Maps tokens (B, ..., C) to the same shape."""
        vectors = self.cameras(self.camids)  # (B, C)
        shape = (len(vectors), *[1] * (tokens.ndim - 2), vectors.shape[1])
        return self.drop(tokens + vectors.view(shape).to(tokens.dtype))


class TimmBackbone(nn.Module):
    """A network of timm without its classifier, then an optional projection and BNNeck.

    Camera vectors are added to the tokens where the network has some (a `pos_drop` behind its position embedding, as
    ViT, DeiT, EVA and XCiT have), behind BNNeck otherwise.

    Args:
        name: Name in timm, with its tag or without.
        num_classes: Training identities; 0 builds no classifier.
        pretrained: Start with timm's weights, which are read from a file on this machine and never downloaded.
        weights: That .safetensors file; empty stands for checkpoints/timm/NAME.safetensors in the repository.
        projection_dim: Size of the embeddings after a linear layer; 0 takes what the network gives.
        pooling: "timm" for what the network itself does before its classifier, or "gem", "avg", "max" on its feature
            map (B, C, H, W); transformers have none.
        image_size: (height, width) for networks that must know it when they are built; transformers that can adapt
            their position embedding to each input do so without.
        last_stride: 1 keeps the resolution of the map in the last stage of a convolutional network, as
            re-identification likes it; 2 is what timm builds.

    Raises:
        FileNotFoundError: When the pretrained weights are not there; the message says where to put them.
        ValueError: When timm does not know the name, options contradict each other, or the weights do not fit.
    """

    def __init__(
        self,
        name: str,
        num_classes: int = 0,
        *,
        pretrained: bool = False,
        weights: str = "",
        projection_dim: int = 0,
        pooling: str = "timm",
        image_size: tuple[int, int] | None = None,
        last_stride: int = 2,
    ) -> None:
        super().__init__()
        check_last_stride(last_stride)
        if not timm.is_model(name):
            near = difflib.get_close_matches(name.split(".")[0], timm.list_models(), 5)
            raise ValueError(f"backbone: timm has no {name!r}; near it: {', '.join(near) or 'nothing'}")
        if weights and not pretrained:
            raise ValueError(f"weights: got {weights} without pretrained, allowed: only together with pretrained")
        if pooling not in ("timm", *POOLINGS):
            raise ValueError(f"pooling: got {pooling!r}, allowed: timm, {', '.join(POOLINGS)}")
        self.name = name
        self.own_pooling = pooling == "timm"
        trunk: Any = _create(name, _find_weights(name, weights) if pretrained else None, image_size)
        if last_stride == 1:
            keep_last_resolution(trunk, name)
        self.trunk = trunk
        size = trunk.head_hidden_size if self.own_pooling else trunk.num_features
        self.head = BNNeckHead(size, num_classes, "none" if self.own_pooling else pooling, projection_dim)
        self.embedding_size = self.head.size

    def add_cameras(self, num_cameras: int, factor: float) -> None:
        """Adds camera vectors to the tokens, or behind BNNeck where there are none."""
        trunk: Any = self.trunk
        if isinstance(getattr(trunk, "pos_drop", None), nn.Module) and isinstance(getattr(trunk, "embed_dim", 0), int):
            trunk.pos_drop = CameraTokens(trunk.pos_drop, CameraVectors(num_cameras, trunk.embed_dim, factor))
        else:
            self.head.add_cameras(num_cameras, factor)

    def foreign_state(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Gives timm's weights of this network our names; what timm's classifier holds keeps its own."""
        inside = set(self.trunk.state_dict())
        return {f"trunk.{name}" if name in inside else name: tensor for name, tensor in state.items()}

    def forward(self, images: torch.Tensor, camids: torch.Tensor | None = None) -> ReIDOutput:
        """Maps normalised images (B, 3, H, W) to a `ReIDOutput`.

        Args:
            images: float (B, 3, H, W).
            camids: int64 (B,); needed by a model with camera vectors, unused by others.

        Raises:
            ValueError: When the network does not take images of this size, or has no feature map to pool.
        """
        trunk: Any = self.trunk
        tokens: Any = getattr(trunk, "pos_drop", None)
        in_tokens = isinstance(tokens, CameraTokens)
        if in_tokens:
            tokens.camids = camids
        try:
            x = trunk.forward_features(images)
        except AssertionError as error:
            raise ValueError(f"{PREFIX}{self.name}: {error}; choose another image size or network") from error
        finally:
            if in_tokens:
                tokens.camids = None
        if self.own_pooling:
            x = trunk.forward_head(x, pre_logits=True)
        elif x.ndim != 4 or x.shape[1] != trunk.num_features:
            raise ValueError(
                f"pooling: {PREFIX}{self.name} gives {tuple(x.shape)}, no map (B, C, H, W); allowed: pooling timm"
            )
        return self.head(x, camids)


def _find_weights(name: str, weights: str) -> Path:
    path = Path(weights) if weights else WEIGHTS_FOLDER / f"{name}.safetensors"
    if path.suffix != ".safetensors":
        raise ValueError(f"weights: got {path}, allowed: a .safetensors file, which runs no code when it is read")
    if not path.is_file():
        config = timm.get_pretrained_cfg(name)
        source = getattr(config, "hf_hub_id", None)
        where = f"https://huggingface.co/{source}/resolve/main/model.safetensors" if source else "timm's model page"
        raise FileNotFoundError(f"{path}: no pretrained weights of {PREFIX}{name}; put there what {where} gives")
    return path


def _create(name: str, weights: Path | None, image_size: tuple[int, int] | None) -> nn.Module:
    options: dict[str, Any] = {"num_classes": 0}
    if weights is not None:
        options |= {"pretrained": True, "pretrained_cfg_overlay": {"file": str(weights), "source": ""}}
    if image_size is not None:
        variants: list[dict[str, Any]] = [{"img_size": tuple(image_size)}]
    else:
        # Networks that do not know an argument refuse it.
        variants = [{"dynamic_img_size": True}, {"strict_img_size": False}, {}]
    for variant in variants:
        try:
            model = timm.create_model(name, **options, **variant)
            break
        except TypeError as error:
            if "unexpected keyword" not in str(error) or not variant:
                raise
        except (RuntimeError, SafetensorError) as error:
            raise ValueError(f"{PREFIX}{name}: {weights or 'cannot be built'}: {error}") from error
    else:
        raise ValueError(f"image_size: got {image_size}, but {PREFIX}{name} takes any size; allowed: none")
    if weights is not None:
        _check_weights(model, name, weights)
    return model


def _check_weights(model: nn.Module, name: str, weights: Path) -> None:
    # timm only logs what it did not find, and would train on from random numbers.
    with safe_open(weights, framework="pt") as file:
        missing = sorted({key for key, _ in model.named_parameters()} - set(file.keys()))
    if missing:
        raise ValueError(
            f"{weights}: lacks {len(missing)} parameters of {PREFIX}{name}, e.g. {missing[0]}; give the weights that "
            "timm publishes under this name"
        )
