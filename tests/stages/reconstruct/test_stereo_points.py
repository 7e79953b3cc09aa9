"""The pull towards points of a stereo surface."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from nto3d.errors import InputError
from nto3d.fields.sdf import SdfField
from nto3d.stages.model import SurfaceModel
from nto3d.stages.reconstruct.start import distance_at, fit_to_distance, refined_distance
from nto3d.stages.reconstruct.stereo_points import (
    BATCH,
    CELL,
    CLEAR,
    FREE,
    GROSS,
    LOST,
    NORMAL,
    ROBUST,
    SLACK,
    StereoTerm,
    SurfacePoints,
    free_losses,
    point_losses,
)
from tests.stages.reconstruct.distances import G, ball, centers, field


def on_a_ball(count: int, radius: float = 0.5) -> SurfacePoints:
    directions = functional.normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(5)), dim=1)
    confidence = torch.rand(count, generator=torch.Generator().manual_seed(6)) * 0.5 + 0.5
    return SurfacePoints(directions * radius + torch.tensor([0.2, 0.0, -0.1]), directions, directions, confidence)


def four() -> SurfacePoints:
    """Points at the origin that face z and are seen from there; the second is half as sure."""
    up = torch.tensor([[0.0, 0.0, 1.0]]).repeat(4, 1)
    return SurfacePoints(torch.zeros(4, 3), up, up, torch.tensor([1.0, 0.5, 1.0, 1.0]))


class OnlySdf(torch.nn.Module):
    """As much of a model as the pull needs."""

    def __init__(self, sdf: SdfField) -> None:
        super().__init__()
        self.sdf = sdf
        self.precision = torch.float32

    autocast = SurfaceModel.autocast


def test_losses_of_single_points() -> None:
    points = four()
    sdf = torch.tensor([0.5 * ROBUST, -0.02, 1.1 * LOST, 0.0])
    gradient = torch.tensor([[0.0, 0.0, 2.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 3.0, 0.0]])
    expected = torch.tensor([0.125 * ROBUST, 0.5 * (0.02 - 0.5 * ROBUST), 0.0, NORMAL])
    torch.testing.assert_close(point_losses(sdf, gradient, points), expected)


def test_shards_add_up() -> None:
    model = OnlySdf(field())
    pull = StereoTerm(on_a_ball(5000, 0.32), weight=2.0, steps=100, seed=1)
    whole = pull.share(model, 0, 0, 1)  # type: ignore[arg-type]
    parts = sum(pull.share(model, 0, shard, 3) for shard in range(3))  # type: ignore[arg-type]
    torch.testing.assert_close(whole, parts)
    generator = torch.Generator().manual_seed(1_000_003)
    some = pull.points.chosen(torch.randint(5000, (BATCH,), generator=generator))
    before = model.sdf.sdf(some.before(torch.rand(BATCH, generator=generator)))
    sdf, gradient, _ = model.sdf(some.positions)
    expected = point_losses(sdf, gradient, some) + free_losses(before, some)
    torch.testing.assert_close(whole, 2.0 * expected.mean())
    half = StereoTerm(pull.points, weight=1.0, steps=100, seed=1)
    torch.testing.assert_close(pull.share(model, 50, 0, 1), 2.0 * half.share(model, 50, 0, 1))  # type: ignore[arg-type]
    nothing = StereoTerm(pull.points, weight=0.0, steps=100, seed=1)
    assert nothing.share(model, 0, 0, 1) == 0.0  # type: ignore[arg-type]


def test_later_only_what_is_far_off_counts() -> None:
    points = four()
    sdf, across = (
        torch.tensor([0.5 * SLACK, -3.0 * SLACK, 1.1 * LOST, 0.0]),
        torch.tensor([[1.0, 0.0, 0.0]]).repeat(4, 1),
    )
    expected = torch.tensor([0.0, 0.5 * GROSS * 2.0 * SLACK, 0.0, 0.0])
    torch.testing.assert_close(point_losses(sdf, across, points, precise=0.0), expected)


def test_what_a_camera_sees_through_is_not_solid() -> None:
    points = four()
    places = points.before(torch.tensor([0.0, 1.0, 0.5, 0.0]))
    torch.testing.assert_close(places[:, 2], torch.tensor([SLACK, FREE, 0.5 * (SLACK + FREE), SLACK]))
    assert not places[:, :2].any()
    losses = free_losses(torch.tensor([-0.02, -0.02, 0.0, 0.03]), points)
    torch.testing.assert_close(losses, CLEAR * torch.tensor([0.02, 0.01, 0.0, 0.0]))


def test_a_bump_before_the_points_goes() -> None:
    """A start with a bump where the points know better, but for one place in a thousand."""
    rough = torch.minimum(
        ball(centers(G, G, G)), (centers(G, G, G) - torch.tensor([0.2, 0.0, 0.42])).norm(dim=-1) - 0.08
    )
    points = on_a_ball(5000)
    sdf = field()
    fit_to_distance(sdf, rough, 0, points)
    # Under the bump, where the points see the ball; 0.05 before them the bump says it is solid
    under = points.chosen(torch.nonzero(points.normals[:, 2] > 0.995)[:, 0])
    assert len(under) > 5
    share = torch.full((len(under),), (0.05 - SLACK) / (FREE - SLACK))
    assert distance_at(rough, under.before(share)).max() < 0.0
    assert sdf.sdf(under.before(share)).min() > 0.0


def test_a_restored_pull_goes_on_as_before() -> None:
    model, pull = OnlySdf(field()), StereoTerm(on_a_ball(300), weight=2.0, steps=100, seed=4)
    again = StereoTerm.from_state(pull.state_dict())
    assert again.steps == 100
    assert torch.equal(pull.share(model, 7, 0, 1), again.share(model, 7, 0, 1))  # type: ignore[arg-type]


def test_a_pull_of_another_version_is_refused() -> None:
    state = StereoTerm(on_a_ball(30), weight=2.0, steps=100, seed=4).state_dict()
    del state["towards"]
    with pytest.raises(InputError, match="expected stereo points with towards, found none"):
        StereoTerm.from_state(state)


def test_points_are_thinned_alike_and_keep_together() -> None:
    points = on_a_ball(1000)
    few = points.thinned(100, seed=3)
    assert len(few) == 100
    assert torch.equal(few.positions, points.thinned(100, seed=3).positions)
    torch.testing.assert_close(few.normals * 0.5 + torch.tensor([0.2, 0.0, -0.1]), few.positions)
    assert points.thinned(1000, seed=3) is points


def test_thinning_keeps_what_few_views_see() -> None:
    """A thousand points in one cell and ten in another: of twenty, each cell has ten."""
    positions = torch.cat([torch.full((1000, 3), 0.25 * CELL), torch.full((10, 3), -0.25 * CELL)])
    up = torch.tensor([[0.0, 0.0, 1.0]]).repeat(1010, 1)
    few = SurfacePoints(positions, up, up, torch.linspace(0.1, 1.0, 1010)).thinned(20, seed=1)
    assert (few.positions[:, 0] < 0.0).sum() == 10
    assert len(few.confidence.unique()) == 20


def test_thinning_favours_no_side() -> None:
    points = on_a_ball(60_000)
    left = points.thinned(15_000, seed=2).normals[:, 0] < 0.0
    assert abs(float(left.float().mean()) - 0.5) < 0.02


def test_points_correct_a_rough_start() -> None:
    """The grid says a ball that is 0.03 too small, the points know better."""
    sdf, start, points = field(), ball(centers(G, G, G)) + 0.03, on_a_ball(5000)
    fit_to_distance(sdf, start, 0, points)
    found, gradient, _ = sdf(points.positions)
    assert found.abs().median() < 0.006
    assert (functional.normalize(gradient, dim=1) * points.normals).sum(dim=1).median() > 0.99
    refined = refined_distance(sdf, start)
    assert distance_at(refined, points.positions).abs().median() < 0.5 * distance_at(start, points.positions).median()
    far = start.abs() > 0.2
    assert torch.equal(refined[far], start[far])
