"""The sweep finds what asking everywhere finds, and asks far fewer places, no more at a time than it is told to."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from nto3d.mcc.query import decoded_colors, sweep

HALF = 0.1  # of the shell
LEVELS = 256


def logits_of(distance: Tensor, rgb: Tensor | None = None) -> Tensor:
    """Occupancy as a network has it: a shell around a surface, soft at its edges; and colours."""
    occupancy = 6.0 * torch.tanh((HALF - distance.abs()) / HALF * 2.0)
    classes = torch.zeros(len(distance), 3, LEVELS)
    if rgb is not None:
        classes.scatter_(2, rgb.long()[:, :, None], 10.0)
    return torch.cat([occupancy[:, None], classes.flatten(1)], dim=1)


def ball(places: Tensor) -> Tensor:
    return logits_of((places - torch.tensor([0.3, -0.2, 0.1])).norm(dim=1) - 1.1)


def needle(places: Tensor) -> Tensor:
    """A thin rod along x, and a ball."""
    rod = torch.stack([(places[:, 0].abs() - 1.5).clamp(min=0.0), places[:, 1] - 1.5, places[:, 2]], dim=1).norm(dim=1)
    return logits_of(torch.minimum(rod, ((places + 0.5).norm(dim=1) - 0.6).abs()))


@pytest.mark.parametrize("answer", [ball, needle])
def test_it_finds_what_asking_everywhere_finds_on_a_coarse_lattice(answer: object) -> None:
    assert callable(answer)
    whole, fine = sweep(answer, 0.1, 0.3, 2**16, first_stride=1), sweep(answer, 0.1, 0.3, 2**14)
    assert fine.asked < 0.2 * whole.asked
    assert np.array_equal(fine.occupied, whole.occupied)


@pytest.mark.parametrize("answer", [ball, needle])
def test_it_finds_what_asking_everywhere_finds(answer: object) -> None:
    assert callable(answer)
    whole = sweep(answer, 0.05, 0.3, 2**16, first_stride=1)
    fine = sweep(answer, 0.05, 0.3, 2**14)
    assert whole.asked == 120**3
    assert fine.asked < 0.12 * whole.asked
    assert np.array_equal(fine.occupied, whole.occupied)
    assert np.array_equal(fine.logit[fine.occupied], whole.logit[whole.occupied])


def test_the_lattice_is_that_of_the_published_demo() -> None:
    found = sweep(ball, 0.5, 0.3, 1000, first_stride=1)
    assert found.axis.tolist() == pytest.approx([-3.0 + 0.5 * index for index in range(12)])
    assert sweep(ball, 0.7, 0.3, 1000).logit.shape == (9, 9, 9)  # an odd number of places, no multiple of the stride


@pytest.mark.parametrize("granularity", [0.07, 0.11, 0.13])
def test_the_last_places_are_asked_like_the_first(granularity: float) -> None:
    def corner(places: Tensor) -> Tensor:
        return logits_of((places - 2.9).norm(dim=1) - 0.5)

    whole, fine = (sweep(corner, granularity, 0.3, 2**14, first_stride=stride) for stride in (1, 4))
    assert whole.occupied.any()
    assert np.array_equal(fine.occupied, whole.occupied)


def test_no_more_places_at_a_time_than_allowed_and_none_twice() -> None:
    sizes: list[int] = []
    seen: list[np.ndarray] = []
    passes: list[tuple[int, int, int]] = []

    def counted(places: Tensor) -> Tensor:
        sizes.append(len(places))
        seen.append(places.numpy().copy())
        return ball(places)

    found = sweep(counted, 0.1, 0.3, 777, lambda *values: passes.append(values), first_stride=4)
    assert max(sizes) == 777
    assert sum(sizes) == found.asked
    assert len(np.unique(np.concatenate(seen).round(5), axis=0)) == found.asked
    assert [number for number, _, _ in passes] == sorted(number for number, _, _ in passes)
    assert {number for number, _, _ in passes} >= {0, 1, 2}
    assert all(
        passes[index][1] == passes[index][2]
        for index in range(len(passes) - 1)
        if passes[index][0] != passes[index + 1][0]
    )


def test_colours_belong_to_their_places() -> None:
    """Red says where along x a place is, green where along y."""

    def painted(places: Tensor) -> Tensor:
        rgb = torch.stack([places[:, 0] * 40 + 128, places[:, 1] * 40 + 128, torch.full((len(places),), 7.0)], dim=1)
        return logits_of(places.norm(dim=1) - 1.0, rgb.round())

    found = sweep(painted, 0.1, 0.5, 500)
    assert len(found.rgb) == len(found.places) == found.occupied.sum()
    expected = np.rint(found.places[:, :2].astype(np.float32) * 40 + 128)
    assert np.abs(found.rgb[:, :2] - expected).max() <= 1
    assert (found.rgb[:, 2] == 7).all()


def test_nothing_is_found_where_nothing_is() -> None:
    found = sweep(lambda places: logits_of(torch.full((len(places),), 9.0)), 0.2, 0.3, 4096, first_stride=4)
    assert not found.occupied.any()
    assert found.rgb.shape == (0, 3)
    assert found.asked == 8**3  # every fourth of 30


def test_colours_are_means_over_the_classes() -> None:
    logits = torch.full((1, 1 + 3 * LEVELS), -1e4)
    logits[0, 1 + 10] = logits[0, 1 + 20] = 0.0  # red: 10 or 20, alike
    logits[0, 1 + LEVELS + 200] = 0.0
    logits[0, 1 + 2 * LEVELS + 0], logits[0, 1 + 2 * LEVELS + 100] = 0.0, math.log(3.0)
    assert decoded_colors(logits, temperature=1.0).tolist() == [[15, 200, 75]]
    assert decoded_colors(logits, temperature=0.1).tolist()[0][2] == 100  # three to one becomes 3^10 to one


@pytest.mark.parametrize("values", [(0.0, 0.3, 9, 4), (0.1, 1.0, 9, 4), (0.1, 0.3, 0, 4), (0.1, 0.3, 9, 3)])
def test_impossible_numbers_are_refused(values: tuple[float, float, int, int]) -> None:
    granularity, threshold, batch, stride = values
    with pytest.raises(ValueError, match="expected"):
        sweep(ball, granularity, threshold, batch, first_stride=stride)


def test_every_pass_tells_what_is_new() -> None:
    passes: list[tuple[int, np.ndarray, np.ndarray]] = []
    found = sweep(ball, 0.05, 0.3, 2**14, found=lambda *told: passes.append(told))
    assert [number for number, _, _ in passes[:3]] == [0, 1, 2]
    told = np.concatenate([places for _, places, _ in passes])
    assert len(told) == found.occupied.sum() == len(np.unique(told.round(4), axis=0))
    assert {tuple(place) for place in told.round(4)} == {tuple(place) for place in found.places.round(4)}
    assert all(len(places) == len(rgb) for _, places, rgb in passes)


def test_a_pass_that_finds_nothing_tells_no_places() -> None:
    passes: list[int] = []
    sweep(
        lambda places: logits_of(torch.full((len(places),), 9.0)),
        0.05,
        0.3,
        2**16,
        found=lambda number, places, rgb: passes.append(len(places)),
    )
    assert set(passes) == {0}


@pytest.mark.parametrize(("granularity", "first"), [(0.05, 4), (0.1, 2), (0.2, 1), (0.5, 1)])
def test_the_first_pass_does_not_step_over_the_shell(granularity: float, first: int) -> None:
    asked: list[Tensor] = []

    def answer(places: Tensor) -> Tensor:
        asked.append(places)
        return ball(places)

    fine, same = sweep(answer, granularity, 0.3, 2**24), sweep(ball, granularity, 0.3, 2**24, first_stride=first)
    assert fine.asked == same.asked
    steps = asked[0][:, 2].unique().diff()
    assert steps.tolist() == pytest.approx([first * granularity] * len(steps), rel=1e-4)


def test_a_larger_box_is_asked_where_told() -> None:
    def far(places: Tensor) -> Tensor:
        return logits_of((places - torch.tensor([0.0, 0.0, 3.6])).norm(dim=1) - 0.4)

    assert not sweep(far, 0.1, 0.3, 2**16).occupied[:, :, -1].all()
    wide = sweep(far, 0.1, 0.3, 2**16, extent=4.5)
    assert wide.logit.shape == (90, 90, 90)
    assert wide.places[:, 2].max() > 3.9


def test_around_what_is_occupied_everything_is_known() -> None:
    found = sweep(needle, 0.05, 0.3, 2**16)
    around = ndimage.binary_dilation(found.occupied)
    assert np.isfinite(found.logit[around]).all()
