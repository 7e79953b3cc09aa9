"""Other kinds of files for pictures, masks and depth maps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nto3d.geometry.poses import decompose_projection
from nto3d.trials.transformed.change import (
    DEPTH,
    IMAGE,
    MASK,
    NOTES,
    Change,
    Expected,
    edit_world_mats,
    in_turn,
    read_notes,
    read_pixels,
)
from nto3d.types import FloatArray

Pixels = NDArray[Any]
Save = Callable[[Path, Pixels], object]
ORIENTATION, TURNED = 0x0112, 6  # EXIF: to be shown turned clockwise by a quarter
SHEAR = 0.06  # pixels to the right for each pixel downwards


def _saved(save: Save, folder: str = IMAGE, suffix: str = ".png") -> Callable[[Path], None]:
    """Every file of a folder written anew: pictures as RGB [H, W, 3], masks as [H, W], 0 or 255."""

    def make(scene: Path) -> None:
        for file in sorted((scene / folder).iterdir()):
            pixels = read_pixels(file, "L" if folder == MASK else "RGB")
            file.unlink()
            save(file.with_suffix(suffix), pixels)

    return make


def _as(mode: str, **options: Any) -> Save:
    return lambda file, pixels: Image.fromarray(pixels).convert(mode).save(file, **options)


def _deep(steps: int) -> Save:
    """16 bits a channel, of which the values up to `steps` are used."""

    def save(file: Path, pixels: Pixels) -> None:
        deep = np.rint(pixels.astype(np.float64) / 255.0 * steps).astype(np.uint16)
        cv2.imwrite(str(file), deep[..., ::-1] if deep.ndim == 3 else deep)

    return save


def _turned(file: Path, pixels: Pixels) -> None:
    """Stored lying, with the note that it is to be shown upright."""
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED
    Image.fromarray(np.rot90(pixels)).save(file, exif=exif, quality=95)


def _mapped(change: Callable[[Pixels], Pixels]) -> Save:
    return lambda file, pixels: Image.fromarray(change(pixels)).save(file)


def _alpha_for_mask(keep: bool) -> Callable[[Path], None]:
    """The masks as the pictures' alpha, and the masks' folder kept or not."""

    def make(scene: Path) -> None:
        masks = sorted((scene / MASK).iterdir())
        for file, mask in zip(sorted((scene / IMAGE).iterdir()), masks, strict=True):
            picture = Image.fromarray(read_pixels(file, "RGB"))
            picture.putalpha(Image.fromarray(read_pixels(mask, "L")))
            picture.save(file)
        if not keep:
            for mask in masks:
                mask.unlink()
            (scene / MASK).rmdir()

    return make


def _with_alpha(mode: str) -> Save:
    """The mask as the alpha of a white picture."""

    def save(file: Path, pixels: Pixels) -> None:
        white = Image.new(mode[:-1], pixels.shape[::-1], "white")
        white.putalpha(Image.fromarray(pixels))
        white.save(file)

    return save


def _sheared(file: Path, pixels: Pixels) -> None:
    height, width = pixels.shape[:2]
    shear = np.array([[1.0, SHEAR, -SHEAR * (height - 1) / 2], [0.0, 1.0, 0.0]])
    border = cv2.BORDER_CONSTANT if pixels.ndim == 2 else cv2.BORDER_REPLICATE
    flags = cv2.INTER_NEAREST if pixels.ndim == 2 else cv2.INTER_LINEAR
    moved = cv2.warpAffine(np.ascontiguousarray(pixels), shear, (width, height), flags=flags, borderMode=border)
    Image.fromarray(moved).save(file)


def _skew(view: int, stored: FloatArray) -> FloatArray:
    """The camera of a sheared picture of 240 rows."""
    shear = np.eye(4)
    shear[0, 1:3] = SHEAR, -SHEAR * 239 / 2
    assert abs(decompose_projection(stored)[0][0, 1]) < 1e-6, "has no skew yet"
    return shear @ stored


def _first_only(save: Save, folder: str = MASK) -> Callable[[Path], None]:
    def make(scene: Path) -> None:
        file = min((scene / folder).iterdir())
        save(file, read_pixels(file))

    return make


def _depth_arrays(scene: Path) -> None:
    unit = read_notes(scene)["depth"]["scale"]
    for file in sorted((scene / DEPTH).iterdir()):
        depth = read_pixels(file).astype(np.float32) * unit
        np.save(file.with_suffix(".npy"), depth)
        file.unlink()


def _mask(name: str, save: Save, expected: Expected = Expected.same, suffix: str = ".png") -> Change:
    return Change(f"masks: {name}", _saved(save, MASK, suffix), expected)


BLACK, WHITE = _mapped(np.zeros_like), _mapped(lambda pixels: np.full_like(pixels, 255))
PICTURES = (
    Change("skewed cameras and pictures", in_turn(edit_world_mats(_skew), _saved(_sheared), _saved(_sheared, MASK))),
    Change("JPEG", _saved(_as("RGB", quality=92), suffix=".jpg")),
    Change("JPEG called .JPG", _saved(_as("RGB", quality=92), suffix=".JPG")),
    Change("JPEG in four colours (CMYK)", _saved(_as("CMYK", quality=95), suffix=".jpeg"), Expected.either),
    Change("JPEG stored lying, with EXIF orientation", _saved(_turned, suffix=".jpg"), Expected.either),
    Change("WebP", _saved(_as("RGB", quality=92), suffix=".webp"), Expected.either),
    Change("RGBA, opaque", _saved(_as("RGBA"))),
    Change("RGBA with the mask as alpha, masks there", _alpha_for_mask(keep=True)),
    Change("RGBA with the mask as alpha, no masks", _alpha_for_mask(keep=False), Expected.either),
    Change("grey pictures", _saved(_as("L"))),
    Change("pictures with a palette", _saved(_as("P"))),
    Change("16 bits a channel, all used", _saved(_deep(65535))),
    Change("16 bits a channel, 12 used", _saved(_deep(4095))),
    Change("16 bits a channel, 8 used", _saved(_deep(255))),
    Change("a picture of another size", _first_only(_mapped(lambda p: p[:-2, :-2]), IMAGE), Expected.refused),
    Change("a picture that is none", lambda scene: min((scene / IMAGE).iterdir()).write_bytes(b"no"), Expected.refused),
)
MASKS = (
    _mask("0 and 1", _mapped(lambda pixels: pixels // 255)),
    _mask("16 bits", _deep(65535)),
    _mask("16 bits, 0 and 1", _deep(1)),
    _mask("RGB", _as("RGB")),
    _mask("one bit", _as("1")),
    _mask("a palette", _as("P")),
    _mask("alpha of a white RGBA picture", _with_alpha("RGBA")),
    _mask("alpha of a white LA picture", _with_alpha("LA")),
    _mask("JPEG", _as("L", quality=75), suffix=".jpg"),
    _mask("soft edges", _mapped(lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 1.0))),
    _mask("inverted", _mapped(lambda pixels: 255 - pixels), Expected.refused),
    _mask("all white", WHITE, Expected.refused),
    _mask("all black", BLACK, Expected.refused),
    Change("masks: the first black", _first_only(BLACK), Expected.either),
    Change("masks: the first white", _first_only(WHITE), Expected.either),
)
DEPTHS = (
    Change("depth maps as .npy", _depth_arrays),
    Change("depth maps without their unit", lambda scene: (scene / NOTES).unlink(), Expected.refused),
    Change("depth map 3 missing", lambda scene: sorted((scene / DEPTH).iterdir())[3].unlink(), Expected.either),
    Change("a depth map of another size", _first_only(_mapped(lambda p: p[:-2]), DEPTH), Expected.refused),
)
