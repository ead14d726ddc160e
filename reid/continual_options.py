"""Options of continual training and of scores on another dataset."""

import dataclasses
from pathlib import Path
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class ContinualOptions:
    """How images without labels are chosen, clustered and learnt from.

    Raises:
        ValueError: When a value is outside its range, or an option is given that has no effect.
    """

    continual: bool = False
    """After the training, goes on with images without labels: those of the test set (transductive, as the original
    does), of a folder of one's own (--unlabelled, inductive) or of another dataset's training set (--continual-on train
    with --cross-domain, inductive)."""
    unlabelled: Path | None = None
    """Folder of images without labels, of any layout; with --continual."""
    continual_on: Literal["test", "train"] | None = None
    """Without a folder: test takes query and gallery of the set that is scored, the default; train takes the training
    images of the --cross-domain set, without their labels."""
    cross_domain: Path | None = None
    """Root of another dataset: the network is scored on its test set, and with --continual adapted to it."""
    cross_dataset: str | None = None
    """What is at --cross-domain, by the names of --dataset; the same as the training set unless told."""
    eps: float = 0.5
    """DBSCAN's radius, a Jaccard distance above 0 and below 1."""
    min_samples: int | None = None
    """Images within the radius that make a core of a cluster; min(10, cameras + 1) unless told."""
    cluster_k1: int = 20
    """Neighbourhoods of the Jaccard graph."""
    cluster_k2: int = 6
    """Neighbours whose weights are averaged in the Jaccard graph."""
    camera_bias: bool = True
    """Removes what the images of a camera have in common before clustering."""
    cluster_backend: Literal["auto", "scikit-learn", "cuml"] = "auto"
    """Who clusters; auto takes cuML when it is installed and there is a GPU."""
    continual_epochs: int = 40
    """Passes over source and pseudo-labelled images."""
    continual_lr: float = 7e-5
    """Learning rate of Adam in these."""
    continual_step_epochs: int = 20
    """The rate falls to a tenth after every so many epochs of these."""

    def __post_init__(self) -> None:
        within = {
            "eps": (0 < self.eps < 1, "above 0, below 1"),
            "min_samples": (self.min_samples is None or self.min_samples >= 1, "1 or more"),
            "cluster_k1": (self.cluster_k1 >= 1, "1 or more"),
            "cluster_k2": (self.cluster_k2 >= 1, "1 or more"),
            "continual_epochs": (self.continual_epochs >= 0, "0 or more"),
            "continual_lr": (self.continual_lr > 0, "above 0"),
            "continual_step_epochs": (self.continual_step_epochs >= 1, "1 or more"),
        }
        for name, (right, allowed) in within.items():
            if not right:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: {allowed}")
        if self.cross_dataset is not None and self.cross_domain is None:
            raise ValueError(f"cross_dataset: got {self.cross_dataset} without --cross-domain, which names its folder")
        if self.continual:
            self._check_images()
            return
        for field in dataclasses.fields(self):
            if not field.name.startswith("cross_") and getattr(self, field.name) != field.default:
                raise ValueError(f"{field.name}: got {getattr(self, field.name)} without --continual, which it needs")

    def _check_images(self) -> None:
        if self.unlabelled is not None and self.continual_on is not None:
            raise ValueError(
                f"continual_on: got {self.continual_on} beside --unlabelled {self.unlabelled}, allowed: one of them"
            )
        if self.continual_on == "train" and self.cross_domain is None:
            raise ValueError(
                "continual_on: got train without --cross-domain; the training images of the own set have labels"
            )

    def optimisation_changes(self) -> dict[str, Any]:
        """Returns what `dataclasses.replace` puts into the training's `OptimisationOptions`: Adam and StepLR."""
        return {
            "optimizer": "adam",
            "lr": self.continual_lr,
            "schedule": "step",
            "step_epochs": self.continual_step_epochs,
            "milestones": (),
            "decay": None,
            "warmup_epochs": 0.0,
            "freeze_epochs": 0,
        }
