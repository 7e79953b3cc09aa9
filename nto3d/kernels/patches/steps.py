"""The kernels behind `patches`: a patch's own grey values, and its correlation with what other views show.

Letters: V views, h w size of the grey pictures, R rays, S source views a ray, P patch pixels.
"""

# ruff: noqa: UP018, RUF046
# (Warp tells variables from constants by the call of float, int or bool)
# mypy: disable-error-code="operator,misc"
# (inside kernels, where wp.tid() and wp.vec3 mean more than Warp's stubs say)
from __future__ import annotations

import warp as wp

FAINT = 0.05  # weight below which a pixel does not count at all


@wp.struct
class Pictures:
    """Grey pictures of one size, one after the other, and their cameras; see `patches.PatchViews`."""

    grey: wp.array(dtype=wp.uint8)  # type: ignore[valid-type]  # [V h w]
    wide: int
    high: int
    shrink: float
    project: wp.array(dtype=wp.float32, ndim=3)  # type: ignore[valid-type]  # [V, 3, 4]
    cast: wp.array(dtype=wp.mat33)  # type: ignore[valid-type]  # [V]
    centers: wp.array(dtype=wp.vec3)  # type: ignore[valid-type]  # [V]


@wp.struct
class Lattice:
    """Where the pixels of the patches are, in their own pictures; see `patches.Patches`."""

    view: wp.array(dtype=wp.int32)  # type: ignore[valid-type]  # [R]
    xy: wp.array(dtype=wp.vec2)  # type: ignore[valid-type]  # [R]
    half: int
    step: float


@wp.struct
class Plane:
    """The tangent plane of a patch, seen from its camera."""

    middle: wp.vec2  # pixel
    center: wp.vec3  # of the camera
    cast: wp.mat33
    x: wp.vec3  # point of the plane, relative to the camera
    normal: wp.vec3
    away: float  # distance of the camera from the plane, negative in front of it
    tilt: wp.vec3  # the direction through a pixel q has tilt . q along the normal


@wp.struct
class Transfer:
    """Plane to another picture: pixel q is seen at epipole * (tilt . q) + carry q * away, times something negative."""

    first: int  # index of the picture's first pixel
    epipole: wp.vec3
    carry: wp.mat33


@wp.struct
class Sums:
    """Weighted sums over a patch.

    Of the source's value t, of its slope g by the plane's distance, and of g times the way to the pixel's point (p,
    p u, p v); each alone, times the patch's value r, and times t.
    """

    t: float
    tt: float
    rt: float
    g: wp.vec4
    rg: wp.vec4
    tg: wp.vec4


@wp.func
def _read(pictures: Pictures, first: int, x: float, y: float) -> wp.vec3:
    """Value and its derivatives by x and y, bilinear, in the picture that begins at `first`; its border goes on."""
    column = wp.clamp(int(x), 0, pictures.wide - 2)
    row = wp.clamp(int(y), 0, pictures.high - 2)
    fx = wp.clamp(x - float(column), 0.0, 1.0)
    fy = wp.clamp(y - float(row), 0.0, 1.0)
    at = first + row * pictures.wide + column
    a = float(pictures.grey[at])
    b = float(pictures.grey[at + 1])
    c = float(pictures.grey[at + pictures.wide])
    d = float(pictures.grey[at + pictures.wide + 1])
    top = a + (b - a) * fx
    bottom = c + (d - c) * fx
    return wp.vec3(top + (bottom - top) * fy, (b - a) * (1.0 - fy) + (d - c) * fy, bottom - top)


@wp.func
def _read_at(pictures: Pictures, first: int, u: float, v: float) -> float:
    """Value at a pixel (u, v) of the picture's camera."""
    return _read(pictures, first, (u + 0.5) / pictures.shrink - 0.5, (v + 0.5) / pictures.shrink - 0.5)[0]


@wp.kernel(module="nto3d.patches", enable_backward=False)
def reference(
    pictures: Pictures,
    lattice: Lattice,
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
    half = lattice.half
    side = 2 * half + 1
    while ray < end:
        first = lattice.view[ray] * pictures.wide * pictures.high
        xy = lattice.xy[ray]
        middle = _read_at(pictures, first, xy[0], xy[1])
        weights = float(0.0)
        total = float(0.0)
        squares = float(0.0)
        for j in range(-half, half + 1):
            for i in range(-half, half + 1):
                r = _read_at(pictures, first, xy[0] + float(i) * lattice.step, xy[1] + float(j) * lattice.step) - middle
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


@wp.func
def _plane(pictures: Pictures, lattice: Lattice, point: wp.vec3, normal: wp.vec3, ray: int) -> Plane:
    out = Plane()
    view = lattice.view[ray]
    out.middle = lattice.xy[ray]
    out.cast = pictures.cast[view]
    out.center = pictures.centers[view]
    out.normal = normal
    out.x = point - out.center
    out.away = wp.dot(normal, out.x)
    out.tilt = wp.transpose(out.cast) * normal
    return out


@wp.func
def _transfer(pictures: Pictures, plane: Plane, other: int) -> Transfer:
    project = pictures.project
    scale = 1.0 / pictures.shrink
    border = 0.5 * scale - 0.5
    to_grey = wp.mat33(scale, 0.0, border, 0.0, scale, border, 0.0, 0.0, 1.0)  # pixels of `grey` from the cameras'
    turn = wp.mat33(
        project[other, 0, 0], project[other, 0, 1], project[other, 0, 2],
        project[other, 1, 0], project[other, 1, 1], project[other, 1, 2],
        project[other, 2, 0], project[other, 2, 1], project[other, 2, 2],
    )  # fmt: skip
    shift = wp.vec3(project[other, 0, 3], project[other, 1, 3], project[other, 2, 3])
    out = Transfer()
    out.first = other * pictures.wide * pictures.high
    out.epipole = to_grey * (turn * plane.center + shift)
    out.carry = to_grey * turn * plane.cast
    return out


@wp.func
def _shown(pictures: Pictures, lattice: Lattice, plane: Plane, transfer: Transfer) -> bool:
    """Whether a patch lies in another picture and is seen from the front: whether its corners are."""
    out = bool(True)
    for corner in range(4):
        qu = plane.middle[0] + float(lattice.half * (2 * (corner % 2) - 1)) * lattice.step
        qv = plane.middle[1] + float(lattice.half * (2 * (corner // 2) - 1)) * lattice.step
        facing = plane.tilt[0] * qu + plane.tilt[1] * qv + plane.tilt[2]
        there = transfer.epipole * facing + transfer.carry * wp.vec3(qu, qv, 1.0) * plane.away
        if facing > -1e-6 or there[2] > -1e-9:
            out = bool(False)
        else:
            px = there[0] / there[2]
            py = there[1] / there[2]
            if px < 0.0 or py < 0.0 or px > float(pictures.wide - 1) or py > float(pictures.high - 1):
                out = bool(False)
    return out


@wp.func
def _middle_value(pictures: Pictures, plane: Plane, transfer: Transfer) -> float:
    """What another picture shows of the patch's middle."""
    q = wp.vec3(plane.middle[0], plane.middle[1], 1.0)
    there = transfer.epipole * (plane.tilt[0] * q[0] + plane.tilt[1] * q[1] + plane.tilt[2])
    there += transfer.carry * q * plane.away
    return _read(pictures, transfer.first, there[0] / there[2], there[1] / there[2])[0]


@wp.func
def _sums(
    pictures: Pictures,
    lattice: Lattice,
    plane: Plane,
    transfer: Transfer,
    own: wp.array(dtype=wp.vec2, ndim=2),  # type: ignore[valid-type]  # [R, P]
    ray: int,
) -> Sums:
    out = Sums()
    # Values are taken relative to that of the patch's middle: float32 could not tell large sums apart
    zero = _middle_value(pictures, plane, transfer)
    left = plane.middle[0] - float(lattice.half) * lattice.step
    k = int(0)
    for j in range(-lattice.half, lattice.half + 1):
        qv = plane.middle[1] + float(j) * lattice.step
        facing = plane.tilt[0] * left + plane.tilt[1] * qv + plane.tilt[2]
        ahead = transfer.carry * wp.vec3(left, qv, 1.0)
        for i in range(2 * lattice.half + 1):
            mine = own[ray, k]
            w = mine[1]
            if w > 0.0:
                there = transfer.epipole * facing + ahead * plane.away
                per_both = 1.0 / (there[2] * facing)
                per_z = per_both * facing
                px = there[0] * per_z
                py = there[1] * per_z
                value = _read(pictures, transfer.first, px, py)
                slope = (value[1] * (ahead[0] - px * ahead[2]) + value[2] * (ahead[1] - py * ahead[2])) * (w * per_z)
                way = slope * per_both * there[2]
                qu = plane.middle[0] + float(i - lattice.half) * lattice.step
                g = wp.vec4(slope, way * qu, way * qv, way)
                t = value[0] - zero
                out.t += w * t
                out.tt += w * t * t
                out.rt += w * mine[0] * t
                out.g += g
                out.rg += g * mine[0]
                out.tg += g * t
            k += 1
            facing += plane.tilt[0] * lattice.step
            ahead += wp.vec3(transfer.carry[0, 0], transfer.carry[1, 0], transfer.carry[2, 0]) * lattice.step
    return out


@wp.kernel(module="nto3d.patches", enable_backward=False)
def correlate(
    pictures: Pictures,
    lattice: Lattice,
    point: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]  # [R]
    normal: wp.array(dtype=wp.vec3),  # type: ignore[valid-type]  # [R]
    sources: wp.array(dtype=wp.int32, ndim=2),  # type: ignore[valid-type]  # [R, S]
    own: wp.array(dtype=wp.vec2, ndim=2),  # type: ignore[valid-type]  # [R, P]
    variance: wp.array(dtype=wp.float32),  # type: ignore[valid-type]  # [R]
    least: float,
    ncc: wp.array(dtype=wp.float32, ndim=2),  # type: ignore[valid-type]  # [R, S]
    valid: wp.array(dtype=wp.uint8, ndim=2),  # type: ignore[valid-type]  # [R, S]
    by_point: wp.array(dtype=wp.vec3, ndim=2),  # type: ignore[valid-type]  # [R, S]
    by_normal: wp.array(dtype=wp.vec3, ndim=2),  # type: ignore[valid-type]  # [R, S]
    begin: int,
    end: int,
    stride: int,
) -> None:
    """NCC of every patch with every source that shows it, and its derivatives by the point and the normal."""
    ray = begin + wp.tid()
    while ray < end:
        plane = _plane(pictures, lattice, point[ray], normal[ray], ray)
        spread = variance[ray]
        for s in range(sources.shape[1]):
            other = sources[ray, s]
            if other >= 0 and spread > least and plane.away < 0.0:
                transfer = _transfer(pictures, plane, other)
                if _shown(pictures, lattice, plane, transfer):
                    sums = _sums(pictures, lattice, plane, transfer, own, ray)
                    t_spread = sums.tt - sums.t * sums.t
                    if t_spread > least:
                        per_both = 1.0 / wp.sqrt(spread * t_spread)
                        c = sums.rt * per_both
                        total = sums.rg * per_both - (sums.tg - sums.g * sums.t) * (c / t_spread)
                        turned = plane.cast * wp.vec3(total[1], total[2], total[3])
                        ncc[ray, s] = c
                        valid[ray, s] = wp.uint8(1)
                        by_point[ray, s] = plane.normal * total[0]
                        by_normal[ray, s] = plane.x * total[0] - turned * plane.away
        ray += stride
