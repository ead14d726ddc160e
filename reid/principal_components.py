"""Fewer dimensions by principal components, with whitening or without (Jegou and Chum, ECCV 2012)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reid.cosine_neighbours import unit_rows

# Directions whose variance is below this share of the largest are noise, which whitening would blow up.
_LEAST_VARIANCE = 1e-7


@dataclass(frozen=True)
class PrincipalComponents:
    """A centre and the directions of largest variance around it, to be applied to features of any split.

    Fitted on training features it leaves the protocol inductive; fitted on test features it makes it transductive.

    Attributes:
        mean: float64 (D,).
        directions: float64 (D, K), orthogonal columns by falling variance, divided by their standard deviation when
            whitening.
    """

    mean: NDArray[np.float64]
    directions: NDArray[np.float64]

    @classmethod
    def fit(cls, features: ArrayLike, dimensions: int, whiten: bool = False) -> "PrincipalComponents":
        """Finds the directions of normalised features.

        Args:
            features: (N, D), finite; normalised here.
            dimensions: K, 1 up to min(D, N - 1).
            whiten: Gives each direction variance 1.

        Raises:
            ValueError: When `dimensions` is out of range, whitening meets a direction without variance, or the features
                are not finite (N, D).
        """
        rows = unit_rows("features", features).astype(np.float64)
        most = min(rows.shape[1], len(rows) - 1)
        if not 1 <= dimensions <= most:
            raise ValueError(
                f"dimensions: got {dimensions}, allowed: 1 to {most} for {len(rows)} features of {rows.shape[1]}"
            )
        mean = rows.mean(axis=0)
        centred = rows - mean
        variances, vectors = np.linalg.eigh(centred.T @ centred / (len(rows) - 1))
        variances, directions = variances[::-1][:dimensions], vectors[:, ::-1][:, :dimensions]
        # The sign of an eigenvector is the library's choice; here its largest entry is positive, on every machine.
        largest = np.abs(directions).argmax(axis=0)
        directions = directions * np.where(directions[largest, np.arange(dimensions)] < 0, -1, 1)
        if whiten:
            usable = int(np.count_nonzero(variances > _LEAST_VARIANCE * max(variances[0], np.finfo(float).tiny)))
            if usable < dimensions:
                raise ValueError(f"dimensions: got {dimensions}, of which {usable} have variance to whiten; lower them")
            directions = directions / np.sqrt(variances)
        return cls(mean, directions)

    def apply(self, features: ArrayLike) -> NDArray[np.float32]:
        """Maps (N, D) to float32 (N, K), rows of norm 1 or 0.

        Raises:
            ValueError: When D is another than that of the fit, or a value is not finite.
        """
        rows = unit_rows("features", features)
        if rows.shape[1] != len(self.mean):
            raise ValueError(f"features: got {rows.shape[1]} dimensions, allowed: {len(self.mean)}, as fitted")
        return unit_rows("projected features", (rows - self.mean) @ self.directions)
