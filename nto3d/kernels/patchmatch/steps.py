"""Steps of PatchMatch stereo over lists of pixels: a sweep, improving, confirming (see `patchmatch`).

A pixel is written by its own work item only, and improving reads pixels of the other colour of the chequerboard only:
the result does not depend on the number of threads.
"""

# ruff: noqa: UP018, RUF046
# mypy: disable-error-code="index, operator, misc"
# (as in kernels.patchmatch)
from __future__ import annotations

import torch
import warp as wp
from torch import Tensor

from nto3d.kernels.launch import launch_spans, runs
from nto3d.kernels.patchmatch.costs import (
    _NOTHING,
    Candidate,
    _all_scores,
    _best_half,
    _better,
    _cost,
    _mean_cost,
)
from nto3d.kernels.patchmatch.patchmatch import SLOTS, Pixel, Planes, Views, _newton, _patch

NEAR, FAR = wp.constant(1), wp.constant(5)  # pixels from which a plane is offered, odd: of the other colour
_SAME_DEPTH = wp.constant(0.03)  # pixels of parallax: planes that differ less are the same
_SAME_SLANT = wp.constant(0.03)  # likewise, tangent
_WELL = wp.constant(0.5)  # cost from which on a plane is worth a Gauss-Newton step


@wp.func
def _pixel(views: Views, index: int, reach: int) -> Pixel:
    at = Pixel()
    size = views.height * views.width
    at.view = index // size
    rest = index - at.view * size
    at.y = float(rest // views.width)
    at.x = float(rest % views.width)
    at.reach = reach
    return at


@wp.kernel(module="nto3d.patchmatch", enable_backward=False)
def _sweep(
    pixels: wp.array(dtype=wp.int32),  # type: ignore[valid-type]  # [N] of P
    views: Views,
    out: Planes,
    reach: int,
    count: int,
    begin: int,
    end: int,
    stride: int,
) -> None:
    item = begin + wp.tid()
    while item < end:
        index = pixels[item]
        at = _pixel(views, index, reach)
        patch = _patch(views, at)
        span = views.span[at.view]
        best = wp.vec3(0.5 * (span[0] + span[1]), 0.0, 0.0)
        cost = float(_NOTHING)
        if wp.length_sq(patch) > 0.0:
            for k in range(count):
                plane = wp.vec3(span[0] + (span[1] - span[0]) * (float(k) + 0.5) / float(count), 0.0, 0.0)
                found = _cost(patch, views, at, plane, 0, cost)
                if found < cost:
                    best = plane
                    cost = found
        out.plane[index] = best
        out.cost[index] = cost
        item += stride


@wp.func
def _offered(views: Views, known: Planes, at: Pixel, index: int, side: int) -> wp.vec3:
    """The better of two planes of the pixels on a side, carried to this pixel; w = 0 where there is none."""
    best = float(_NOTHING)
    out = wp.vec3()
    for number in range(2):
        far = wp.where(number == 0, NEAR, FAR)
        dx = wp.where(side == 0, far, wp.where(side == 1, -far, 0))
        dy = wp.where(side == 2, far, wp.where(side == 3, -far, 0))
        x = int(at.x) + dx
        y = int(at.y) + dy
        if x >= 0 and y >= 0 and x < views.width and y < views.height:
            other = index + dy * views.width + dx
            if known.cost[other] < best:
                best = known.cost[other]
                plane = known.plane[other]
                out = wp.vec3(plane[0] - plane[1] * float(dx) - plane[2] * float(dy), plane[1], plane[2])
    return out


@wp.func
def _uniform(seed: int, iteration: int, index: int) -> wp.vec3:
    """Three numbers in -1..1."""
    state = wp.rand_init(seed * 9973 + iteration, index)
    a = wp.randf(state)
    b = wp.randf(state)
    c = wp.randf(state)
    return wp.vec3(2.0 * a - 1.0, 2.0 * b - 1.0, 2.0 * c - 1.0)


@wp.func
def _differs(views: Views, at: Pixel, a: wp.vec3, b: wp.vec3) -> bool:
    pixel = views.span[at.view][2]
    # 1 / focal length times w is the gradient of a plane that is tilted by 45 degrees
    steep = views.inverse[at.view][0, 0] * a[0]
    slant = wp.max(wp.abs(a[1] - b[1]), wp.abs(a[2] - b[2]))
    return wp.abs(a[0] - b[0]) > _SAME_DEPTH * pixel or slant > _SAME_SLANT * steep


@wp.kernel(module="nto3d.patchmatch", enable_backward=False)
def _improve(
    pixels: wp.array(dtype=wp.int32),  # type: ignore[valid-type]  # [N] of P, of one colour
    views: Views,
    known: Planes,
    reach: int,
    amount: float,
    tries: int,
    whole: int,
    seed: int,
    iteration: int,
    begin: int,
    end: int,
    stride: int,
) -> None:
    item = begin + wp.tid()
    while item < end:
        index = pixels[item]
        at = _pixel(views, index, reach)
        patch = _patch(views, at)
        if wp.length_sq(patch) > 0.0:
            scores = _all_scores(patch, views, at, known.plane[index])
            bits = _best_half(views, at.view, scores)
            best = Candidate()
            best.plane = known.plane[index]
            best.cost = _mean_cost(views, scores, bits)
            counted = wp.where(whole == 1, 0, bits)
            for side in range(4):
                other = _offered(views, known, at, index, side)
                if _differs(views, at, best.plane, other):
                    best = _better(patch, views, at, best, other, counted)
            pixel = views.span[at.view][2]
            steep = views.inverse[at.view][0, 0] * best.plane[0]
            size = amount
            for k in range(tries):
                change = _uniform(seed, iteration * 16 + k, index)
                slant = steep * wp.min(size, 1.0)
                other = best.plane + wp.vec3(change[0] * size * pixel, change[1] * slant, change[2] * slant)
                best = _better(patch, views, at, best, other, counted)
                size *= 0.4
            if best.cost < _WELL:
                best = _better(patch, views, at, best, _newton(patch, views, at, best.plane, bits), counted)
            known.plane[index] = best.plane
            known.cost[index] = best.cost
        else:
            known.cost[index] = _NOTHING
        item += stride


@wp.kernel(module="nto3d.patchmatch", enable_backward=False)
def _confirm(
    pixels: wp.array(dtype=wp.int32),  # type: ignore[valid-type]  # [N] of P
    views: Views,
    known: Planes,
    normals: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]  # [P] unit, one frame for all views
    offset: float,  # pixels between a pixel and what comes back to it
    relative: float,  # difference of depths
    aligned: float,  # least cosine of two normals
    worst: float,  # cost
    agreeing: wp.array(dtype=wp.int32),  # type: ignore[valid-type]  # [P] sources that have the same surface
    mean: wp.array(dtype=wp.float32),  # type: ignore[valid-type]  # [P] w, of this and of them
    begin: int,
    end: int,
    stride: int,
) -> None:
    item = begin + wp.tid()
    while item < end:
        index = pixels[item]
        at = _pixel(views, index, 1)
        plane = known.plane[index]
        count = int(0)
        total = plane[0]
        for slot in range(views.slots):
            other = views.sources[at.view, slot]
            p = wp.vec3()
            if other >= 0 and known.cost[index] < worst:
                p = views.turn[at.view, slot] * wp.vec3(at.x, at.y, 1.0) + views.shift[at.view, slot] * plane[0]
            if p[2] > 1.0e-3:
                u = p[0] / p[2]
                v = p[1] / p[2]
                column = int(wp.floor(u + 0.5))
                row = int(wp.floor(v + 0.5))
                if column >= 0 and row >= 0 and column < views.width and row < views.height:
                    there = (other * views.height + row) * views.width + column
                    theirs = known.plane[there]
                    w = theirs[0] + theirs[1] * (u - float(column)) + theirs[2] * (v - float(row))
                    near = wp.abs(w * p[2] / plane[0] - 1.0) < relative
                    if near and known.cost[there] < worst and wp.dot(normals[index], normals[there]) > aligned:
                        q = views.back[at.view, slot] * (wp.vec3(u, v, 1.0) - views.shift[at.view, slot] * w)
                        x = q[0] / q[2] - at.x
                        y = q[1] / q[2] - at.y
                        if x * x + y * y < offset * offset:
                            count += 1
                            total += w / q[2] - plane[1] * x - plane[2] * y
        agreeing[index] = count
        mean[index] = total / float(count + 1)
        item += stride


def sweep(pixels: Tensor, views: Views, known: Planes, reach: int, count: int) -> None:
    """Start with the best of `count` planes that face the camera, equally spaced in 1 / z.

    Args:
        pixels: int32 [N] of P. views: the pictures. known: what is found, changed in place.
        reach: pixels between two samples of a patch.
    """
    spans = [(span,) for span in runs(len(pixels), len(pixels) * count, pixels.device)]
    launch_spans(_sweep, [wp.from_torch(pixels), views, known, reach, count], spans, pixels.device)


def improve(
    colours: tuple[Tensor, Tensor],
    views: Views,
    known: Planes,
    reach: int,
    amount: float,
    tries: int,
    whole: bool,
    seed: int,
    iteration: int,
) -> None:
    """An iteration: each pixel tries its neighbours' planes, random changes of its own and a Gauss-Newton step.

    Args:
        colours: int32 [N] of P, pixels of one colour of the chequerboard and those of the other.
        amount: of the first of the `tries` random changes, pixels of parallax; the next are smaller.
        whole: judge every plane by the best half of the sources, instead of by the half that the present plane likes.
        seed, iteration: of the random numbers. Others as in `sweep`.
    """
    for colour, pixels in enumerate(colours):
        if len(pixels):
            numbers = [reach, float(amount), tries, int(whole), seed % 2**16, 2 * iteration + colour]
            spans = [(span,) for span in runs(len(pixels), len(pixels) * SLOTS, pixels.device)]
            launch_spans(_improve, [wp.from_torch(pixels), views, known, *numbers], spans, pixels.device)


def confirm(
    pixels: Tensor, views: Views, known: Planes, normals: Tensor, limits: tuple[float, float, float, float]
) -> tuple[Tensor, Tensor]:
    """In how many sources each pixel's surface is found again, and where they see it together.

    Args:
        pixels: int32 [N] of P. normals: float32 [P, 3] unit, one frame for all views.
        limits: pixels between a pixel and its way to a source and back, relative difference of depths, least cosine
            between the normals, greatest cost.

    Returns:
        int32 [P] sources that agree, and float32 [P] mean inverse depth of all that do.
    """
    agreeing = torch.zeros(len(normals), dtype=torch.int32, device=normals.device)
    mean = torch.zeros(len(normals), device=normals.device)
    if len(pixels):
        arguments = [wp.from_torch(pixels), views, known, wp.from_torch(normals, dtype=wp.vec3), *limits]
        spans = [(span,) for span in runs(len(pixels), len(pixels) * SLOTS, pixels.device)]
        launch_spans(_confirm, [*arguments, wp.from_torch(agreeing), wp.from_torch(mean)], spans, pixels.device)
    return agreeing, mean
