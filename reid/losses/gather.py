"""The batch of all processes, for memories that shall be the same everywhere."""

import torch
import torch.distributed as dist


@torch.no_grad()
def gather_batch(features: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Joins the batches of all processes, in the order of their ranks; batches may differ in size.

    Args:
        features: float (B, D) of this process.
        labels: int64 (B,).

    Returns:
        Features float32 (N, D) and labels (N,) of all, detached, and the row where this process's own begin. Without
        torch.distributed they are this process's own, and 0.
    """
    features = features.detach().float()
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return features, labels, 0
    own = torch.tensor([len(labels)], device=labels.device)
    gathered = [torch.zeros_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, own)
    sizes = torch.cat(gathered).tolist()
    # all_gather wants equal shapes.
    longest = max(sizes)
    padded_features = features.new_zeros(longest, features.shape[1])
    padded_features[: len(features)] = features
    padded_labels = labels.new_zeros(longest)
    padded_labels[: len(labels)] = labels
    all_features = [torch.empty_like(padded_features) for _ in sizes]
    all_labels = [torch.empty_like(padded_labels) for _ in sizes]
    dist.all_gather(all_features, padded_features)
    dist.all_gather(all_labels, padded_labels)
    joined = torch.cat([rows[:size] for rows, size in zip(all_features, sizes, strict=True)])
    joined_labels = torch.cat([rows[:size] for rows, size in zip(all_labels, sizes, strict=True)])
    return joined, joined_labels, sum(sizes[: dist.get_rank()])
