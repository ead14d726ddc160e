"""Losses for re-identification, one a file, and their weighted sum."""

from reid.losses.center import CenterLoss
from reid.losses.combined import CombinedLoss
from reid.losses.cross_entropy import LabelSmoothedCrossEntropy
from reid.losses.options import LossOptions
from reid.losses.triplet import BatchHardTripletLoss

__all__ = ["BatchHardTripletLoss", "CenterLoss", "CombinedLoss", "LabelSmoothedCrossEntropy", "LossOptions"]
