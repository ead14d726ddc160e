"""From the frames of a tracklet to one vector (Gao and Nevatia, arXiv 1805.02104)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn


class AveragePooling(nn.Module):
    """The mean over the frames; their order does not matter.

    Args:
        size: D of the frame features.
        channels: Unused, like the next.
        map_size: Unused.
    """

    def __init__(self, size: int, channels: int, map_size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, features: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        """Pools features (B, T, D) to (B, D); the maps are not looked at."""
        return features.mean(dim=1)


class AttentionPooling(nn.Module):
    """A weighted mean over the frames, with weights from a spatial and then a temporal convolution.

    The spatial convolution has the size of the whole map, so that each frame gives `hidden` numbers; the temporal one
    looks at each frame and its two neighbours and gives a score, and the weights are the softmax of the scores over
    the frames. This is the paper's "spatial-temporal conv" with softmax.

    Deviations: the paper divides the weighted sum by T once more, which only scales it; and the scores themselves pass
    no ReLU, which would make all bad frames equally bad.

    Args:
        size: D of the frame features.
        channels: C of the maps.
        map_size: (h, w) of the maps; tracklets of another input size are refused.
        hidden: Channels between the two convolutions.
    """

    def __init__(self, size: int, channels: int, map_size: tuple[int, int], hidden: int = 256) -> None:
        super().__init__()
        self.size = size
        self.map_size = map_size
        self.spatial = nn.Conv2d(channels, hidden, map_size)
        self.temporal = nn.Conv1d(hidden, 1, 3, padding=1)

    def weights(self, maps: torch.Tensor) -> torch.Tensor:
        """Returns the weight of each frame, (B, T), rows of sum 1.

        Args:
            maps: (B, T, C, h, w).

        Raises:
            ValueError: When h and w are not those that the layer was built for.
        """
        if tuple(maps.shape[3:]) != self.map_size:
            raise ValueError(
                f"frames: got maps of {tuple(maps.shape[3:])}, allowed: {self.map_size}; attention pooling takes "
                "frames of the height and width that it was built for"
            )
        batch, frames = maps.shape[:2]
        hidden = F.relu(self.spatial(maps.flatten(0, 1))).view(batch, frames, -1)
        scores = self.temporal(hidden.transpose(1, 2)).squeeze(1)  # (B, T)
        return scores.float().softmax(dim=1)

    def forward(self, features: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        """Pools features (B, T, D) to (B, D) by weights from maps (B, T, C, h, w)."""
        return torch.einsum("bt,btd->bd", self.weights(maps).to(features.dtype), features)


class LSTMPooling(nn.Module):
    """The mean of the outputs of an LSTM over the frames, the better of the paper's two recurrent variants.

    Args:
        size: D of the frame features.
        channels: Unused, like the next.
        map_size: Unused.
        hidden: Size of the state, and of the result.
    """

    def __init__(self, size: int, channels: int, map_size: tuple[int, int], hidden: int = 512) -> None:
        super().__init__()
        self.size = hidden
        self.lstm = nn.LSTM(size, hidden, batch_first=True)

    def forward(self, features: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        """Pools features (B, T, D) to (B, hidden); the maps are not looked at."""
        return self.lstm(features)[0].mean(dim=1)


TEMPORAL_POOLINGS: dict[str, Callable[..., nn.Module]] = {
    "average": AveragePooling,
    "attention": AttentionPooling,
    "lstm": LSTMPooling,
}
