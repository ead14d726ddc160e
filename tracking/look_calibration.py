"""From cosine distances to probabilities, learnt while tracking: each network spreads its distances differently."""

import numpy as np

# What is believed before anything was seen, as if from PRIOR_COUNT pairs.
PRIOR_SAME = 0.15
PRIOR_OTHER = 0.45
PRIOR_SPREAD = 0.08
PRIOR_COUNT = 20.0
MAX_LOG_ODDS = 8.0
MIN_SPREAD = 0.02


class LookCalibration:
    """How far apart the looks of one person, and of two people, lie; both are taken as normal, of one spread.

    Two boxes of one frame are two people, and a detection that alone overlaps a track well is the same person: no
    label is needed. The log odds of "two people" are then linear in the distance (linear discriminant analysis).
    """

    def __init__(self) -> None:
        self._count = np.full(2, PRIOR_COUNT)
        self._mean = np.array([PRIOR_SAME, PRIOR_OTHER])
        self._square = self._mean**2 + PRIOR_SPREAD**2

    def learn(self, same: np.ndarray, other: np.ndarray) -> None:
        """Takes distances (N,) of one person's looks, and (M,) of different people's."""
        for index, distances in enumerate((same, other)):
            if len(distances):
                self._count[index] += len(distances)
                # A memory of 5,000 pairs: a scene may change.
                share = len(distances) / min(self._count[index], 5000.0)
                share = min(share, 1.0)
                self._mean[index] += share * (distances.mean() - self._mean[index])
                self._square[index] += share * ((distances * distances).mean() - self._square[index])

    @property
    def same(self) -> float:
        """The mean distance of one person's looks."""
        return float(self._mean[0])

    @property
    def other(self) -> float:
        """The mean distance of different people's looks."""
        return float(self._mean[1])

    def different(self, distance: np.ndarray) -> np.ndarray:
        """Returns the probability, at even odds, that looks at these distances belong to two people."""
        variance = max(float((self._square - self._mean**2).mean()), MIN_SPREAD**2)
        gap = max(self.other - self.same, 1e-3)
        log_odds = gap / variance * (distance - 0.5 * (self.same + self.other))
        probability: np.ndarray = 1 / (1 + np.exp(-np.clip(log_odds, -MAX_LOG_ODDS, MAX_LOG_ODDS)))
        return probability
