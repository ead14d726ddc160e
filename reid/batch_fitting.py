"""The batch size that memory holds: halved when it does not, by all processes together."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import find_executable_batch_size, gather_object
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from reid.engine import Trainer
from reid.training import SamplingOptions

Result = TypeVar("Result")
# What Adam keeps of each parameter beside it and its gradient.
_OPTIMISER_COPIES = 2


class OutOfMemoryTogether(RuntimeError):
    """Raised on every process when the memory of one of them does not hold a batch."""


def fitting_batch_size(
    train: Callable[[int], Result], options: SamplingOptions, accelerator: Accelerator, say: Callable[[str], None]
) -> tuple[Result, int]:
    """Trains with the batch size of the options, or, when memory does not hold it, with a half of it, and so on.

    Each try begins anew. Under several processes one that runs out of memory leaves the others waiting for it, so that
    they can agree before the training alone: `train` has to call `rehearse`. Memory that runs out later is an error
    there.

    Args:
        train: Given the batch size.
        options: Its batch size is the first; a smaller one has as many images an identity.
        accelerator: Says how many processes there are.
        say: Told of each smaller batch.

    Returns:
        What `train` returned, and the batch size that it was given in the end.

    Raises:
        ValueError: When not even one identity fits.
    """
    sizes = [options.batch_size]

    def halve() -> int:
        half = sizes[-1] // 2 // options.instances() * options.instances()
        if not half:
            raise ValueError(f"batch_size: not even {sizes[-1]} images fit into the memory; lower the input size")
        say(
            f"WARNING: out of memory with batches of {sizes[-1]}; starting again with {half}, at the same learning rate"
        )
        sizes.append(half)
        accelerator.free_memory()  # it holds the network that did not fit
        return half

    if accelerator.num_processes == 1:
        # It catches every error that tells of memory, and asks for another size.
        run = find_executable_batch_size(
            lambda batch_size: train(batch_size), starting_batch_size=sizes[0], reduce_batch_size_fn=halve
        )
        return run(), sizes[-1]
    while True:
        try:
            return train(sizes[-1]), sizes[-1]
        except OutOfMemoryTogether:
            clear_device_cache(garbage_collection=True)
        halve()


def rehearse(trainer: Trainer, shape: Sequence[int]) -> None:
    """Tries on each of several processes, before the training, whether its memory holds a batch.

    A forward and a backward pass without the other processes, while as much memory is taken as the optimiser will take.
    Neither weights nor running statistics nor random numbers change. Alone, a process need not try: it can catch the
    error of its training.

    Args:
        trainer: Not trained yet.
        shape: Of a process's batch, (B, 3, H, W) or (B, T, 3, H, W).

    Raises:
        OutOfMemoryTogether: On every process, when it fits into the memory of one of them not.
    """
    if trainer.accelerator.num_processes > 1 and any(gather_object([_runs_out(trainer, shape)])):
        raise OutOfMemoryTogether(f"batches of {shape[0]} do not fit into the memory of each process")


def _runs_out(trainer: Trainer, shape: Sequence[int]) -> bool:
    try:
        _try(trainer, shape)
    except RuntimeError as error:
        if not should_reduce_batch_size(error):
            raise
        return True
    finally:
        trainer.bare_model.zero_grad(set_to_none=True)
        trainer.loss.zero_grad(set_to_none=True)
        if trainer.distillation is not None:
            trainer.distillation.zero_grad(set_to_none=True)
    return False


def _try(trainer: Trainer, shape: Sequence[int]) -> None:
    model, loss, device = trainer.bare_model, trainer.loss, trainer.accelerator.device
    before = [(buffer, buffer.clone()) for module in (model, loss) for buffer in module.buffers()]
    taken = [torch.empty_like(weight) for weight in model.parameters() for _ in range(_OPTIMISER_COPIES)]
    if trainer.frozen is not None:
        trainer.frozen.thaw()  # as it will be later
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            labels = torch.arange(shape[0], device=device) % int(loss.num_classes)  # type: ignore[arg-type]
            images = torch.rand(*shape, device=device)
            output = model.train()(images, torch.zeros_like(labels))
            # In evaluation it asks no other process for its part of the batch, and remembers nothing.
            total, _ = loss.eval()(output.features, output.logits, labels, output.branches)
            if trainer.distillation is not None:
                total = total + trainer.distillation.eval()(images, output.embeddings)[0]
            total.backward()
    finally:
        del taken
        if trainer.frozen is not None:
            trainer.frozen.freeze()
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
