"""Which parameter of a ViT is which in the files of timm, DeiT and TransReID."""

import math
import re
from collections.abc import Mapping

import torch

from reid.models.vit_layers import resize_position

# TransReID's BNNecks and classifiers: no suffix for the whole image, _1, _2, ... for the parts.
NECK = re.compile(r"(?P<part>bottleneck|classifier)(?:_(?P<branch>\d+))?\.(?P<rest>.+)")
# In a network without the jigsaw patch module, and the branches that begin with them in one that has it.
ENDS = {"blocks.11.": ("whole.0.", "local.0."), "norm.": ("whole.1.", "local.1.")}
# The branches of TransReID's jigsaw patch module, and what stands for the first in a network without one.
BRANCHES = {"b1.0.": "blocks.11.", "b1.1.": "norm.", "b2.": "local."}


def vit_names(state: Mapping[str, torch.Tensor], *, jpm: bool, grid: tuple[int, int]) -> dict[str, torch.Tensor]:
    """Renames the tensors of a foreign file to those of `reid.models.vit.ViT`.

    | in the file                             | here                                                             |
    |-----------------------------------------|------------------------------------------------------------------|
    | timm, DeiT: NAME                        | NAME                                                             |
    | TransReID: base.NAME                    | NAME                                                             |
    | of these: blocks.11, norm               | with jpm whole.0, whole.1 and local.0, local.1, which begin alike |
    | of these: pos_embed                     | interpolated to the grid                                         |
    | TransReID: base.sie_embed               | cameras.vectors                                                  |
    | TransReID: b1, b2                       | whole, local; without jpm b1 is blocks.11 and norm               |
    | TransReID: bottleneck, classifier       | head.NAME; with jpm head.branches.0.NAME                         |
    | TransReID: bottleneck_k, classifier_k   | head.branches.k.NAME                                             |

    Names without a place stay, so that whoever loads them can report them: ImageNet's classifier, and of TransReID
    with its jigsaw module base.blocks.11 and base.norm, which that network never uses. This project's own names pass.

    Args:
        state: The tensors by their names in the file.
        jpm: Whether the network has the jigsaw patch module.
        grid: Its rows and columns of patches.

    Raises:
        ValueError: When the file's position embedding belongs to a grid that cannot be told.
    """
    if any(name.startswith("base.") for name in state):
        renamed, exact = _from_transreid(state, jpm), True
    else:
        renamed = {own: tensor for name, tensor in state.items() for own in _own(name, jpm)}
        exact = any(name.startswith(("head.bottleneck.", "head.branches.")) for name in state)
    if "pos_embed" in renamed:
        renamed["pos_embed"] = _position(renamed["pos_embed"], grid, exact)
    return renamed


def _own(name: str, jpm: bool) -> list[str]:
    for end, branches in ENDS.items():
        if jpm and name.startswith(end):
            return [branch + name.removeprefix(end) for branch in branches]
    return [name]


def _from_transreid(state: Mapping[str, torch.Tensor], jpm: bool) -> dict[str, torch.Tensor]:
    branched = any(name.startswith("b1.") for name in state)
    renamed = {}
    for name, tensor in state.items():
        inner = name.removeprefix("base.")
        if name == "base.sie_embed":
            renamed["cameras.vectors"] = tensor.flatten(0, 1)  # (cameras, 1, C)
        elif inner == name:
            renamed[_from_head(name, jpm)] = tensor
        elif inner.startswith("fc.") or (branched and inner.startswith(tuple(ENDS))):
            renamed[name] = tensor
        else:
            renamed |= {own: tensor for own in _own(inner, jpm)}
    return renamed


def _from_head(name: str, jpm: bool) -> str:
    found = NECK.fullmatch(name)
    if found:
        own = f"{found['part']}.{found['rest']}"
        return f"head.{own}" if not (jpm or found["branch"]) else f"head.branches.{found['branch'] or 0}.{own}"
    for branch, end in BRANCHES.items():
        if name.startswith(branch):
            place = ENDS[end][0] if jpm and end in ENDS else end
            return place + name.removeprefix(branch)
    return name


def _position(position: torch.Tensor, grid: tuple[int, int], exact: bool) -> torch.Tensor:
    """Interpolates a position embedding (1, 1 + N, C) to the grid; `exact` ones of as many patches are left alone."""
    count = position.shape[1] - 1
    side = math.isqrt(count)
    if (exact or side * side != count) and count == grid[0] * grid[1]:
        return position
    if side * side != count:
        raise ValueError(
            f"pos_embed: got {count} patches, allowed: a square, or the {grid[0]} x {grid[1]} patches of this network; "
            "give the image_size and stride that the weights were trained with"
        )
    return resize_position(position, (side, side), grid)
