"""Patches of a picture carried over a surface into other pictures, and how alike they look there.

The tangent plane at a surface point carries the pixels around a ray into another view by a homography (Hartley &
Zisserman 13.2); zero-mean normalised cross-correlation (NCC) compares the grey values, so gain and offset of a picture
do not matter. Value and derivatives by the point and the normal come from one pass over the patch.

Letters: V views, H W picture size, R rays, S source views a ray, P patch pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import warp as wp
from torch import Tensor
from torch.autograd.function import once_differentiable

from nto3d.kernels.launch import array, launch_spans, runs, start
from nto3d.kernels.patches.steps import Lattice, Pictures, correlate, reference
from nto3d.types import Cameras

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

    @cached_property
    def struct(self) -> Any:
        """For the kernels."""
        pictures = Pictures()
        pictures.grey, pictures.shrink = wp.from_torch(self.grey.view(-1)), float(self.shrink)
        pictures.high, pictures.wide = self.grey.shape[1:]
        pictures.project, pictures.cast = wp.from_torch(self.project), wp.from_torch(self.cast, dtype=wp.mat33)
        pictures.centers = wp.from_torch(self.centers, dtype=wp.vec3)
        return pictures


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

    def struct(self) -> Any:
        """For the kernels."""
        lattice = Lattice()
        lattice.view, lattice.xy = wp.from_torch(self.view), wp.from_torch(self.xy, dtype=wp.vec2)
        lattice.half, lattice.step = self.half, float(self.step)
        return lattice


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
            falloff = [0.5 / patches.alike**2, 0.5 / patches.near**2]
            spans = [(span,) for span in runs(rays, rays * count * pixels, device)]
            start()
            where = [views.struct, patches.struct()]
            launch_spans(reference, [*where, *falloff, own, array(variance)], spans, device)
            given = [
                *where,
                array(point.contiguous(), wp.vec3),
                array(normal.contiguous(), wp.vec3),
                array(patches.sources),
                own,
                array(variance),
                SMALLEST_VARIANCE,
            ]
            found = [array(ncc), array(valid), *(array(slope, wp.vec3) for slope in slopes)]
            launch_spans(correlate, [*given, *found], spans, device)
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
