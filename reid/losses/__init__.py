"""Losses for re-identification, one a file, and their weighted sum."""

from reid.losses.center import CenterLoss
from reid.losses.circle import CircleLoss
from reid.losses.cluster_contrast import ClusterContrastLoss
from reid.losses.combined import TERMS, CombinedLoss
from reid.losses.cross_entropy import LabelSmoothedCrossEntropy
from reid.losses.generated import LossWithGenerated
from reid.losses.options import LossOptions
from reid.losses.soft_labels import SoftLabelCrossEntropy
from reid.losses.triplet import BatchHardTripletLoss
from reid.losses.weighted_triplet import WeightedRegularisedTripletLoss
from reid.losses.xbm import CrossBatchMemoryLoss

__all__ = [
    "TERMS",
    "BatchHardTripletLoss",
    "CenterLoss",
    "CircleLoss",
    "ClusterContrastLoss",
    "CombinedLoss",
    "CrossBatchMemoryLoss",
    "LabelSmoothedCrossEntropy",
    "LossOptions",
    "LossWithGenerated",
    "SoftLabelCrossEntropy",
    "WeightedRegularisedTripletLoss",
]
