"""Surface that no ray meets: which cells count as such, and what becomes of them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nto3d.fields.color import ColorField
from nto3d.fields.sdf import SdfField
from nto3d.kernels.hashgrid import HashGrid, HashGridSpec
from nto3d.render.grid import OccupancyGrid
from nto3d.stages.hidden import HiddenSurface
from nto3d.stages.model import SurfaceModel

G, RADIUS = 32, 0.5


def model(rough: float = 0.0) -> SurfaceModel:
    """A ball, with relief where `rough` is given."""
    torch.manual_seed(0)
    spec = HashGridSpec(levels=4, features=2, log2_entries=12, base_resolution=8, max_resolution=32)
    grid = HashGrid(spec, "torch")
    sdf = SdfField(grid, hidden=16, geometry_features=3, radius=RADIUS)
    with torch.no_grad():
        grid.table.add_(rough * torch.randn(grid.table.shape))
    made = SurfaceModel(
        sdf, ColorField(3, 16, 1), OccupancyGrid(torch.ones(G, G, G, dtype=torch.bool)), torch.ones(1, 3)
    )
    made.refresh_grid()
    return made


def upper(made: SurfaceModel) -> Tensor:
    """Points of the surface's upper half, in every cell."""
    directions = functional.normalize(torch.randn(40_000, 3, generator=torch.Generator().manual_seed(1)), dim=1)
    directions = directions[directions[:, 2] > 0]
    low, high = torch.full((len(directions), 1), 0.2), torch.full((len(directions), 1), 0.9)
    for _ in range(20):
        middle = (low + high) / 2
        with torch.no_grad():
            inside = made.sdf.sdf(middle * directions)[:, None] < 0
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    return low * directions


def centers(hidden: HiddenSurface) -> Tensor:
    index = hidden.state_dict()["cells"]
    corner = torch.stack([index // (G * G), index // G % G, index % G], dim=1)
    return (corner + 0.5) * (2.0 / G) - 1.0


def test_hidden_is_what_holds_surface_and_was_not_met() -> None:
    made = model()
    hidden = HiddenSurface(made, 0.01, seed=0)
    hidden.refresh()
    everywhere = centers(hidden)
    assert len(everywhere) > 1000
    assert float((everywhere.norm(dim=1) - RADIUS).abs().max()) < 0.2
    hidden.meet(upper(made))
    hidden.refresh()
    left = centers(hidden)
    assert 0.3 * len(everywhere) < len(left) < 0.6 * len(everywhere)
    assert float(left[:, 2].max()) < 0.0


def test_the_loss_smooths_hidden_surface_only() -> None:
    made = model(rough=0.05)
    hidden = HiddenSurface(made, 0.01, seed=0)
    hidden.meet(upper(made))
    hidden.refresh()
    seen, places = upper(made)[::50], centers(hidden)
    before_seen = made.sdf(seen)[1].detach()
    first = float(sum(hidden.share(0, shard, 2) for shard in range(2)))
    optimizer = torch.optim.Adam([made.sdf.encoding.table], lr=2e-3)
    for step in range(60):
        optimizer.zero_grad()
        hidden.share(step, 0, 1).backward()
        optimizer.step()
    assert float(hidden.share(0, 0, 1)) < 0.3 * first
    turned = functional.cosine_similarity(made.sdf(seen[seen[:, 2] > 0.25])[1], before_seen[seen[:, 2] > 0.25])
    assert float(turned.detach().median()) > 0.98
    assert len(places) > 0


def test_parts_add_up_and_states_come_back() -> None:
    made = model(rough=0.05)
    hidden = HiddenSurface(made, 0.01, seed=3)
    hidden.meet(upper(made))
    hidden.refresh()
    whole = hidden.share(7, 0, 1)
    again = HiddenSurface(made, 0.01, seed=3)
    again.load_state_dict(hidden.state_dict())
    assert torch.equal(again.share(7, 0, 1), whole)
    assert float(hidden.share(8, 0, 1)) != float(whole)
    assert again.share(7, 0, 1).requires_grad


def test_nothing_hidden_costs_nothing() -> None:
    hidden = HiddenSurface(model(), 0.01, seed=0)  # not refreshed yet
    assert float(hidden.share(0, 0, 1)) == 0.0
