"""Solid (3D) textures, evaluated in Warp kernels: a material is a pattern of three colours plus grain."""

# Warp reads its array types from annotations that are calls
# mypy: disable-error-code="valid-type"
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import warp as wp

from nto3d.kernels.launch import start

start()

Rgb = tuple[float, float, float]


class Pattern(IntEnum):
    """What a texture looks like."""

    marble = 0  # bands distorted by noise
    checks = 1  # a three-dimensional chess board
    stripes = 2  # slanted, slightly wavy stripes
    dots = 3  # balls on a lattice
    bricks = 4  # brick courses with mortar and windows, by the dominant axis of the normal
    clouds = 5  # smooth patches


@dataclass(frozen=True)
class Material:
    """A procedural surface.

    Attributes:
        pattern: which pattern. base, second, third: RGB in 0..1; `third` appears in patches.
        period: wavelength of the pattern, scene length units.
        grain: relative amplitude of the fine noise; grain_size: its wavelength, scene length units.
        warp: how far noise distorts the pattern, in periods. patches: weight of `third` inside its patches.
    """

    pattern: Pattern
    base: Rgb
    second: Rgb
    third: Rgb
    period: float
    grain: float = 0.25
    grain_size: float = 9.0
    warp: float = 0.35
    patches: float = 0.8


@wp.struct
class MaterialTable:
    """Materials as arrays of one entry an object: what a kernel reads."""

    pattern: wp.array(dtype=wp.int32)
    base: wp.array(dtype=wp.vec3)
    second: wp.array(dtype=wp.vec3)
    third: wp.array(dtype=wp.vec3)
    shape: wp.array(dtype=wp.vec4)  # period, warp, grain, grain_size
    patches: wp.array(dtype=wp.float32)


def material_table(materials: list[Material]) -> MaterialTable:
    """Pack materials for the kernels (CPU)."""
    table = MaterialTable()
    table.pattern = wp.array([int(m.pattern) for m in materials], dtype=wp.int32, device="cpu")
    for name in ("base", "second", "third"):
        colors = np.array([getattr(m, name) for m in materials], dtype=np.float32)
        setattr(table, name, wp.array(colors, dtype=wp.vec3, device="cpu"))
    shape = np.array([(m.period, m.warp, m.grain, m.grain_size) for m in materials], dtype=np.float32)
    table.shape = wp.array(shape, dtype=wp.vec4, device="cpu")
    table.patches = wp.array([m.patches for m in materials], dtype=wp.float32, device="cpu")
    return table


@wp.func
def _ramp(low: float, high: float, x: float) -> float:
    t = wp.clamp((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


@wp.func
def _fbm(seed: wp.uint32, p: wp.vec3) -> float:
    turned = wp.vec3(0.8 * p[1] + 0.6 * p[2], 0.6 * p[1] - 0.8 * p[2], p[0])  # hides the lattice of the first octave
    return wp.noise(seed, p) + 0.5 * wp.noise(seed, 2.03 * turned) + 0.25 * wp.noise(seed, 4.01 * p)


@wp.func
def _bricks(seed: wp.uint32, u: float, v: float, upright: float) -> wp.vec2:
    """(how much it is mortar or frame, how much it is window) at wall coordinates in units of one brick course."""
    row = wp.floor(v)
    x = u * 0.5 + 0.5 * (row - 2.0 * wp.floor(row * 0.5))
    gap_u = wp.abs(x - wp.floor(x) - 0.5) * 2.0
    gap_v = wp.abs(v - row - 0.5)
    mortar = wp.max(_ramp(0.88, 0.94, gap_u), _ramp(0.38, 0.44, gap_v))
    tone = wp.noise(seed, wp.vec3(wp.floor(x) + 0.37, row * 1.7 + 0.41, 0.3))
    window_u = wp.abs(u / 7.0 - wp.floor(u / 7.0) - 0.5)
    window_v = wp.abs(v / 7.0 - wp.floor(v / 7.0) - 0.5)
    frame = wp.max(window_u, window_v * 0.8)
    window = upright * (1.0 - _ramp(0.19, 0.21, frame))
    ring = upright * (1.0 - _ramp(0.25, 0.27, frame)) - window
    return wp.vec2(wp.clamp(wp.max(mortar * (1.0 - window), ring) + 0.9 * wp.max(tone, 0.0), 0.0, 1.0), window)


@wp.func
def albedo(table: MaterialTable, index: int, p: wp.vec3, normal: wp.vec3) -> wp.vec3:
    """Diffuse colour of material `index` at point p (scene length units) with unit normal."""
    shape = table.shape[index]
    pattern = table.pattern[index]
    seed = wp.rand_init(7919, index)
    q = p / shape[0] + wp.vec3(0.371, 0.273, 0.419)
    bend = wp.vec3(
        wp.noise(seed, 0.9 * q),
        wp.noise(seed, 0.9 * q + wp.vec3(5.2, 1.3, 7.7)),
        wp.noise(seed, 0.9 * q - wp.vec3(3.1, 9.4, 2.2)),
    )
    s = q + shape[1] * bend
    mix = wp.float32(0.0)
    window = wp.float32(0.0)
    if pattern == 0:
        mix = 0.5 + 0.5 * wp.sin(6.2832 * (0.45 * s[0] + 0.35 * s[1] + 0.8 * s[2] + 0.9 * _fbm(seed, 0.7 * q)))
    elif pattern == 1:
        product = wp.sin(3.14159 * s[0]) * wp.sin(3.14159 * s[1]) * wp.sin(3.14159 * s[2])
        mix = _ramp(-0.06, 0.06, product)
    elif pattern == 2:
        mix = _ramp(-0.2, 0.2, wp.sin(6.2832 * (0.62 * s[0] + 0.36 * s[1] + 0.7 * s[2])))
    elif pattern == 3:
        cell = wp.vec3(s[0] - wp.floor(s[0]) - 0.5, s[1] - wp.floor(s[1]) - 0.5, s[2] - wp.floor(s[2]) - 0.5)
        mix = 1.0 - _ramp(0.3, 0.36, wp.length(cell))
    elif pattern == 4:
        a = wp.vec3(wp.abs(normal[0]), wp.abs(normal[1]), wp.abs(normal[2]))
        uv = wp.vec2(q[0], q[1])
        upright = wp.float32(0.0)
        if a[0] >= a[1] and a[0] >= a[2]:
            uv = wp.vec2(q[1], q[2])
            upright = 1.0
        elif a[1] >= a[2]:
            uv = wp.vec2(q[0], q[2])
            upright = 1.0
        wall = _bricks(seed, uv[0], uv[1], upright)
        mix = wall[0]
        window = wall[1]
    else:
        mix = _ramp(-0.25, 0.25, _fbm(seed, q))
    color = table.base[index] * (1.0 - mix) + table.second[index] * mix
    patch = _ramp(0.12, 0.22, wp.noise(seed, 0.55 * q + wp.vec3(11.3, 4.1, 6.6))) * table.patches[index]
    color = color * (1.0 - patch) + table.third[index] * patch
    glass = _ramp(-0.3, 0.35, wp.noise(seed, 2.1 * q))
    color = color * (1.0 - window) + (wp.vec3(0.08, 0.13, 0.28) + glass * wp.vec3(0.34, 0.44, 0.46)) * window
    fine = _fbm(seed, p / shape[3])
    return color * wp.max(1.0 + shape[2] * fine * 1.6, 0.0)
