"""What generator, encoder and discriminator share: stages of a map, spectral normalisation, first weights."""

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

MOST_STAGES = 5
_WIDEST = 8  # DC-GAN's maps have 1, 2, 4 and 8 times the base channels
_ITERATIONS = 15  # from vectors that nearly fit
_NETWORKS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.Embedding)


def count_stages(height: int, width: int) -> int:
    """Returns how often an image is halved: 5 times (128 x 64 ends in 4 x 2), 4 where the width allows no more.

    Args:
        height: Rows, a multiple of 32.
        width: Columns, a multiple of 16.

    Raises:
        ValueError: When the size is another.
    """
    if height < 32 or height % 32 or width < 16 or width % 16:
        raise ValueError(f"height, width: got {height}, {width}, allowed: multiples of 32 and 16")
    return MOST_STAGES if width % 32 == 0 else MOST_STAGES - 1


def stage_channels(base: int, stages: int) -> list[int]:
    """Returns the channels of the maps from the largest (half the image) to the smallest: base x 1, 2, 4, 8, 8.

    Raises:
        ValueError: When the base is below 1.
    """
    if base < 1:
        raise ValueError(f"channels: got {base}, allowed: 1 or more")
    return [base * min(_WIDEST, 2**stage) for stage in range(stages)]


def attention_stage(rows: int, height: int, stages: int) -> int | None:
    """Returns the stage whose map has so many rows, counted from 0 for half the image; None for 0 rows.

    Raises:
        ValueError: When no map has so many rows.
    """
    heights = [height >> (stage + 1) for stage in range(stages)]
    if rows == 0:
        return None
    if rows not in heights:
        raise ValueError(f"attention: got {rows} rows, allowed: 0 (none), {', '.join(map(str, heights))}")
    return heights.index(rows)


def normalise_spectrum(network: nn.Module, random: torch.Generator) -> None:
    """Divides each weight matrix by its largest singular value, one power iteration a forward pass in training.

    Miyato et al., Spectral normalization for generative adversarial networks, arXiv 1802.05957. Convolutions are
    matrices of output channels x the rest; embeddings are normalised too, as in its projection discriminator.

    Args:
        network: Changed in place.
        random: Seeds the vectors that the iteration begins with.
    """
    with torch.random.fork_rng(devices=[]):  # torch draws them from the global generator
        torch.manual_seed(int(torch.randint(2**62, (), generator=random)))
        for module in list(network.modules()):
            if isinstance(module, _NETWORKS):
                spectral_norm(module)


@torch.no_grad()
def refresh_spectrum(network: nn.Module) -> None:
    """Finds the singular vectors of spectrally normalised weights anew, after something else has changed the weights.

    Averages over steps are such a change: vectors that turned meanwhile average to ones shorter than 1, and weights
    divided by what these measure are too large.

    Args:
        network: Its vectors are changed in place, not its weights.
    """
    for module in network.modules():
        if is_parametrized(module, "weight"):
            parts = module.parametrizations
            assert isinstance(parts, nn.ModuleDict)
            was_training = parts.training
            parts.train()  # an iteration each time that the weight is read
            for _ in range(_ITERATIONS):
                _ = module.weight
            parts.train(was_training)


def draw_weights(network: nn.Module, random: torch.Generator) -> None:
    """Draws weights as DC-GAN does (arXiv 1511.06434): normal of standard deviation 0.02, biases 0.

    Must come before `normalise_spectrum`. Where a normalisation follows, small weights are what lets Adam, whose steps
    have a size of their own, change a layer quickly.
    """
    for module in network.modules():
        if isinstance(module, _NETWORKS):
            nn.init.normal_(module.weight, 0.0, 0.02, generator=random)
            if not isinstance(module, nn.Embedding) and module.bias is not None:
                nn.init.zeros_(module.bias)
