"""Draw batches of training rays from a scene, and walk over all rays of a view.

Letters: V views, H W picture height and width, R rays. A *flat* index counts pixels over all views in row-major order:
(view * H + y) * W + x.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from nto3d.geometry.cameras import RayCaster
from nto3d.types import BoolArray, RayBatch, Scene


class RaySampler:
    """Draws rays of the training views; the batch of a step depends on the seed and the step only.

    With masks, most rays go through *candidates*: the pixels within a margin of the target's mask, where geometry can
    be wrong. All candidates of all views are equally likely. A share of the rays is drawn from the whole pictures, so
    that no part of space escapes the pictures' evidence. Candidates are kept as runs along the rows, a few numbers a
    row, not as a list of pixels.

    Args:
        scene: its pictures stay where they are, as bytes on the CPU.
        views: indices of the views to draw from.
        device: where the batches are needed.
        seed: of the random numbers.
        masks: [V, H, W] of the target, or None: all pixels are candidates and batches have no mask.
        unknown: [V, H, W], pixels that say nothing of the target, from which no rays are drawn, or None.
        margin: width of the margin around the mask, as a share of max(H, W).
        whole_share: share of the rays that is drawn from the whole pictures (when there are masks).

    Raises:
        ValueError: there are no views, or the masks do not fit the scene.
    """

    def __init__(
        self,
        scene: Scene,
        views: Sequence[int],
        device: torch.device | str,
        *,
        seed: int,
        masks: BoolArray | None = None,
        unknown: BoolArray | None = None,
        margin: float = 0.03,
        whole_share: float = 0.1,
    ) -> None:
        if not views:
            raise ValueError("expected at least one view to draw rays from, got none")
        if masks is not None and masks.shape != scene.images.shape[:3]:
            raise ValueError(f"expected masks {list(scene.images.shape[:3])}, got {list(masks.shape)}")
        self._device = torch.device(device)
        self._seed = seed
        self._height, self._width = scene.cameras.size
        self._views = np.asarray(views, dtype=np.int64)
        distance = np.linalg.norm(scene.cameras.centers, axis=1)
        self._pixel = float(np.median(distance / scene.cameras.intrinsics[:, 0, 0]))
        self._caster = RayCaster(scene.cameras, self._device)
        self._colors = scene.images.reshape(-1, 3)  # a view of the pictures where they are contiguous
        self._mask_values = None if masks is None else masks.reshape(-1)
        self._unknown = None if unknown is None else unknown.reshape(-1)
        self._whole_share = whole_share
        # Candidates are numbered through all runs: run r holds those below ends[r], and a candidate's flat index is its
        # number plus shifts[r].
        self._ends, self._shifts = np.zeros(0, np.int64), np.zeros(0, np.int64)
        if masks is not None:
            reach = margin * max(scene.cameras.size)
            starts, lengths = _candidate_runs(masks, unknown, self._views, reach)
            self._ends = np.cumsum(lengths)
            self._shifts = starts + lengths - self._ends

    @property
    def with_masks(self) -> bool:
        """Whether the batches have masks."""
        return self._mask_values is not None

    @property
    def pixel(self) -> float:
        """Width of a pixel at the middle of the normalized frame, median over the views; normalized units."""
        return self._pixel

    @property
    def candidates(self) -> int:
        """How many pixels are candidates."""
        return int(self._ends[-1]) if len(self._ends) else len(self._views) * self._height * self._width

    def sample(self, count: int, step: int, stream: int = 0) -> RayBatch:
        """The batch of a step: `count` rays (a few less where pixels are unknown).

        They come with their colours, and with masks where the sampler has them. Another `stream` gives other rays for
        the same step.
        """
        entropy = (self._seed, step, stream) if stream else (self._seed, step)
        flat = self._draw(count, np.random.default_rng(entropy))
        if self._unknown is not None:
            flat = flat[~self._unknown[flat]]
        rgb = torch.from_numpy(self._colors.take(flat, axis=0)).to(self._device).float() / 255
        mask = None
        if self._mask_values is not None:
            mask = torch.from_numpy(self._mask_values.take(flat)).to(self._device).float()
        view, xy = _view_and_xy(torch.from_numpy(flat).to(self._device), self._height, self._width)
        origins, directions = self._caster(view, xy)
        return RayBatch(origins=origins, directions=directions, view=view, xy=xy, rgb=rgb, mask=mask)

    def _draw(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Flat indices of `count` pixels."""
        pixels = self._height * self._width
        from_whole = count if len(self._ends) == 0 else round(self._whole_share * count)
        picks = rng.integers(0, len(self._views) * pixels, size=from_whole)
        flat = self._views[picks // pixels] * pixels + picks % pixels
        if from_whole == count:
            return flat
        picks = rng.integers(0, self._ends[-1], size=count - from_whole)
        run = np.searchsorted(self._ends, picks, side="right")
        return np.concatenate([flat, picks + self._shifts[run]])


def _candidate_runs(
    masks: BoolArray, unknown: BoolArray | None, views: NDArray[np.int64], margin: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Runs of pixels within `margin` pixels of the masks of the views: flat start indices and lengths."""
    starts, lengths = [], []
    pixels = masks.shape[1] * masks.shape[2]
    for view in views:
        if not masks[view].any():
            continue
        outside = (~masks[view]).view(np.uint8)
        near = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_5) <= margin
        if unknown is not None:
            near &= ~unknown[view]
        # A column of zeros ends every run at the end of its row.
        padded = np.zeros((near.shape[0], near.shape[1] + 2), dtype=np.int8)
        padded[:, 1:-1] = near
        change = np.diff(padded, axis=1)
        row, begin = np.nonzero(change == 1)
        _, end = np.nonzero(change == -1)
        starts.append(view * pixels + row * near.shape[1] + begin)
        lengths.append(end - begin)
    if not starts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate(starts), np.concatenate(lengths)


def _view_and_xy(flat: torch.Tensor, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """View [R] and pixel coordinates [R, 2] float32 of flat indices."""
    row = torch.div(flat, width, rounding_mode="floor")
    view = torch.div(row, height, rounding_mode="floor")
    xy = torch.stack([flat - row * width, row - view * height], dim=-1)
    return view, xy.float()


def full_view_rays(scene: Scene, view: int, device: torch.device | str, chunk: int) -> Iterator[RayBatch]:
    """All rays of a view in row-major order, at most `chunk` at a time, with colours and the scene's mask if any.

    Args:
        scene: the scene. view: index of the view.
        device: where the rays are needed.
        chunk: rays a batch.

    Raises:
        ValueError: the chunk is not positive.
    """
    if chunk < 1:
        raise ValueError(f"expected at least 1 ray a chunk, got {chunk}")
    device = torch.device(device)
    height, width = scene.cameras.size
    caster = RayCaster(scene.cameras, device)
    colors = torch.from_numpy(scene.images[view].reshape(-1, 3))
    mask = None if scene.masks is None else torch.from_numpy(scene.masks[view].reshape(-1))
    for start in range(0, height * width, chunk):
        end = min(start + chunk, height * width)
        flat = torch.arange(start, end, device=device)
        _, xy = _view_and_xy(flat, height, width)
        views = torch.full_like(flat, view)
        origins, directions = caster(views, xy)
        rgb = colors[start:end].to(device).float() / 255
        batch_mask = None if mask is None else mask[start:end].to(device).float()
        yield RayBatch(origins=origins, directions=directions, view=views, xy=xy, rgb=rgb, mask=batch_mask)
