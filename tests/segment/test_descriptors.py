"""Classical dense descriptors on pictures whose colours and gradients are known, and their principal components."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from nto3d.segment.descriptors import CHANNELS, DIRECTIONS, GRADIENT_SHARE, SCALES, classical_features, describe
from nto3d.types import BoolArray, ByteArray
from nto3d.types.feature_maps import FeatureMaps

PER_SCALE = 3 + DIRECTIONS


def pictures(count: int, height: int, width: int, seed: int = 0) -> ByteArray:
    """Pictures of smooth coloured blobs with some noise."""
    rng = np.random.default_rng(seed)
    rough = rng.standard_normal((count, height, width, 3))
    smooth = np.stack([cv2.GaussianBlur(image, (0, 0), 3.0) for image in rough])
    values = 128 + 40 * smooth / smooth.std() + 8 * rough
    return values.clip(0, 255).astype(np.uint8)


def gradients(raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """The gradient channels [h, w, scales, 8] of raw descriptors [h, w, D]."""
    return raw.reshape(*raw.shape[:2], len(SCALES), PER_SCALE)[..., 3:]


def stripes(height: int, width: int) -> ByteArray:
    """Fine stripes, upright in the left half and level in the right one, in the same two greys."""
    y, x = np.mgrid[:height, :width]
    bright = np.where(x < width // 2, x // 2 % 2, y // 2 % 2)
    return np.repeat((90 + 60 * bright)[..., None], 3, axis=2).astype(np.uint8)


def block(count: int, size: tuple[int, int], rows: slice, columns: slice) -> BoolArray:
    masks = np.zeros((count, *size), dtype=np.bool_)
    masks[:, rows, columns] = True
    return masks


def ramp(height: int, width: int, along_x: float, along_y: float) -> ByteArray:
    """Grey that grows by so much a pixel to the right and downwards; 128 in the middle."""
    y, x = np.mgrid[:height, :width]
    grey = 128 + along_x * (x - (width - 1) / 2) + along_y * (y - (height - 1) / 2)
    return np.repeat(grey[..., None], 3, axis=2).clip(0, 255).round().astype(np.uint8)


@pytest.mark.parametrize(
    ("along_x", "along_y", "direction"),
    [(4, 0, 0), (3, 3, 1), (0, 4, 2), (-3, 3, 3), (-4, 0, 4), (-3, -3, 5), (0, -4, 6), (3, -3, 7)],
)
def test_gradients_of_a_ramp_by_hand(along_x: float, along_y: float, direction: int) -> None:
    """Directions turn from right over down, by 45 degrees: cos^2 is one in the ramp's own, a half in the two beside."""
    shares = gradients(describe(ramp(60, 60, along_x, along_y)))[8:-8, 8:-8].astype(np.float64)
    own = shares[..., direction]
    assert own.min() > 0.02 * GRADIENT_SHARE
    assert own.max() < GRADIENT_SHARE * np.sqrt(2 / 3)  # of sqrt(1 + 1/4 + 1/4)
    expected = np.array([1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5])
    found = np.roll(shares, -direction, axis=-1) / own[..., None]
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=0.03)


def test_a_strong_edge_reaches_the_whole_share_and_a_faint_one_little() -> None:
    def edge(contrast: int) -> float:
        image = np.full((60, 60, 3), 100, dtype=np.uint8)
        image[:, 30:] += np.uint8(contrast)
        return float(gradients(describe(image))[15, 14:16, 2, 0].mean())

    assert edge(150) == pytest.approx(GRADIENT_SHARE * np.sqrt(2 / 3), rel=0.05)
    assert 0.0 < edge(2) < 0.25 * edge(150)
    assert edge(0) == 0.0


@pytest.mark.parametrize("size", [(96, 128), (37, 101), (128, 96), (300, 401), (641, 480)])
def test_lightness_lies_where_the_picture_shows_it(size: tuple[int, int]) -> None:
    """CIE L* of the grey at a pixel (sRGB, IEC 61966-2-1), read from the raw descriptor at that very pixel."""
    longer, rng = max(size), np.random.default_rng(0)
    xy = rng.uniform(0.08 * longer, (np.array(size[::-1]) - 1 - 0.08 * longer), (400, 2))
    wrong = []
    for slope in (110 / longer, -110 / longer):
        raw = describe(ramp(*size, slope, slope))
        maps = FeatureMaps(torch.from_numpy(raw)[None], (float(raw.shape[0]), float(raw.shape[1])), size)
        found = maps.at(torch.zeros(400, dtype=torch.int64), torch.from_numpy(xy).float()).numpy()
        grey = (128 + slope * (xy - (np.array(size[::-1]) - 1) / 2).sum(axis=1)) / 255
        lightness = 116 * np.cbrt(((grey + 0.055) / 1.055) ** 2.4) - 16
        colors = found.reshape(400, len(SCALES), PER_SCALE)[..., :3] * 50 + [50.0, 0.0, 0.0]
        np.testing.assert_allclose(colors[..., 0], lightness[:, None].repeat(3, axis=1), atol=0.7)  # whole grey levels
        np.testing.assert_allclose(colors[..., 1:], 0.0, atol=0.1)
        wrong.append((colors[..., 0] - lightness[:, None]).mean(axis=0))
    # A shift by half a cell would be 0.13 at least, brighter on one ramp and darker on the other.
    np.testing.assert_allclose((wrong[0] - wrong[1]) / 2, 0.0, atol=0.02)


def test_a_picture_turned_by_90_degrees_has_its_directions_turned() -> None:
    """Turned counter-clockwise, what grew to the right (direction 0) grows upwards (direction 6): two fewer of 8."""
    image = pictures(1, 64, 64, seed=3)[0]
    upright, turned = describe(image), describe(np.ascontiguousarray(np.rot90(image)))
    expected = np.roll(np.rot90(gradients(upright)), -2, axis=-1)
    np.testing.assert_allclose(gradients(turned), expected, atol=2e-3)
    assert np.abs(gradients(turned) - np.rot90(gradients(upright))).max() > 0.1  # it does matter
    colors = [channel for scale in range(len(SCALES)) for channel in range(scale * PER_SCALE, scale * PER_SCALE + 3)]
    np.testing.assert_allclose(turned[..., colors], np.rot90(upright)[..., colors], atol=1e-4)


@pytest.mark.parametrize(
    ("size", "cells"),
    [((96, 128), (48, 64)), ((128, 96), (64, 48)), ((37, 101), (19, 51)), ((600, 800), (120, 160)), ((1, 1), (1, 1))],
)
def test_maps_cover_the_whole_picture_with_at_most_160_cells_a_side(
    size: tuple[int, int], cells: tuple[int, int]
) -> None:
    maps = classical_features(pictures(2, *size), [0])
    assert maps.values.shape[:3] == (2, *cells)
    assert maps.extent == cells
    assert maps.size == size
    assert bool(torch.isfinite(maps.values).all())


def test_at_most_32_channels_the_last_of_them_one() -> None:
    maps = classical_features(pictures(3, 60, 80), [0, 2])
    assert maps.channels == CHANNELS == 32
    assert bool((maps.values[..., -1] == 1.0).all())
    assert float(maps.values[..., :-1].float().std()) > 0.1


def test_over_the_targets_cells_the_features_have_a_mean_of_zero_and_a_mean_squared_length_of_one() -> None:
    images = pictures(3, 96, 128)
    everything = classical_features(images, [0, 1, 2]).values[..., :-1].double().reshape(-1, 31)
    assert float((everything**2).sum(dim=1).mean()) == pytest.approx(1.0, rel=0.02)
    torch.testing.assert_close(everything.mean(dim=0), torch.zeros(31, dtype=torch.float64), rtol=0, atol=2e-3)

    masks = block(3, (96, 128), slice(20, 60), slice(40, 100))  # 20 x 30 cells of 2 x 2 pixels
    found = classical_features(images, [0, 2], masks).values[..., :-1].double()
    target = found[[0, 2], 10:30, 20:50].reshape(-1, 31)
    assert float((target**2).sum(dim=1).mean()) == pytest.approx(1.0, rel=0.02)
    torch.testing.assert_close(target.mean(dim=0), torch.zeros(31, dtype=torch.float64), rtol=0, atol=2e-3)
    assert abs(float((found**2).sum(dim=-1).mean()) - 1.0) > 0.05  # elsewhere it is another


def test_components_are_uncorrelated_and_come_by_their_variance() -> None:
    values = classical_features(pictures(3, 96, 128), [0, 1, 2]).values[..., :-1].double().reshape(-1, 31)
    covariance = torch.cov(values.T)
    variances = covariance.diagonal()
    assert bool((variances[:-1] >= variances[1:] - 1e-5).all())
    assert float((covariance - variances.diag()).abs().max()) < 1e-3 * float(variances[0])


def test_the_same_pictures_give_the_same_bits_whatever_the_threads() -> None:
    images, masks = pictures(5, 64, 96), block(5, (64, 96), slice(10, 50), slice(20, 80))
    first = classical_features(images, [0, 1, 3], masks).values
    for threads in (1, 2, 4, 0):
        assert torch.equal(classical_features(images, [0, 1, 3], masks, threads).values, first)


def test_textures_of_one_colour_are_told_apart_by_the_cosine() -> None:
    images = np.stack([stripes(120, 160)] * 2)
    images[1] = images[1, :, ::-1]
    maps = classical_features(images, [0])

    def at(view: int, x0: int) -> Tensor:
        y, x = np.mgrid[15:105:6, x0 + 15 : x0 + 65 : 6]
        xy = torch.from_numpy(np.stack([x, y], axis=-1).reshape(-1, 2)).float()
        return functional.normalize(maps.at(torch.full((len(xy),), view), xy), dim=1)

    upright, level = at(0, 0).mean(dim=0), at(0, 80).mean(dim=0)
    assert float(functional.cosine_similarity(upright, level, dim=0)) < 0.5
    # In the other view, which was no training view, the halves have changed places.
    for own, other, view, x0 in ((upright, level, 0, 0), (level, upright, 0, 80), (upright, level, 1, 80)):
        assert float((at(view, x0) @ own).min()) > 0.8
        assert float((at(view, x0) @ other).max()) < 0.5


def test_a_held_out_picture_changes_nothing_but_its_own_features() -> None:
    images, masks = pictures(4, 64, 96), block(4, (64, 96), slice(10, 50), slice(20, 80))
    before = classical_features(images, [0, 3], masks).values
    images[1], masks[1], masks[2] = 255 - images[1], False, True
    after = classical_features(images, [0, 3], masks).values
    assert torch.equal(before[[0, 2, 3]], after[[0, 2, 3]])
    assert not torch.equal(before[1], after[1])
    images[0] = pictures(1, 64, 96, seed=9)[0]
    assert not torch.equal(classical_features(images, [0, 3], masks).values[2], after[2])  # a training view does


def test_what_lies_around_the_target_does_not_change_mean_or_components() -> None:
    images, masks = pictures(3, 96, 160), block(3, (96, 160), slice(20, 80), slice(10, 60))
    before = classical_features(images, [0, 1], masks).values
    images[:2, :, 100:] = pictures(2, 96, 60, seed=5) // 2  # 40 pixels away: no blur reaches as far
    after = classical_features(images, [0, 1], masks).values
    assert torch.equal(before[2], after[2])
    assert torch.equal(before[:2, :, :30], after[:2, :, :30])
    assert not torch.equal(before[:2, :, 55:], after[:2, :, 55:])


@pytest.mark.parametrize("level", [0, 77, 128, 255])
def test_pictures_of_one_grey_have_finite_features(level: int) -> None:
    maps = classical_features(np.full((3, 45, 70, 3), level, dtype=np.uint8), [0, 1])
    assert bool(torch.isfinite(maps.values).all())
    assert bool((maps.values[..., -1] == 1.0).all())


@pytest.mark.parametrize("level", [0, 77, 255])
def test_a_flat_target_before_a_textured_background_has_finite_features(level: int) -> None:
    images, masks = pictures(3, 96, 160), block(3, (96, 160), slice(32, 64), slice(32, 64))
    images[:, :, :96] = level
    maps = classical_features(images, [0, 1], masks)
    assert bool(torch.isfinite(maps.values).all())


def test_a_target_of_one_cell_has_finite_features() -> None:
    maps = classical_features(pictures(3, 64, 64), [0], block(3, (64, 64), slice(20, 22), slice(30, 32)))
    assert bool(torch.isfinite(maps.values).all())


def test_a_target_smaller_than_a_cell_stands_for_the_whole_picture() -> None:
    images = pictures(2, 64, 64)
    masks = block(2, (64, 64), slice(20, 21), slice(30, 31))
    assert torch.equal(classical_features(images, [0], masks).values, classical_features(images, [0]).values)
    masks[0] = False
    assert torch.equal(classical_features(images, [0], masks).values, classical_features(images, [0]).values)


def test_a_great_many_cells_are_thinned_out() -> None:
    """Six pictures of 160 x 160 cells are more than the components are found on; all of them count about alike."""
    values = classical_features(pictures(6, 320, 320), range(6)).values[..., :-1].double()
    squared = (values**2).sum(dim=-1).mean(dim=(1, 2))
    torch.testing.assert_close(squared, torch.ones(6, dtype=torch.float64), rtol=0, atol=0.15)


def test_no_training_view_and_no_picture() -> None:
    with pytest.raises(ValueError, match="at least one training view"):
        classical_features(pictures(2, 8, 8), [])
    with pytest.raises(ValueError, match="expected a picture"):
        describe(np.zeros((8, 8), dtype=np.uint8))
