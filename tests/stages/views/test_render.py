"""Whole views of an analytic sphere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nto3d.render.grid import OccupancyGrid
from nto3d.stages.model import SurfaceModel
from nto3d.stages.views.render import CHUNK, RenderedView, render_view
from nto3d.types import Cameras, Scene
from tests.helpers import render_sphere, ring_cameras
from tests.render.spheres import EvenBackground, NormalColor, SphereSdf

SIZE = (90, 120)  # more rays than one chunk
DT = 0.004


def scene() -> Scene:
    intrinsics, cam_to_world = ring_cameras(3, SIZE)
    pictures = [render_sphere(k, pose, SIZE) for k, pose in zip(intrinsics, cam_to_world, strict=True)]
    return Scene(
        name="ball",
        images=np.stack([image for image, _, _ in pictures]),
        cameras=Cameras(intrinsics, cam_to_world, SIZE),
        masks=np.stack([mask for _, mask, _ in pictures]),
        depths=None,
        names=("0.png", "1.png", "2.png"),
        train=(0, 1),
        test=(2,),
        world_from_normalized=np.eye(4),
    )


def model(background: EvenBackground | None = None, guided: bool = True) -> SurfaceModel:
    grid = OccupancyGrid(torch.ones(32, 32, 32, dtype=torch.bool))
    made = SurfaceModel(SphereSdf(), NormalColor(), grid, torch.zeros(1, 3), background, init_inv_std=1500.0)
    if guided:
        made.refresh_grid()
    return made


def rendered(view: int = 2) -> tuple[RenderedView, Scene]:
    ball = scene()
    return render_view(model(), ball, view, DT), ball


def test_masks_agree_with_the_silhouette() -> None:
    assert SIZE[0] * SIZE[1] > CHUNK
    out, ball = rendered()
    assert ball.masks is not None
    truth = ball.masks[2]
    assert (out.mask & truth).sum() / (out.mask | truth).sum() > 0.98
    assert out.rgb.shape == (*SIZE, 3)
    assert out.rgb.dtype == np.uint8
    assert out.rgb[out.opacity < 0.01].max() <= 3


def test_depths_and_normals_are_the_sphere_s() -> None:
    out, ball = rendered()
    _, mask, z = render_sphere(ball.cameras.intrinsics[2], ball.cameras.cam_to_world[2], SIZE)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(float)
    local = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(ball.cameras.intrinsics[2]).T
    along = np.linalg.norm(local, axis=-1) * z  # distance along the ray, not along the axis
    rotation, center = ball.cameras.cam_to_world[2, :, :3], ball.cameras.cam_to_world[2, :, 3]
    normals = (center + (local * z[..., None]) @ rotation.T) / 0.5
    steep = np.abs((normals * (local @ rotation.T)).sum(-1)) < 0.4
    inner = mask & ~steep
    assert inner.sum() > 500
    assert np.abs(out.depth - along)[inner].max() < 0.012
    np.testing.assert_allclose(np.linalg.norm(out.normal[inner], axis=-1), 1.0, atol=1e-5)
    assert (out.normal * normals).sum(-1)[inner].min() > 0.999
    expected = np.clip(normals * 0.4 + 0.5, 0, 1) * 255
    assert np.abs(out.rgb[inner] - expected[inner]).max() < 6


def test_the_guide_does_not_change_the_picture() -> None:
    ball = scene()
    guided, plain = render_view(model(), ball, 0, DT), render_view(model(guided=False), ball, 0, DT)
    differ = np.abs(guided.opacity - plain.opacity) > 0.05
    assert differ.mean() < 0.002  # rays that graze the sphere
    both = (guided.opacity > 0.98) & (plain.opacity > 0.98)
    assert both.sum() > 500
    assert np.abs(guided.depth - plain.depth)[both].max() < 0.06
    assert np.abs(guided.rgb.astype(int) - plain.rgb)[both].mean() < 2.0


def test_the_background_fills_the_rest() -> None:
    ball = scene()
    assert ball.masks is not None
    out = render_view(model(EvenBackground((0.2, 0.6, 1.0))), ball, 1, DT)
    far = out.opacity < 1e-3
    assert far.sum() > 1000
    assert np.abs(out.rgb[far] - np.array([51, 153, 255])).max() <= 1
    surface = render_view(model(), ball, 1, DT)
    np.testing.assert_allclose(surface.opacity, out.opacity, atol=1e-6)


def test_the_sharpness_is_learned_in_its_logarithm() -> None:
    made = model()
    assert float(made.inv_std.detach()) == pytest.approx(1500.0, rel=1e-5)
    assert float(made.variance.detach()) == pytest.approx(np.log(1500.0) / 10)
