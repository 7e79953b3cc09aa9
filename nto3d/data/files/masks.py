"""Masks from pictures of any kind, by one rule for all masks of a scene.

- Alpha is the mask where it varies: where some pixel of some mask is more than half opaque and another one is not.
- Else the brightest channel counts. Files that hold two values, 0 and another, are labels: what is not 0 is the target.
- A few values that are labels of several objects are refused, see `labels`; so are small numbers that are no two.
- Other files are bright on the target: above the middle of the range, which is 255, or of 16 bits those that are used.
- JPEG has no exact values, and is taken as bright on the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nto3d.data.files.bits import DEEP, USED
from nto3d.data.files.labels import check_labels
from nto3d.data.images import MASK_THRESHOLD, for_each, quarter_turn, reduce_mask, reduced_size
from nto3d.errors import InputError
from nto3d.parsers.pictures import is_deep, open_picture, orientation, read_deep, upright
from nto3d.types import BoolArray

BYTE = 8
MOST = 0.99  # share of a picture that a target covers at the most, in one view at least
_SHOWN = 6  # values named in a message


@dataclass(frozen=True)
class _Planes:
    """Of a mask's file.

    Attributes:
        levels: uint8 or uint16 [H, W], the brightest channel. alpha: the same, or None where it has none.
        exact: not compressed with loss.
    """

    levels: NDArray[np.uint8] | NDArray[np.uint16]
    alpha: NDArray[np.uint8] | NDArray[np.uint16] | None
    exact: bool

    @property
    def bits(self) -> int:
        return DEEP if self.levels.dtype == np.uint16 else BYTE


@dataclass
class _Rule:
    """How a scene's masks are read: from alpha, or from levels above a value, by the bits of an exact file."""

    alpha: bool = False
    above: dict[int, int] = field(default_factory=lambda: {BYTE: MASK_THRESHOLD, DEEP: 2 ** (DEEP - 1) - 1})

    def mask(self, planes: _Planes) -> BoolArray:
        """True on the target, [H, W]."""
        if self.alpha and planes.alpha is not None:
            return _opaque(planes.alpha)
        above = self.above[planes.bits] if planes.exact else MASK_THRESHOLD
        found: BoolArray = planes.levels > above
        return found


def read_masks(paths: Sequence[Path], factor: int, size: tuple[int, int], turned: bool = False) -> BoolArray:
    """Masks, reduced: bool [V, H // factor, W // factor]; how they are to be understood is decided for all together.

    Args:
        paths: V mask pictures. factor: of the reduction. size: (H, W) of the pictures they belong to, before it.
        turned: as their EXIF orientation says.

    Raises:
        InputError: a mask cannot be read or has another size, or their values are neither labels of one object nor
            bright on it.
    """
    masks = np.empty((len(paths), *reduced_size(size, factor)), dtype=np.bool_)
    seen: list[tuple[int, BoolArray] | None] = [None] * len(paths)  # bits of an exact file, and which values it holds
    alphas = [(False, False)] * len(paths)  # of a file: some of it is opaque, some is not
    usual = _Rule()

    def read(view: int) -> None:
        planes = _read(paths[view], size, turned)
        if planes.exact:
            seen[view] = planes.bits, np.bincount(planes.levels.ravel(), minlength=2**planes.bits) > 0
        if planes.alpha is not None:
            opaque = _opaque(planes.alpha)
            alphas[view] = bool(opaque.any()), not opaque.all()
        masks[view] = reduce_mask(usual.mask(planes), factor)

    for_each(read, len(paths))
    rule = _Rule(alpha=any(some for some, _ in alphas) and any(other for _, other in alphas))
    if not rule.alpha:
        rule.above |= _thresholds(paths, seen)
        for bits in (BYTE, DEEP):
            held = _held(paths, seen, bits)
            values = np.flatnonzero(np.any(list(held.values()), axis=0)) if held else np.zeros(0, dtype=np.intp)
            several = (_read(path, size, turned).levels for path, own in held.items() if own.sum() > 2)
            check_labels(several, values, paths[0].parent)
    if rule == usual:
        return masks

    def read_again(view: int) -> None:
        masks[view] = reduce_mask(rule.mask(_read(paths[view], size, turned)), factor)

    for_each(read_again, len(paths))
    return masks


def check_extent(masks: BoolArray, where: Path, hint: str = "") -> None:
    """Refuses masks [V, H, W] that show nothing, or nothing else than the target.

    Args:
        where: the folder or file that they come from. hint: what to do where the target fills the pictures.

    Raises:
        InputError: they are empty, or nearly full, in every view.
    """
    if not masks.any():
        raise InputError(f"{where}: expected masks that are white on the target, all {len(masks)} are empty")
    shares = masks.mean(axis=(1, 2))
    full, empty = int((shares > MOST).sum()), int((shares == 0).sum())
    if full + empty == len(masks):
        others = f", the other {empty} are empty" if empty else ""
        raise InputError(
            f"{where}: expected masks that are white on the target alone, {full} of {len(masks)} cover more than "
            f"{MOST:.0%} of their picture{others}{hint}"
        )


def _read(path: Path, size: tuple[int, int], turned: bool) -> _Planes:
    with open_picture(path) as picture:
        stored = picture.height, picture.width
        if not turned or stored[::-1] != size:  # else the note on how it is to be turned decides, behind the pixels
            _check_size(path, stored, size, turned)
        picture.load()
        exact, found = picture.format == "PNG", orientation(picture) if turned else 1
        if is_deep(path):
            pixels: NDArray[Any] = read_deep(path)
        elif picture.mode.endswith("A") or "transparency" in picture.info:
            pixels = np.asarray(picture.convert("RGBA"))
        else:
            pixels = np.atleast_3d(np.asarray(picture.convert("L" if picture.mode in ("L", "1") else "RGB")))
    pixels = upright(pixels, found)
    _check_size(path, (pixels.shape[0], pixels.shape[1]), size, turned)
    alpha = pixels[:, :, 3] if pixels.shape[2] == 4 else None
    return _Planes(pixels[:, :, :3].max(axis=2), alpha, exact)


def _opaque(alpha: NDArray[np.uint8] | NDArray[np.uint16]) -> BoolArray:
    opaque: BoolArray = alpha > np.iinfo(alpha.dtype).max // 2
    return opaque


def _held(paths: Sequence[Path], seen: Sequence[tuple[int, BoolArray] | None], bits: int) -> dict[Path, BoolArray]:
    """Which values the exact files of so many bits hold."""
    return {path: one[1] for path, one in zip(paths, seen, strict=True) if one is not None and one[0] == bits}


def _thresholds(paths: Sequence[Path], seen: Sequence[tuple[int, BoolArray] | None]) -> dict[int, int]:
    """The values above which exact files are on the target, by their bits, where it is not the middle of the range."""
    found: dict[int, int] = {}
    for bits in (BYTE, DEEP):
        held = _held(paths, seen, bits)
        above = _threshold(held, bits) if held else None
        if above is not None:
            found[bits] = above
    return found


def _threshold(held: dict[Path, BoolArray], bits: int) -> int | None:
    """The value above which files of one kind are on the target; None: the middle of the range.

    Args:
        held: of each file, which values it holds.
    """
    values = np.flatnonzero(np.any(list(held.values()), axis=0))
    top, folder = int(values[-1]), next(iter(held)).parent
    middle = 2 ** (bits - 1) - 1
    if len(values) <= 2 and values[0] == 0 and top <= middle:
        return 0 if top else None
    for path, own in held.items():
        if top > 1 and np.flatnonzero(own).tolist() == [0, 1] and values.tolist() == [0, 1, top]:
            raise InputError(f"{path}: expected a mask of 0 and {top} like others in its folder, got one of 0 and 1")
    if top <= MASK_THRESHOLD:
        some = ", ".join(str(value) for value in values[:_SHOWN]) + (", ..." if len(values) > _SHOWN else "")
        raise InputError(
            f"{folder}: expected masks that are white on the target, or 0 and one other value, got the values {some} "
            "(labels of several objects?)"
        )
    used = next(used for used in (*USED, DEEP) if top < 2**used)
    return None if used == bits or bits == BYTE else 2 ** (used - 1) - 1


def _check_size(path: Path, found: tuple[int, int], size: tuple[int, int], turned: bool) -> None:
    if found == size:
        return
    height, width = found
    note = quarter_turn(size, found)
    if turned and note:
        note = " (turned by a quarter: the picture is taken as its EXIF orientation says, and so is its mask)"
    raise InputError(
        f"{path}: expected {size[1]} x {size[0]} pixels like its picture, got a mask of {width} x {height}{note}"
    )
