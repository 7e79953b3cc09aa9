"""The pull towards points of a stereo surface."""

from __future__ import annotations

import torch
from torch.nn import functional

from nto3d.fields.sdf import SdfField
from nto3d.stages.model import SurfaceModel
from nto3d.stages.pull import BATCH, GROSS, LOST, NORMAL, ROBUST, SLACK, StereoPull, SurfacePoints, point_losses
from nto3d.stages.start import distance_at, fit_to_distance, refined_distance
from tests.stages.test_start import G, ball, centers, field


def on_a_ball(count: int, radius: float = 0.5) -> SurfacePoints:
    directions = functional.normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(5)), dim=1)
    confidence = torch.rand(count, generator=torch.Generator().manual_seed(6)) * 0.5 + 0.5
    return SurfacePoints(directions * radius + torch.tensor([0.2, 0.0, -0.1]), directions, confidence)


class OnlySdf(torch.nn.Module):
    """As much of a model as the pull needs."""

    def __init__(self, sdf: SdfField) -> None:
        super().__init__()
        self.sdf = sdf
        self.precision = torch.float32

    autocast = SurfaceModel.autocast


def test_losses_of_single_points() -> None:
    points = SurfacePoints(
        torch.zeros(4, 3), torch.tensor([[0.0, 0.0, 1.0]]).repeat(4, 1), torch.tensor([1.0, 0.5, 1.0, 1.0])
    )
    sdf = torch.tensor([0.5 * ROBUST, -0.02, 1.1 * LOST, 0.0])
    gradient = torch.tensor([[0.0, 0.0, 2.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 3.0, 0.0]])
    expected = torch.tensor([0.125 * ROBUST, 0.5 * (0.02 - 0.5 * ROBUST), 0.0, NORMAL])
    torch.testing.assert_close(point_losses(sdf, gradient, points), expected)


def test_shards_add_up() -> None:
    model = OnlySdf(field())
    pull = StereoPull(on_a_ball(5000, 0.32), weight=2.0, steps=100, seed=1)
    whole = pull.share(model, 0, 0, 1)  # type: ignore[arg-type]
    parts = sum(pull.share(model, 0, shard, 3) for shard in range(3))  # type: ignore[arg-type]
    torch.testing.assert_close(whole, parts)
    some = pull.points.chosen(torch.randint(5000, (BATCH,), generator=torch.Generator().manual_seed(1_000_003)))
    sdf, gradient, _ = model.sdf(some.positions)
    torch.testing.assert_close(whole, 2.0 * point_losses(sdf, gradient, some).mean())
    half = StereoPull(pull.points, weight=1.0, steps=100, seed=1)
    torch.testing.assert_close(pull.share(model, 50, 0, 1), 2.0 * half.share(model, 50, 0, 1))  # type: ignore[arg-type]
    nothing = StereoPull(pull.points, weight=0.0, steps=100, seed=1)
    assert nothing.share(model, 0, 0, 1) == 0.0  # type: ignore[arg-type]


def test_later_only_what_is_far_off_counts() -> None:
    points = SurfacePoints(
        torch.zeros(4, 3), torch.tensor([[0.0, 0.0, 1.0]]).repeat(4, 1), torch.tensor([1.0, 0.5, 1.0, 1.0])
    )
    sdf, across = (
        torch.tensor([0.5 * SLACK, -3.0 * SLACK, 1.1 * LOST, 0.0]),
        torch.tensor([[1.0, 0.0, 0.0]]).repeat(4, 1),
    )
    expected = torch.tensor([0.0, 0.5 * GROSS * 2.0 * SLACK, 0.0, 0.0])
    torch.testing.assert_close(point_losses(sdf, across, points, precise=0.0), expected)


def test_a_restored_pull_goes_on_as_before() -> None:
    model, pull = OnlySdf(field()), StereoPull(on_a_ball(300), weight=2.0, steps=100, seed=4)
    again = StereoPull.from_state(pull.state_dict())
    assert again.steps == 100
    assert torch.equal(pull.share(model, 7, 0, 1), again.share(model, 7, 0, 1))  # type: ignore[arg-type]


def test_points_are_thinned_alike_and_keep_together() -> None:
    points = on_a_ball(1000)
    few = points.thinned(100, seed=3)
    assert len(few) == 100
    assert torch.equal(few.positions, points.thinned(100, seed=3).positions)
    torch.testing.assert_close(few.normals * 0.5 + torch.tensor([0.2, 0.0, -0.1]), few.positions)
    assert points.thinned(1000, seed=3) is points


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
