"""The kernels of PatchMatch stereo against plain NumPy."""

from __future__ import annotations

import numpy as np
import torch
import warp as wp

from nto3d.kernels.launch import launch_spans, whole
from nto3d.kernels.patchmatch.patchmatch import SIDE, Pixel, Views, _correlation, _newton, _patch
from nto3d.stereo.maps import _views
from nto3d.stereo.pictures import Level, choose_sources
from nto3d.types import FloatArray
from tests.geometry.textured import cameras_at, pictures, plane_at, true_depths

REACH = 2


@wp.kernel(module="nto3d.test_patchmatch", enable_backward=False)
def _probe(
    views: Views,
    xs: wp.array(dtype=wp.vec2),  # type: ignore[valid-type]
    planes: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    out: wp.array(dtype=wp.float32),  # type: ignore[valid-type]
    moved: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]
    begin: int,
    end: int,
    stride: int,
) -> None:
    item = begin + wp.tid()
    while item < end:
        at = Pixel()
        at.view = 0
        at.x = xs[item][0]
        at.y = xs[item][1]
        at.reach = 2
        patch = _patch(views, at)
        out[item] = _correlation(patch, views, at, 0, planes[item])
        moved[item] = _newton(patch, views, at, planes[item], 1)
        item += stride


def probed(xy: FloatArray, planes: FloatArray) -> tuple[Level, FloatArray, FloatArray]:
    """Two views of a plane, correlations of view 0's patches with view 1, and planes after a Gauss-Newton step."""
    cameras = cameras_at([0.0, 15.0])
    grey = pictures(cameras, plane_at(0.1))[..., 0].astype(np.float32)
    everything = np.ones(grey.shape, dtype=bool)
    level = Level(cameras, grey, everything, everything)
    views, _ = _views(level, choose_sources(cameras, np.ones(2, dtype=bool)), False, torch.device("cpu"))
    out, moved = torch.zeros(len(xy)), torch.zeros(len(xy), 3)
    given = [torch.from_numpy(values.astype(np.float32)) for values in (xy, planes)]
    arguments = [
        views,
        wp.from_torch(given[0], dtype=wp.vec2),
        wp.from_torch(given[1], dtype=wp.vec3),
        wp.from_torch(out),
        wp.from_torch(moved, dtype=wp.vec3),
    ]
    launch_spans(_probe, arguments, [(whole(len(xy), torch.device("cpu")),)], torch.device("cpu"))
    return level, out.numpy(), moved.numpy()


def correlation(level: Level, xy: FloatArray, plane: FloatArray) -> float:
    """Of a patch of view 0 and its picture in view 1, by exact projection; -1 where it leaves the picture."""
    step = (np.arange(SIDE) - SIDE // 2) * REACH
    dx, dy = np.meshgrid(step, step)
    pixels = np.stack([xy[0] + dx, xy[1] + dy, np.ones(dx.shape)], axis=-1)
    w = plane[0] + plane[1] * dx + plane[2] * dy
    cameras = level.cameras
    here, there = cameras.cam_to_world
    points = (pixels @ np.linalg.inv(cameras.intrinsics[0]).T) / w[..., None] @ here[:, :3].T + here[:, 3]
    homogeneous = (points - there[:, 3]) @ there[:, :3] @ cameras.intrinsics[1].T
    u, v = np.moveaxis(homogeneous[..., :2] / homogeneous[..., 2:], -1, 0)
    height, width = cameras.size
    if u.min() < 0 or v.min() < 0 or u.max() > width - 1 or v.max() > height - 1:
        return -1.0
    column, row = np.floor(u).astype(int), np.floor(v).astype(int)
    fu, fv, grey = u - column, v - row, level.grey[1]
    top = grey[row, column] * (1 - fu) + grey[row, column + 1] * fu
    bottom = grey[row + 1, column] * (1 - fu) + grey[row + 1, column + 1] * fu
    theirs = top * (1 - fv) + bottom * fv
    own = level.grey[0][(xy[1] + dy).astype(int), (xy[0] + dx).astype(int)]
    return float(np.corrcoef(own.ravel(), theirs.ravel())[0, 1])


def test_correlation_is_that_of_numpy() -> None:
    rng = np.random.default_rng(3)
    xy = np.stack([rng.integers(8, 92, 60), rng.integers(8, 72, 60)], axis=1).astype(float)
    planes = np.column_stack([rng.uniform(0.3, 0.42, 60), rng.uniform(-2e-3, 2e-3, (60, 2))])
    level, got, _ = probed(xy, planes)
    expected = np.array([correlation(level, *pair) for pair in zip(xy, planes, strict=True)])
    seen = (got > -1) & (expected > -1)
    assert seen.sum() > 30
    # The kernel takes the homography as affine over the patch
    np.testing.assert_allclose(got[seen], expected[seen], atol=0.03)
    assert np.median(np.abs(got - expected)[seen]) < 0.006


def test_a_newton_step_comes_nearer() -> None:
    rng = np.random.default_rng(4)
    xy = np.stack([rng.integers(25, 75, 80), rng.integers(20, 60, 80)], axis=1).astype(float)
    cameras = cameras_at([0.0, 15.0])
    truth = 1.0 / true_depths(cameras, plane_at(0.1))[0][xy[:, 1].astype(int), xy[:, 0].astype(int)]
    pixel = 1.0 / (cameras.intrinsics[0, 0, 0] * np.sin(np.radians(15.0)) * 3.0)  # roughly
    start = np.column_stack([truth + rng.uniform(-0.5, 0.5, 80) * pixel, np.zeros((80, 2))])
    _, _, moved = probed(xy, start)
    before, after = np.abs(start[:, 0] - truth), np.abs(moved[:, 0] - truth)
    assert np.median(after) < 0.2 * np.median(before)
    assert (after < before).mean() > 0.85
