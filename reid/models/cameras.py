"""Side information: what a network is told of the camera."""

import torch
from torch import nn


class CameraVectors(nn.Module):
    """A learned vector a camera, times a fixed factor (SIE of TransReID, arXiv 2102.04378).

    The factor is part of the model, so that it is the same in training and in inference.

    Deviation: the paper adds the vectors to the tokens of a transformer; convolutional networks, which have none, get
    them on the embeddings behind BNNeck's normalisation.

    Args:
        num_cameras: Cameras; their numbers are 0..num_cameras-1.
        size: D of a vector.
        factor: Above 0; 3.0 in the paper.
    """

    def __init__(self, num_cameras: int, size: int, factor: float) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.empty(num_cameras, size))
        self.factor = factor
        nn.init.trunc_normal_(self.vectors, std=0.02)

    def forward(self, camids: torch.Tensor | None) -> torch.Tensor:
        """Returns factor x vector, (B, D), of camids int64 (B,).

        Raises:
            ValueError: When camids are missing, or one lies outside 0..num_cameras-1 (looked at on the CPU only,
                because a look at a GPU's values would wait for it).
        """
        count = len(self.vectors)
        if camids is None:
            raise ValueError(
                f"camids: got none, but this model was trained with {count} cameras and cam_factor {self.factor:g}; "
                "give the camera of each image (camera=N in the embedder, --camera N on the command line)"
            )
        if camids.device.type == "cpu" and not torch.compiler.is_compiling():
            wrong = (camids < 0) | (camids >= count)
            if wrong.any():
                raise ValueError(f"camids: got {int(camids[wrong][0])}, allowed: 0 to {count - 1}, as in training")
        return self.factor * self.vectors[camids]
