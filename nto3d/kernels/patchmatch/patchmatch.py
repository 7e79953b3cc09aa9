"""PatchMatch multi-view stereo: which slanted plane behind a pixel looks alike in its neighbours?

Bleyer 2011 (slanted patches), Galliani 2015 (red and black pixels in turn), Xu & Tao 2019 (each side offers its best).
A plane is an inverse depth w = 1 / z and its gradient, both in pixels: over the picture w is affine, and pixel p of a
view is seen at turn (p, 1) + shift w in a source. Instead of small random changes, a Gauss-Newton step on the
normalised patches (least-squares matching, Gruen 1985) moves depth and slant to where the pictures agree best.
Random numbers are hashed from seed, pixel and iteration: a result depends on nothing else.

Letters: V views of h x w pixels, P = V h w, S slots of sources a view, N active pixels.
"""

# ruff: noqa: UP018
# (Warp tells variables from constants by the call of float, int or bool)
# mypy: disable-error-code="index, operator, misc"
# (inside kernels, where wp.tid() and wp.vec3i mean more than Warp's stubs say)
from __future__ import annotations

from typing import Any

import warp as wp

SLOTS = 6  # sources a view, at most
SIDE = 5  # samples along a side of a patch
NONE = 3.0  # cost of what could not be compared; else 1 - correlation, 0..2
FLAT = 1.5  # grey values: a patch that deviates less than this says nothing

_SIDE = wp.constant(SIDE)
_HALF = wp.constant(float(SIDE // 2))
_COUNT = wp.constant(float(SIDE * SIDE))
_FLAT = wp.constant(FLAT)

Patch: Any = wp.types.vector(length=SIDE * SIDE, dtype=wp.float32)


@wp.struct
class Views:
    """Pictures of one size, and how a pixel moves between them."""

    height: int
    width: int
    slots: int  # S, a variable so that loops over it are not unrolled: that would take long to compile
    grey: wp.array(dtype=wp.float32)  # type: ignore[valid-type]  # [P]
    sources: wp.array(dtype=wp.int32, ndim=2)  # type: ignore[valid-type]  # [V, S] views, -1 = none
    turn: wp.array(dtype=wp.mat33, ndim=2)  # type: ignore[valid-type]  # [V, S] K' R K^-1
    back: wp.array(dtype=wp.mat33, ndim=2)  # type: ignore[valid-type]  # [V, S] its inverse
    shift: wp.array(dtype=wp.vec3, ndim=2)  # type: ignore[valid-type]  # [V, S] K' t
    intrinsics: wp.array(dtype=wp.mat33)  # type: ignore[valid-type]  # [V] K
    inverse: wp.array(dtype=wp.mat33)  # type: ignore[valid-type]  # [V] K^-1
    span: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # [V] least and greatest w, and w of a pixel of parallax


@wp.struct
class Planes:
    """What is known so far."""

    plane: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # [P] w, dw/dx, dw/dy
    cost: wp.array(dtype=wp.float32)  # type: ignore[valid-type]  # [P]


@wp.struct
class Pixel:
    """Where a patch is."""

    view: int
    x: float
    y: float
    reach: int  # pixels between its samples


@wp.struct
class Visibility:
    """A patch's place in a source, affine: u, v of its middle and their derivatives by x and y, and by w."""

    base: int  # index of the source's first pixel, -1 where the patch leaves it
    u: float
    v: float
    along: wp.vec2
    down: wp.vec2
    slide: wp.vec2


@wp.struct
class NormalEquations:
    """left times the change of a plane is right."""

    left: wp.mat33
    right: wp.vec3


@wp.func
def _patch(views: Views, at: Pixel) -> Patch:
    """Grey values less their mean, of length 1; all 0 where they say nothing."""
    out = Patch()
    first = at.view * views.height * views.width
    total = float(0.0)
    for k in range(_SIDE * _SIDE):
        column = wp.clamp(int(at.x) + (k % _SIDE - _SIDE // 2) * at.reach, 0, views.width - 1)
        row = wp.clamp(int(at.y) + (k // _SIDE - _SIDE // 2) * at.reach, 0, views.height - 1)
        out[k] = views.grey[first + row * views.width + column]
        total += out[k]
    mean = total / _COUNT
    squared = float(0.0)
    for k in range(_SIDE * _SIDE):
        out[k] = out[k] - mean
        squared += out[k] * out[k]
    factor = float(0.0)
    if squared > _COUNT * _FLAT * _FLAT:
        factor = 1.0 / wp.sqrt(squared)
    for k in range(_SIDE * _SIDE):
        out[k] = out[k] * factor
    return out


@wp.func
def _sight(views: Views, at: Pixel, slot: int, plane: wp.vec3) -> Visibility:
    out = Visibility()
    out.base = -1
    other = views.sources[at.view, slot]
    if other < 0:
        return out
    turn = views.turn[at.view, slot]
    shift = views.shift[at.view, slot]
    p = turn * wp.vec3(at.x, at.y, 1.0) + shift * plane[0]
    if p[2] < 1.0e-3:
        return out
    scale = 1.0 / p[2]
    u = p[0] * scale
    v = p[1] * scale
    ax = (turn[2, 0] + shift[2] * plane[1]) * scale
    ay = (turn[2, 1] + shift[2] * plane[2]) * scale
    out.along = wp.vec2(
        (turn[0, 0] + shift[0] * plane[1]) * scale - u * ax, (turn[1, 0] + shift[1] * plane[1]) * scale - v * ax
    )
    out.down = wp.vec2(
        (turn[0, 1] + shift[0] * plane[2]) * scale - u * ay, (turn[1, 1] + shift[1] * plane[2]) * scale - v * ay
    )
    out.slide = wp.vec2((shift[0] - u * shift[2]) * scale, (shift[1] - v * shift[2]) * scale)
    radius = _HALF * float(at.reach)
    wide = radius * (wp.abs(out.along[0]) + wp.abs(out.down[0]))
    high = radius * (wp.abs(out.along[1]) + wp.abs(out.down[1]))
    inside = u >= wide and v >= high
    inside = inside and u + wide < float(views.width) - 1.001 and v + high < float(views.height) - 1.001
    # A patch that shrinks to a line or grows beyond measure compares nothing
    area = out.along[0] * out.down[1] - out.along[1] * out.down[0]
    if inside and area > 0.1 and area < 10.0:
        out.base = other * views.height * views.width
    out.u = u
    out.v = v
    return out


@wp.func
def _correlation(patch: Patch, views: Views, at: Pixel, slot: int, plane: wp.vec3) -> float:
    """Correlation of a patch with its picture in a source, -1 where there is none."""
    sight = _sight(views, at, slot, plane)
    if sight.base < 0:
        return -1.0
    ux = sight.along[0] * float(at.reach)
    vx = sight.along[1] * float(at.reach)
    uy = sight.down[0] * float(at.reach)
    vy = sight.down[1] * float(at.reach)
    total = float(0.0)
    squared = float(0.0)
    product = float(0.0)
    for j in range(_SIDE):
        u = sight.u - _HALF * ux + (float(j) - _HALF) * uy
        v = sight.v - _HALF * vx + (float(j) - _HALF) * vy
        for i in range(_SIDE):
            column = int(u)
            row = int(v)
            fu = u - float(column)
            fv = v - float(row)
            k = sight.base + row * views.width + column
            a = views.grey[k]
            b = views.grey[k + 1]
            c = views.grey[k + views.width]
            d = views.grey[k + views.width + 1]
            top = a + (b - a) * fu
            value = top + (c + (d - c) * fu - top) * fv
            total += value
            squared += value * value
            product += value * patch[j * _SIDE + i]
            u += ux
            v += vx
    spread = squared - total * total / _COUNT
    if spread <= _COUNT * _FLAT * _FLAT:
        return -1.0
    return product / wp.sqrt(spread)


@wp.func
def _normal_equations(patch: Patch, views: Views, at: Pixel, sight: Visibility) -> NormalEquations:
    """Those of one source's least squares; 0 where its picture says nothing."""
    total = float(0.0)
    squared = float(0.0)
    product = float(0.0)
    j_sum = wp.vec3()
    j_own = wp.vec3()
    j_their = wp.vec3()
    jj = wp.mat33()
    for k in range(_SIDE * _SIDE):
        dx = float((k % _SIDE - _SIDE // 2) * at.reach)
        dy = float((k // _SIDE - _SIDE // 2) * at.reach)
        u = sight.u + sight.along[0] * dx + sight.down[0] * dy
        v = sight.v + sight.along[1] * dx + sight.down[1] * dy
        column = int(u)
        row = int(v)
        fu = u - float(column)
        fv = v - float(row)
        n = sight.base + row * views.width + column
        a = views.grey[n]
        b = views.grey[n + 1] - a
        c = views.grey[n + views.width] - a
        d = views.grey[n + views.width + 1] - a - b - c
        value = a + b * fu + c * fv + d * fu * fv
        slope = (b + d * fv) * sight.slide[0] + (c + d * fu) * sight.slide[1]
        jac = wp.vec3(slope, slope * dx, slope * dy)
        total += value
        squared += value * value
        product += value * patch[k]
        j_sum += jac
        j_own += jac * patch[k]
        j_their += jac * value
        jj += wp.outer(jac, jac)
    out = NormalEquations()
    spread = squared - total * total / _COUNT
    if spread > _COUNT * _FLAT * _FLAT:
        # With unit vectors q (own) and t (theirs): dt = (J - mean J - t (t . J)) / |theirs|, r = q - t
        size = wp.sqrt(spread)
        t_j = (j_their - j_sum * (total / _COUNT)) / size
        out.left = (jj - wp.outer(j_sum, j_sum) / _COUNT - wp.outer(t_j, t_j)) / spread
        out.right = (j_own - t_j * (product / size)) / size
    return out


@wp.func
def _newton(patch: Patch, views: Views, at: Pixel, plane: wp.vec3, bits: int) -> wp.vec3:
    """The plane after a Gauss-Newton step on |patch - its picture|^2, both normalised, over the sources in `bits`."""
    left = wp.mat33()
    right = wp.vec3()
    for slot in range(views.slots):
        sight = Visibility()
        sight.base = -1
        if (bits >> slot) & 1 == 1:
            sight = _sight(views, at, slot, plane)
        if sight.base >= 0:
            equations = _normal_equations(patch, views, at, sight)
            left += equations.left
            right += equations.right
    # Damped a little, so that a direction in which nothing changes is not followed
    pixel = views.span[at.view][2]
    floor = 0.02 / (pixel * pixel)
    radius = float(at.reach) * _HALF
    for axis in range(3):
        extra = floor
        if axis > 0:
            extra = floor * radius * radius
        left[axis, axis] = left[axis, axis] * 1.01 + extra * 0.05
    return plane + wp.inverse(left) * right
