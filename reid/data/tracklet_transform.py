"""Augmentation of tracklets: the same for all frames of one."""

from collections.abc import Callable

import torch


class TrackletTransform:
    """Applies a transform of image batches to tracklets, with the same random numbers for every frame.

    All frames of a tracklet are flipped or none, cropped at the same place, and get the same change of colour: the
    tracklet stays one film. The erased rectangle is the same too, like something that stands in front of the camera:
    what it hides cannot be learnt from the next frame. Different tracklets of a batch differ as images do.

    Args:
        transform: Maps uint8 (B, 3, H, W) to float32 (B, 3, H, W), drawing from `generator` alone.
        generator: Its generator. Each batch moves it on as one batch of images does.
    """

    def __init__(self, transform: Callable[[torch.Tensor], torch.Tensor], generator: torch.Generator) -> None:
        self.transform = transform
        self.generator = generator

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Maps uint8 (B, T, 3, H, W) to float32 (B, T, 3, H, W)."""
        state = self.generator.get_state()
        frames = []
        for time in range(images.shape[1]):
            self.generator.set_state(state)
            frames.append(self.transform(images[:, time]))
        return torch.stack(frames, dim=1)
