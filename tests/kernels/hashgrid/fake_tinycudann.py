"""A stand-in for tinycudann on the CPU: the calls of its native module, computed by the torch twin.

It keeps to what the bindings do: which derivatives are prepared and returned depends on `requires_grad`, batches are
multiples of the granularity, the output is padded, and a backward pass needs the context of a forward pass that
prepared it.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from torch import Tensor

from nto3d.kernels.hashgrid.spec import HashGridSpec
from nto3d.kernels.hashgrid.torch_twin import TorchEncoder

GRANULARITY = 16
PADDING = 3  # columns of the native output beyond the features


class Context:
    def __init__(self, valid: bool, slopes: bool) -> None:
        self.valid, self.slopes = valid, slopes


class Native:
    def __init__(self, spec: HashGridSpec) -> None:
        self.spec, self.twin = spec, TorchEncoder(spec)

    def n_params(self) -> int:
        return self.spec.offsets[-1] * self.spec.features

    def _encode(self, place: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        """Output [B, C + padding] and its derivative [B, 3, C + padding] by places in 0..1."""
        assert len(place) % GRANULARITY == 0
        assert place.is_contiguous()
        assert params.shape == (self.n_params(),)
        table = params.view(-1, self.spec.features)
        features, slopes = self.twin(place * 2.0 - 1.0, table, torch.ones(self.spec.levels).to(table), True)
        pad = torch.nn.functional.pad
        return pad(features, (0, PADDING)), pad(slopes * 2.0, (0, PADDING))

    def fwd(self, place: Tensor, params: Tensor) -> tuple[Context, Tensor]:
        with torch.no_grad():
            out, _ = self._encode(place, params)
        return Context(place.requires_grad or params.requires_grad, place.requires_grad), out

    def bwd(
        self, context: Context, place: Tensor, params: Tensor, out: Tensor, upstream: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        assert context.valid
        assert upstream.shape == out.shape
        assert upstream.is_contiguous()
        assert not place.requires_grad, "not needed by this project"
        if not params.requires_grad:
            return None, None
        with torch.enable_grad():
            rows = params.detach().requires_grad_(True)
            (grad,) = torch.autograd.grad((self._encode(place, rows)[0] * upstream).sum(), rows)
        return None, grad

    def bwd_bwd_input(
        self, context: Context, place: Tensor, params: Tensor, direction: Tensor, upstream: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        assert context.valid
        assert context.slopes
        assert direction.shape == place.shape
        assert place.requires_grad or params.requires_grad, "the bindings hand the kernel a null pointer otherwise"
        by_upstream = by_params = None
        with torch.enable_grad():
            u, rows = upstream.detach().requires_grad_(True), params.detach().requires_grad_(True)
            pulled = (self._encode(place.detach(), rows)[1] * u[:, None]).sum(dim=2)  # J u, [B, 3]
            total = (pulled * direction).sum()
            if upstream.requires_grad:
                (by_upstream,) = torch.autograd.grad(total, u, retain_graph=True)
            if params.requires_grad:
                (by_params,) = torch.autograd.grad(total, rows)
        return by_upstream, by_params, torch.zeros_like(place) if place.requires_grad else None


class Encoding:
    def __init__(self, inputs: int, settings: dict[str, Any], dtype: torch.dtype) -> None:
        assert inputs == 3
        assert dtype == torch.float32
        assert (settings["otype"], settings["type"], settings["interpolation"]) == ("Grid", "Hash", "Linear")
        levels, base = settings["n_levels"], settings["base_resolution"]
        finest = round(base * settings["per_level_scale"] ** (levels - 1))
        spec = HashGridSpec(levels, settings["n_features_per_level"], settings["log2_hashmap_size"], base, finest)
        self.native_tcnn_module = Native(spec)


def package() -> types.ModuleType:
    """What `import tinycudann` finds."""
    outer, modules = types.ModuleType("tinycudann"), types.ModuleType("tinycudann.modules")
    modules.Encoding = Encoding  # type: ignore[attr-defined]
    modules._C = types.SimpleNamespace(batch_size_granularity=lambda: GRANULARITY)  # type: ignore[attr-defined]
    outer.modules = modules  # type: ignore[attr-defined]
    return outer
