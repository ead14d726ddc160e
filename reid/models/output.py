"""The one thing that every model returns."""

from typing import NamedTuple

import torch


class Branch(NamedTuple):
    """What one branch of a network with several says of the images.

    Attributes:
        features: (B, F) of this branch, before its BNNeck.
        logits: (B, num_classes) of its own classifier, None for a model without classifiers.
    """

    features: torch.Tensor
    logits: torch.Tensor | None


class ReIDOutput(NamedTuple):
    """What a model returns in training and in evaluation alike.

    Attributes:
        features: (B, D) pooled features before BNNeck; metric losses act on these.
        embeddings: (B, D) features after BNNeck; these are compared at retrieval. Not L2-normalised.
        logits: (B, num_classes) classifier scores of the embeddings, None for a model without a classifier.
        branches: Of a network that learns several features an image: that of the whole image first, then those of its
            parts. Features and embeddings are those of all branches side by side then, the logits those of the first.
            Empty for a network with one feature.
    """

    features: torch.Tensor
    embeddings: torch.Tensor
    logits: torch.Tensor | None
    branches: tuple[Branch, ...] = ()
