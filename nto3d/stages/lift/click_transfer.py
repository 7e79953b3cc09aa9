"""First masks of more than the clicked view: what one view's segmenter gets wrong, most others get right.

A click stands for a point of the surface, and other views see that point, too. Each of them is asked on its own, so a
shadow, a neighbour or half of the target that one answer mistakes is outvoted before labels are propagated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from nto3d.geometry.cameras import RayCaster, project
from nto3d.stages.views.projection import SOLID, Projection, shrunk
from nto3d.stages.views.voting import SurfaceVotes
from nto3d.types import BoolArray, Cameras, FloatArray, IntArray, Mask, Prompts

NEAR = 0.06  # normalized units: a view sees a point if its surface is no farther from it
AGREEMENT_POWER = 4.0  # power of a mask's agreement with the others
OWN = 2.0  # how much a mask counts that the user pointed at, beside that of another view


def transferred(
    prompts: Prompts,
    cameras: Cameras,
    seen: Mapping[int, Projection],
    count: int,
    further: Sequence[Prompts] = (),
    views: Sequence[int] | None = None,
) -> list[Prompts]:
    """A view's clicks in the nearest other views that see them.

    Args:
        prompts: points in pixels of the whole pictures. cameras: of the whole pictures.
        seen: what the geometry shows in each view. count: of views at the most. further: clicks of other views.
        views: that may be asked; None: all in `seen`.

    Returns:
        Prompts with points alone; those in which no positive point is in sight are left out.
    """
    points, labels = _places([prompts, *further], cameras, seen)
    found: list[Prompts] = []
    for view in _nearest(cameras, prompts.view, list(seen) if views is None else views):
        if len(found) == count:
            break
        xy, in_sight = _sighted(points, cameras, seen[view])
        if (in_sight & (labels == 1)).any():
            found.append(Prompts(view, xy[in_sight], labels[in_sight]))
    return found


def completed(
    prompts: Prompts, cameras: Cameras, seen: Mapping[int, Projection], further: Sequence[Prompts]
) -> Prompts | None:
    """A view's prompts with those clicks of other views that it sees, too; None where it sees none of them."""
    points, labels = _places([some for some in further if some.view != prompts.view], cameras, seen)
    xy, in_sight = _sighted(points, cameras, seen[prompts.view])
    if not in_sight.any():
        return None
    points, labels = np.concatenate([prompts.points, xy[in_sight]]), np.concatenate([prompts.labels, labels[in_sight]])
    return replace(prompts, points=points, labels=labels)


def _places(clicks: Sequence[Prompts], cameras: Cameras, seen: Mapping[int, Projection]) -> tuple[FloatArray, IntArray]:
    """Points [P, 3] of the surface under clicks (NaN where there is none), and their labels [P]."""
    points = [on_surface(some, cameras, seen[some.view]) for some in clicks]
    labels = [some.labels for some in clicks]
    return np.concatenate([np.zeros((0, 3)), *points]), np.concatenate([np.zeros(0, dtype=np.int64), *labels])


def _sighted(points: FloatArray, cameras: Cameras, seen: Projection) -> tuple[FloatArray, BoolArray]:
    """Where points [P, 3] lie in a view's whole picture, [P, 2], and which of them it sees."""
    view = seen.view
    xy, z = project(cameras.intrinsics[view], cameras.cam_to_world[view], points)
    distance = np.linalg.norm(points - cameras.centers[view], axis=1)
    column, row, inside = _reduced_pixels(xy, cameras, seen)
    in_sight: BoolArray = inside & (z > 0.0)  # false where a click has no surface, and z is not a number
    shown = seen.depth[row[in_sight], column[in_sight]]
    clear = (np.abs(shown - distance[in_sight]) < NEAR) & ~seen.differs[row[in_sight], column[in_sight]]
    in_sight[in_sight] = clear
    return xy, in_sight


def mask_confidences(
    masks: Mapping[int, Mask], own: Mapping[int, Mask], cameras: Cameras, seen: Mapping[int, Projection]
) -> dict[int, float]:
    """How far each first mask is to be believed, 0..1: by its agreement with what the others say of its surface.

    Args:
        masks: first masks in whole pictures. own: those of them that the user pointed at. cameras: reduced, as `seen`.
    """
    if len(masks) < 3:
        return dict.fromkeys(masks, 1.0)
    agreement = {}
    small = {view: shrunk(mask.pixels, cameras.size) for view, mask in masks.items()}
    votes = SurfaceVotes(cameras)
    for view, pixels in small.items():
        votes.add(seen[view], pixels)
    for view, pixels in small.items():
        votes.add(seen[view], pixels, -1.0)  # what the others say; whole votes add up exactly
        said = votes.ask(seen[view])
        votes.add(seen[view], pixels)
        known = np.abs(said - 0.5) > 0.01
        both, either = np.minimum(said, pixels)[known].sum(), np.maximum(said, pixels)[known].sum()
        agreement[view] = float(both / either) if either > 0 else 0.0
    best = max(max(agreement.values()), 1e-6)
    return {
        view: (value / best) ** AGREEMENT_POWER * (OWN if view in own else 1.0) / OWN
        for view, value in agreement.items()
    }


def _nearest(cameras: Cameras, view: int, views: Sequence[int]) -> list[int]:
    """The other views, by the angle between their centres."""
    towards = cameras.outward
    others = [other for other in views if other != view]
    return sorted(others, key=lambda other: -float(towards[other] @ towards[view]))


def on_surface(prompts: Prompts, cameras: Cameras, seen: Projection) -> FloatArray:
    """Points [P, 3] of the surface under the clicks, NaN where there is none.

    Where the picture shows something else than the fields do, a negative click lies on that, in front of the surface.
    """
    view = torch.full((len(prompts.points),), prompts.view)
    origins, directions = RayCaster(cameras, "cpu")(view, torch.from_numpy(prompts.points).float())
    column, row, inside = _reduced_pixels(prompts.points, cameras, seen)
    points = np.full((len(row), 3), np.nan)
    solid = inside & (seen.opacity[row, column] > SOLID)
    solid &= (prompts.labels == 1) | ~seen.differs[row, column]
    depth = seen.depth[row, column][:, None]
    points[solid] = (origins.numpy() + directions.numpy() * depth)[solid]
    return points


def _reduced_pixels(xy: FloatArray, cameras: Cameras, seen: Projection) -> tuple[IntArray, IntArray, BoolArray]:
    """Column and row of the projection's pixels at coordinates [P, 2] of the whole picture, and which lie inside."""
    height, width = seen.depth.shape
    factor = np.array([width / cameras.size[1], height / cameras.size[0]])
    with np.errstate(invalid="ignore"):
        place = np.rint((xy + 0.5) * factor - 0.5)
        inside = ((place >= 0) & (place < [width, height])).all(axis=1)
    column, row = np.where(inside[:, None], place, 0).astype(np.int64).T
    return column, row, inside
