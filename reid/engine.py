"""The only training loop."""

import time
from collections.abc import Callable
from typing import Protocol

import torch
from accelerate import Accelerator
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from torch.utils.data import DataLoader


class EpochSampler(Protocol):
    """A sampler whose order depends on the epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next iteration."""


class Trainer:
    """Trains a model with a loss over epochs; everything it works with is built elsewhere and prepared here.

    Args:
        accelerator: Device, processes and mixed precision.
        model: Maps float32 (B, 3, H, W) to a `ReIDOutput`.
        loss: Maps (features, logits, labels) to the total and its terms.
        optimizer: Stepped after each batch.
        scheduler: Stepped after each batch.
        loader: Yields dicts with images uint8 (B, 3, H, W) and pids int64 (B,).
        sampler: Told the epoch before each epoch.
        transform: Augments and normalises a uint8 batch on the device.
        max_grad_norm: Gradients are clipped to this norm after the backward pass; 0 does not clip.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        loss: nn.Module,
        optimizer: torch.optim.Optimizer,
        scheduler: torch.optim.lr_scheduler.LRScheduler,
        loader: DataLoader,
        sampler: EpochSampler,
        transform: Callable[[torch.Tensor], torch.Tensor],
        max_grad_norm: float = 0.0,
    ) -> None:
        self.accelerator = accelerator
        # Convolutions run faster with the channels last, on CPUs and GPUs alike.
        model = model.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = accelerator.prepare_model(model)
        has_parameters = any(True for _ in loss.parameters())
        self.loss = accelerator.prepare_model(loss) if has_parameters else loss
        self.optimizer = accelerator.prepare_optimizer(optimizer)
        self.scheduler = scheduler
        self.loader = accelerator.prepare_data_loader(loader)
        self.sampler = sampler
        self.transform = transform
        self.max_grad_norm = max_grad_norm

    def train(
        self,
        epochs: int,
        on_epoch_end: Callable[[dict[str, float]], None],
    ) -> None:
        """Runs the epochs.

        Args:
            epochs: How many; 0 trains nothing.
            on_epoch_end: Called with the epoch's row: epoch (from 1), loss, loss/<term>, lr, images_per_second.

        Raises:
            FloatingPointError: When the loss is no longer finite; the message says where.
        """
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, disable=not self.accelerator.is_main_process) as progress:
            task = progress.add_task("training", total=epochs * len(self.loader))
            for epoch in range(1, epochs + 1):
                row = self._epoch(epoch, lambda: progress.advance(task))
                progress.update(task, description=f"epoch {epoch}/{epochs} loss {row['loss']:.3f}")
                on_epoch_end(row)

    def _epoch(self, epoch: int, advance: Callable[[], None]) -> dict[str, float]:
        self.model.train()
        self.sampler.set_epoch(epoch)
        if hasattr(self.loader, "set_epoch"):
            self.loader.set_epoch(epoch)  # accelerate's loader counts epochs itself and would tell the sampler its own
        sums: dict[str, torch.Tensor] = {}
        start, images = time.perf_counter(), 0
        for batch in self.loader:
            values = self._step(batch)
            for name, value in values.items():
                sums[name] = sums.get(name, torch.zeros((), device=value.device)) + value
            images += len(batch["pids"]) * self.accelerator.num_processes
            advance()
        count = max(1, len(self.loader))
        row = {"epoch": float(epoch)} | {name: float(value) / count for name, value in sums.items()}
        if not all(map(_is_finite, row.values())):
            raise FloatingPointError(f"epoch {epoch}: the loss is no longer finite ({row}); lower the learning rate")
        row["lr"] = self.optimizer.param_groups[0]["lr"]
        row["images_per_second"] = images / (time.perf_counter() - start)
        return row

    def _step(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        images = self.transform(batch["images"]).contiguous(memory_format=torch.channels_last)
        output = self.model(images)
        total, terms = self.loss(output.features, output.logits, batch["pids"])
        self.accelerator.backward(total)
        if self.max_grad_norm > 0:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.max_grad_norm)
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {"loss": total.detach()} | {f"loss/{name}": value for name, value in terms.items()}


def _is_finite(value: float) -> bool:
    return value == value and abs(value) != float("inf")
