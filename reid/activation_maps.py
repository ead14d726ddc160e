"""Where a network looks: the strength of its last map, and Grad-CAM of the similarity to a second image."""

import torch
import torch.nn.functional as F
from torch import nn

from reid.last_map import run_with_map


@torch.no_grad()
def activation_norm(model: nn.Module, images: torch.Tensor, camids: torch.Tensor | None = None) -> torch.Tensor:
    """Returns the norm over channels of the last map, (B, h, w).

    As OSNet's authors draw it (arXiv 1905.00953, figure 7, after Zagoruyko and Komodakis, arXiv 1612.03928). Deviation:
    the norm, not its square, which leaves little but the strongest place.

    Args:
        model: Any network of `reid.models`, in evaluation mode.
        images: float (B, 3, H, W), normalised.
        camids: int64 (B,), for a network with camera vectors.

    Raises:
        ValueError: See `run_with_map`.
    """
    found = run_with_map(model, images, camids)
    return found.as_maps(found.tensors).float().norm(dim=1)


def similarity_cam(
    model: nn.Module, images: torch.Tensor, others: torch.Tensor, camids: torch.Tensor | None = None
) -> torch.Tensor:
    """Returns Grad-CAM (Selvaraju et al., arXiv 1610.02391) of the cosine similarity to other images, (B, h, w).

    The score of a class, of which a network of embeddings has none, gives way to the similarity to a second image,
    whose embedding is held fixed. High values lie where a stronger activation would bring the two nearer.

    Args:
        model: As above.
        images: float (B, 3, H, W), normalised.
        others: (B, D), the embeddings of the second images, of any norm.
        camids: int64 (B,), for a network with camera vectors.

    Raises:
        ValueError: When there is not one embedding an image, and see `run_with_map`.
    """
    with torch.enable_grad():
        # Without a gradient of the images there would be no graph in a network whose weights are frozen.
        found = run_with_map(model, images.detach().clone().requires_grad_(), camids)
        if others.shape != found.embeddings.shape:
            raise ValueError(f"others: got shape {tuple(others.shape)}, allowed: {tuple(found.embeddings.shape)}")
        similarity = F.cosine_similarity(found.embeddings, others.detach(), dim=1)
        gradients = torch.autograd.grad(similarity.sum(), found.tensors)
    maps, slopes = found.as_maps(found.tensors).detach().float(), found.as_maps(gradients).float()
    weights = slopes.mean(dim=(2, 3), keepdim=True)  # (B, C, 1, 1)
    return F.relu((weights * maps).sum(dim=1))
