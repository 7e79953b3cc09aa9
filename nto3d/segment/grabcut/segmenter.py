"""The segmenter that needs no download: GrabCut (Rother et al. 2004) from clicks, a box, or a projected target.

What is known is turned into sure, probable and unsure regions. With a prior, a band around its outline is unsure, as
wide as the prior may be wrong; what lies deeper inside and farther outside is sure, and the colours decide in between.
Without one, `first_mask` finds the prior. Both are worked on in a small copy of the target's surroundings, and the
outline is cut once more at full size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from nto3d.errors import InputError
from nto3d.segment.base import check_picture
from nto3d.segment.grabcut.cuts import (
    BACKGROUND,
    MAYBE_BACKGROUND,
    MAYBE_TARGET,
    TARGET,
    Colors,
    cut_in_tiles,
    depth_inside,
    distance_from,
    fill_holes,
    grab_cut,
    keep_touching,
)
from nto3d.segment.grabcut.first_mask import Pointers, first_mask, separation, sharpness
from nto3d.segment.grabcut.regions import Regions, edge_ranks
from nto3d.segment.grabcut.window import Window
from nto3d.types import BoolArray, ByteArray, FloatArray, Mask, Prompts

SEARCH = 256  # longest side of the picture in which a first mask is looked for
FIRST_BAND = 0.15  # band around a first mask
AROUND_BOX = 0.5  # a box is seen with so much around it, as a share of its longer side
RING = 0.3  # background this far beyond the band teaches its colours: share of the target's size
LIKELY, UNLIKELY = 0.65, 0.35  # a prior between these is unsure everywhere
NEARER = 0.6  # a negative click takes what is linked to it so much more closely than to a positive one
DEEPEST = 0.6  # of the largest depth: the core of a target that is thinner than the band
ITERATIONS = 3
HOLE = 0.003  # smaller holes are filled: share of the mask's area
CLICK_HOLE = 0.03  # a hole of such a share may be nothing but the negative click in it
CLICK_RADIUS = 1.5  # reduced pixels around a click that follow it
FINE = 1.5  # reduced pixels on both sides of the outline that are cut again at full size


@dataclass(frozen=True)
class _Cut:
    """A mask [h, w] of the reduced window, with the colours that made it."""

    mask: BoolArray
    colors: Colors


class GrabCutSegmenter:
    """Masks from clicks, a box or a prior, by colours.

    Args:
        band: half width of the unsure band around a prior's outline, as a share of the target's size (the square root
            of its area), where prompts do not say it. Wide bands let the picture speak, narrow ones trust the prior.
        longest: pixels of the longer side of the reduced surroundings of the target.
        seed: of the colour models' random start; the same input gives the same mask.

    Raises:
        ValueError: a parameter is impossible.
    """

    def __init__(self, band: float = 0.25, longest: int = 480, seed: int = 0) -> None:
        if not 0 < band <= 2 or longest < 32:
            raise ValueError(f"expected a band in 0..2 and at least 32 pixels, got {band} and {longest}")
        self.band = band
        self.longest = longest
        self.seed = seed

    def embed(self, image: ByteArray) -> ByteArray:
        """The picture itself, uint8 [H, W, 3] RGB: nothing needs to be prepared.

        Raises:
            ValueError: it is no such picture.
        """
        check_picture(image)
        return image

    def segment(self, embedded: ByteArray, prompts: Prompts) -> Mask:
        """The mask of the target.

        A prior is trusted outside of its band; clicks are always followed. A negative one inside the prior takes with
        it what is rather linked to it than to a positive one, by colour. The box bounds a mask without a prior; with
        one, it is widened by the band, since it may have been made from the prior.

        The score is a product: how far the masks of the band and of half the band agree (IoU), how unlike the colours
        inside and outside are, how sharp the edges along the outline are, and, without a prior, how far the guesses of
        `first_mask` agree. It ranks masks and is no calibrated IoU.

        Returns:
            An empty mask with score 0 where only a prior was given and it shows no target.

        Raises:
            InputError: nothing stands out where the clicks or the box point.
        """
        size = embedded.shape[0], embedded.shape[1]
        if prompts.prior is not None and prompts.prior.shape != size:
            raise ValueError(f"expected a prior {size}, got {prompts.prior.shape}")
        prior, agreement, band = prompts.prior, 1.0, self.band if prompts.slack is None else prompts.slack
        if prior is None:
            prior, agreement = self._first_prior(embedded, prompts)
            band = FIRST_BAND
        if not (prior > 0.5).any() and not (prompts.labels == 1).any():
            return Mask(prompts.view, np.zeros(size, dtype=np.bool_), 0.0)
        pixels, score = self._follow(embedded, prompts, prior, band)
        if not pixels.any():
            raise _nothing(prompts)
        return Mask(prompts.view, pixels, score * agreement)

    def _first_prior(self, image: ByteArray, prompts: Prompts) -> tuple[FloatArray, float]:
        """A first mask from clicks and box as a prior [H, W], and how far its guesses agree."""
        size = image.shape[0], image.shape[1]
        box = np.array([0.0, 0.0, size[1] - 1.0, size[0] - 1.0]) if prompts.box is None else prompts.box
        margin = AROUND_BOX * float((box[2:] - box[:2]).max())
        window = Window.around(box, margin, size, SEARCH)
        pointers = _pointers(window, prompts, 0.0)
        found = first_mask(window.cut(image), pointers, self.seed)
        if found is None:
            raise _nothing(prompts)
        prior = np.zeros(size, dtype=np.float32)
        prior[window.top : window.bottom, window.left : window.right] = window.enlarge(found.mask)
        return prior, found.agreement

    def _follow(self, image: ByteArray, prompts: Prompts, prior: FloatArray, band: float) -> tuple[BoolArray, float]:
        """The mask [H, W] near a prior, and how sure it is."""
        size = prior.shape[0], prior.shape[1]
        window = _surroundings(prior, prompts, band, self.longest)
        small, likely = window.cut(image), window.cut(prior.astype(np.float32))
        scale = window.factor * float(np.sqrt(max(int(np.count_nonzero(prior > 0.5)), 1)))
        widen = band * scale if prompts.prior is not None else 0.0
        pointers = _pointers(window, prompts, widen)
        likely = _undisputed(small, likely, pointers)
        cut = self._cut(small, likely, band * scale, pointers)
        if cut is None:
            return prior > 0.5, 0.0
        narrow = self._cut(small, likely, 0.5 * band * scale, pointers)
        agreement = _iou(cut.mask, narrow.mask) if narrow is not None else 0.0
        score = agreement * separation(small, cut.mask) ** 0.5 * sharpness(edge_ranks(small), cut.mask) ** 2
        pixels = np.zeros(size, dtype=np.bool_)
        full = _pointers(replace(window, size=window.whole), prompts, widen / window.factor)
        pixels[window.top : window.bottom, window.left : window.right] = self._refined(image, window, cut, full)
        return pixels, score

    def _cut(self, image: ByteArray, prior: FloatArray, band: float, pointers: Pointers) -> _Cut | None:
        """The mask in a reduced window; band in its pixels."""
        labels = band_labels(prior, band, pointers)
        core = labels == TARGET
        found = grab_cut(image, labels, ITERATIONS, self.seed)
        if found is None:
            return None
        mask = keep_touching(found[0], core)
        return _Cut(fill_holes(mask, HOLE) & (labels != BACKGROUND), found[1])

    def _refined(self, image: ByteArray, window: Window, cut: _Cut, pointers: Pointers) -> BoolArray:
        """The mask in the window's own pixels, its outline cut again where the window was reduced.

        Args:
            pointers: in the window's own pixels.
        """
        mask = window.enlarge(cut.mask)
        if window.size == window.whole:
            return mask
        reach = FINE / window.factor + 1.0
        unsure = np.where(mask, depth_inside(mask), depth_inside(~mask)) <= reach
        labels = np.where(mask, TARGET, BACKGROUND).astype(np.uint8)
        labels[unsure] = np.where(mask, MAYBE_TARGET, MAYBE_BACKGROUND)[unsure]
        pointed = _point(labels, pointers)
        part = np.ascontiguousarray(image[window.top : window.bottom, window.left : window.right])
        fine = cut_in_tiles(part, labels, cut.colors)
        return fill_holes(keep_touching(fine, labels == TARGET), HOLE) & ~(pointed & (labels == BACKGROUND))


def band_labels(prior: FloatArray, band: float, pointers: Pointers) -> ByteArray:
    """Sure, probable and unsure regions [H, W] of a prior [H, W]; band in pixels."""
    region = prior > 0.5
    labels = np.where(region, MAYBE_TARGET, MAYBE_BACKGROUND).astype(np.uint8)
    inner, outer = depth_inside(region), depth_inside(~region)
    labels[(outer >= band) & (prior < UNLIKELY)] = BACKGROUND
    if region.any():
        labels[(inner >= min(band, DEEPEST * float(inner[region].max()))) & (prior > LIKELY)] = TARGET
    _point(labels, pointers)
    return labels


def _point(labels: ByteArray, pointers: Pointers) -> BoolArray:
    """Write over labels [H, W] what box and clicks say; returns where [H, W]."""
    written = np.zeros(labels.shape, dtype=np.bool_) if pointers.inside is None else ~pointers.inside
    labels[written] = BACKGROUND
    # The second time clicks take back their own pixels from others beside them
    for radius in (CLICK_RADIUS, 0.0):
        for clicks, label in ((pointers.negative, BACKGROUND), (pointers.positive, TARGET)):
            if len(clicks):
                near = distance_from(labels.shape, clicks) <= radius
                labels[near] = label
                written |= near
    return written


def _undisputed(image: ByteArray, prior: FloatArray, pointers: Pointers) -> FloatArray:
    """The prior [H, W] without what is rather linked to a negative click in it than to a positive one."""
    negative, positive = pointers.negative, pointers.positive
    region = fill_holes(prior > 0.5, CLICK_HOLE)
    negative = negative[region[negative[:, 1], negative[:, 0]]]
    if not len(negative) or not len(positive):
        return prior
    regions = Regions(image)
    beside = regions.flood(negative) < NEARER * regions.flood(positive)
    undisputed: FloatArray = np.where(beside, 0.0, prior)
    return undisputed


def _surroundings(prior: FloatArray, prompts: Prompts, band: float, longest: int) -> Window:
    """What is looked at around a prior [H, W] and the positive clicks."""
    rows, columns = np.nonzero(prior > 0.5)
    clicks = prompts.points[prompts.labels == 1]
    x, y = np.concatenate([columns, clicks[:, 0]]), np.concatenate([rows, clicks[:, 1]])
    box = np.array([x.min(), y.min(), x.max(), y.max()], dtype=np.float64)
    return Window.around(box, (band + RING) * float(np.sqrt(max(len(rows), 1))) + 8.0, prior.shape, longest)


def _pointers(window: Window, prompts: Prompts, widen: float) -> Pointers:
    """Clicks and box in a reduced window; the box wider by so many reduced pixels."""
    inside = None
    if prompts.box is not None:
        (left, top), (right, bottom) = window.to_small(prompts.box.reshape(2, 2))
        y, x = np.mgrid[: window.size[0], : window.size[1]]
        # At least one pixel is inside, however small the box
        widen = max(widen, 0.5)
        inside = (x >= left - widen) & (x <= right + widen) & (y >= top - widen) & (y <= bottom + widen)
    positive, negative = (window.pixels(prompts.points[prompts.labels == label]) for label in (1, 0))
    return Pointers(positive, negative, inside)


def _iou(one: BoolArray, other: BoolArray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def _nothing(prompts: Prompts) -> InputError:
    where = ", ".join(f"[{x:g}, {y:g}]" for x, y in prompts.points[prompts.labels == 1]) or "the box"
    return InputError(f"prompts: nothing stands out at {where} of view {prompts.view}: point at the target")
