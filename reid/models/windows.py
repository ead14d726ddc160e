"""Windows of a feature map: cutting, shifting, who may see whom, and where in a window everything lies."""

import dataclasses

import torch
import torch.nn.functional as F


@dataclasses.dataclass(frozen=True)
class Windows:
    """How a map of one size is cut into windows (Swin, arXiv 2103.14030).

    A map smaller than a window along an axis is one window of its own size there, without a shift. Other maps are
    padded at the bottom and at the right to whole windows.

    Deviation: padding takes no part in the attention, which the paper leaves open; the authors' detection code lets
    everything see it.

    Attributes:
        height: Rows of the map.
        width: Its columns.
        size: Rows and columns of a window.
        shift: Rows and columns that the windows are moved down and right by; (0, 0) for none.
    """

    height: int
    width: int
    size: tuple[int, int]
    shift: tuple[int, int]

    @classmethod
    def fitting(cls, height: int, width: int, size: int, shifted: bool) -> "Windows":
        """Cuts a map into windows of size x size at most, moved by half of it along axes with several windows."""
        sides = (min(size, height), min(size, width))
        shift = [size // 2 if shifted and length > size else 0 for length in (height, width)]
        return cls(height, width, sides, (shift[0], shift[1]))

    def padding(self) -> tuple[int, int]:
        """Returns rows below and columns to the right that fill the last windows."""
        return -self.height % self.size[0], -self.width % self.size[1]

    def cut(self, x: torch.Tensor) -> torch.Tensor:
        """Cuts (B, height, width, C) into (B, windows, tokens, C)."""
        rows, columns = self.padding()
        if rows or columns:
            x = F.pad(x, (0, 0, 0, columns, 0, rows))
        if any(self.shift):
            x = x.roll((-self.shift[0], -self.shift[1]), dims=(1, 2))
        x = x.unflatten(2, (-1, self.size[1])).unflatten(1, (-1, self.size[0]))
        return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)

    def join(self, windows: torch.Tensor) -> torch.Tensor:
        """Puts (B, windows, tokens, C) together to (B, height, width, C): the reverse of `cut`."""
        columns = self.padding()[1]
        across = (self.width + columns) // self.size[1]
        x = windows.unflatten(2, self.size).unflatten(1, (-1, across))  # (B, down, across, rows, columns, C)
        x = x.transpose(2, 3).flatten(3, 4).flatten(1, 2)
        if any(self.shift):
            x = x.roll(self.shift, dims=(1, 2))
        return x[:, : self.height, : self.width]

    def mask(self, device: torch.device) -> torch.Tensor | None:
        """Returns float32 (windows, 1, tokens, tokens), 0 where one sees the other, -inf elsewhere; None for all 0.

        A shifted window at an edge holds tokens of opposite sides of the map, which do not see each other.
        """
        rows, columns = self.padding()
        if not (rows or columns or any(self.shift)):
            return None
        down = self._regions(self.height, rows, self.size[0], self.shift[0], device)
        right = self._regions(self.width, columns, self.size[1], self.shift[1], device)
        regions = (4 * down[:, None] + right[None, :]).unflatten(1, (-1, self.size[1])).unflatten(0, (-1, self.size[0]))
        regions = regions.transpose(1, 2).flatten(2, 3).flatten(0, 1)  # (windows, tokens)
        apart = regions[:, None, :, None] != regions[:, None, None, :]
        return torch.zeros(apart.shape, device=device).masked_fill(apart, -torch.inf)

    @staticmethod
    def _regions(length: int, padding: int, size: int, shift: int, device: torch.device) -> torch.Tensor:
        """Returns the region of each position of a shifted axis: 0 and 1 on either side of its end, 2 for padding."""
        position = (torch.arange(length + padding, device=device) + shift) % (length + padding)
        wrapped = torch.arange(length + padding, device=device) >= length + padding - shift
        return torch.where(position >= length, 2, wrapped.long())

    def relative_index(self, reach: int, device: torch.device) -> torch.Tensor:
        """Returns int64 (tokens, tokens): the row of the offset of two tokens in a table of (2 reach - 1)^2 offsets.

        Offsets are counted row by row from (1 - reach, 1 - reach) on; one of query minus key.
        """
        rows = torch.arange(self.size[0], device=device).repeat_interleave(self.size[1])
        columns = torch.arange(self.size[1], device=device).repeat(self.size[0])
        down = rows[:, None] - rows[None, :] + reach - 1
        return down * (2 * reach - 1) + columns[:, None] - columns[None, :] + reach - 1
