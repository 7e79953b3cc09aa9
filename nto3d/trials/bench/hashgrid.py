"""The hash grid: features, their gradient by position, and the backward pass of a loss on both."""

from __future__ import annotations

import torch

from nto3d.build.device import build_device
from nto3d.config.schema import Config
from nto3d.errors import InputError
from nto3d.kernels.hashgrid.grid import HashGrid, HashGridSpec
from nto3d.trials.bench.table import DOUBLE, JACOBIAN, Row
from nto3d.trials.bench.timing import memory, seconds

LEVELS, BASE, FINEST = 16, 16, 2048


def bench_hashgrid(name: str, log2_entries: int, points: int, device_name: str) -> Row:
    """Time of features, gradient by position and backward pass of one backend; milliseconds."""
    device = build_device(Config(output="", device=device_name))
    spec = HashGridSpec(LEVELS, 2, log2_entries, BASE, FINEST)
    try:
        grid = HashGrid(spec, name.partition(",")[0]).to(device)
    except (InputError, ImportError, OSError) as error:
        return {"missing": str(error).splitlines()[0]}
    positions = torch.rand(points, 3, device=device) * 2.0 - 1.0
    w = torch.randn(points, spec.width, device=device, requires_grad=True)
    like_features, like_gradient = torch.randn(points, spec.width, device=device), torch.randn(points, 3, device=device)

    losses: list[torch.Tensor] = []

    def forward() -> None:
        if name == DOUBLE:
            x = positions.clone().requires_grad_()
            features = grid(x)
            (gradient,) = torch.autograd.grad((features * w).sum(), x, create_graph=True)
        else:
            features, jacobian = grid.with_jacobian(positions)
            gradient = torch.bmm(jacobian, w[..., None])[..., 0]
        losses.append((features * like_features).sum() + (gradient * like_gradient).sum())

    def backward() -> None:
        torch.autograd.grad(losses.pop(), [grid.table, w])

    repeats = 3 if name in (DOUBLE, JACOBIAN) and device.type == "cpu" else 20
    ahead, back = (1e3 * value for value in seconds([forward, backward], repeats, device))
    return {"ms": ahead + back, "forward_ms": ahead, "backward_ms": back, **memory(device)}
