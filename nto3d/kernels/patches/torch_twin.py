"""The plain torch twin of `patches.patch_ncc`, differentiated by autograd: what the kernel is tested against."""

from __future__ import annotations

import torch
from torch import Tensor

from nto3d.kernels.patches.patches import SMALLEST_VARIANCE, Patches, PatchViews
from nto3d.kernels.patches.steps import FAINT


def read_bilinear(grey: Tensor, view: Tensor, xy: Tensor) -> Tensor:
    """Values [N] of pictures [V, h, w] at pixels [N, 2] of the views [N]; outside, the border is repeated."""
    height, width = grey.shape[1:]
    column = xy[:, 0].detach().floor().long().clamp(0, width - 2)
    row = xy[:, 1].detach().floor().long().clamp(0, height - 2)
    fx, fy = (xy[:, 0] - column).clamp(0.0, 1.0), (xy[:, 1] - row).clamp(0.0, 1.0)
    a, b = (grey[view, row, column + step].to(xy.dtype) for step in (0, 1))
    c, d = (grey[view, row + 1, column + step].to(xy.dtype) for step in (0, 1))
    top, bottom = a + (b - a) * fx, c + (d - c) * fx
    return top + (bottom - top) * fy


def patch_ncc_torch(
    point: Tensor, normal: Tensor, views: PatchViews, patches: Patches
) -> tuple[Tensor, Tensor, Tensor]:
    """As `patches.patch_ncc`, in the dtype of the points."""
    rays, sources = patches.sources.shape
    offsets = torch.arange(-patches.half, patches.half + 1, device=point.device).to(point.dtype) * patches.step
    dy, dx = torch.meshgrid(offsets, offsets, indexing="ij")
    spread = torch.stack([dx, dy], dim=-1).reshape(-1, 2)  # [P, 2]
    count = len(spread)
    own = patches.view.long()
    pixels = patches.xy.to(point.dtype)[:, None] + spread  # [R, P, 2]
    reference = _at(views, own[:, None].expand(-1, count), pixels)

    q = torch.cat([pixels, torch.ones_like(pixels[..., :1])], dim=-1)
    directions = q @ views.cast.to(point.dtype)[own].transpose(1, 2)  # [R, P, 3]
    center = views.centers.to(point.dtype)[own]
    away = ((point - center) * normal).sum(1)
    facing = (directions * normal[:, None]).sum(-1)
    places = center[:, None] + directions * (away[:, None] / facing)[..., None]

    off = reference - _at(views, own, patches.xy.to(point.dtype))[:, None]
    away_from = (spread / patches.step).square().sum(1)
    weight = torch.exp(-0.5 * (off / patches.alike).square() - 0.5 * away_from / patches.near**2)
    weight = torch.where(weight < FAINT, 0.0, weight)
    weight = weight / weight.sum(1, keepdim=True)
    reference = reference - (weight * reference).sum(1, keepdim=True)
    variance = (weight * reference**2).sum(1)
    ncc, valid = point.new_zeros(rays, sources), torch.zeros(rays, sources, dtype=torch.bool, device=point.device)
    columns = []
    for s in range(sources):
        other = patches.sources[:, s].long()
        matrix = views.project.to(point.dtype)[other.clamp(min=0)]
        there = places @ matrix[:, :, :3].transpose(1, 2) + matrix[:, None, :, 3]
        seen = there[..., :2] / there[..., 2:].clamp(min=1e-6)
        values = _at(views, other.clamp(min=0)[:, None].expand(-1, count), seen)
        good = (other >= 0) & (away < 0) & (variance > SMALLEST_VARIANCE) & (facing < -1e-6).all(1)
        good &= (there[..., 2] > 1e-6).all(1) & _inside(views, seen)
        t = values - (weight * values).sum(1, keepdim=True)
        both = (weight * t**2).sum(1)
        good &= both > SMALLEST_VARIANCE
        found = (weight * reference * t).sum(1) / torch.sqrt(torch.where(good, variance * both, 1.0))
        columns.append(torch.where(good, found, torch.zeros_like(found)))
        valid[:, s] = good
    return (torch.stack(columns, dim=1) if columns else ncc), valid, variance


def _at(views: PatchViews, view: Tensor, pixels: Tensor) -> Tensor:
    placed = (pixels + 0.5) / views.shrink - 0.5
    return read_bilinear(views.grey, view.reshape(-1), placed.reshape(-1, 2)).reshape(view.shape)


def _inside(views: PatchViews, pixels: Tensor) -> Tensor:
    placed = (pixels + 0.5) / views.shrink - 0.5
    height, width = views.grey.shape[1:]
    inside = (placed >= 0).all(-1) & (placed[..., 0] <= width - 1) & (placed[..., 1] <= height - 1)
    return inside.all(1)
