"""Batch renormalisation, and its variant for batches of P identities x K images."""

import torch
import torch.nn.functional as F
from torch import nn

R_MAX = 3.0
D_MAX = 5.0
# The paper's schedule in units of its warm-up of 5,000 steps: r is free at 40,000, d at 25,000.
R_END = 8.0
D_END = 5.0


class _BatchRenorm(nn.modules.batchnorm._BatchNorm):
    """Batch renormalisation (Ioffe, arXiv 1702.03275), with the parameters and buffers of BatchNorm.

    In training, with the batch's mean m and deviation s (eps inside the root) and the running mu and sigma,

        y = weight * ((x - m) / s * r + d) + bias,  r = clip(s / sigma, 1 / r_max, r_max),
        d = clip((m - mu) / sigma, -d_max, d_max),

    where no gradient flows through r and d. While neither is clipped this is (x - mu) / sigma: training sees what
    inference sees, however small or one-sided the batch is. r_max = 1 and d_max = 0 is batch normalisation, and so
    the first `warmup` steps are; then r_max grows linearly to 3 and d_max to 5. The step is `num_batches_tracked`, so
    that a checkpoint resumes in the midst of the ramp. In evaluation it is batch normalisation.

    `instances` = K > 0 estimates m and s from a batch in which K images an identity stand side by side. The K images
    are alike, so the batch holds P, not P x K, independent draws of what differs between people, and its variance is
    too small: E = var_within + (1 - 1 / P) var_between, an eighth of var_between is missing for P = 8. Running
    statistics then promise a spread that a gallery of many people exceeds. With m_p and v_p the mean and the (biased)
    variance of all values of identity p,

        m = mean_p m_p,  s^2 = mean_p v_p + P / (P - 1) * mean_p (m_p - m)^2 + eps,

    the one-way analysis of variance, whose expectation is var_within + var_between for any K. With P = 1 nothing is
    known of other people and the factor is 1. No gradient flows through the ratio of the plain deviation to s.

    Deviations: the running variance is averaged, not the running deviation, because that is the buffer that
    BatchNorm has; it is averaged from s^2 - eps, where BatchNorm takes the unbiased variance, so that r is 1 when
    nothing changes. The ramp is counted in units of the warm-up. Each process has statistics of its own batch.

    Args:
        num_features: Channels.
        eps: Added to the variance.
        momentum: Share of the new batch in the running statistics.
        affine: Whether weight and bias are learnt.
        instances: K; 0 takes the batch as it is.
        warmup: Steps of batch normalisation before the ramps.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        *,
        instances: int = 0,
        warmup: int = 500,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats=True)
        self.instances = instances
        self.warmup = warmup

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalises (B, C, ...) a channel.

        Raises:
            ValueError: When the batch is in training no multiple of the images an identity.
        """
        self._check_input_dim(x)
        if not self.training:
            return super().forward(x)
        r, d = self._correction(x.detach())
        weight = r if self.weight is None else self.weight * r
        bias = d if self.weight is None else torch.addcmul(self.bias, self.weight, d)
        # r and d folded into scale and shift: one fused kernel, as for batch normalisation.
        return F.batch_norm(x, None, None, weight, bias, True, 0.0, self.eps)

    @torch.no_grad()
    def _correction(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns r (times plain over P x K deviation) and d, each (C,), and updates the running statistics."""
        x = x.float()
        axes = [axis for axis in range(x.ndim) if axis != 1]
        variance, mean = torch.var_mean(x, axes, correction=0)
        plain = variance
        if self.instances:
            variance = self._grouped_variance(x, axes, mean)
        running_mean, running_var, steps = self.running_mean, self.running_var, self.num_batches_tracked
        assert running_mean is not None and running_var is not None and steps is not None  # always tracked
        deviation, sigma = (variance + self.eps).sqrt(), (running_var + self.eps).sqrt()
        beyond = (steps.float() - self.warmup) / max(1, self.warmup)
        r_max = 1.0 + (R_MAX - 1.0) * (beyond / (R_END - 1.0)).clamp(0.0, 1.0)
        d_max = D_MAX * (beyond / (D_END - 1.0)).clamp(0.0, 1.0)
        r = torch.clamp(deviation / sigma, 1.0 / r_max, r_max)
        d = torch.clamp((mean - running_mean) / sigma, -d_max, d_max)
        steps += 1
        momentum = 1.0 / steps.float() if self.momentum is None else self.momentum
        running_mean += momentum * (mean - running_mean)
        running_var += momentum * (variance - running_var)
        return r * ((plain + self.eps).sqrt() / deviation), d

    def _grouped_variance(self, x: torch.Tensor, axes: list[int], mean: torch.Tensor) -> torch.Tensor:
        if len(x) % self.instances:
            raise ValueError(
                f"batch: got {len(x)} images, allowed: a multiple of renorm_instances ({self.instances}), those of an "
                "identity side by side"
            )
        identities = len(x) // self.instances
        groups = x.unflatten(0, (identities, self.instances)).transpose(1, 2)  # (P, C, K, ...)
        within, means = torch.var_mean(groups, list(range(2, groups.ndim)), correction=0)  # (P, C)
        between = (means - mean).square().mean(0) * (identities / max(1, identities - 1))
        return within.mean(0) + between


class BatchRenorm1d(_BatchRenorm):
    """Batch renormalisation of (B, C) or (B, C, L); see `_BatchRenorm`'s formulas."""

    _check_input_dim = nn.BatchNorm1d._check_input_dim


class BatchRenorm2d(_BatchRenorm):
    """Batch renormalisation of (B, C, H, W)."""

    _check_input_dim = nn.BatchNorm2d._check_input_dim


class BatchRenorm3d(_BatchRenorm):
    """Batch renormalisation of (B, C, T, H, W)."""

    _check_input_dim = nn.BatchNorm3d._check_input_dim


class BatchRenormAct2d(BatchRenorm2d):
    """Batch renormalisation of (B, C, H, W), then timm's drop and activation, which its BatchNormAct2d holds."""

    drop: nn.Module
    act: nn.Module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalises (B, C, H, W) a channel and activates."""
        return self.act(self.drop(super().forward(x)))


KINDS: tuple[tuple[type[nn.Module], type[_BatchRenorm]], ...] = (
    (nn.BatchNorm1d, BatchRenorm1d),
    (nn.BatchNorm2d, BatchRenorm2d),
    (nn.BatchNorm3d, BatchRenorm3d),
)


def convert_to_renorm(model: nn.Module, *, instances: int = 0, warmup: int = 500) -> int:
    """Replaces, in place, each BatchNorm layer inside a model by batch renormalisation.

    Parameters are taken over as they are, under the same names; the ramp starts anew.

    Args:
        model: Any module that is no BatchNorm itself.
        instances: K images an identity side by side in each training batch; 0 for plain batches.
        warmup: Steps of batch normalisation before the ramps.

    Returns:
        How many layers were replaced. Layers without running statistics stay, for there is nothing to renormalise to.
    """
    count = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            kind = next((ours for theirs, ours in KINDS if isinstance(child, theirs)), None)
            if kind is None or child.running_mean is None:
                continue
            setattr(parent, name, _converted(child, kind, instances, warmup))
            count += 1
    return count


def _converted(layer: nn.Module, kind: type[_BatchRenorm], instances: int, warmup: int) -> _BatchRenorm:
    acting = isinstance(layer, nn.BatchNorm2d) and hasattr(layer, "act")
    kind = BatchRenormAct2d if acting else kind
    new = kind(layer.num_features, layer.eps, layer.momentum, layer.affine, instances=instances, warmup=warmup)  # type: ignore[arg-type]
    new.weight, new.bias = layer.weight, layer.bias  # type: ignore[assignment]
    new.running_mean, new.running_var = layer.running_mean, layer.running_var  # type: ignore[assignment]
    new.num_batches_tracked = torch.zeros_like(layer.num_batches_tracked)  # type: ignore[arg-type]
    if isinstance(new, BatchRenormAct2d):
        new.drop, new.act = getattr(layer, "drop", nn.Identity()), layer.act  # type: ignore[assignment]
    return new.train(layer.training)
