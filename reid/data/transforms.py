"""Augmentation of whole batches on the device, driven by one generator."""

import dataclasses
import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torchvision.transforms import v2

from reid.data.images import Preprocessing

Policy = Literal["none", "autoaugment", "augmix"]
_LUMA = (0.299, 0.587, 0.114)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Which augmentations act, and how strongly; 0 turns one off.

    Attributes:
        flip: Probability of a horizontal flip.
        pad_crop: Padding in pixels before a random crop of the original size.
        jitter: Largest relative change of brightness, contrast and saturation.
        erasing: Probability of random erasing (arXiv 1708.04896), area 0.02..0.4, aspect 0.3..3.3. Deviations: the
            aspect is uniform in its logarithm, so that lying and standing rectangles are as frequent, and the fill is
            the mean colour, not noise.
        gray_patch: Probability that a random rectangle turns gray (local grayscale transformation, arXiv 2101.08533),
            area 0.02..0.4, aspect 0.3..3.3. Deviation: aspects as for erasing.
        gray_image: Probability that the whole image turns gray.
        policy: "autoaugment" (arXiv 1805.09501, the policies found on ImageNet) or "augmix" (arXiv 1912.02781), each as
            torchvision has it, ahead of all others. They change every image, one at a time.
    """

    flip: float = 0.5
    pad_crop: int = 10
    jitter: float = 0.0
    erasing: float = 0.5
    gray_patch: float = 0.0
    gray_image: float = 0.0
    policy: Policy = "none"

    def __post_init__(self) -> None:
        if self.policy not in get_args(Policy):
            raise ValueError(f"policy: got {self.policy!r}, allowed: {', '.join(get_args(Policy))}")
        for name in ("flip", "erasing", "gray_patch", "gray_image"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed: a probability in 0..1")
        if not 0.0 <= self.jitter < 1.0:
            raise ValueError(f"jitter: got {self.jitter}, allowed: 0 <= jitter < 1")
        if self.pad_crop < 0:
            raise ValueError(f"pad_crop: got {self.pad_crop}, allowed: 0 or more pixels")


class TrainTransform:
    """Turns uint8 batches into augmented, normalised float32 batches on their own device.

    All random numbers are drawn on the CPU from one generator, so that a batch is augmented alike on every device; its
    state is all that a resumed run needs.

    Args:
        preprocessing: Mean and standard deviation; the batch must have its height and width already.
        augmentation: What acts.
        generator: A CPU generator.
    """

    def __init__(self, preprocessing: Preprocessing, augmentation: Augmentation, generator: torch.Generator) -> None:
        self.augmentation = augmentation
        self.generator = generator
        self.mean = torch.tensor(preprocessing.mean).view(1, 3, 1, 1)
        self.std = torch.tensor(preprocessing.std).view(1, 3, 1, 1)
        self._policy = {"none": None, "autoaugment": v2.AutoAugment, "augmix": v2.AugMix}[augmentation.policy]

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Maps uint8 (B, 3, H, W) to float32 (B, 3, H, W)."""
        device = images.device
        if self._policy is not None:
            images = self._apply_policy(images, self._policy())
        x = images.float().div_(255.0)
        if self.augmentation.flip > 0:
            x = self._flip(x)
        if self.augmentation.pad_crop > 0:
            x = self._pad_crop(x)
        if self.augmentation.jitter > 0:
            x = self._jitter(x)
        if self.augmentation.gray_patch > 0 or self.augmentation.gray_image > 0:
            x = self._gray(x)
        x = (x - self.mean.to(device)) / self.std.to(device)
        if self.augmentation.erasing > 0:
            x = self._erase(x)
        return x

    def _uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        return torch.rand(shape, generator=self.generator) * (high - low) + low

    def _flip(self, x: torch.Tensor) -> torch.Tensor:
        flipped = (self._uniform(len(x)) < self.augmentation.flip).to(x.device)
        return torch.where(flipped.view(-1, 1, 1, 1), x.flip(3), x)

    def _pad_crop(self, x: torch.Tensor) -> torch.Tensor:
        count, _, height, width = x.shape
        pad = self.augmentation.pad_crop
        offsets = torch.randint(0, 2 * pad + 1, (2, count), generator=self.generator).to(x.device)
        rows = offsets[0][:, None] + torch.arange(height, device=x.device)  # (B, H)
        columns = offsets[1][:, None] + torch.arange(width, device=x.device)  # (B, W)
        items = torch.arange(count, device=x.device)[:, None, None]
        padded = F.pad(x, (pad, pad, pad, pad)).permute(0, 2, 3, 1)
        return padded[items, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)

    def _jitter(self, x: torch.Tensor) -> torch.Tensor:
        strength = self.augmentation.jitter
        factors = self._uniform(3, len(x), 1, 1, 1, low=1.0 - strength, high=1.0 + strength).to(x.device)
        x = x * factors[0]
        x = torch.lerp(x.mean(dim=(1, 2, 3), keepdim=True), x, factors[1])
        return torch.lerp(_luma(x), x, factors[2]).clamp(0.0, 1.0)

    def _gray(self, x: torch.Tensor) -> torch.Tensor:
        count, _, height, width = x.shape
        mask = self._rectangles(count, height, width, self.augmentation.gray_patch)
        mask |= (self._uniform(count) < self.augmentation.gray_image)[:, None, None]
        return torch.where(mask[:, None].to(x.device), _luma(x), x)

    def _apply_policy(self, images: torch.Tensor, policy: v2.Transform) -> torch.Tensor:
        # torchvision draws from torch's global generator, one draw a call, hence one call an image. It is seeded from
        # ours and given back as it was.
        seed = int(torch.randint(2**62, (), generator=self.generator))
        threads = torch.get_num_threads()
        if not images.is_cuda:
            torch.set_num_threads(1)  # an image is too small to share: several threads took ten times as long
        try:
            with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
                torch.manual_seed(seed)
                return torch.stack([policy(image) for image in images])
        finally:
            torch.set_num_threads(threads)

    def _erase(self, x: torch.Tensor) -> torch.Tensor:
        count, _, height, width = x.shape
        mask = self._rectangles(count, height, width, self.augmentation.erasing)
        return x.masked_fill(mask[:, None].to(x.device), 0.0)  # 0 is the mean colour after normalisation

    def _rectangles(self, count: int, height: int, width: int, probability: float) -> torch.Tensor:
        """Returns bool (count, height, width): one rectangle an image, or nothing with 1 - `probability`."""
        acts = self._uniform(count) < probability
        area = self._uniform(count, low=0.02, high=0.4) * height * width
        aspect = self._uniform(count, low=math.log(0.3), high=math.log(3.3)).exp()
        # The paper draws again until the rectangle fits; here it is clipped, which needs no loop.
        tall = (area * aspect).sqrt().round().clamp(max=height)
        wide = (area / aspect).sqrt().round().clamp(max=width)
        top = (self._uniform(count) * (height - tall + 1)).floor()
        left = (self._uniform(count) * (width - wide + 1)).floor()
        rows, columns = torch.arange(height), torch.arange(width)
        inside_rows = (rows >= top[:, None]) & (rows < (top + tall)[:, None])  # (B, H)
        inside_columns = (columns >= left[:, None]) & (columns < (left + wide)[:, None])  # (B, W)
        return acts[:, None, None] & inside_rows[:, :, None] & inside_columns[:, None, :]


def _luma(x: torch.Tensor) -> torch.Tensor:
    """Returns the brightness of RGB (B, 3, H, W) as (B, 1, H, W)."""
    return (x * torch.tensor(_LUMA, device=x.device).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
