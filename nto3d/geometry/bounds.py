"""Where rays enter and leave a sphere or a box.

Letters: R rays. Distances are along the ray, in units of the direction's length (unit directions: scene units). Only
the part in front of the origin counts: a ray that starts inside enters at 0. A miss has near = far = 0, so that an
interval [near, far] without the mask is simply empty.
"""

from __future__ import annotations

import torch
from torch import Tensor


def _forward_part(near: Tensor, far: Tensor, crosses: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    near = near.clamp_min(0.0)
    hit = crosses & (far > near)
    return torch.where(hit, near, 0.0), torch.where(hit, far, 0.0), hit


def ray_sphere(
    origins: Tensor, directions: Tensor, radius: float = 1.0, center: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Near and far distance [R] of rays through a sphere, and whether they hit it [R] (a touch is a miss).

    Args:
        origins, directions: [R, 3]; directions need not be unit.
        radius: of the sphere.
        center: [3]; None is the origin.
    """
    offset = origins if center is None else origins - center
    squared = (directions * directions).sum(-1)
    closest = -(offset * directions).sum(-1) / squared
    # From the point of closest approach: b^2 - 4ac cancels for distant cameras in float32.
    foot = offset + closest[..., None] * directions
    remainder = (radius * radius - (foot * foot).sum(-1)) / squared
    half = remainder.clamp_min(0.0).sqrt()
    return _forward_part(closest - half, closest + half, remainder > 0)


def ray_box(origins: Tensor, directions: Tensor, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Near and far distance [R] of rays through an axis-aligned box, and whether they hit it [R].

    Slab method (Kay and Kajiya 1986). A ray parallel to a face hits if it runs inside the slab, its faces included.

    Args:
        origins, directions: [R, 3].
        lower, upper: [3], the box's corners.
    """
    parallel = directions == 0
    safe = torch.where(parallel, torch.ones_like(directions), directions)
    first, second = (lower - origins) / safe, (upper - origins) / safe
    enter, leave = torch.minimum(first, second), torch.maximum(first, second)
    infinity = torch.inf
    enter, leave = enter.masked_fill(parallel, -infinity), leave.masked_fill(parallel, infinity)
    outside = parallel & ((origins < lower) | (origins > upper))
    return _forward_part(enter.amax(-1), leave.amin(-1), ~outside.any(-1))
