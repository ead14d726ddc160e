"""Trains a network without batch normalisation for some steps; launched with one process or several."""

import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import torch
from torch import nn

from reid.data import read_dataset
from reid.data.base import relabel
from reid.data.images import Preprocessing
from reid.data.transforms import Augmentation
from reid.losses import CombinedLoss, LossOptions
from reid.losses.distillation import DistillationLoss
from reid.models import ReIDOutput
from reid.optim import OptimisationOptions
from reid.training import SamplingOptions, TrainingOptions, build_accelerator, build_image_trainer
from reid.training_state import StateFolder

WEIGHTS = {"cross_entropy": 1.0, "triplet": 1.0, "center": 5e-4, "circle": 0.1, "cluster_contrast": 0.5, "xbm": 0.5}


class Plain(nn.Module):
    """Convolutions, a linear layer and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.GELU(), nn.Conv2d(8, 16, 3, 2), nn.GELU())
        self.head = nn.Linear(16, 12)
        self.classifier = nn.Linear(12, 8, bias=False)

    def forward(self, images: torch.Tensor, camids: torch.Tensor | None = None) -> ReIDOutput:
        """Maps (B, 3, H, W) to a `ReIDOutput` of 12 features."""
        features = self.head(self.trunk(images).mean(dim=(2, 3)))
        return ReIDOutput(features, features, self.classifier(features))


class Taught(nn.Module):
    """Learns from the colours of a coarse grid, as if they were a network's embeddings."""

    def __init__(self) -> None:
        super().__init__()
        weights = {"embedding": 0.5, "relation": 0.5, "angle": 0.5}
        self.loss = DistillationLoss(weights, 12, 24, torch.Generator().manual_seed(0))

    def forward(self, images: torch.Tensor, embeddings: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Maps images (B, 3, H, W) and embeddings (B, 12) to a loss and its terms."""
        return self.loss(embeddings, nn.functional.adaptive_avg_pool2d(images, (4, 2)).flatten(1))


def main(root: str, out: str, global_batch: int, epochs: int, resume: bool) -> None:
    """Trains and writes the parameters of model and loss."""
    torch.set_num_threads(1)
    accelerator = build_accelerator()
    samples = read_dataset("market1501", root).train
    torch.manual_seed(0)
    model = Plain()
    loss = CombinedLoss(
        WEIGHTS,
        num_classes=len(relabel(samples)),
        feature_size=12,
        options=LossOptions(xbm_size=48, xbm_start=1),
        generator=torch.Generator().manual_seed(0),
    )
    options = TrainingOptions(
        SamplingOptions(global_batch // accelerator.num_processes, 4),
        augmentation=Augmentation(flip=0, pad_crop=0, erasing=0),
        optimisation=OptimisationOptions(lr=3e-3, warmup_epochs=0, accumulate=2, freeze_epochs=1, max_grad_norm=5),
    )
    states = StateFolder(Path(out).with_suffix(".states"), lambda text: None, every_steps=2)
    taught = Taught()
    trainer = build_image_trainer(
        accelerator,
        model,
        loss,
        samples,
        Preprocessing(32, 16),
        options,
        epochs=epochs,
        states=states,
        distillation=taught,
    )
    rows: list[dict[str, float]] = []
    trainer.train(epochs, rows.append, resume=resume)
    if accelerator.is_main_process:
        state = trainer.finish().state_dict() | {f"loss.{k}": v for k, v in loss.state_dict().items()}
        state |= {f"taught.{k}": v for k, v in taught.state_dict().items()}
        torch.save(
            {"state": state, "losses": [row["loss"] for row in rows], "processes": accelerator.num_processes}, out
        )
    accelerator.wait_for_everyone()
    accelerator.end_training()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), "resume" in sys.argv[5:])
