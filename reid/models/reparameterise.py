"""Training-time branches and normalisations merged into single convolutions for inference."""

import copy

import torch
import torch.nn.functional as F
from torch import nn


class BranchedConv(nn.Module):
    """A convolution with batch normalisation and, in training, branches beside it that merge into it.

    Beside a kernel of 3 or more stands one of 1 and, where input and output have the same shape, a normalisation of
    the input itself; the branches are summed before the ReLU (RepVGG: Ding et al., arXiv 2101.03697; with depthwise
    kernels as in MobileOne: arXiv 2206.04040). All of them are linear in evaluation, so `merged` gives one convolution.

    Deviations: a kernel of 1 has no branches, where MobileOne gives it some; MobileOne repeats the large kernel, here
    it stands once.

    Args:
        in_channels: Of the input.
        channels: Of the output.
        kernel: Size of the kernel, odd; the padding keeps the size of the map.
        stride: Of the convolution.
        groups: Of the convolution; `channels` for a depthwise one.
        relu: Whether a ReLU follows.
        branches: Whether there are branches; without, this is a convolution and its normalisation.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        groups: int = 1,
        relu: bool = True,
        branches: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.point: nn.Conv2d | None = None
        self.point_norm: nn.Module | None = None
        self.identity_norm: nn.Module | None = None
        if branches and kernel > 1:
            self.point = nn.Conv2d(in_channels, channels, 1, stride, groups=groups, bias=False)
            self.point_norm = nn.BatchNorm2d(channels)
            if stride == 1 and in_channels == channels:
                self.identity_norm = nn.BatchNorm2d(channels)
        self.relu = relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps (B, in_channels, H, W) to (B, channels, H / stride, W / stride)."""
        y = self.norm(self.conv(x))
        if self.point is not None and self.point_norm is not None:
            y = y + self.point_norm(self.point(x))
        if self.identity_norm is not None:
            y = y + self.identity_norm(x)
        return F.relu(y) if self.relu else y

    @torch.no_grad()
    def merged(self) -> nn.Module:
        """Returns one convolution with a bias, and its ReLU, that compute what this module does in evaluation."""
        weight, bias = _folded(self.conv.weight, self.norm)
        margin = self.conv.kernel_size[0] // 2
        if self.point is not None and self.point_norm is not None:
            point, shift = _folded(self.point.weight, self.point_norm)
            weight, bias = weight + F.pad(point, [margin] * 4), bias + shift
        if self.identity_norm is not None:
            same, shift = _folded(_identity_kernel(self.conv), self.identity_norm)
            weight, bias = weight + F.pad(same, [margin] * 4), bias + shift
        old = self.conv
        new = nn.Conv2d(
            old.in_channels,
            old.out_channels,
            old.kernel_size[0],
            old.stride[0],
            margin,
            groups=old.groups,
            device=weight.device,
            dtype=old.weight.dtype,
        )
        new.weight.copy_(weight)
        assert new.bias is not None
        new.bias.copy_(bias)
        return (nn.Sequential(new, nn.ReLU()) if self.relu else new).train(self.training)


def _folded(weight: torch.Tensor, norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns kernel (O, I, k, k) and bias (O,), float64, of a convolution and the normalisation behind it."""
    # A normalisation of any kind that has BatchNorm's buffers: batch renormalisation evaluates alike.
    mean, variance, scale, shift = (
        getattr(norm, name).double() for name in ("running_mean", "running_var", "weight", "bias")
    )
    factor = scale / (variance + norm.eps).sqrt()  # type: ignore[operator]
    return weight.double() * factor.view(-1, 1, 1, 1), shift - mean * factor


def _identity_kernel(conv: nn.Conv2d) -> torch.Tensor:
    """Returns the kernel of 1 x 1 that maps the input to itself, (C, C / groups, 1, 1)."""
    inside = conv.in_channels // conv.groups
    kernel = torch.zeros(conv.in_channels, inside, 1, 1, dtype=torch.float64, device=conv.weight.device)
    channels = torch.arange(conv.in_channels, device=conv.weight.device)
    kernel[channels, channels % inside] = 1.0
    return kernel


def reparameterise(model: nn.Module) -> nn.Module:
    """Returns a model for inference in which each `BranchedConv` is one convolution.

    The given model stays as it is, and is returned itself when it has nothing to merge. The result gives the same
    outputs in evaluation, up to rounding; its weights have other names, so checkpoints keep the unmerged ones.

    Args:
        model: Any network.

    Raises:
        ValueError: When the model is in training mode, where branches have statistics of each batch.
    """
    if not any(isinstance(module, BranchedConv) for module in model.modules()):
        return model
    if model.training:
        raise ValueError("model: got one in training mode, allowed: evaluation mode, call eval() first")
    new = copy.deepcopy(model)
    for parent in list(new.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BranchedConv):
                setattr(parent, name, child.merged())
    return new.requires_grad_(False)
