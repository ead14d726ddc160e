"""From a generator's file to a folder of images with a card."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from modification_gan.options import RunOptions
from modification_gan.run_files import RunFiles
from modification_gan.sampling import remove_images, write_images
from modification_gan.weights import SourceCard, load_source
from reid.data.generated import FINGERPRINT
from reid.files import write_json
from reid.records import command_line, file_sha256, hardware


def make_images(
    files: RunFiles, weights: Path, run: RunOptions, device: torch.device, say: Callable[[str], None]
) -> SourceCard:
    """Makes images with stored weights, so that whoever loads them makes the same ones, and writes card.json.

    Diversity is that of `modification_gan.diversity` over the first images; below the limit it is said, as a training
    may end in a collapse that nobody watched.

    Args:
        files: Of the folder.
        weights: The generator's file.
        run: How many images, of which seed.
        device: Where they are made.
        say: Told what was written.

    Returns:
        The generator's card.

    Raises:
        OSError: When a file cannot be read or written.
        ValueError: When the weights are not those of a generator.
    """
    source, card = load_source(weights)
    facts: dict[str, Any] = {
        "step": card.step,
        "model": card.model,
        "options": card.config | {"num_images": run.num_images},  # of the training
        "weights_sha256": file_sha256(weights),
        "data": card.data,
        "split": card.split,
        "training_images": card.num_images,
        "groups": len(card.labels),
        "condition": card.condition,
        "images": run.num_images,
        "images_seed": run.seed,
        "commit": card.commit,
        "command": command_line(),
        "hardware": hardware(),
    }
    if card.training_sha256 is not None:
        facts[FINGERPRINT] = card.training_sha256
    if run.num_images:
        source = source.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        written = write_images(files.out, source, card, run.num_images, run.seed, run.sample_batch, device)
        facts["images_per_second"] = written.images_per_second
        say(f"wrote {run.num_images} images to {files.out} at {written.images_per_second:.0f} images/s, JPEGs included")
        facts |= _diversity(written.spread, card, run.collapse_below, say)
    else:
        remove_images(files.out)  # those of an earlier run would pass for this one's
    write_json(files.card, facts)
    return card


def _diversity(
    spread: float | None, card: SourceCard, limit: float, say: Callable[[str], None]
) -> dict[str, float | bool]:
    if spread is None or card.training_spread is None:
        return {}
    value = spread / card.training_spread
    if value < limit:
        say(
            f"WARNING: the images hardly differ (diversity {value:.3f} of training images'): the generator has not "
            "learnt to vary, or has collapsed; more steps, lower learning rates or another seed may help"
        )
    return {"diversity": value, "low_diversity": value < limit}
