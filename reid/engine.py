"""The only training loop."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from torch.utils.data import DataLoader

from reid.freezing import FrozenBackbone
from reid.training_state import StateFolder, random_state, restore_random_state
from reid.weight_average import WeightAverage


class EpochSampler(Protocol):
    """A sampler whose order depends on the epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next iteration."""


class Trainer:
    """Trains a model with a loss over epochs; everything it works with is built elsewhere and prepared here.

    Each process hands its share of the batch to the model; the loss sees what it gathers itself, so that it is the same
    on every process, and so are the gradients of its own parameters.

    Args:
        accelerator: Device, processes and mixed precision.
        model: Maps images float32 (B, 3, H, W), or (B, T, 3, H, W), and camids int64 (B,) to a `ReIDOutput`.
        loss: Maps (features, logits, labels, branches) to the total and its terms.
        optimizer: Stepped after each batch, or after `accumulate` of them.
        scheduler: Stepped with the optimiser.
        loader: Yields dicts with images uint8, pids int64 (B,) and camids int64 (B,), this process's share.
        sampler: Told the epoch before each epoch. Going on in the middle of one needs its attribute `start`.
        transform: Augments and normalises a uint8 batch on the device.
        max_grad_norm: Gradients are clipped to this norm, after the backward pass; 0 does not clip.
        accumulate: Batches whose gradients are averaged for a step; the last step of an epoch may have fewer.
        average: Follows the weights, if given.
        freeze_epochs: First epochs that train the model's head alone.
        generator: The transform's random numbers, which a state has to hold.
        states: Where states are written and found; None keeps none.
        distillation: Maps a batch of images and the model's embeddings of them to one more loss and its terms. Its
            parameters are the optimiser's.
        before_epoch: Called before the first batch of each epoch with its number, from 1, and the model as
            `weights_to_keep` yields it; not when an epoch is gone on with in its middle. It may change the loss.
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
        *,
        accumulate: int = 1,
        average: WeightAverage | None = None,
        freeze_epochs: int = 0,
        generator: torch.Generator | None = None,
        states: StateFolder | None = None,
        distillation: nn.Module | None = None,
        before_epoch: Callable[[int, nn.Module], None] | None = None,
    ) -> None:
        self.accelerator = accelerator
        self.bare_model = to_device(model, accelerator.device)
        self.frozen = FrozenBackbone(model) if freeze_epochs > 0 else None
        if self.frozen is not None:
            self.frozen.freeze()
        self.model = accelerator.prepare_model(self.bare_model)
        self.loss = loss.to(accelerator.device)
        self.optimizer = accelerator.prepare_optimizer(optimizer)
        self.scheduler = scheduler
        self.loader = loader
        self.sampler = sampler
        self.transform = transform
        self.max_grad_norm = max_grad_norm
        self.accumulate = accumulate
        accelerator.gradient_accumulation_steps = accumulate
        self.average = average
        self.freeze_epochs = freeze_epochs
        self.generator = generator
        self.states = states
        self.distillation = distillation
        self.before_epoch = before_epoch

    def train(self, epochs: int, on_epoch_end: Callable[[dict[str, float]], None], *, resume: bool = False) -> None:
        """Runs the epochs.

        Args:
            epochs: How many; 0 trains nothing.
            on_epoch_end: Called with the epoch's row: epoch (from 1), loss, loss/<term>, lr, images_per_second.
            resume: Go on from the newest state, if there is one.

        Raises:
            FloatingPointError: When the loss is no longer finite; the message says where.
            ValueError: When the state belongs to another training.
        """
        state = self._load() if resume else None
        done = 0 if state is None else int(state["epoch"])
        steps = len(self.loader)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, disable=not self.accelerator.is_main_process) as progress:
            task = progress.add_task("training", total=epochs * steps, completed=done * steps)
            for epoch in range(done + 1, epochs + 1):
                row = self._epoch(epoch, lambda: progress.advance(task), state)
                state = None
                progress.update(task, description=f"epoch {epoch}/{epochs} loss {row['loss']:.3f}")
                on_epoch_end(row)
                every = 0 if self.states is None else self.states.every_epochs
                if every and (epoch % every == 0 or epoch == epochs):
                    self._save(epoch, 0, {})

    @contextlib.contextmanager
    def weights_to_keep(self) -> Iterator[nn.Module]:
        """Yields the model as `finish` returns it: in float32, with the average of the weights when there is one."""
        # accelerate's autocast stands in the place of the class's own forward.
        autocast = self.bare_model.__dict__.pop("forward", None)
        try:
            with contextlib.nullcontext() if self.average is None else self.average.applied(self.bare_model):
                yield self.bare_model
        finally:
            if autocast is not None:
                self.bare_model.forward = autocast

    def finish(self) -> nn.Module:
        """Returns the trained model in float32, without wrappers and with the weights to keep; ends the training."""
        model = self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False, keep_torch_compile=False)
        if self.average is not None:
            model.load_state_dict(self.average.average)
        return model

    def _begin_epoch(self, epoch: int) -> None:
        if self.frozen is not None and epoch > self.freeze_epochs:
            self.frozen.thaw()
            self.frozen = None
            # The distributed wrapper looks at the parameters once, when it is made.
            bare = self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False, keep_torch_compile=False)
            self.model = self.accelerator.prepare_model(bare)
        self.model.train()
        self.loss.train()
        if self.distillation is not None:
            self.distillation.train()
        if self.frozen is not None:
            self.frozen.hold()
        self.sampler.set_epoch(epoch)

    def _epoch(self, epoch: int, advance: Callable[[], None], state: dict[str, Any] | None) -> dict[str, float]:
        done = 0 if state is None else int(state["batches"])
        if self.before_epoch is not None and not done:
            with self.weights_to_keep() as model:
                self.before_epoch(epoch, model)
        self._begin_epoch(epoch)
        sums = {} if state is None else {k: v.to(self.accelerator.device) for k, v in state["sums"].items()}
        if done:
            self.sampler.start = done  # type: ignore[attr-defined]
        batches = iter(self.loader)
        if state is not None and done:
            # After the iterator, which draws a random number when it is made.
            restore_random_state(state["random"][self.accelerator.process_index], self.generator)
        start, images, count = time.perf_counter(), 0, len(self.loader)
        for number, batch in enumerate(batches, done + 1):
            for name, value in self._step(batch, (number - 1) % self.accumulate, number == count).items():
                sums[name] = sums.get(name, torch.zeros((), device=value.device)) + value
            images += len(batch["pids"]) * self.accelerator.num_processes
            advance()
            if self._state_due(number) and number < count:
                self._save(epoch - 1, number, sums)
        if done:
            self.sampler.start = 0  # type: ignore[attr-defined]
        row = {"epoch": float(epoch)} | {name: float(value) / max(1, count) for name, value in sums.items()}
        if not all(map(math.isfinite, row.values())):
            raise FloatingPointError(f"epoch {epoch}: the loss is no longer finite ({row}); lower the learning rate")
        row["lr"] = self.optimizer.param_groups[0]["lr"]
        row["images_per_second"] = images / (time.perf_counter() - start)
        return row

    def _step(self, batch: dict[str, torch.Tensor], gathered: int, last: bool) -> dict[str, torch.Tensor]:
        """Works on a batch, `gathered` batches after the last step of the optimiser."""
        device = self.accelerator.device
        batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
        images = self.transform(batch["images"])
        if images.ndim == 4:
            images = images.contiguous(memory_format=torch.channels_last)
        complete = last or gathered + 1 == self.accumulate
        with contextlib.nullcontext() if complete else self.accelerator.no_sync(self.model):
            output = self.model(images, batch.get("camids"))
            total, terms = self.loss(output.features, output.logits, batch["pids"], output.branches)
            if self.distillation is not None:
                taught, more = self.distillation(images, output.embeddings)
                total, terms = total + taught, terms | more
            self.accelerator.backward(total)
        if complete:
            if self.max_grad_norm > 0:
                self.accelerator.clip_grad_norm_(self.model.parameters(), self.max_grad_norm)
            self.optimizer.step()
            self.scheduler.step()
            self.optimizer.zero_grad(set_to_none=True)
            if self.average is not None:
                self.average.update(self.bare_model)
        return {"loss": total.detach()} | {f"loss/{name}": value for name, value in terms.items()}

    def _state_due(self, number: int) -> bool:
        """Returns whether a state is due after so many batches of an epoch, which have to end with a step."""
        every, since = 0 if self.states is None else self.states.every_steps, number - self.accumulate
        return bool(every) and number % self.accumulate == 0 and number // every > since // every

    def _parts(self) -> dict[str, Any]:
        parts = {
            "model": self.bare_model,
            "loss": self.loss,
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "average": self.average,
            "scaler": self.accelerator.scaler,
            "distillation": self.distillation,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def _save(self, epoch: int, batches: int, sums: dict[str, torch.Tensor]) -> None:
        # A process is not needed for its weights, which all share, but has random numbers of its own.
        random = gather_object([random_state(self.generator)])
        if self.states is not None and self.accelerator.is_main_process:
            state = {name: part.state_dict() for name, part in self._parts().items()}
            state |= {"epoch": epoch, "batches": batches, "sums": sums, "random": random}
            self.states.save(state, epoch, batches)

    def _load(self) -> dict[str, Any] | None:
        if self.states is None:
            return None
        # One process reads, so that all agree on which file it is.
        found: list[Any] = [None]
        if self.accelerator.is_main_process:
            try:
                found = [self.states.load()]
            except ValueError as error:
                found = [error]
        broadcast_object_list(found)
        state = found[0]
        if isinstance(state, ValueError):
            raise state
        if state is None:
            return None
        count = self.accelerator.num_processes
        if len(state["random"]) != count:
            raise ValueError(
                f"resume: the state was written by {len(state['random'])} processes and these are {count}; "
                "launch as many"
            )
        parts = self._parts()
        if parts.keys() != state.keys() - {"epoch", "batches", "sums", "random"}:
            raise ValueError(f"resume: the state holds {sorted(state)}, this training needs {sorted(parts)}")
        try:
            for name, part in parts.items():
                part.load_state_dict(state[name])
        except (RuntimeError, KeyError) as error:
            raise ValueError(f"resume: the state is of another training ({str(error).splitlines()[0]})") from error
        if not state["batches"]:
            restore_random_state(state["random"][self.accelerator.process_index], self.generator)
        return state


def to_device(model: nn.Module, device: torch.device) -> nn.Module:
    """Moves a model, its weights channels last: convolutions run faster so, on CPUs and GPUs alike."""
    if any(parameter.ndim == 5 for parameter in model.parameters()):  # 3-D convolutions know no such order of four
        return model.to(device)
    return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
