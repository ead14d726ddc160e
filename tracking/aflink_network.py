"""The network of AFLink (StrongSORT, arXiv 2202.13514, section 3.3): do two tracklets belong to one person?"""

import torch
from torch import nn

WINDOW = 30  # boxes of each tracklet that the network sees
TEMPORAL = (32, 64, 128, 256)


class AfLinkNetwork(nn.Module):
    """Appearance-free: it sees (frame, x, y) of the end of one tracklet and of the beginning of another.

    A temporal module (four 7 x 1 convolutions over time, each column by itself) and a fusion module (a 1 x 3
    convolution over the columns) make a vector of each tracklet; both vectors together are classified. The temporal
    and the fusion modules are shared by both tracklets. The paper names kernels and modules; channels, and batch
    normalisation between the layers, are the ones given here.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for width in TEMPORAL:
            layers += [nn.Conv2d(channels, width, (7, 1), bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.temporal = nn.Sequential(*layers)
        fusion = nn.Conv2d(channels, channels, (1, 3), bias=False)
        self.fusion = nn.Sequential(fusion, nn.BatchNorm2d(channels), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Linear(2 * channels, channels // 2), nn.ReLU(), nn.Linear(channels // 2, 2))

    def forward(self, earlier: torch.Tensor, later: torch.Tensor) -> torch.Tensor:
        """Returns the logits (B, 2) of "two people" and "one person".

        Args:
            earlier: (B, 1, WINDOW, 3), frame, x and y as `tracking.aflink.encode_pairs` scales them.
            later: The same, of the tracklets that begin afterwards.
        """
        both = torch.cat([self._encode(earlier), self._encode(later)], dim=1)
        logits: torch.Tensor = self.classifier(both)
        return logits

    def _encode(self, tracklet: torch.Tensor) -> torch.Tensor:
        encoded: torch.Tensor = self.pool(self.fusion(self.temporal(tracklet))).flatten(1)
        return encoded
