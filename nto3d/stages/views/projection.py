"""Project the target field back into the views, and turn what is seen there into prompts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from scipy.cluster.vq import kmeans2

from nto3d.geometry.cameras import RayCaster, every_pixel, scale_intrinsics
from nto3d.stages.model import SurfaceModel
from nto3d.types import BoolArray, ByteArray, Cameras, FloatArray, Prompts, RayBatch

LONGEST = 200  # pixels of a projection's longest side
CHUNK = 8192  # rays at a time
FEWEST = 12  # pixels of a projection that count as seeing the target
POSITIVE, NEGATIVE, IN_FRONT = 4, 6, 2  # points of a prompt; the last are on what hides the target
OUTSIDE = 0.06  # negative points lie this far from the target, as a share of its size
BLUR, DIFFERENT = 1.5, 0.3  # of colours that are compared: pixels; sum over channels of 0..1
NARROW = 5  # pixels: narrower differences are none
UNSURE = 0.45  # what a prior says where it leaves the answer to the segmenter, such as where the picture differs
MARGIN = 0.05  # of the box, as a share of its size
SOLID = 0.5  # opacity of a pixel that shows surface


@dataclass(frozen=True)
class Projection:
    """What the fields show in one view, in reduced pixels.

    Attributes:
        view: index of the view. target: float32 [h, w] in 0..1, p(ray) of the target field (0 without one).
        depth: float32 [h, w] distance along the ray to the surface. opacity: float32 [h, w] of what lies in the sphere.
        differs: bool [h, w], where the picture shows something else than the fields do.
    """

    view: int
    target: FloatArray
    depth: FloatArray
    opacity: FloatArray
    differs: BoolArray

    def prior(self, target: FloatArray) -> FloatArray:
        """A map of the target [h, w] as a prior, float32 [h, w].

        Where the picture differs from the fields, something may stand in front of the target: nothing is sure there.
        """
        return np.where(self.differs, np.minimum(target, UNSURE), target).astype(np.float32)


def reduced(cameras: Cameras, longest: int = LONGEST) -> Cameras:
    """The same cameras with small pictures."""
    height, width = cameras.size
    factor = min(1.0, longest / max(height, width))
    size = max(1, round(height * factor)), max(1, round(width * factor))
    intrinsics = scale_intrinsics(cameras.intrinsics, size[1] / width, size[0] / height)
    return Cameras(intrinsics, cameras.cam_to_world, size)


@torch.no_grad()
def project_views(
    model: SurfaceModel,
    cameras: Cameras,
    views: Iterable[int],
    dt: float,
    known: Mapping[int, Projection] | None = None,
    images: ByteArray | None = None,
) -> list[Projection]:
    """Render what the fields show in views of (reduced) cameras.

    Args:
        dt: sample length, normalized units.
        images: uint8 [V, H, W, 3], to compare the rendered colours (at each view's exposure) with.
        known: earlier projections, from which `differs` is taken where there are no images.
    """
    device = model.variance.device
    caster = RayCaster(cameras, device)
    height, width = cameras.size
    xy, _ = every_pixel(cameras.size, 1, device)
    found = []
    for view in views:
        index = torch.full((len(xy),), view, device=device)
        origins, directions = caster(index, xy)
        rays = RayBatch(origins, directions, index, xy, torch.zeros_like(origins))
        parts = []
        for start in range(0, len(rays), CHUNK):
            some = rays[start : start + CHUNK]
            middle = torch.full((len(some),), 0.5, device=device)
            out = model.render_inside(some, dt, middle) if images is None else model.render(some, dt, middle)
            target = torch.zeros_like(out.depth) if out.occupancy is None else out.occupancy
            depth = out.depth / out.opacity.clamp(min=1e-4)
            rgb = model.pictured(out.rgb, some.view)
            parts.append(torch.stack([target, depth, out.opacity, *rgb.unbind(dim=1)]).float().cpu())
        maps = torch.cat(parts, dim=1).reshape(6, height, width).numpy()
        differs = np.zeros((height, width), dtype=np.bool_)
        if images is not None:
            differs = colors_differ(images[view], maps[3:].transpose(1, 2, 0))
        elif known is not None:
            differs = known[view].differs
        found.append(Projection(view, maps[0], maps[1], maps[2], differs))
    return found


def surface_places(caster: RayCaster, seen: Projection) -> tuple[FloatArray, BoolArray]:
    """Where the surface in each pixel of a projection lies, [h, w, 3], and in which pixels [h, w] there is one.

    Args:
        caster: of the projection's (reduced) cameras, on the CPU.
    """
    xy, (height, width) = every_pixel(seen.depth.shape, 1, torch.device("cpu"))
    origins, directions = caster(torch.full((len(xy),), seen.view), xy)
    points = (origins + directions * torch.from_numpy(seen.depth.reshape(-1, 1))).numpy()
    return points.reshape(height, width, 3), seen.opacity > SOLID


def colors_differ(image: ByteArray, rgb: FloatArray) -> BoolArray:
    """Where a picture [H, W, 3] shows something else than the rendered colours [h, w, 3], float32 in 0..1."""
    small = cv2.resize(image, rgb.shape[1::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    difference = np.abs(cv2.GaussianBlur(small - rgb, (0, 0), BLUR)).sum(axis=2)
    # Narrow differences are edges that the fields do not have in the very place
    wide = cv2.morphologyEx(
        (difference > DIFFERENT).view(np.uint8), cv2.MORPH_OPEN, np.ones((NARROW, NARROW), np.uint8)
    )
    grown: BoolArray = cv2.dilate(wide, np.ones((3, 3), np.uint8)) > 0
    return grown


def enlarged(small: FloatArray, size: tuple[int, int]) -> FloatArray:
    """A map [h, w] at the size (H, W) of the whole picture; cv2.resize keeps the corners, as `scale_intrinsics`."""
    large: FloatArray = cv2.resize(small, size[::-1], interpolation=cv2.INTER_LINEAR)
    return large


def shrunk(mask: BoolArray, size: tuple[int, int]) -> BoolArray:
    """A mask [H, W] in reduced pixels (h, w)."""
    small: BoolArray = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA) > 0.5
    return small


def prompts_from(view: int, prior: FloatArray, seed: int = 0, others: BoolArray | None = None) -> Prompts | None:
    """Prompts of a projection: points, a box and the projection itself.

    Args:
        prior: float32 [H, W] in 0..1, the projection in the picture's own pixels.
        others: bool [H, W], what is known to be something else in front of the target, or None.

    Returns:
        None where the target is out of sight.
    """
    inside = prior > 0.5
    if np.count_nonzero(inside) < FEWEST:
        return None
    rows, columns = np.nonzero(inside)
    size = float(np.sqrt(len(rows)))
    positive = _spread(_deep(prior > 0.8) if (prior > 0.8).any() else _deep(inside), POSITIVE, seed)
    away = cv2.distanceTransform((~(prior > 0.2)).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    ring = (away > OUTSIDE * size) & (away < 2.5 * OUTSIDE * size + 2.0)
    negative = _spread(ring, NEGATIVE, seed)
    if others is not None and others.any():
        negative = np.concatenate([negative, _spread(_deep(others), IN_FRONT, seed)])
    points = np.concatenate([positive, negative])
    labels = np.concatenate([np.ones(len(positive), np.int64), np.zeros(len(negative), np.int64)])
    margin = MARGIN * max(np.ptp(rows), np.ptp(columns)) + 1.0
    box = np.array([columns.min() - margin, rows.min() - margin, columns.max() + margin, rows.max() + margin])
    box = box.clip(0.0, [prior.shape[1] - 1.0, prior.shape[0] - 1.0] * 2)
    return Prompts(view, points, labels, box, prior)


def _deep(region: BoolArray) -> BoolArray:
    """The inner part of a region [H, W]."""
    depth = cv2.distanceTransform(region.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    deep: BoolArray = depth >= 0.4 * depth.max()
    return deep


def _spread(region: BoolArray, count: int, seed: int) -> FloatArray:
    """Up to `count` pixels [P, 2] (x, y) spread over a region: k-means centres, each moved into the region."""
    pixels = np.argwhere(region)[:, ::-1].astype(np.float64)
    if len(pixels) <= count:
        return pixels
    if len(pixels) > 4000:
        pixels = pixels[:: len(pixels) // 4000]
    centers, _ = kmeans2(pixels, count, iter=10, minit="++", rng=np.random.default_rng(seed))
    nearest = [int(((pixels - center) ** 2).sum(axis=1).argmin()) for center in centers]
    return pixels[sorted(set(nearest))]
