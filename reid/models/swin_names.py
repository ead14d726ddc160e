"""Which parameter of a Swin is which in the files of timm and of the authors."""

import re
from collections.abc import Mapping

import torch

STAGE = re.compile(r"layers\.(?P<stage>\d+)\.(?P<rest>.+)")
# Numbers that follow from the sizes: the authors' files, and timm's older ones, hold them.
DERIVED = ("relative_position_index", "relative_coords_table", "attn_mask")


def swin_names(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Renames the tensors of a foreign file to those of `reid.models.swin.Swin`.

    | in the file                              | here                                          |
    |------------------------------------------|-----------------------------------------------|
    | timm: layers.I.NAME                      | stage{I + 1}.NAME                             |
    | authors: layers.I.NAME                   | the same, but                                 |
    | authors: layers.I.downsample.NAME        | stage{I + 2}.downsample.NAME: the next stage's |
    | tables that follow from the sizes        | left out, they are computed                   |
    | patch_embed, norm                        | the same                                      |

    Names without a place stay, ImageNet's classifier among them. This project's own names pass.

    Args:
        state: The tensors by their names in the file.
    """
    # timm puts the merging before a stage's blocks, the authors behind them.
    behind = any(name.startswith("layers.0.downsample.") for name in state)
    renamed = {}
    for name, tensor in state.items():
        if name.endswith(DERIVED):
            continue
        found = STAGE.fullmatch(name)
        if found:
            later = behind and found["rest"].startswith("downsample.")
            name = f"stage{int(found['stage']) + (2 if later else 1)}.{found['rest']}"
        renamed[name] = tensor
    return renamed
