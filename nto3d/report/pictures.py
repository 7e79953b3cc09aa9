"""Arrays as pictures: colour maps, error maps, and pictures as text that a page can hold."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from nto3d.errors import InputError
from nto3d.files import write_atomic
from nto3d.types import BoolArray, ByteArray, FloatArray

DEPTH_MAP, ERROR_MAP = cv2.COLORMAP_VIRIDIS, cv2.COLORMAP_INFERNO


@dataclass(frozen=True)
class ViewPictures:
    """What the page shows of one held-out view.

    Attributes:
        name: shown above the row. truth, render: float [H, W, 3] in 0..1 (truth on black where masked).
        normal: [H, W, 3], world or camera frame, length at most 1 (as rendered, 0 where nothing is), or None.
        depth: [H, W], 0 where nothing is hit, or None.
        metrics: of this view, name -> value.
    """

    name: str
    truth: FloatArray
    render: FloatArray
    normal: FloatArray | None = None
    depth: FloatArray | None = None
    metrics: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.truth.shape
        if len(shape) != 3 or shape[2] != 3 or self.render.shape != shape:
            raise ValueError(f"expected truth and render [H, W, 3] of one size, got {shape} and {self.render.shape}")
        if self.normal is not None and self.normal.shape != shape:
            raise ValueError(f"expected normals {shape}, got {self.normal.shape}")
        if self.depth is not None and self.depth.shape != shape[:2]:
            raise ValueError(f"expected a depth {shape[:2]}, got {self.depth.shape}")

    @property
    def error(self) -> FloatArray:
        """Absolute error [H, W], mean over the colours."""
        difference: FloatArray = np.abs(self.render - self.truth).mean(axis=-1)
        return difference


def to_bytes(picture: FloatArray) -> ByteArray:
    """uint8 of a picture in 0..1 (values outside are clipped)."""
    return (np.clip(np.nan_to_num(picture), 0, 1) * 255).round().astype(np.uint8)


def color_map(values: FloatArray, low: float, high: float, palette: int, valid: BoolArray | None = None) -> ByteArray:
    """uint8 [H, W, 3] of values [H, W]: `low`..`high` along an OpenCV palette, black where not `valid`."""
    scaled = to_bytes((values - low) / max(high - low, 1e-12))
    colored: ByteArray = np.asarray(cv2.applyColorMap(scaled, palette)[..., ::-1], dtype=np.uint8)
    return colored if valid is None else colored * valid[..., None]


def normal_picture(normal: FloatArray) -> ByteArray:
    """uint8 [H, W, 3] of rendered normals: (n + 1) / 2 of the unit normal, faded to black where nothing is."""
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    return to_bytes((normal / np.maximum(length, 1e-6) / 2 + 0.5) * np.clip(length, 0, 1))


def depth_range(depth: FloatArray) -> tuple[float, float]:
    """The 1st and 99th percentile of the depths that are hit; (0, 1) where none is."""
    hit = depth[depth > 0]
    return (float(np.percentile(hit, 1)), float(np.percentile(hit, 99))) if len(hit) else (0.0, 1.0)


def error_ceiling(views: Sequence[ViewPictures]) -> float:
    """One scale for all error maps: the 99.5th percentile of the largest view, rounded up to 0.05."""
    largest = max((float(np.percentile(view.error, 99.5)) for view in views), default=0.0)
    return float(np.clip(np.ceil(largest / 0.05), 1, 20)) * 0.05


def write_png(path: Path, picture: ByteArray) -> None:
    """Write a picture uint8 [H, W, 3] as PNG, atomically.

    Raises:
        InputError: it cannot be written.
    """
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    write_atomic(path, data.tobytes())


def write_picture(path: Path, picture: ByteArray, quality: int | None = None) -> None:
    """Write a picture uint8 [H, W, 3] in the format of the file's suffix, atomically.

    Args:
        quality: of a JPEG, 0..100; None: OpenCV's own.

    Raises:
        InputError: it cannot be written.
    """
    how = [] if quality is None or path.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, quality]
    done, data = cv2.imencode(path.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), how)
    if not done:
        raise InputError(f"{path}: the picture cannot be written")
    write_atomic(path, data.tobytes())


def data_uri(picture: ByteArray, quality: int = 90) -> str:
    """A picture uint8 [H, W, 3] as a JPEG data URI."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=quality, subsampling=0, optimize=True)
    return _uri(buffer, "jpeg")


def animation_uri(frames: Sequence[ByteArray], seconds: float = 4.0) -> str:
    """Frames uint8 [H, W, 3] as an endless animated WebP data URI that lasts `seconds`."""
    pictures = [Image.fromarray(frame) for frame in frames]
    duration = round(1000 * seconds / len(pictures))
    buffer = io.BytesIO()
    pictures[0].save(
        buffer,
        format="WEBP",
        save_all=True,
        append_images=pictures[1:],
        duration=duration,
        loop=0,
        quality=82,
        method=4,
    )
    return _uri(buffer, "webp")


def scale_uri(palette: int) -> str:
    """A palette as a narrow horizontal strip, for legends."""
    return data_uri(color_map(np.tile(np.linspace(0, 1, 256), (12, 1)), 0, 1, palette))


def _uri(buffer: io.BytesIO, kind: str) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
