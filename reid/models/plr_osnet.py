"""PLR-OSNet: a global and a part-level branch on OSNet (Xie et al., arXiv 2001.07442)."""

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from reid.models.foreign_names import renamed
from reid.models.heads import BNNeckHead, MaxPool
from reid.models.osnet import osnet_x1_0
from reid.models.output import Branch, ReIDOutput

STRIPES = 4
# Name in the release -> name here.
RELEASED = {
    "layer0.0.": "trunk.conv1.",
    "layer1.": "trunk.conv2.",
    "layer2.": "trunk.conv3.",
    "layer30.": "trunk.conv4.",
    "layer40.": "trunk.conv5.",
    "layer31.0.": "whole_conv4.",
    "layer41.0.": "whole_conv5.",
    "attention_module1.": "attention1.",
    "attention_module2.": "attention2.",
    "fc2.": "head.whole.projection.",
    "bn2.": "head.whole.bottleneck.",
    "classifier2.": "head.whole.classifier.",
    "bn1.": "head.parts.bottleneck.",
    "classifier1.": "head.parts.classifier.",
    "conv1.": "trunk.conv1.",
    "conv2.": "trunk.conv2.",
    "conv3.": "trunk.conv3.",
    "conv4.": "trunk.conv4.",
    "conv5.": "trunk.conv5.",
}


class PositionAttention(nn.Module):
    """Each position gets a softmax-weighted sum over all positions, times a learnt factor that starts at 0."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query_conv = nn.Conv2d(channels, channels // 8, 1)
        self.key_conv = nn.Conv2d(channels, channels // 8, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, C, H, W) to the same shape."""
        values = x.flatten(2)  # (B, C, N)
        queries, keys = self.query_conv(x).flatten(2), self.key_conv(x).flatten(2)
        weights = torch.einsum("bcn,bcm->bnm", queries, keys).softmax(dim=2)
        summed = torch.einsum("bnm,bcm->bcn", weights, values).unflatten(2, x.shape[2:])
        return x + self.bn(self.gamma * summed)


class PositionGate(nn.Module):
    """Squeeze and excitation without the squeeze: each position has a gate a channel, from that position's channels."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gates (B, C, H, W)."""
        return x * self.fc2(F.relu(self.fc1(x))).sigmoid()


class PLRAttention(nn.Module):
    """Position attention, then the gate. Parameter names are the release's."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pam = PositionAttention(channels)
        self.se = PositionGate(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, C, H, W) to the same shape."""
        return self.se(self.pam(x))


class PLRHead(nn.Module):
    """One BNNeck for the whole image and one for the four stripes side by side.

    Args:
        channels: Of the feature maps.
        num_classes: Training identities; 0 builds no classifiers.

    Attributes:
        size: D of features and embeddings.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.pool = MaxPool()
        self.whole = BNNeckHead(channels, num_classes, "none", 512, bias=True)
        self.parts = BNNeckHead(STRIPES * channels, num_classes, "none", bias=True)
        self.size = self.whole.size + self.parts.size

    def forward(self, whole: torch.Tensor, parts: torch.Tensor, camids: torch.Tensor | None = None) -> ReIDOutput:
        """Maps two maps (B, C, H, W) to 512 + 4 C features and embeddings; those of each branch have norm 1.

        Raises:
            ValueError: When the maps have fewer rows than there are stripes.
        """
        rows = parts.shape[2]
        if rows < STRIPES:
            raise ValueError(f"images: got feature maps of {rows} rows, allowed: {STRIPES} or more (64 pixels)")
        edges = [rows * index // STRIPES for index in range(STRIPES + 1)]
        stripes = [parts[:, :, a:b].mean(dim=(2, 3)) for a, b in itertools.pairwise(edges)]
        found = [self.whole(self.pool(whole), camids), self.parts(torch.cat(stripes, dim=1), camids)]
        return ReIDOutput(
            torch.cat([output.features for output in found], dim=1),
            torch.cat([F.normalize(output.embeddings, dim=1) for output in found], dim=1),
            found[0].logits,
            tuple(Branch(output.features, output.logits) for output in found),
        )


class PLROSNet(nn.Module):
    """Two branches from the third stage on: the part-level one on OSNet's own layers, the global one on copies.

    Attention follows the first two stages. Features and embeddings are those of the global branch (512), then those of
    the stripes from head to feet (4 x 512); the release has the stripes first. Each branch has its own losses.

    Args:
        num_classes: Training identities; 0 builds no classifiers.

    Attributes:
        embedding_size: 2560.
    """

    def __init__(self, num_classes: int = 0) -> None:
        super().__init__()
        trunk, copy = osnet_x1_0(), osnet_x1_0()
        trunk.head = copy.head = nn.Identity()  # type: ignore[assignment]
        self.trunk = trunk
        self.attention1 = PLRAttention(256)
        self.attention2 = PLRAttention(384)
        self.whole_conv4 = copy.conv4
        self.whole_conv5 = copy.conv5
        self.whole_conv4.load_state_dict(trunk.conv4.state_dict())
        self.whole_conv5.load_state_dict(trunk.conv5.state_dict())
        self.head = PLRHead(512, num_classes)
        self.embedding_size = self.head.size

    def add_cameras(self, num_cameras: int, factor: float) -> None:
        """Adds camera vectors behind BNNeck of each branch."""
        self.head.whole.add_cameras(num_cameras, factor)
        self.head.parts.add_cameras(num_cameras, factor)

    def foreign_state(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Gives weights of the release, and of torchreid's OSNet x1.0 for both branches, our names."""
        found = renamed(state, RELEASED)
        copied = {
            name.replace("trunk.", "whole_"): tensor
            for name, tensor in found.items()
            if name.startswith(("trunk.conv4.", "trunk.conv5."))
        }
        return copied | found

    def forward(self, images: torch.Tensor, camids: torch.Tensor | None = None) -> ReIDOutput:
        """Maps normalised images (B, 3, H, W) to a `ReIDOutput` with two branches.

        Args:
            images: float (B, 3, H, W), 64 or more rows.
            camids: int64 (B,); needed by a model with camera vectors, unused by others.

        Raises:
            ValueError: When the images have fewer rows.
        """
        trunk = self.trunk
        x = F.max_pool2d(trunk.conv1(images), 3, 2, padding=1)
        x = self.attention2(trunk.conv3(self.attention1(trunk.conv2(x))))
        parts = trunk.conv5(trunk.conv4(x))
        whole = self.whole_conv5(self.whole_conv4(x))
        return self.head(whole, parts, camids)


def plr_osnet(num_classes: int = 0) -> PLROSNet:
    """Builds PLR-OSNet (2560-d); the argument is that of `PLROSNet`."""
    return PLROSNet(num_classes)
