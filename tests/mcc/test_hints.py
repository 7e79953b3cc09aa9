"""Hints, by hand: a wall that is seen from the origin."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

from nto3d.mcc.batches import PLAIN, Augmentation, Places, generator, make_example, make_subject
from nto3d.mcc.hints import COUNT, MOST, Hints, thinned
from nto3d.mcc.inputs import seen_view
from nto3d.mcc.model import Mcc, MccSizes
from tests.mcc.formula import SMALL

SIZES = MccSizes(**{**vars(SMALL), "hints": True})


def wall() -> np.ndarray:
    """Points a hundredth apart, 2 before the eye, from -1 to 1 to both sides."""
    side = np.linspace(-1.0, 1.0, 201)
    x, y = np.meshgrid(side, side)
    return np.stack([x.ravel(), y.ravel(), np.full(x.size, 2.0)], axis=1)


def lengths(places: list[list[float]]) -> np.ndarray:
    """Distance, aside and behind of places [Q, 3]."""
    found = Hints(wall(), np.zeros(3)).at(np.array(places))
    assert found.shape == (len(places), COUNT)
    assert found.dtype == np.float32
    return found[:, 6:9]


def test_before_on_and_behind_the_wall() -> None:
    distance, aside, behind = lengths([[0.0, 0.0, 1.5], [0.0, 0.0, 2.0], [0.0, 0.0, 2.7]]).T
    assert distance == pytest.approx([0.5, 0.0, 0.7], abs=1e-6)
    assert aside == pytest.approx([0.0] * 3, abs=1e-6)
    assert behind == pytest.approx([-0.5, 0.0, 0.7], abs=1e-6)


def test_beside_the_outline() -> None:
    # at twice the depth the outline's ray through (1, 0, 2) is at x = 2; this place is half a unit beside it along x
    place = np.array([2.5, 0.0, 4.0])
    ray = np.array([1.0, 0.0, 2.0]) / np.sqrt(5.0)
    distance, aside, behind = lengths([place.tolist()])[0]
    assert aside == pytest.approx(np.linalg.norm(place - ray * (place @ ray)), abs=1e-5)
    assert behind == pytest.approx(place @ ray - np.sqrt(5.0), abs=1e-5)
    assert distance == pytest.approx(np.linalg.norm(place - [1.0, 0.0, 2.0]), abs=1e-5)


def test_the_way_leads_to_the_nearest_point() -> None:
    found = Hints(wall(), np.zeros(3)).at(np.array([[0.2, -0.3, 2.5], [0.0, 9.0, 2.0]]))
    assert found[0, :3].tolist() == pytest.approx([0.0, 0.0, -0.5], abs=1e-6)
    assert found[0, 3:6].tolist() == pytest.approx([0.0, 0.0, np.tanh(-2.5)], abs=1e-5)
    assert found[1, :3].tolist() == pytest.approx([0.0, -4.0, 0.0])  # no farther than that
    assert np.abs(found[:, 9:]).max() <= 1.0


@pytest.mark.parametrize(("height", "width"), [(400, 400), (480, 360), (45, 500), (30, 40)])
def test_thinned_pixels_leave_no_stripes(height: int, width: int) -> None:
    mask = np.zeros((height + 20, width + 30), dtype=np.bool_)
    mask[10:-10, 15:-15] = True
    thin = thinned(mask)
    assert not (thin & ~mask).any()
    assert min(MOST, mask.sum()) <= thin.sum() * 1.1
    assert thin.sum() <= 4.5 * MOST
    gaps = ndimage.distance_transform_edt(~thin)[mask]
    assert gaps.max() <= np.sqrt(2.0) * np.sqrt(mask.sum() / MOST) + 1e-9  # a step of the grid in both directions


def test_a_mask_of_a_few_pixels_is_kept() -> None:
    mask = np.zeros((9, 9), dtype=np.bool_)
    mask[3, 5] = True
    assert np.array_equal(thinned(mask), mask)


def view() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y, x = np.mgrid[:16, :16].astype(np.float64)
    mask = (x > 2) & (y > 4)
    z = 30 + 0.1 * x
    points = np.stack([(x - 8) / 20 * z, (y - 8) / 20 * z, z], axis=-1)
    return np.zeros((16, 16, 3), dtype=np.uint8), points, mask


def test_the_eye_is_where_the_camera_is() -> None:
    image, points, mask = view()
    seen = seen_view(image, points, mask, SIZES, margin=0)
    assert seen.to_camera(seen.eye) == pytest.approx([0.0, 0.0, 0.0], abs=1e-9)
    assert seen.to_camera(seen.seen) == pytest.approx(points[mask], abs=1e-9)
    # a place along a pixel's ray is not aside, and lies behind by as much as it is farther away
    place = seen.from_camera(points[10, 9] * 1.2)[None]
    _, aside, behind = seen.hints.at(place)[0, 6:9]
    assert aside == pytest.approx(0.0, abs=1e-6)
    assert behind * seen.scale == pytest.approx(0.2 * np.linalg.norm(points[10, 9]), rel=1e-5)


@pytest.mark.parametrize("augmentation", [PLAIN, Augmentation(0.2, 0.5, 30.0, 1.0)])
def test_hints_move_with_the_view(augmentation: Augmentation) -> None:
    """The surface is what is seen, moved away from the camera: every place is behind a seen point, none aside."""
    image, points, mask = view()
    subject = make_subject(image, points, mask, 1.3 * points[mask], image[mask], SIZES, margin=0)
    example = make_example(subject, Places(count=50, near=1.0, spread=1e-9), augmentation, generator(0, 0, 0))
    assert example.hints.shape == (50, COUNT)
    _, aside, behind = example.hints[:, 6:9].T
    assert aside.abs().max() < 1e-4
    assert (behind > 0.5).all()  # 0.3 of a distance of some 30, in units of the spread
    moved = dataclasses.replace(subject, eye=np.array([0.3, -2.0, 1.0]))
    wrong = make_example(moved, Places(count=50, near=1.0, spread=1e-9), augmentation, generator(0, 0, 0))
    assert wrong.hints[:, 7].abs().max() > 0.1


def test_a_network_without_hints_is_given_none() -> None:
    image, points, mask = view()
    subject = make_subject(image, points, mask, points[mask], image[mask], SMALL, margin=0)
    assert subject.seen is None
    assert make_example(subject, Places(count=5), PLAIN, generator(0, 0, 0)).hints.shape == (5, 0)


def test_a_network_with_hints_looks_at_them() -> None:
    torch.manual_seed(0)
    model = Mcc(SIZES).eval()
    picture, points = torch.rand(1, 3, SIZES.image, SIZES.image), torch.randn(1, SIZES.points, SIZES.points, 3)
    valid, places = torch.ones(1, SIZES.points, SIZES.points, dtype=torch.bool), torch.randn(1, 2, 3)
    hints = torch.zeros(1, 2, COUNT)
    with torch.no_grad():
        one, other = model(picture, points, valid, places, hints), model(picture, points, valid, places, hints + 1.0)
    assert not torch.allclose(one, other, atol=1e-3)
