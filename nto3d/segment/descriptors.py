"""Classical dense features of pictures, for where there is no neural encoder: colours and oriented gradients.

Letters: V views, H W picture, h w cells, D raw channels, C channels kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from nto3d.segment.base import check_picture
from nto3d.types import BoolArray, ByteArray, FloatArray
from nto3d.types.feature_maps import FeatureMaps

CELLS = 160  # along the longer side of a picture, at the most; they are described at twice the resolution
SCALES = (0.0025, 0.005, 0.01)  # blur, as a share of the longer side: a dozen of the largest span a picture's tenth
DIRECTIONS = 8  # of gradients
GRADIENT_SHARE = 0.3  # of a gradient channel beside a colour channel: they change more with the view
LEAST_VARIANCE = 1e-4  # a target that varies less is of one colour: nothing is to be made of it
FAINT = 0.05  # contrast below which a gradient counts less
CHANNELS = 32  # kept, the constant one among them
SAMPLES = 100_000  # cells that the principal components are found on, about


def describe(image: ByteArray) -> NDArray[np.float32]:
    """Raw descriptors [h, w, D] of a picture uint8 [H, W, 3].

    At each scale: the blurred colour (CIE L*a*b*), and how much of the blurred lightness changes in each of eight
    directions, relative to how much it changes at all (as histograms of oriented gradients, Dalal & Triggs 2005).

    Raises:
        ValueError: it is no such picture.
    """
    check_picture(image)
    longer = max(image.shape[:2])
    factor = min(1.0, 2 * CELLS / longer)
    height, width = (max(1, round(length * factor)) for length in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    color = cv2.cvtColor(small, cv2.COLOR_RGB2LAB) / 50.0 - np.array([1.0, 0.0, 0.0], dtype=np.float32)
    channels = []
    for scale in SCALES:
        blur = scale * max(height, width)
        channels.append(cv2.GaussianBlur(color, (0, 0), blur))
        channels.append(GRADIENT_SHARE * _oriented(channels[-1][..., 0], blur))
    cells = (max(1, (width + 1) // 2), max(1, (height + 1) // 2))
    # One at a time: OpenCV averages areas of broken sizes for up to four channels only
    planes = np.moveaxis(np.concatenate(channels, axis=-1), -1, 0)
    reduced = [cv2.resize(np.ascontiguousarray(plane), cells, interpolation=cv2.INTER_AREA) for plane in planes]
    return np.stack(reduced, axis=-1)


def _oriented(lightness: NDArray[np.float32], blur: float) -> NDArray[np.float32]:
    """Shares of the change of lightness [h, w] in each direction, [h, w, 8]; blur in pixels."""
    along_x = cv2.Sobel(lightness, cv2.CV_32F, 1, 0, scale=blur / 8)
    along_y = cv2.Sobel(lightness, cv2.CV_32F, 0, 1, scale=blur / 8)
    strength, angle = cv2.cartToPolar(along_x, along_y)
    turns = 2 * np.pi * np.arange(DIRECTIONS, dtype=np.float32) / DIRECTIONS
    parts = strength[..., None] * np.cos(angle[..., None] - turns).clip(min=0.0) ** 2
    parts = cv2.GaussianBlur(parts, (0, 0), 2 * blur)
    whole = np.sqrt((parts**2).sum(axis=-1, keepdims=True) + FAINT**2)
    shares: NDArray[np.float32] = (parts / whole).astype(np.float32)
    return shares


def classical_features(
    images: ByteArray, train: Sequence[int], masks: BoolArray | None = None, threads: int = 1
) -> FeatureMaps:
    """Feature maps of V pictures: principal components of their descriptors, and a constant channel.

    Mean and components are those of the target (of everything, without masks) in the training views. The components
    are scaled to a mean squared length of 1, that of the constant: it keeps a feature near the mean from pointing
    anywhere, so that cosines mean something everywhere.

    Args:
        images: uint8 [V, H, W, 3]. train: training views. masks: [V, H, W] of the target, or None.

    Returns:
        Maps of at most 32 channels.

    Raises:
        ValueError: there is no training view.
    """
    if not len(train):
        raise ValueError("expected at least one training view to find principal components in, got none")
    with ThreadPoolExecutor(max(1, threads)) as pool:
        raw = list(pool.map(lambda image: describe(image).astype(np.float16), images))
        mean, components = _components(_target_cells(raw, train, masks))
        reduced = list(pool.map(lambda values: _reduced(values, mean, components), raw))
    height, width = raw[0].shape[:2]
    return FeatureMaps(torch.from_numpy(np.stack(reduced)), (float(height), float(width)), images.shape[1:3])


def _target_cells(
    raw: Sequence[NDArray[np.float16]], train: Sequence[int], masks: BoolArray | None
) -> NDArray[np.float64]:
    """Descriptors [S, D] of cells of the target."""
    height, width = raw[0].shape[:2]
    found = []
    for view in train:
        values = raw[view].reshape(height * width, -1)
        if masks is not None:
            small = cv2.resize(masks[view].astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
            values = values[small.reshape(-1) > 0.5]
        found.append(values)
    cells = np.concatenate(found)
    if not len(cells):  # a target smaller than a cell
        return _target_cells(raw, train, None)
    return cells[:: max(1, len(cells) // SAMPLES)].astype(np.float64)


def _components(cells: NDArray[np.float64]) -> tuple[FloatArray, FloatArray]:
    """Mean [D] and scaled principal components [D, C - 1] of descriptors [S, D]."""
    mean = cells.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov(cells - mean, rowvar=False, bias=True))
    kept = min(CHANNELS - 1, len(mean))
    axes = axes[:, ::-1][:, :kept]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(kept)])  # an axis has no sign of its own
    return mean, axes / np.sqrt(max(float(variances[::-1][:kept].sum()), LEAST_VARIANCE))


def _reduced(values: NDArray[np.float16], mean: FloatArray, components: FloatArray) -> NDArray[np.float16]:
    """Features [h, w, C] of raw descriptors [h, w, D]."""
    projected = (values.astype(np.float32) - mean.astype(np.float32)) @ components.astype(np.float32)
    one = np.ones((*values.shape[:2], 1), dtype=np.float32)
    return np.concatenate([projected, one], axis=-1).astype(np.float16)
