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
def reference(
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
def correlate(
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
    """NCC of every patch with every source that shows it, and its derivatives by the point and the normal."""
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
                # Values are taken relative to that of the patch's middle: float32 could not tell large sums apart
                there = epipole * (tilt[0] * middle[0] + tilt[1] * middle[1] + tilt[2])
                there += carry * wp.vec3(middle[0], middle[1], 1.0) * away
                zero = _read(grey, base, wide, high, there[0] / there[2], there[1] / there[2])[0]
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
