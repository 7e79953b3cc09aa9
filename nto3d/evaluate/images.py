"""How close a rendered picture is to the true one: PSNR and SSIM (Wang et al. 2004), whole and inside a mask.

With a mask the object is judged on black: the truth is multiplied by the mask, the rendering is taken as it is and must
have been composited on black. So what a rendering shows outside the mask counts as an error of the whole picture, and
`psnr_mask`, `ssim_mask` say how well the object itself looks.

Where exposures are learnt (`field.exposure`), a held-out picture has none: `matched` fits its gain and offset first, as
NeRF-W (Martin-Brualla et al. 2021) and Zip-NeRF (Barron et al. 2023) do in their ways.
"""

from __future__ import annotations

import numpy as np
import torch

from nto3d.types import BoolArray, FloatArray

STRIPE, WINDOW = 128, 5  # rows of a picture compared at a time; rows around a pixel that its SSIM depends on
MATCH_ROUNDS, MATCH_SCATTER = 10, 0.05  # of reweighted least squares; errors that still count
PSNR_CEILING = 100.0  # dB, given for equal pictures, so that every number in a table is finite


def psnr(rendered: FloatArray, truth: FloatArray, mask: BoolArray | None = None) -> float:
    """Peak signal-to-noise ratio in dB, at most 100, of pictures [H, W, 3] in 0..1.

    With a mask [H, W] only its pixels count.

    Raises:
        ValueError: the shapes differ or the mask is empty.
    """
    _check(rendered, truth, mask)
    error = np.square(rendered.astype(np.float64) - truth)
    mean = float(error.mean() if mask is None else error[mask].mean())
    return min(PSNR_CEILING, -10 * float(np.log10(max(mean, 1e-12))))


def ssim(rendered: FloatArray, truth: FloatArray, mask: BoolArray | None = None) -> float:
    """Structural similarity (Gaussian window 11 x 11, sigma 1.5, data range 1) of pictures [H, W, 3] in 0..1.

    With a mask [H, W] the mean over the mask's pixels of the SSIM map of the whole pictures.

    Raises:
        ValueError: the shapes differ, the pictures are smaller than 6 pixels, or the mask is empty.
    """
    _check(rendered, truth, mask)
    return _mean_inside(_ssim_map(rendered, truth), mask)


def image_metrics(rendered: FloatArray, truth: FloatArray, mask: BoolArray | None = None) -> dict[str, float]:
    """The keys `psnr`, `ssim` and, with a mask that is not empty, `psnr_mask`, `ssim_mask` of one view.

    Args:
        rendered: [H, W, 3] in 0..1; composited on black where there is a mask.
        truth: [H, W, 3] in 0..1, the whole picture.
        mask: [H, W], true on the object, or None.
    """
    _check(rendered, truth, None)
    if mask is None:
        return {"psnr": psnr(rendered, truth), "ssim": ssim(rendered, truth)}
    on_black = truth * mask[..., None]
    similarity = _ssim_map(rendered, on_black)
    metrics = {"psnr": psnr(rendered, on_black), "ssim": _mean_inside(similarity, None)}
    if mask.any():
        metrics |= {"psnr_mask": psnr(rendered, on_black, mask), "ssim_mask": _mean_inside(similarity, mask)}
    return metrics


def matched(rendered: FloatArray, truth: FloatArray, opacity: FloatArray, mask: BoolArray | None) -> FloatArray:
    """A rendered picture with the gain and offset per channel that bring it nearest to the truth, float32 in 0..1.

    Least squares inside the mask (everywhere without one), with weights that let go of what differs for other reasons;
    where the truth is clipped it does not count.

    Args:
        rendered, truth: [H, W, 3] in 0..1. opacity: [H, W] of the rendering, 1 with a background: the offset is that of
            what is seen, not of black. mask: [H, W], or None.
    """
    _check(rendered, truth, None)
    out = np.empty(rendered.shape, np.float32)
    inside = opacity > 0.5 if mask is None else mask & (opacity > 0.5)
    for channel in range(3):
        known = inside & (truth[..., channel] > 0.5 / 255) & (truth[..., channel] < 254.5 / 255)
        source, wanted = rendered[known, channel].astype(np.float64), truth[known, channel].astype(np.float64)
        gain, offset = _line(source, wanted)
        out[..., channel] = (gain * rendered[..., channel] + offset * opacity).clip(0.0, 1.0)
    return out


def _line(source: FloatArray, wanted: FloatArray) -> tuple[float, float]:
    """Gain and offset with gain * source + offset = wanted [P], robust; identity where they cannot be told."""
    gain, offset = 1.0, 0.0
    for number in range(MATCH_ROUNDS):
        off = gain * source + offset - wanted
        weight = (1.0 + (off / MATCH_SCATTER) ** 2) ** -2 if number else np.ones_like(off)
        total = float(weight.sum())
        if total < 1.0:
            return 1.0, 0.0
        mean, mean_wanted = float(weight @ source) / total, float(weight @ wanted) / total
        spread = float(weight @ (source - mean) ** 2) / total
        if spread > 1e-6:
            gain = float(weight @ ((source - mean) * (wanted - mean_wanted))) / total / spread
        offset = mean_wanted - gain * mean
    return gain, offset


def _ssim_map(rendered: FloatArray, truth: FloatArray) -> FloatArray:
    """SSIM [H, W] at every pixel, mean over the colours; the pictures are mirrored at their border.

    Computed in stripes: a whole picture of two megapixels would take 1.3 GB.
    """
    height, width = truth.shape[:2]
    if min(height, width) < 6:
        raise ValueError(f"expected pictures of at least 6 x 6 pixels, got {truth.shape[:2]}")
    out = np.empty((height, width))
    for start in range(0, height, STRIPE):
        end = min(start + STRIPE, height)
        # Rows enough around the stripe for its windows, and for the mirroring at the picture's last rows.
        above, below = max(0, min(start, height - 1 - WINDOW) - WINDOW), min(height, end + WINDOW)
        out[start:end] = _ssim_of_stripe(rendered[above:below], truth[above:below])[start - above : end - above]
    return out


def _ssim_of_stripe(rendered: FloatArray, truth: FloatArray) -> FloatArray:
    from torchmetrics.functional.image import structural_similarity_index_measure

    pictures = [torch.from_numpy(np.ascontiguousarray(p, np.float32)).permute(2, 0, 1)[None] for p in (rendered, truth)]
    _, similarity = structural_similarity_index_measure(*pictures, data_range=1.0, return_full_image=True)
    mean: FloatArray = similarity[0].double().mean(dim=0).numpy()
    return mean


def _mean_inside(values: FloatArray, mask: BoolArray | None) -> float:
    return float(values.mean() if mask is None else values[mask].mean())


def _check(rendered: FloatArray, truth: FloatArray, mask: BoolArray | None) -> None:
    if truth.ndim != 3 or truth.shape[2] != 3 or rendered.shape != truth.shape:
        raise ValueError(f"expected two pictures [H, W, 3] of one size, got {rendered.shape} and {truth.shape}")
    if not (np.issubdtype(rendered.dtype, np.floating) and np.issubdtype(truth.dtype, np.floating)):
        raise ValueError(f"expected floating point pictures in 0..1, got {rendered.dtype} and {truth.dtype}")
    if mask is not None and (mask.shape != truth.shape[:2] or mask.dtype != np.bool_ or not mask.any()):
        raise ValueError(f"expected a bool mask {truth.shape[:2]} that is not empty, got {mask.dtype} {mask.shape}")
