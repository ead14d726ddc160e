"""Options of training with generated images."""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar, Literal

LABELS = ("lsro", "pseudo", "group")


@dataclasses.dataclass(frozen=True)
class SyntheticOptions:
    """Which generated images are trained on beside the real ones, how many, and as whom.

    They go through the same transforms and the same batches, hence into the statistics of batch normalisation unless
    --synthetic-statistics keeps those apart, and act through the cross entropy alone; a --teacher does not see them.
    They are never query or gallery, and have no part in continual training.

    Raises:
        ValueError: When a value is outside its range, or an option is given that another one leaves without effect.
    """

    UNLESS_TOLD: ClassVar[dict[str, Any]] = {
        "synthetic_labels": "lsro",
        "synthetic_ratio": 1.0,
        "synthetic_weight": 1.0,
        "synthetic_start": 0,
        "synthetic_statistics": "joint",
        "synthetic_pseudo": "soft",
        "synthetic_temperature": 0.05,
    }

    synthetic: Path | None = None
    """Folder of generated images with its manifest.csv, as modification_gan/synthetic_generate.py writes it."""
    synthetic_labels: Literal["lsro", "pseudo", "group"] | None = None
    """lsro, the default: nobody, the uniform distribution over all identities. pseudo: whom a network takes them for.
    group: the identities of the group that an image was generated for, as the manifest has it."""
    synthetic_ratio: float | None = None
    """Generated images for each real one in a batch, 1 unless told; 0 turns them off."""
    synthetic_weight: float | None = None
    """What a generated image counts in the cross entropy, where a real one counts 1; 1 unless told."""
    synthetic_start: int | None = None
    """First epochs, of real images alone; 0 unless told. Some are good where the network itself gives pseudo labels."""
    synthetic_statistics: Literal["joint", "apart"] | None = None
    """Of batch normalisation. joint, the default: those of all images of a batch. apart: generated images have theirs
    in training, and the network keeps those of real images (arXiv 1911.09665)."""
    synthetic_ckpt: Path | None = None
    """pseudo: the trained network (.safetensors, .onnx or zoo:NAME) that labels the images once, before the training.
    Without it the network in training labels them anew at the start of each epoch with generated images, which costs a
    pass over all images then, and follows its own errors."""
    synthetic_pseudo: Literal["soft", "nearest"] | None = None
    """pseudo: soft, the default, shares an image among identities by likeness; nearest takes the most alike."""
    synthetic_temperature: float | None = None
    """pseudo, soft: divides the cosines to the identities' centers, 0.05 unless told."""

    def __post_init__(self) -> None:
        told = [name for name in (*self.UNLESS_TOLD, "synthetic_ckpt") if getattr(self, name) is not None]
        if told and self.synthetic is None:
            raise ValueError(f"{told[0]}: got {getattr(self, told[0])} without --synthetic, which it needs")
        if self.labels() not in LABELS:
            raise ValueError(f"synthetic_labels: got {self.synthetic_labels!r}, allowed: {', '.join(LABELS)}")
        for name in ("synthetic_ckpt", "synthetic_pseudo", "synthetic_temperature"):
            if getattr(self, name) is not None and self.labels() != "pseudo":
                raise ValueError(f"{name}: got {getattr(self, name)} with synthetic_labels {self.labels()}, not pseudo")
        if self.synthetic_temperature is not None and self.synthetic_pseudo == "nearest":
            raise ValueError(
                f"synthetic_temperature: got {self.synthetic_temperature} with synthetic_pseudo nearest, which has none"
            )
        if self.synthetic_statistics not in (None, "joint", "apart"):
            raise ValueError(f"synthetic_statistics: got {self.synthetic_statistics!r}, allowed: joint, apart")
        for name, right, allowed in (
            ("synthetic_ratio", self.ratio() >= 0, "0 (off) or more"),
            ("synthetic_weight", self.weight() > 0, "above 0"),
            ("synthetic_start", self.start() >= 0, "0 or more"),
            ("synthetic_temperature", self._meant("synthetic_temperature") > 0, "above 0"),
        ):
            if not right:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: {allowed}")

    def _meant(self, name: str) -> Any:
        value = getattr(self, name)
        return self.UNLESS_TOLD[name] if value is None else value

    def labels(self) -> str:
        """Returns the kind of labels, one of `LABELS`."""
        return self._meant("synthetic_labels")

    def ratio(self) -> float:
        """Returns the generated images for each real one."""
        return self._meant("synthetic_ratio")

    def weight(self) -> float:
        """Returns what a generated image counts."""
        return self._meant("synthetic_weight")

    def start(self) -> int:
        """Returns how many epochs come first without generated images."""
        return self._meant("synthetic_start")

    def apart(self) -> bool:
        """Returns whether generated images have batch statistics of their own."""
        return self._meant("synthetic_statistics") == "apart"

    def temperature(self) -> float | None:
        """Returns the temperature of soft pseudo labels, None for the nearest identity."""
        return None if self.synthetic_pseudo == "nearest" else self._meant("synthetic_temperature")

    def acts(self) -> bool:
        """Returns whether generated images are trained on at all."""
        return self.synthetic is not None and self.ratio() > 0

    def relabels(self) -> bool:
        """Returns whether the network in training labels the images itself, epoch by epoch."""
        return self.labels() == "pseudo" and self.synthetic_ckpt is None

    def check_training(
        self, *, epochs: int, cross_entropy: float, datasets: int, cameras: bool, renorm: bool, pk_layers: bool
    ) -> None:
        """Raises a ValueError when generated images cannot act in a training.

        Args:
            epochs: Its length.
            cross_entropy: Weight of its cross entropy.
            datasets: How many it reads.
            cameras: Whether its network has camera vectors.
            renorm: Whether its network has batch renormalisation.
            pk_layers: Whether its network has layers that want P x K batches.
        """
        if not self.acts():
            return
        if not cross_entropy:
            raise ValueError("synthetic: got a folder with cross_entropy_weight 0, the only term that it acts through")
        if self.start() and self.start() >= epochs:
            raise ValueError(f"synthetic_start: got {self.start()}, allowed: below the {epochs} epochs")
        if self.labels() == "group" and datasets > 1:
            raise ValueError("synthetic_labels: got group with several datasets, whose identities are numbered anew")
        if cameras:
            raise ValueError("synthetic: got a folder with --sie, but generated images have no camera")
        if renorm and self.apart():
            raise ValueError("synthetic_statistics: got apart with --renorm, allowed: joint, or batch normalisation")
        if pk_layers:
            raise ValueError("synthetic: got a folder with --renorm-pk, whose batches are P x K images and no more")
