from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from nto3d.evaluate.damage import CUT, DAMAGES, PATCH, SPILL, cut_away, foreign_patch, spilt
from nto3d.types import BoolArray, ByteArray, FloatArray

SIZE, KEEP = (90, 120), np.array([60.0, 44.0])
Damage = Callable[[BoolArray, ByteArray, FloatArray, np.random.Generator], BoolArray]


def ellipse() -> BoolArray:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    inside: BoolArray = ((x - 60) / 36) ** 2 + ((y - 44) / 24) ** 2 < 1
    return inside


MASK = ellipse()
EVEN = np.where(MASK[..., None], (200, 60, 40), (90, 100, 110)).astype(np.uint8)


def share(region: BoolArray) -> float:
    return float(np.count_nonzero(region) / np.count_nonzero(MASK))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("seed", range(5))
def test_what_all_damages_share(damage: Damage, seed: int) -> None:
    mask, image = MASK.copy(), EVEN.copy()
    damaged = damage(mask, image, KEEP, np.random.default_rng(seed))
    assert damaged.shape == SIZE
    assert damaged.dtype == np.bool_
    assert (damaged != MASK).any()
    assert damaged[int(KEEP[1]), int(KEEP[0])]
    np.testing.assert_array_equal(mask, MASK)
    np.testing.assert_array_equal(image, EVEN)
    np.testing.assert_array_equal(damaged, damage(mask, image, KEEP, np.random.default_rng(seed)))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_another_seed_damages_another_place(damage: Damage) -> None:
    found = [damage(MASK, EVEN, np.array([40.0, 44.0]), np.random.default_rng(seed)) for seed in range(4)]
    assert all((found[0] != other).any() for other in found[1:])


@pytest.mark.parametrize("keep", [(30.0, 44.0), (88.0, 40.0), (60.0, 64.0), (60.0, 24.0)])
@pytest.mark.parametrize("seed", range(3))
def test_a_fifth_is_cut_away_far_from_the_point(keep: tuple[float, float], seed: int) -> None:
    point = np.array(keep)
    cut = cut_away(MASK, EVEN, point, np.random.default_rng(seed))
    gone = MASK & ~cut
    assert not (cut & ~MASK).any()
    assert share(gone) == pytest.approx(CUT, abs=0.01)
    assert cut[int(keep[1]), int(keep[0])]
    # The cut is one straight piece, and its middle lies beyond the mask's, seen from the point
    assert cv2.connectedComponents(gone.view(np.uint8))[0] == 2
    middle, there = (np.argwhere(region).mean(axis=0)[::-1] for region in (MASK, gone))
    assert (there - middle) @ (middle - point) > 0


@pytest.mark.parametrize("seed", range(4))
def test_a_patch_of_a_tenth_at_the_outline(seed: int) -> None:
    patched = foreign_patch(MASK, EVEN, KEEP, np.random.default_rng(seed))
    added = patched & ~MASK
    assert not (MASK & ~patched).any()
    assert share(added) == pytest.approx(PATCH, abs=0.015)
    touching = cv2.dilate(MASK.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert (added & touching).any()


def test_a_patch_where_little_else_is_left() -> None:
    nearly = np.ones(SIZE, dtype=bool)
    nearly[:3, :20] = False
    patched = foreign_patch(nearly, EVEN, KEEP, np.random.default_rng(0))
    assert patched.all()


@pytest.mark.parametrize("seed", range(3))
def test_a_spill_of_a_fifth_where_there_is_room(seed: int) -> None:
    spill = spilt(MASK, EVEN, KEEP, np.random.default_rng(seed))
    added = spill & ~MASK
    assert not (MASK & ~spill).any()
    assert share(added) == pytest.approx(SPILL, abs=0.01)
    # It starts beside the mask and is in one piece
    assert cv2.connectedComponents(added.view(np.uint8), connectivity=4)[0] == 2
    assert (added & (cv2.dilate(MASK.view(np.uint8), np.ones((7, 7), np.uint8)) > 0)).any()


def test_a_spill_ends_at_edges() -> None:
    """A band beside the mask is even, all else is a chequerboard."""
    band = np.zeros(SIZE, dtype=bool)
    band[15:75, 88:106] = True
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    image = np.where(((x // 6 + y // 6) % 2 == 0)[..., None], 30, 220) * np.ones(3)
    image[band | MASK] = (120, 90, 60)
    spill = spilt(MASK, image.astype(np.uint8), KEEP, np.random.default_rng(0))
    added = spill & ~MASK
    assert share(added) > 0.08
    assert (added & band).sum() > 0.8 * added.sum()


def test_noise_leaves_nothing_to_spill_into() -> None:
    noise = np.random.default_rng(0).integers(0, 2, (*SIZE, 1), dtype=np.uint8) * np.full(3, 255, np.uint8)
    blocks = cv2.resize(noise[::5, ::5].copy(), SIZE[::-1], interpolation=cv2.INTER_NEAREST)
    spill = spilt(MASK, blocks, KEEP, np.random.default_rng(0))
    assert share(spill & ~MASK) < SPILL + 0.01
    assert not (MASK & ~spill).any()
