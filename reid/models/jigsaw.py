"""The jigsaw patch module of TransReID: a whole-image branch and parts made of patches from everywhere."""

import torch
from torch import nn

from reid.models.heads import BNNeckHead
from reid.models.output import Branch, ReIDOutput


def jigsaw_order(count: int, shift: int, groups: int) -> list[int]:
    """Returns the order in which the jigsaw puts patches 0..count-1.

    The first `shift` patches go to the end. The row is then cut into `groups` equal pieces, and one patch of each piece
    follows the other: parts cut from the result have patches from all over the image.

    Args:
        count: N patches; where they do not fill the pieces the last piece is shorter.
        shift: m of the paper, 0 to count.
        groups: Pieces, 1 to count.

    Raises:
        ValueError: When shift or groups are outside their range.
    """
    if not 0 <= shift <= count:
        raise ValueError(f"jpm_shift: got {shift}, allowed: 0 to the {count} patches of the image")
    if not 1 <= groups <= count:
        raise ValueError(f"jpm_groups: got {groups}, allowed: 1 to the {count} patches of the image")
    moved = [*range(shift, count), *range(shift)]
    size = -(-count // groups)
    places = (group * size + place for place in range(size) for group in range(groups))
    return [moved[place] for place in places if place < count]


class Jigsaw(nn.Module):
    """Cuts the tokens of an image into parts, each with the class token in front (TransReID, arXiv 2102.04378).

    Patches that equal parts leave over, the last N mod parts of the jigsaw's order, are in none of them, as in the
    authors' release. That moves one patch fewer than its setting says: its weights, trained with the setting 5, want
    shift 4, where the paper has 5.

    Args:
        parts: k of the paper.
        shift: Patches that go from the beginning to the end, m of the paper.
        groups: Pieces whose patches alternate.

    Raises:
        ValueError: When parts is below 1.
    """

    def __init__(self, parts: int = 4, shift: int = 5, groups: int = 2) -> None:
        super().__init__()
        if parts < 1:
            raise ValueError(f"jpm_parts: got {parts}, allowed: 1 or more")
        self.parts = parts
        self.shift = shift
        self.groups = groups

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Maps (B, 1 + N, C) to (B x parts, 1 + N // parts, C), the parts of an image side by side.

        Raises:
            ValueError: When the image has too few patches.
        """
        count = tokens.shape[1] - 1
        size = count // self.parts
        if not size:
            raise ValueError(f"jpm_parts: got {self.parts}, allowed: 1 to the {count} patches of the image")
        order = jigsaw_order(count, self.shift, self.groups)[: self.parts * size]
        patches = tokens[:, 1:][:, torch.tensor(order, device=tokens.device)].unflatten(1, (self.parts, size))
        token = tokens[:, None, :1].expand(-1, self.parts, -1, -1)
        return torch.cat([token, patches], dim=2).flatten(0, 1)


class BranchesHead(nn.Module):
    """BNNeck and classifier of the whole image and of each part.

    Features and embeddings are those of the whole image, then those of the k parts divided by k, side by side, as the
    authors' release compares them; the paper leaves the factor out.

    Args:
        width: Features of a branch.
        num_classes: Training identities; 0 builds no classifiers.
        parts: k.

    Attributes:
        size: D of features and embeddings, (1 + k) x width.
    """

    def __init__(self, width: int, num_classes: int, parts: int) -> None:
        super().__init__()
        self.size = (1 + parts) * width
        self.branches = nn.ModuleList(BNNeckHead(width, num_classes, "none") for _ in range(1 + parts))

    def forward(self, whole: torch.Tensor, parts: torch.Tensor) -> ReIDOutput:
        """Maps features of the whole image (B, width) and of its parts (B, k, width) to a `ReIDOutput`."""
        outputs = [head(x) for head, x in zip(self.branches, (whole, *parts.unbind(1)), strict=True)]
        factors = [1.0, *[1.0 / parts.shape[1]] * parts.shape[1]]
        return ReIDOutput(
            torch.cat([factor * output.features for factor, output in zip(factors, outputs, strict=True)], dim=1),
            torch.cat([factor * output.embeddings for factor, output in zip(factors, outputs, strict=True)], dim=1),
            outputs[0].logits,
            tuple(Branch(output.features, output.logits) for output in outputs),
        )
