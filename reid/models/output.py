"""The one thing that every model returns."""

from typing import NamedTuple

import torch


class ReIDOutput(NamedTuple):
    """What a model returns in training and in evaluation alike.

    Attributes:
        features: (B, D) pooled features before BNNeck; metric losses act on these.
        embeddings: (B, D) features after BNNeck; these are compared at retrieval. Not L2-normalised.
        logits: (B, num_classes) classifier scores of the embeddings, None for a model without a classifier.
    """

    features: torch.Tensor
    embeddings: torch.Tensor
    logits: torch.Tensor | None
