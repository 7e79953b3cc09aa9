"""A multi-view scene with depth as an object with its surface, which MCC can learn from.

Letters: V views, H W picture, N surface points.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from nto3d.data.object_views import ObjectViews
from nto3d.errors import InputError
from nto3d.types import Scene


def scene_views(scene: Scene, count: int, seed: int) -> ObjectViews:
    """The target of a scene in its training views, normalized frame.

    Args:
        scene: with masks and depths. count: N at the most. seed: of which points are taken.

    Returns:
        The training views; the surface is the scene's mesh where it has one, else what the views see together. A point
        of the mesh has the colour of the nearest point that is seen.

    Raises:
        InputError: there is no depth, no mask, or no depth on the target.
    """
    for what, given in (("depth", scene.depths), ("masks", scene.masks)):
        if given is None:
            raise InputError(f"scene {scene.name}: expected {what} of its views to learn from, found none")
    assert scene.depths is not None
    assert scene.masks is not None
    train = list(scene.train)
    masks = scene.masks[train] & (scene.depths[train] > 0)
    if not masks.any():
        raise InputError(f"scene {scene.name}: expected depth on the target's masks, found none")
    cameras = dataclasses.replace(
        scene.cameras,
        intrinsics=scene.cameras.intrinsics[train],
        cam_to_world=scene.cameras.cam_to_world[train],
    )
    none = np.zeros((0, 3), dtype=np.float32)
    views = ObjectViews(
        name=scene.name,
        images=scene.images[train],
        depths=np.where(masks, scene.depths[train], np.float32(0.0)),
        masks=masks,
        cameras=cameras,
        surface=none,
        surface_rgb=none.astype(np.uint8),
    )
    rng = np.random.default_rng([seed, 0])
    points, colors = _seen(views, count * 4, rng)
    if scene.gt_mesh is not None:
        mesh = scene.gt_mesh.transformed(np.linalg.inv(scene.world_from_normalized))
        surface, _ = trimesh.sample.sample_surface(
            trimesh.Trimesh(mesh.vertices, mesh.faces, process=False), count, seed=seed
        )
        points, colors = np.asarray(surface), colors[cKDTree(points).query(surface)[1]]
    elif len(points) > count:
        kept = rng.choice(len(points), count, replace=False)
        points, colors = points[kept], colors[kept]
    return dataclasses.replace(views, surface=points.astype(np.float32), surface_rgb=colors)


def _seen(views: ObjectViews, most: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points [N, 3] that the views see, and their colours, about as many of each view."""
    points, colors = [], []
    share = -(-most // len(views.masks))
    for view, mask in enumerate(views.masks):
        count = int(np.count_nonzero(mask))
        index = rng.choice(count, min(share, count), replace=False)
        points.append(views.seen(view)[index])
        colors.append(views.images[view][mask][index])
    return np.concatenate(points), np.concatenate(colors)
