"""The only training loop of generative models."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator

from modification_gan.blocks import refresh_spectrum
from modification_gan.diversity import CollapseError, DiversityWatch
from modification_gan.generative_model import Batch, GenerativeModel, Turn
from modification_gan.interruption import stop_requests
from modification_gan.randomness import generator_for, image_seeds, noise_of
from modification_gan.training_images import TrainingBatches
from reid.training_state import StateFolder
from reid.weight_average import WeightAverage

_NOISE = 2  # sets the generators of steps apart from others of the same seed


class InterruptedTraining(KeyboardInterrupt):
    """A training was asked to stop and has stored where it stands, which its message says."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long, how fast, and what is told when.

    Attributes:
        steps: Of the whole training.
        generator_lr: Adam's rate of all networks but the adversary.
        discriminator_lr: That of the adversary: two time scales (Heusel et al., arXiv 1706.08500).
        betas: Of Adam (arXiv 1412.6980).
        log_every: Steps between two rows.
        grid_every: Steps between two sample grids.
        state_every: Steps between two states, before each of which the diversity is judged.
        seed: Of noise and augmentation.
    """

    steps: int
    generator_lr: float
    discriminator_lr: float
    betas: tuple[float, float]
    log_every: int
    grid_every: int
    state_every: int
    seed: int


@dataclasses.dataclass(frozen=True)
class Listeners:
    """Who is told of a training, on the main process.

    Attributes:
        row: Of losses: step, loss/<term>, images_per_second, and diversity where it was looked at.
        grid: Of a step and its images (B, 3, H, W) in -1..1 of the fixed noise.
        good: Of a step whose state has been stored, unless its samples are suspected of a collapse; the source holds
            the weights to keep meanwhile.
    """

    row: Callable[[dict[str, float]], None]
    grid: Callable[[int, torch.Tensor], None]
    good: Callable[[int], None]


class GenerativeTrainer:
    """Trains a generative model in turns; everything it works with is built elsewhere.

    The random numbers of a step depend on seed, step and process alone. Several processes average their gradients
    after each backward pass (accelerate's distributed wrapper follows neither several passes a step nor gradients of
    gradients); running statistics are those of the main process. A loss that is no longer finite, or a second
    judgement of `watch`, ends the training; the state and weights of before stay.

    Args:
        accelerator: Device, processes and mixed precision.
        model: Moved to the device and trained in place.
        batches: This process's training images.
        schedule: How long and how fast.
        average: Follows the weights of the model's source, if given.
        states: Where states are written and found.
        watch: Judges the diversity of samples.
        fixed_groups: int64 (model.previews,), what grids ask for; None without groups.
        listeners: Who is told.
        facts: Whatever else belongs into a state and has to be the same in a training that goes on, as plain values.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: GenerativeModel,
        batches: TrainingBatches,
        schedule: Schedule,
        average: WeightAverage | None,
        states: StateFolder,
        watch: DiversityWatch,
        fixed_groups: torch.Tensor | None,
        listeners: Listeners,
        facts: dict[str, Any],
    ) -> None:
        self.accelerator = accelerator
        # Convolutions run a quarter faster with channels last.
        self.model = model.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.batches = batches
        self.schedule = schedule
        self.average = average
        self.states = states
        self.watch = watch
        self.listeners = listeners
        self.facts = facts
        self.optimizers = {turn.name: accelerator.prepare_optimizer(self._optimizer(turn)) for turn in model.turns}
        self._repeats = max(turn.repeats for turn in model.turns)
        self._noise = noise_of(image_seeds(schedule.seed, model.previews), model.noise_shape)
        self._groups = fixed_groups
        self._terms: list[dict[str, torch.Tensor]] = []  # of the steps since the last row
        self._since = time.perf_counter()
        self._stored = 0

    def train(self, *, resume: bool = False) -> int:
        """Runs the steps.

        Args:
            resume: Go on from the newest state, if there is one.

        Returns:
            The step that it went on from, 0 for a new training.

        Raises:
            FloatingPointError: When a loss, or a weight that is to be stored, is no longer finite; the message names
                step and loss or weight.
            CollapseError: When the samples no longer differ.
            ValueError: When the state belongs to another training.
            InterruptedTraining: After Ctrl-C or a polite kill; the state of the last whole step is stored.
        """
        done = self._load() if resume else 0
        self._stored = done
        self._since = time.perf_counter()
        self.model.train()
        with stop_requests() as asked:
            for step in range(done + 1, self.schedule.steps + 1):
                self._step(step)
                stop = asked()  # once: what comes while a report is made is answered after the next step
                self._report(step, stop)
                if stop:
                    raise InterruptedTraining(f"interrupted at step {step}; --resume goes on from step {self._stored}")
        return done

    def keep_weights(self) -> None:
        """Tells the listener of good steps of the newest state once more."""
        with self.weights_to_keep():
            self.listeners.good(self._stored)

    @contextlib.contextmanager
    def weights_to_keep(self) -> Any:
        """Puts the average of the weights, where there is one, into the source while the block runs, for sampling."""
        source = self.model.source
        was_training = source.training
        source.eval()
        try:
            with contextlib.nullcontext() if self.average is None else self.average.applied(source):
                if self.average is not None:
                    refresh_spectrum(source)
                yield source
        finally:
            source.train(was_training)

    @torch.no_grad()
    def preview(self) -> torch.Tensor:
        """Returns images (B, 3, H, W) in -1..1, on the CPU, of the fixed noise and groups."""
        device = self.accelerator.device
        groups = None if self._groups is None else self._groups.to(device)
        with self.weights_to_keep() as source:
            return source(self._noise.to(device), groups).float().cpu()

    def _rate(self, turn: Turn) -> float:
        return self.schedule.discriminator_lr if turn.adversary else self.schedule.generator_lr

    def _optimizer(self, turn: Turn) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.model.part_parameters(turn), lr=self._rate(turn), betas=self.schedule.betas)

    def _step(self, step: int) -> None:
        accelerator, terms = self.accelerator, {}  # type: Accelerator, dict[str, torch.Tensor]
        random = generator_for(self.schedule.seed, _NOISE, step, accelerator.process_index)
        batches: list[Batch] = []
        for turn in self.model.turns:
            for repeat in range(turn.repeats):
                if repeat == len(batches):
                    batches.append(self.batches.batch((step - 1) * self._repeats + repeat, accelerator.device))
                terms |= self._turn(turn, batches[repeat], random)
        if self.average is not None:
            self.average.update(self.model.source)
        self._terms.append(terms)

    def _turn(self, turn: Turn, batch: Batch, random: torch.Generator) -> dict[str, torch.Tensor]:
        optimizer = self.optimizers[turn.name]
        self.model.requires_grad_(False)
        for parameter in self.model.part_parameters(turn):
            parameter.requires_grad_(True)
        with self.accelerator.autocast():
            loss, terms = self.model.losses(turn.name, batch, random)
        self.accelerator.backward(loss)
        if self.accelerator.num_processes > 1:
            for parameter in self.model.part_parameters(turn):
                if parameter.grad is not None:
                    parameter.grad = self.accelerator.reduce(parameter.grad, "mean")
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return terms

    def _report(self, step: int, interrupted: bool) -> None:
        last = step == self.schedule.steps
        due = {
            name: last or step % every == 0
            for name, every in (
                ("row", self.schedule.log_every),
                ("grid", self.schedule.grid_every),
                ("state", self.schedule.state_every),
            )
        }
        if not (interrupted or any(due.values())):
            return
        row = self._row(step)  # before anything is stored, as it finds losses that are not finite
        if interrupted or due["grid"] or due["state"]:
            self._check_weights(step)
        if due["grid"] or due["state"]:
            images = self.preview()
            row["diversity"] = self.watch.diversity(images, self._groups)
            if due["grid"] and self.accelerator.is_main_process:
                self.listeners.grid(step, images)
        if self.accelerator.is_main_process:
            self.listeners.row(row)
        if (due["state"] and self._judge(step, row["diversity"])) or (interrupted and not due["state"]):
            self._save(step)
        self._since = time.perf_counter()

    def _judge(self, step: int, diversity: float) -> bool:
        try:
            return self.watch.judge(step, diversity)
        except CollapseError as error:
            raise CollapseError(
                f"{error}; {self._way_on()}; another --seed or --spectral-norm both may help"
            ) from error

    def _way_on(self) -> str:
        rates = "lower learning rates (--generator-lr, --discriminator-lr)"
        if not self._stored:
            return f"no state has been stored yet: start anew with {rates}"
        return (
            f"the last good state is that of step {self._stored}: --resume with {rates} goes on from there, "
            "--sample-from makes images with its model.safetensors"
        )

    def _row(self, step: int) -> dict[str, float]:
        """Returns the mean losses of the steps since the last row, after looking at each of them."""
        names = list(self._terms[0])
        table = torch.stack([torch.stack([terms[name].float() for name in names]) for terms in self._terms])
        values = self.accelerator.reduce(table, "mean").double().cpu()  # (steps, losses)
        first = step - len(self._terms) + 1
        bad = (~values.isfinite()).nonzero()
        if len(bad):
            at, which = int(bad[0, 0]), int(bad[0, 1])
            raise FloatingPointError(
                f"step {first + at}: the loss {names[which]!r} is {float(values[at, which])}; {self._way_on()}"
            )
        images = len(self._terms) * self.batches.whole * self._repeats
        self._terms = []
        row = {"step": float(step)} | {f"loss/{name}": value for name, value in zip(names, values.mean(0).tolist())}
        assert all(map(math.isfinite, row.values()))
        row["images_per_second"] = images / (time.perf_counter() - self._since)
        return row

    def _check_weights(self, step: int) -> None:
        """Raises a FloatingPointError when a step whose losses were finite has left weights that are not."""
        weights = self.model.state_dict()
        finite = torch.stack([tensor.isfinite().all() for tensor in weights.values()]).tolist()
        bad = next((name for name, fine in zip(weights, finite, strict=True) if not fine), None)
        if bad is not None:
            raise FloatingPointError(f"step {step}: the weights {bad!r} are no longer finite; {self._way_on()}")

    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"model": self.model}
        parts |= {f"optimizer/{name}": optimizer for name, optimizer in self.optimizers.items()}
        return parts | ({} if self.average is None else {"average": self.average})

    def _save(self, step: int) -> None:
        if self.accelerator.is_main_process:
            state = {name: part.state_dict() for name, part in self._parts().items()}
            self.states.save(state | {"step": step, "watch": dict(self.watch.state), "facts": self.facts}, 0, step)
            if not self.watch.state["low"]:  # between two low values the weights of before are the good ones
                self._stored = step
                self.keep_weights()
        self._stored = step

    def _load(self) -> int:
        state = self.states.load()
        if state is None:
            return 0
        parts = self._parts()
        if parts.keys() != state.keys() - {"step", "watch", "facts"}:
            raise ValueError(f"resume: the state holds {sorted(state)}, this training needs {sorted(parts)}")
        if state["facts"] != self.facts:
            raise ValueError("resume: the state is of other training images or groups; give the same, or another --out")
        if state["step"] > self.schedule.steps:
            raise ValueError(f"steps: got {self.schedule.steps}, but {state['step']} are done, allowed: these or more")
        try:
            for name, part in parts.items():
                part.load_state_dict(state[name])
        except (RuntimeError, KeyError, ValueError) as error:
            raise ValueError(f"resume: the state is of another training ({str(error).splitlines()[0]})") from error
        for turn in self.model.turns:  # the state has the rates of before
            for group in self.optimizers[turn.name].param_groups:
                group["lr"] = self._rate(turn)
        self.watch.state = dict(state["watch"])
        return int(state["step"])
