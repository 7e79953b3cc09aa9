"""Losses. Each returns one value per element; weighting and reducing happen in `stages`.

Letters: R rays, N samples.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

HUBER_DELTA = 0.1
FAINT = 0.1  # length of a rendered feature that has no direction, as a share of the usual
EDGE = 0.3  # change of a unit normal beyond which it is an edge, not a bump
OPACITY_EPS = 1e-5  # a ray that sees nothing still pulls on the surface that it ought to see


def color_l1(rgb: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference over the channels, [R], of colours [R, 3]."""
    return (rgb - truth).abs().mean(dim=1)


def color_huber(rgb: Tensor, truth: Tensor) -> Tensor:
    """Huber distance over the channels, [R], scaled so that large errors count as much as in L1."""
    return functional.huber_loss(rgb, truth, reduction="none", delta=HUBER_DELTA).mean(dim=1) / HUBER_DELTA


def mask_bce(opacity: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy of opacity [R] against a mask [R] of 0/1 (NeuS eq. 17)."""
    return functional.binary_cross_entropy(opacity.clamp(OPACITY_EPS, 1.0 - OPACITY_EPS), mask, reduction="none")


def eikonal(gradients: Tensor) -> Tensor:
    """Squared deviation of the SDF's slope from 1, [N], from gradients [N, 3] (Gropp et al. 2020)."""
    return (torch.sqrt((gradients**2).sum(dim=1) + 1e-12) - 1.0) ** 2


def feature_distance(rendered: Tensor, encoded: Tensor, scale: float) -> Tensor:
    """One minus the cosine, plus the squared distance over `scale`, [R], of features [R, C].

    A rendered feature shorter than a tenth of the usual has no direction to speak of: it counts as that long, or a ray
    that sees next to nothing would have a gradient next to infinity.

    Args:
        scale: mean squared length of the encoded features.
    """
    length = torch.linalg.vector_norm(rendered, dim=1).clamp(min=FAINT * scale**0.5)
    cosine = (rendered * functional.normalize(encoded, dim=1, eps=1e-6)).sum(dim=1) / length
    return 1.0 - cosine + ((rendered - encoded) ** 2).sum(dim=1) / scale


def curvature(gradients: Tensor, ahead: Tensor, behind: Tensor) -> Tensor:
    """How much the curvature changes along a surface, [N], from SDF gradients [N, 3] at points and to either side.

    The squared second difference of the unit normals. It is next to nothing on planes, spheres and cylinders of any
    size and large on bumps: minimum variation of curvature (Moreton & Sequin 1992), where a first difference, as in
    PermutoSDF (Rosu & Behnke 2023), would also flatten what is round. It is bounded (Geman & McClure): an edge costs
    something, but no more for being sharp.
    """
    here, there, back = (functional.normalize(value, dim=1, eps=1e-6) for value in (gradients, ahead, behind))
    change = ((there - 2.0 * here + back) ** 2).sum(dim=1)
    return change / (1.0 + change / EDGE**2)
