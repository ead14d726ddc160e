"""Options of continual training and of scores on another dataset."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar, Literal


@dataclasses.dataclass(frozen=True)
class ContinualOptions:
    """How images without labels are chosen, clustered and learnt from.

    Raises:
        ValueError: When a value is outside its range, or an option is given that has no effect.
    """

    UNLESS_TOLD: ClassVar[dict[str, Any]] = {"camera_bias": True}

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
    eps: float | None = None
    """DBSCAN's radius, a Jaccard distance above 0 and below 1; 0.5 unless told."""
    min_samples: int | None = None
    """Images within the radius that make a core of a cluster; min(10, cameras + 1) unless told."""
    cluster_k1: int | None = None
    """Neighbourhoods of the Jaccard graph, 20 unless told."""
    cluster_k2: int | None = None
    """Neighbours whose weights are averaged in the Jaccard graph, 6 unless told."""
    camera_bias: bool | None = None
    """Removes what the images of a camera have in common before clustering; done unless told, if cameras are known."""
    cluster_backend: Literal["auto", "scikit-learn", "cuml"] | None = None
    """Who clusters; auto, the default, takes cuML when it is installed and there is a GPU."""
    continual_epochs: int | None = None
    """Passes over source and pseudo-labelled images, 40 unless told."""
    continual_lr: float | None = None
    """Learning rate of Adam in these, 7e-5 unless told."""
    continual_step_epochs: int | None = None
    """The rate falls to a tenth after every so many epochs of these, 20 unless told."""

    def __post_init__(self) -> None:
        within = {
            "eps": (lambda value: 0 < value < 1, "above 0, below 1"),
            "min_samples": (lambda value: value >= 1, "1 or more"),
            "cluster_k1": (lambda value: value >= 1, "1 or more"),
            "cluster_k2": (lambda value: value >= 1, "1 or more"),
            "continual_epochs": (lambda value: value >= 0, "0 or more"),
            "continual_lr": (lambda value: value > 0, "above 0"),
            "continual_step_epochs": (lambda value: value >= 1, "1 or more"),
        }
        for name, (right, allowed) in within.items():
            if getattr(self, name) is not None and not right(getattr(self, name)):
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: {allowed}")
        if self.cross_dataset is not None and self.cross_domain is None:
            raise ValueError(f"cross_dataset: got {self.cross_dataset} without --cross-domain, which names its folder")
        if self.continual:
            self._check_images()
            self._check_epochs()
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

    def _check_epochs(self) -> None:
        epochs, step = self.epochs(), self.continual_step_epochs
        if not epochs and self.continual_lr is not None:
            raise ValueError(f"continual_lr: got {self.continual_lr} with continual_epochs 0, allowed: with some")
        if step is not None and step >= epochs:
            raise ValueError(f"continual_step_epochs: got {step}, allowed: below the {epochs} continual_epochs")

    def epochs(self) -> int:
        """Returns the passes over source and pseudo-labelled images."""
        return 40 if self.continual_epochs is None else self.continual_epochs

    def clustering(self) -> dict[str, Any]:
        """Returns what `reid.pseudo_labels.cluster` is told; the rest is left to it."""
        names = {"eps": "eps", "min_samples": "min_samples", "cluster_k1": "k1", "cluster_k2": "k2"}
        names |= {"cluster_backend": "backend", "camera_bias": "camera_bias"}
        return {theirs: getattr(self, ours) for ours, theirs in names.items() if getattr(self, ours) is not None}

    def optimisation_changes(self) -> dict[str, Any]:
        """Returns what `dataclasses.replace` puts into the training's `OptimisationOptions`: Adam and StepLR."""
        return {
            "optimizer": "adam",
            "lr": 7e-5 if self.continual_lr is None else self.continual_lr,
            "schedule": "step",
            "step_epochs": 20 if self.continual_step_epochs is None else self.continual_step_epochs,
            "milestones": (),
            "decay": None,
            "warmup_epochs": 0.0,
            "freeze_epochs": 0,
        }
