"""Features of pictures on a coarse grid, and how they are read at the pictures' own pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class FeatureMaps:
    """Features of V pictures of one size, a row of C numbers a cell (channels last: a pixel reads whole rows).

    Attributes:
        values: [V, h, w, C], float16 or float32, on any device.
        extent: how many rows and columns of cells show the picture, 0 < rows <= h, 0 < columns <= w; what lies beyond
            is padding (SAM pads its pictures to a square). A cell may be shown in part.
        size: (H, W) of the pictures in pixels.

    Raises:
        ValueError: the values are no such maps, or the extent does not fit them.
    """

    values: Tensor
    extent: tuple[float, float]
    size: tuple[int, int]

    def __post_init__(self) -> None:
        if self.values.ndim != 4 or 0 in self.values.shape[1:]:
            raise ValueError(f"expected feature maps [V, h, w, C], got {list(self.values.shape)}")
        if self.values.dtype not in (torch.float16, torch.float32):
            raise ValueError(f"expected feature maps of float16 or float32, got {self.values.dtype}")
        if min(self.size) < 1:
            raise ValueError(f"expected a positive picture size, got {self.size}")
        for length, shown in zip(self.values.shape[1:3], self.extent, strict=True):
            if not 0 < shown <= length:
                raise ValueError(f"expected an extent of up to {list(self.values.shape[1:3])}, got {self.extent}")

    @property
    def channels(self) -> int:
        """C."""
        return int(self.values.shape[3])

    def to(self, device: torch.device) -> FeatureMaps:
        """The same maps on a device."""
        return replace(self, values=self.values.to(device))

    def at(self, view: Tensor, xy: Tensor) -> Tensor:
        """Features [R, C] float32 at pixels, interpolated bilinearly between the centres of the cells.

        Pixel (x, y) lies at ((x + 0.5) / W * columns - 0.5, (y + 0.5) / H * rows - 0.5) in cells. Where that is outside
        of the centres of the cells that show the picture, the outermost such cell is taken: cells whose centre is
        padding are never read.

        Args:
            view: [R] int64. xy: [R, 2] pixels (x, y) of the pictures, integers are pixel centres.
        """
        _, rows, columns, channels = self.values.shape
        table = self.values.reshape(-1, channels)
        low_x, high_x, part_x = self._between(xy[:, 0], axis=1)
        low_y, high_y, part_y = self._between(xy[:, 1], axis=0)
        base = view * rows

        def read(y: Tensor, x: Tensor) -> Tensor:
            return table.index_select(0, (base + y) * columns + x).float()

        above = torch.lerp(read(low_y, low_x), read(low_y, high_x), part_x[:, None])
        below = torch.lerp(read(high_y, low_x), read(high_y, high_x), part_x[:, None])
        return torch.lerp(above, below, part_y[:, None])

    def _between(self, pixels: Tensor, axis: int) -> tuple[Tensor, Tensor, Tensor]:
        """The two cells [R] that pixel coordinates [R] lie between, and how far towards the second, 0..1."""
        shown = self.extent[axis]
        last = max(0, int(shown - 0.5))  # the last cell whose centre shows the picture
        cells = ((pixels.double() + 0.5) * (shown / self.size[axis]) - 0.5).clamp(0.0, float(last))
        low = cells.floor()
        return low.long(), (low.long() + 1).clamp(max=last), (cells - low).float()
