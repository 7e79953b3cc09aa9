from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from nto3d.data.dtu import read_dtu
from nto3d.data.rays import RaySampler, full_view_rays
from nto3d.geometry.cameras import RayCaster
from nto3d.types import Cameras, Scene
from tests.helpers import ring_cameras, write_dtu_scene


def coded_scene(views: int = 3, size: tuple[int, int] = (40, 50)) -> Scene:
    """A scene whose colours are (view, y, x); masks are one square, at another place in each view."""
    height, width = size
    grid = np.stack(np.mgrid[:views, :height, :width], axis=-1).astype(np.uint8)
    masks = np.zeros((views, height, width), dtype=np.bool_)
    for view in range(views):
        masks[view, 5 + view : 12 + view, 20:28] = True
    return Scene(
        name="coded",
        images=grid,
        cameras=Cameras(*ring_cameras(views, size), size),
        masks=masks,
        depths=None,
        names=tuple(map(str, range(views))),
        train=tuple(range(views)),
        test=(),
        world_from_normalized=np.eye(4),
    )


def coded_pixels(rgb: torch.Tensor) -> np.ndarray:
    """(view, y, x) [R, 3] from the colours of a coded scene."""
    return (rgb * 255).round().long().numpy()


@pytest.mark.parametrize("with_masks", [True, False])
def test_colours_masks_and_rays_belong_to_the_pixels(with_masks: bool) -> None:
    scene = coded_scene()
    batch = RaySampler(scene, (0, 2), "cpu", seed=0, masks=scene.masks if with_masks else None).sample(500, step=3)
    pixels = coded_pixels(batch.rgb)
    assert len(batch) == 500
    assert set(pixels[:, 0]) == {0, 2}
    assert (batch.view.numpy() == pixels[:, 0]).all()
    assert (batch.xy.numpy() == pixels[:, [2, 1]]).all()
    origins, directions = RayCaster(scene.cameras, "cpu")(batch.view, batch.xy)
    assert torch.equal(batch.origins, origins)
    assert torch.equal(batch.directions, directions)
    if with_masks:
        assert scene.masks is not None
        assert batch.mask is not None
        assert (batch.mask.numpy() == scene.masks[tuple(pixels.T)]).all()
        assert 0 < batch.mask.mean() < 1
    else:
        assert batch.mask is None


def test_a_step_is_the_same_whatever_was_drawn_before() -> None:
    scene = coded_scene()
    first, second = (RaySampler(scene, (0, 1, 2), "cpu", seed=4, masks=scene.masks) for _ in range(2))
    for step in range(3):
        first.sample(64, step)
    resumed, uninterrupted = second.sample(64, 3), first.sample(64, 3)
    for field in dataclasses.fields(resumed):
        left, right = getattr(resumed, field.name), getattr(uninterrupted, field.name)
        assert (left is None and right is None) or torch.equal(left, right)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_batch_is_the_same_on_every_device() -> None:
    scene = coded_scene()
    on_cpu, on_cuda = (
        RaySampler(scene, (0, 1, 2), device, seed=0, masks=scene.masks).sample(256, 7) for device in ("cpu", "cuda")
    )
    for field in dataclasses.fields(on_cpu):
        left, right = getattr(on_cpu, field.name), getattr(on_cuda, field.name)
        if left is None:
            assert right is None
        else:
            assert right.device.type == "cuda"
            torch.testing.assert_close(left, right.cpu())


def test_steps_and_seeds_differ() -> None:
    scene = coded_scene()
    sampler = RaySampler(scene, (0, 1, 2), "cpu", seed=0, masks=scene.masks)
    batch = sampler.sample(64, 0)
    assert not torch.equal(batch.xy, sampler.sample(64, 1).xy)
    assert not torch.equal(batch.xy, RaySampler(scene, (0, 1, 2), "cpu", seed=1, masks=scene.masks).sample(64, 0).xy)


def near_mask(masks: np.ndarray, margin: float) -> np.ndarray:
    """Pixels within a distance of the mask, by comparing all pairs."""
    near = np.zeros_like(masks)
    for view, mask in enumerate(masks):
        pixels, targets = np.argwhere(np.ones_like(mask)), np.argwhere(mask)
        distance = np.sqrt(((pixels[:, None] - targets[None]) ** 2).sum(-1)).min(1)
        near[view] = (distance <= margin).reshape(mask.shape)
    return near


def test_candidates_are_all_pixels_within_the_margin_and_equally_likely() -> None:
    scene = coded_scene()
    assert scene.masks is not None
    views = (0, 2)
    sampler = RaySampler(scene, views, "cpu", seed=0, masks=scene.masks, margin=3 / 50, whole_share=0.0)
    expected = near_mask(scene.masks, 3.0)
    expected[1] = False
    assert sampler.candidates == expected.sum()
    counts = np.zeros(scene.masks.shape)
    for step in range(20):
        np.add.at(counts, tuple(coded_pixels(sampler.sample(10_000, step).rgb).T), 1)
    assert ((counts > 0) == expected).all()
    # Pearson's chi-square of equal probabilities: mean = degrees of freedom, variance twice that.
    mean, freedom = 200_000 / expected.sum(), expected.sum() - 1
    chi_square = ((counts[expected] - mean) ** 2 / mean).sum()
    assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom)


def test_a_share_comes_from_the_whole_pictures() -> None:
    scene = coded_scene()
    assert scene.masks is not None
    sampler = RaySampler(scene, (0, 1, 2), "cpu", seed=0, masks=scene.masks, margin=0.0, whole_share=0.25)
    assert sampler.candidates == scene.masks.sum()
    pixels = coded_pixels(sampler.sample(40_000, 0).rgb)
    outside = ~scene.masks[tuple(pixels.T)]
    # Of a quarter of the rays, those that miss the mask by chance.
    assert outside.mean() == pytest.approx(0.25 * (1 - scene.masks.mean()), abs=1e-2)
    assert len(np.unique(pixels[outside], axis=0)) > 0.75 * (~scene.masks).sum()


def test_without_masks_all_pixels_are_equally_likely() -> None:
    scene = coded_scene(size=(8, 10))
    counts = np.zeros(scene.images.shape[:3])
    np.add.at(counts, tuple(coded_pixels(RaySampler(scene, (0, 1, 2), "cpu", seed=0).sample(48_000, 0).rgb).T), 1)
    chi_square = ((counts - 200) ** 2 / 200).sum()
    assert abs(chi_square - 239) < 5 * np.sqrt(2 * 239)


def test_a_view_with_an_empty_mask_still_gives_rays() -> None:
    scene = coded_scene()
    assert scene.masks is not None
    masks = scene.masks.copy()
    masks[1] = False
    pixels = coded_pixels(RaySampler(scene, (0, 1, 2), "cpu", seed=0, masks=masks).sample(5000, 0).rgb)
    assert 0 < (pixels[:, 0] == 1).mean() < 0.1
    only_empty = RaySampler(scene, (1,), "cpu", seed=0, masks=masks).sample(100, 0)
    assert only_empty.mask is not None
    assert only_empty.mask.sum() == 0


def test_a_margin_that_reaches_the_border_stays_in_its_row() -> None:
    scene = coded_scene()
    masks = np.zeros((3, 40, 50), dtype=np.bool_)
    masks[:, :, 45:] = True
    sampler = RaySampler(scene, (0, 1, 2), "cpu", seed=0, masks=masks, margin=2 / 50, whole_share=0.0)
    pixels = coded_pixels(sampler.sample(5000, 0).rgb)
    assert pixels[:, 2].min() == 43
    assert pixels[:, 2].max() == 49
    assert sampler.candidates == 3 * 40 * 7


def test_the_sampler_takes_little_memory() -> None:
    height, width = 600, 800
    mask = np.zeros((height, width), np.uint8)
    cv2.circle(mask, (400, 300), 250, 1, -1)
    speckle = np.random.default_rng(0).random((height, width)) < 0.01
    scene = coded_scene(2, (height, width))
    for one in (mask.astype(np.bool_), speckle):
        masks = np.stack([one, one])
        sampler = RaySampler(scene, (0, 1), "cpu", seed=0, masks=masks)
        held = sum(
            value.nbytes for value in vars(sampler).values() if isinstance(value, np.ndarray) and value.base is None
        )
        assert held < 0.2 * masks.nbytes


def test_pictures_are_not_copied() -> None:
    scene = coded_scene()
    sampler = RaySampler(scene, (0, 1, 2), "cpu", seed=0, masks=scene.masks)
    assert any(
        isinstance(value, np.ndarray) and np.shares_memory(value, scene.images) for value in vars(sampler).values()
    )


def test_bad_arguments() -> None:
    scene = coded_scene()
    with pytest.raises(ValueError, match="at least one view"):
        RaySampler(scene, (), "cpu", seed=0)
    with pytest.raises(ValueError, match=r"masks \[3, 40, 50\], got \[1, 40, 50\]"):
        RaySampler(scene, (0,), "cpu", seed=0, masks=np.ones((1, 40, 50), np.bool_))
    with pytest.raises(ValueError, match="at least 1 ray"):
        next(full_view_rays(scene, 0, "cpu", 0))


def test_full_view_is_row_major_and_complete(tmp_path: Path) -> None:
    write_dtu_scene(tmp_path)
    scene = read_dtu(tmp_path)
    assert scene.masks is not None
    batches = list(full_view_rays(scene, 1, "cpu", 100))
    assert [len(batch) for batch in batches] == [100] * 7 + [68]
    assert torch.equal(torch.cat([batch.view for batch in batches]), torch.ones(768, dtype=torch.int64))
    xy = torch.cat([batch.xy for batch in batches]).reshape(24, 32, 2)
    assert (xy[..., 0] == torch.arange(32)).all()
    assert (xy[..., 1] == torch.arange(24)[:, None]).all()
    rgb = torch.cat([batch.rgb for batch in batches]).reshape(24, 32, 3)
    assert (rgb.numpy() == scene.images[1].astype(np.float32) / 255).all()
    mask = torch.cat([batch.mask for batch in batches if batch.mask is not None]).reshape(24, 32)
    assert (mask.numpy() == scene.masks[1]).all()
    # The mask is where rays come within the sphere's radius of 0.5 of the origin.
    origins = torch.cat([batch.origins for batch in batches])
    directions = torch.cat([batch.directions for batch in batches])
    distance = torch.linalg.cross(origins, directions).norm(dim=-1).reshape(24, 32)
    clear = (distance - 0.5).abs() > 1e-5
    assert ((distance < 0.5) == mask.bool())[clear].all()


def test_full_view_without_masks() -> None:
    scene = dataclasses.replace(coded_scene(), masks=None)
    assert next(full_view_rays(scene, 0, "cpu", 10)).mask is None
