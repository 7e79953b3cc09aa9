"""Patches of a picture carried over a surface into other pictures, and how alike they look there.

The tangent plane at a surface point carries the pixels around a ray into another view by a homography (Hartley &
Zisserman 13.2); zero-mean normalised cross-correlation (NCC) compares the grey values, so gain and offset of a picture
do not matter. Value and derivatives by the point and the normal come from one pass over the patch.

Letters: V views, H W picture size, R rays, S source views a ray, P patch pixels.
"""

# ruff: noqa: UP018, RUF046
# (Warp tells variables from constants by the call of float, int or bool)
# mypy: disable-error-code="operator,misc"
# (inside kernels, where wp.tid() and wp.vec3 mean more than Warp's stubs say)
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import warp as wp
from torch import Tensor
from torch.autograd.function import once_differentiable

from nto3d.kernels.launch import array, launch_spans, runs
from nto3d.types import Cameras

FAINT = 0.05  # weight below which a pixel does not count at all
SMALLEST_VARIANCE = 1e-3  # of grey values 0..255: below it a patch is plain, and its correlation counts as 0


@dataclass(frozen=True)
class PatchViews:
    """The pictures between which patches are carried, and their cameras.

    Attributes:
        grey: uint8 [V, h, w]. shrink: how many pixels of the cameras a pixel of `grey` is wide and high.
        project: [V, 3, 4] pixel (homogeneous) of a point. cast: [V, 3, 3] direction of the ray through a pixel
            (homogeneous). centers: [V, 3]. All float32, normalized frame, pixels of the cameras.
    """

    grey: Tensor
    shrink: float
    project: Tensor
    cast: Tensor
    centers: Tensor

    @staticmethod
    def of(cameras: Cameras, grey: Tensor, shrink: float = 1.0) -> PatchViews:
        """Pictures [V, h, w] with their cameras, on the device of the pictures."""
        rotation, centers = cameras.cam_to_world[:, :, :3], cameras.centers
        to_camera = rotation.transpose(0, 2, 1)
        projection = np.concatenate([to_camera, -(to_camera @ centers[:, :, None])], axis=2)
        matrices = (cameras.intrinsics @ projection, rotation @ np.linalg.inv(cameras.intrinsics), centers)
        placed = [torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32)).to(grey.device) for value in matrices]
        return PatchViews(grey.contiguous(), shrink, *placed)


@dataclass(frozen=True)
class Patches:
    """What is carried: R patches.

    Attributes:
        view: [R] int32, the view of each patch. xy: [R, 2] float32 its middle, pixels.
        sources: [R, S] int32, the views it is carried into; -1: none.
        half: pixels on either side of the middle; the patch has (2 half + 1)^2. step: pixels between them.
        alike, near: standard deviations, in grey values and in patch pixels, of the weights: what looks unlike the
            middle or lies away from it may lie on another surface (Yoon & Kweon 2006).
    """

    view: Tensor
    xy: Tensor
    sources: Tensor
    half: int
    step: float = 1.0
    alike: float = 1e6
    near: float = 1e6


@wp.func
def _read(grey: wp.array(dtype=wp.uint8), first: int, wide: int, high: int, x: float, y: float) -> wp.vec3:  # type: ignore[valid-type]
    """Value and its derivatives by x and y, bilinear, in the picture that begins at `first`; its border goes on."""
    column = wp.clamp(int(x), 0, wide - 2)
    row = wp.clamp(int(y), 0, high - 2)
    fx = wp.clamp(x - float(column), 0.0, 1.0)
    fy = wp.clamp(y - float(row), 0.0, 1.0)
    at = first + row * wide + column
    a = float(grey[at])
    b = float(grey[at + 1])
    c = float(grey[at + wide])
    d = float(grey[at + wide + 1])
    top = a + (b - a) * fx
    bottom = c + (d - c) * fx
    return wp.vec3(top + (bottom - top) * fy, (b - a) * (1.0 - fy) + (d - c) * fy, bottom - top)


@wp.kernel(module="nto3d.patches", enable_backward=False)
def _reference(
    grey: wp.array(dtype=wp.uint8),  # type: ignore[valid-type]  # [V h w]
    wide: int,
    high: int,
    view: wp.array(dtype=wp.int32),  # type: ignore[valid-type]  # [R]
    xy: wp.array(dtype=wp.vec2),  # type: ignore[valid-type]  # [R]
    half: int,
    step: float,
    shrink: float,
    alike: float,
    near: float,
    own: wp.array(dtype=wp.vec2, ndim=2),  # type: ignore[valid-type]  # [R, P]: value less the mean, weight
    variance: wp.array(dtype=wp.float32),  # type: ignore[valid-type]  # [R]
    begin: int,
    end: int,
    stride: int,
) -> None:
    """The patches' own grey values, and how much each pixel counts: those that look and lie like the middle."""
    ray = begin + wp.tid()
    side = 2 * half + 1
    while ray < end:
        first = view[ray] * wide * high
        middle = _read(grey, first, wide, high, (xy[ray][0] + 0.5) / shrink - 0.5, (xy[ray][1] + 0.5) / shrink - 0.5)[0]
        weights = float(0.0)
        total = float(0.0)
        squares = float(0.0)
        for j in range(-half, half + 1):
            for i in range(-half, half + 1):
                u = xy[ray][0] + float(i) * step
                v = xy[ray][1] + float(j) * step
                r = _read(grey, first, wide, high, (u + 0.5) / shrink - 0.5, (v + 0.5) / shrink - 0.5)[0] - middle
                w = wp.exp(-r * r * alike - float(i * i + j * j) * near)
                if w < FAINT:
                    w = 0.0
                own[ray, (j + half) * side + i + half] = wp.vec2(r, w)
                weights += w
                total += w * r
                squares += w * r * r
        mean = total / weights
        variance[ray] = squares / weights - mean * mean
        for k in range(side * side):
            own[ray, k] = wp.vec2(own[ray, k][0] - mean, own[ray, k][1] / weights)
        ray += stride


@wp.kernel(module="nto3d.patches", enable_backward=False)
def _correlate(
    grey: wp.array(dtype=wp.uint8),  # type: ignore[valid-type]  # [V h w]
    wide: int,
    high: int,
    project: wp.array(dtype=wp.float32, ndim=3),  # type: ignore[valid-type]  # [V, 3, 4]
    cast: wp.array(dtype=wp.mat33),  # type: ignore[valid-type]  # [V]
    centers: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]  # [V]
    point: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]  # [R]
    normal: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]  # [R]
    view: wp.array(dtype=wp.int32),  # type: ignore[valid-type]  # [R]
    xy: wp.array(dtype=wp.vec2),  # type: ignore[valid-type]  # [R]
    sources: wp.array(dtype=wp.int32, ndim=2),  # type: ignore[valid-type]  # [R, S]
    own: wp.array(dtype=wp.vec2, ndim=2),  # type: ignore[valid-type]  # [R, P]
    variance: wp.array(dtype=wp.float32),  # type: ignore[valid-type]  # [R]
    half: int,
    step: float,
    shrink: float,
    least: float,
    ncc: wp.array(dtype=wp.float32, ndim=2),  # type: ignore[valid-type]  # [R, S]
    valid: wp.array(dtype=wp.uint8, ndim=2),  # type: ignore[valid-type]  # [R, S]
    by_point: wp.array(dtype=wp.vec3, ndim=2),  # type: ignore[valid-type]  # [R, S]
    by_normal: wp.array(dtype=wp.vec3, ndim=2),  # type: ignore[valid-type]  # [R, S]
    begin: int,
    end: int,
    stride: int,
) -> None:
    ray = begin + wp.tid()
    scale = 1.0 / shrink
    border = 0.5 * scale - 0.5
    to_grey = wp.mat33(scale, 0.0, border, 0.0, scale, border, 0.0, 0.0, 1.0)  # pixels of `grey` from the cameras'
    while ray < end:
        middle = xy[ray]
        back = cast[view[ray]]
        here = centers[view[ray]]
        n = normal[ray]
        x = point[ray] - here  # relative to the camera
        away = wp.dot(n, x)
        tilt = wp.transpose(back) * n  # n . (direction through a pixel q) = tilt . q
        spread = variance[ray]
        for s in range(sources.shape[1]):
            other = sources[ray, s]
            good = other >= 0 and spread > least and away < 0.0
            # Sums over the patch, weighted: of the source's value t, of its slope g by the plane's distance, and of
            # g times the way to the pixel's point (p, p u, p v); each alone, times the patch's value r, and times t
            t_sum = float(0.0)
            tt_sum = float(0.0)
            rt_sum = float(0.0)
            g_sum = wp.vec4(0.0, 0.0, 0.0, 0.0)
            rg_sum = wp.vec4(0.0, 0.0, 0.0, 0.0)
            tg_sum = wp.vec4(0.0, 0.0, 0.0, 0.0)
            if good:
                turn = wp.mat33(
                    project[other, 0, 0], project[other, 0, 1], project[other, 0, 2],
                    project[other, 1, 0], project[other, 1, 1], project[other, 1, 2],
                    project[other, 2, 0], project[other, 2, 1], project[other, 2, 2],
                )  # fmt: skip
                shift = wp.vec3(project[other, 0, 3], project[other, 1, 3], project[other, 2, 3])
                epipole = to_grey * (turn * here + shift)
                carry = to_grey * turn * back
                # Pixels are homogeneous and times `facing`, which is negative in front. A patch lies in the picture
                # and is seen from the front where its corners are
                for corner in range(4):
                    qu = middle[0] + float(half * (2 * (corner % 2) - 1)) * step
                    qv = middle[1] + float(half * (2 * (corner // 2) - 1)) * step
                    facing = tilt[0] * qu + tilt[1] * qv + tilt[2]
                    there = epipole * facing + carry * wp.vec3(qu, qv, 1.0) * away
                    if facing > -1e-6 or there[2] > -1e-9:
                        good = bool(False)
                    else:
                        px = there[0] / there[2]
                        py = there[1] / there[2]
                        if px < 0.0 or py < 0.0 or px > float(wide - 1) or py > float(high - 1):
                            good = bool(False)
            if good:
                base = other * wide * high
                zero = _read(grey, base, wide, high, 0.0, 0.0)[0]  # any constant serves that keeps the sums small
                k = int(0)
                for j in range(-half, half + 1):
                    qv = middle[1] + float(j) * step
                    facing = tilt[0] * (middle[0] - float(half) * step) + tilt[1] * qv + tilt[2]
                    ahead = carry * wp.vec3(middle[0] - float(half) * step, qv, 1.0)
                    for i in range(2 * half + 1):
                        mine = own[ray, k]
                        w = mine[1]
                        if w > 0.0:
                            there = epipole * facing + ahead * away
                            per_both = 1.0 / (there[2] * facing)
                            per_z = per_both * facing
                            px = there[0] * per_z
                            py = there[1] * per_z
                            value = _read(grey, base, wide, high, px, py)
                            slope = (value[1] * (ahead[0] - px * ahead[2]) + value[2] * (ahead[1] - py * ahead[2])) * (
                                w * per_z
                            )
                            way = slope * per_both * there[2]
                            g = wp.vec4(slope, way * (middle[0] + float(i - half) * step), way * qv, way)
                            t = value[0] - zero
                            t_sum += w * t
                            tt_sum += w * t * t
                            rt_sum += w * mine[0] * t
                            g_sum += g
                            rg_sum += g * mine[0]
                            tg_sum += g * t
                        k += 1
                        facing += tilt[0] * step
                        ahead += wp.vec3(carry[0, 0], carry[1, 0], carry[2, 0]) * step
            t_spread = tt_sum - t_sum * t_sum
            if good and t_spread > least:
                per_both = 1.0 / wp.sqrt(spread * t_spread)
                c = rt_sum * per_both
                total = rg_sum * per_both - (tg_sum - g_sum * t_sum) * (c / t_spread)
                ncc[ray, s] = c
                valid[ray, s] = wp.uint8(1)
                by_point[ray, s] = n * total[0]
                by_normal[ray, s] = x * total[0] - back * wp.vec3(total[1], total[2], total[3]) * away
        ray += stride


class _Correlate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, point: Tensor, normal: Tensor, views: PatchViews, patches: Patches
    ) -> tuple[Tensor, Tensor, Tensor]:
        device, (rays, count) = point.device, patches.sources.shape
        ncc, valid = point.new_zeros(rays, count), torch.zeros(rays, count, dtype=torch.uint8, device=device)
        variance, pixels = point.new_zeros(rays), (2 * patches.half + 1) ** 2
        slopes = [point.new_zeros(rays, count, 3) for _ in range(2)]
        if rays:
            own = array(point.new_empty(rays, pixels, 2), wp.vec2)
            size = [patches.half, float(patches.step), float(views.shrink)]
            where = [array(patches.view), array(patches.xy, wp.vec2)]
            falloff = [0.5 / patches.alike**2, 0.5 / patches.near**2]
            spans = [(span,) for span in runs(rays, rays * count * pixels, device)]
            picture = [array(views.grey.view(-1)), views.grey.shape[2], views.grey.shape[1]]
            looks = [*picture, *where, *size, *falloff, own, array(variance)]
            launch_spans(_reference, looks, spans, device)
            given = [
                *picture,
                array(views.project),
                array(views.cast, wp.mat33),
                array(views.centers, wp.vec3),
                array(point.contiguous(), wp.vec3),
                array(normal.contiguous(), wp.vec3),
                *where,
                array(patches.sources),
                own,
                array(variance),
                *size,
                SMALLEST_VARIANCE,
            ]
            found = [array(ncc), array(valid), *(array(slope, wp.vec3) for slope in slopes)]
            launch_spans(_correlate, [*given, *found], spans, device)
        ctx.save_for_backward(*slopes)
        ctx.mark_non_differentiable(valid, variance)
        return ncc, valid, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        by_point, by_normal = ctx.saved_tensors
        return (by_point * grad[..., None]).sum(1), (by_normal * grad[..., None]).sum(1), None, None


def patch_ncc(point: Tensor, normal: Tensor, views: PatchViews, patches: Patches) -> tuple[Tensor, Tensor, Tensor]:
    """NCC of patches with what other views show of the same tangent plane.

    Args:
        point: [R, 3] float32, a point of the plane, normalized frame. normal: [R, 3] of the plane, towards the camera,
            unit. Gradients reach both.
        views: the pictures. patches: which patches, and into which views.

    Returns:
        ncc [R, S] in -1..1, 0 where it is not valid. valid [R, S] bool: the patch is textured here and there, lies in
        the source's picture as a whole, and is seen from the front. variance [R] of the patches' own grey values.
    """
    ncc, valid, variance = _Correlate.apply(point, normal, views, patches)
    return ncc, valid != 0, variance
