"""The hash grid through tiny-cuda-nn (tinycudann, CUDA only): its kernels, our table.

The table is handed to tiny-cuda-nn's native module at every call, so optimiser, checkpoints and the other backends see
one and the same parameter. The module's own layer for torch is not used: it cannot differentiate a Jacobian by the
table. The native calls can, because a Jacobian J [3, C] of a point is linear in the table and tiny-cuda-nn knows the
derivatives of its vector-Jacobian product v = J u (u [C] comes in, v [3] goes out; `bwd_bwd_input`):

- by u, along a direction e: J^T e. Three calls with e = x, y, z are the rows of J. (The C vector-Jacobian products
  that would give its columns cost a launch each.)
- by the table, along e and u: the gradient of e^T J u. A gradient G [3, C] of J is the sum of e G_e over the three
  axes, so three calls are its gradient by the table.

Letters: N points, C features over all levels, B = N filled up to the batch granularity.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nto3d.errors import InputError
from nto3d.kernels.hashgrid.spec import HashGridSpec

INSTALL = "pip install --no-build-isolation -r requirements-cuda.txt"
FEATURES = (1, 2, 4, 8)  # per level, those that tiny-cuda-nn is compiled for


class TcnnEncoder:
    """Features and Jacobian of a hash grid through tinycudann, in float32.

    Raises:
        InputError: there is no CUDA or no tinycudann, or it does not have this grid.
    """

    def __init__(self, spec: HashGridSpec) -> None:
        modules = _load()
        if spec.features not in FEATURES:
            raise InputError(f"encoding.features: expected one of 1, 2, 4, 8 for encoding=tcnn, got {spec.features}")
        self.spec = spec
        encoding = modules.Encoding(3, _settings(spec), dtype=torch.float32)
        self.native = encoding.native_tcnn_module
        self.granularity = int(modules._C.batch_size_granularity())
        rows, has = spec.offsets[-1], int(self.native.n_params()) // spec.features
        if has != rows:  # its resolutions come from float32: at a whole number they may round to the other side
            raise InputError(
                f"encoding: expected a table of {rows} rows, tinycudann makes one of {has}; "
                "choose another encoding.base_resolution or encoding.max_resolution"
            )

    def __call__(self, positions: Tensor, table: Tensor, level_weight: Tensor, jacobian: bool) -> tuple[Tensor, Tensor]:
        """Features [N, C] and Jacobian [N, 3, C] (empty where not asked for); gradients go to the table only."""
        if positions.requires_grad:
            raise ValueError("the tcnn hash grid gives no gradient to positions; use with_jacobian")
        if positions.dtype != torch.float32 or table.dtype != torch.float32:
            raise TypeError(f"expected float32 positions and table, got {positions.dtype} and {table.dtype}")
        if not len(positions):
            empty = table.sum() * positions.new_zeros(0, self.spec.width)
            return empty, positions.new_zeros(0, 3, self.spec.width if jacobian else 0)
        unit = (positions * 0.5 + 0.5).clamp(0.0, 1.0)
        features, slopes = _Encode.apply(unit, table, self, jacobian)
        weight = level_weight.repeat_interleave(self.spec.features)
        return features * weight, slopes * (weight * 0.5 if jacobian else 1.0)  # du/dx = 1/2


class _Encode(torch.autograd.Function):
    """Features [N, C] and their derivative [N, 3, C] by u in 0..1, unweighted."""

    @staticmethod
    def forward(ctx: Any, unit: Tensor, table: Tensor, encoder: TcnnEncoder, jacobian: bool) -> tuple[Tensor, Tensor]:
        native, count, width = encoder.native, len(unit), encoder.spec.width
        fill = -count % encoder.granularity
        # The native calls look at `requires_grad` to see what to prepare and what to return.
        place = functional.pad(unit.detach(), (0, 0, 0, fill)).contiguous().requires_grad_(jacobian)
        params = table.detach().reshape(-1)
        params.requires_grad_(not jacobian)  # some input has to, or it forgets what the backward pass needs
        context, out = native.fwd(place, params)
        slopes = unit.new_empty(count, 3, width if jacobian else 0)
        if jacobian:
            upstream = torch.zeros_like(out).requires_grad_(True)
            for axis in range(3):
                along, _, _ = native.bwd_bwd_input(context, place, params, _axis(place, axis), upstream)
                slopes[:, axis] = along[:count, :width]
        ctx.save_for_backward(place.detach(), table, out)
        ctx.context, ctx.encoder, ctx.jacobian = context, encoder, jacobian
        return out[:count, :width].contiguous(), slopes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_features: Tensor, grad_slopes: Tensor) -> tuple[Tensor | None, ...]:
        place, table, out = ctx.saved_tensors
        native = ctx.encoder.native
        params = table.detach().reshape(-1).requires_grad_(True)
        _, grad = native.bwd(ctx.context, place, params, out, _filled(grad_features, out))
        if ctx.jacobian:
            for axis in range(3):
                upstream = _filled(grad_slopes[:, axis], out)
                _, part, _ = native.bwd_bwd_input(ctx.context, place, params, _axis(place, axis), upstream)
                grad = grad + part
        return None, grad.view_as(table), None, None


def _axis(place: Tensor, axis: int) -> Tensor:
    """The unit vector of an axis for every point, [B, 3]."""
    direction = torch.zeros_like(place, requires_grad=False)
    direction[:, axis] = 1.0
    return direction


def _filled(gradient: Tensor, out: Tensor) -> Tensor:
    """A gradient [N, C] in the shape of the native output, zeros elsewhere."""
    filled = torch.zeros_like(out)
    filled[: gradient.shape[0], : gradient.shape[1]] = gradient
    return filled


def _settings(spec: HashGridSpec) -> dict[str, Any]:
    return {
        "otype": "Grid",
        "type": "Hash",
        "hash": "CoherentPrime",
        "interpolation": "Linear",
        "n_levels": spec.levels,
        "n_features_per_level": spec.features,
        "log2_hashmap_size": spec.log2_entries,
        "base_resolution": spec.base_resolution,
        "per_level_scale": spec.growth,
    }


def _load() -> Any:
    """`tinycudann.modules`."""
    if not torch.cuda.is_available():
        raise InputError("encoding.backend: tcnn needs a CUDA device; use encoding=warp on the CPU")
    try:
        from tinycudann import modules
    except (ImportError, OSError, NameError) as error:  # built for another GPU: OSError, in some versions NameError
        raise InputError(
            f"encoding.backend: tcnn needs tinycudann, which cannot be loaded ({error}); install it with: {INSTALL}"
        ) from error
    return modules
