"""AGW: ResNet-50 with non-local attention and GeM (Ye et al., arXiv 2001.04193)."""

import torch
from torch import nn

from reid.models.output import ReIDOutput
from reid.models.resnet import Bottleneck, ResNet

NON_LOCALS = ("single", "half")


class NonLocal(nn.Module):
    """Each position gets a sum over all positions (Wang et al., arXiv 1711.07971), the dot-product form.

    x + BN(W(y)) with y_i = 1 / N * sum_j (theta(x_i) . phi(x_j)) g(x_j). The normalisation starts at 0, so that the
    layer begins as the identity. Parameter names are those of AGW's release and of fast-reid.

    Args:
        channels: C of the input.
        inner: Channels of theta, phi and g.
    """

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.g = nn.Conv2d(channels, inner, 1)
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Conv2d(channels, inner, 1)
        normalisation = nn.BatchNorm2d(channels)
        self.W = nn.Sequential(nn.Conv2d(inner, channels, 1), normalisation)
        nn.init.zeros_(normalisation.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, C, H, W) to the same shape."""
        values, queries, keys = (layer(x).flatten(2) for layer in (self.g, self.theta, self.phi))  # (B, inner, N)
        # (theta phi) g = theta (phi g): by this order nothing of size N x N is needed.
        summed = torch.einsum("bin,bjn->bij", keys, values) / keys.shape[2]  # (B, inner, inner)
        y = torch.einsum("bin,bij->bjn", queries, summed).unflatten(2, x.shape[2:])
        return x + self.W(y)


class AGW(ResNet):
    """ResNet-50 with two non-local layers in stage 2 and three in stage 3, each behind one of the last blocks there.

    Deviation: by default theta, phi and g have a single channel. The paper and the one on non-local networks halve the
    channels, but AGW's released code computes 1, and so do the published weights and fast-reid.

    Args:
        num_classes: Training identities; 0 builds no classifier.
        pooling: "gem", "avg" or "max".
        last_stride: 1, or 2.
        stem_pool: "padded" as AGW's release has it, or "ceil" for fast-reid's weights.
        non_local: "single", or "half" as in the paper.

    Raises:
        ValueError: When an option is none of these.
    """

    def __init__(
        self,
        num_classes: int = 0,
        pooling: str = "gem",
        last_stride: int = 1,
        stem_pool: str = "padded",
        non_local: str = "single",
    ) -> None:
        super().__init__(
            Bottleneck,
            (3, 4, 6, 3),
            num_classes,
            ibn=False,
            pooling=pooling,
            last_stride=last_stride,
            stem_pool=stem_pool,
        )
        if non_local not in NON_LOCALS:
            raise ValueError(f"non_local: got {non_local!r}, allowed: {', '.join(NON_LOCALS)}")
        self.NL_2 = _layers(2, 512, non_local)
        self.NL_3 = _layers(3, 1024, non_local)

    def feature_map(self, images: torch.Tensor) -> torch.Tensor:
        """Maps (B, 3, H, W) to (B, 2048, H / 16, W / 16), or H / 32 with last stride 2."""
        x = self.layer1(self.stem(images))
        x = _interleaved(self.layer2, self.NL_2, x)
        x = _interleaved(self.layer3, self.NL_3, x)
        return self.layer4(x)

    def forward(self, images: torch.Tensor, camids: torch.Tensor | None = None) -> ReIDOutput:
        """Maps normalised images (B, 3, H, W) to a `ReIDOutput` of 2048 features; see `ResNet.forward`."""
        return super().forward(images, camids)


def _layers(count: int, channels: int, non_local: str) -> nn.ModuleList:
    inner = 1 if non_local == "single" else channels // 2
    return nn.ModuleList(NonLocal(channels, inner) for _ in range(count))


def _interleaved(blocks: nn.Sequential, layers: nn.ModuleList, x: torch.Tensor) -> torch.Tensor:
    first = len(blocks) - len(layers)
    for index, block in enumerate(blocks):
        x = block(x)
        if index >= first:
            x = layers[index - first](x)
    return x
