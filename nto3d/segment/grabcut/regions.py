"""A picture in regions of even colour: its edges, what is linked to its border, and what is linked to a click.

What is not linked to the border is no background (Zhu et al. 2014, "Saliency optimization from robust background
detection").
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.csgraph import dijkstra

from nto3d.types import ByteArray, FloatArray, IntArray

REGIONS = 32  # along the longer side
ALIKE = 3.0  # colour differences below this are none
BLUR = 7.0  # colour distance over which regions count as linked
CROSSING = 12.0  # colour distance that a step between background and target is worth


def edge_ranks(image: ByteArray) -> FloatArray:
    """For each pixel the share of pixels with a smaller gradient, the largest of 3 x 3 neighbours: float32 [H, W]."""
    gradient = _gradient(_smooth_lab(image))
    rank = np.searchsorted(np.sort(gradient, axis=None), gradient) / gradient.size
    ranks: FloatArray = cv2.dilate(rank.astype(np.float32), np.ones((3, 3), np.uint8))
    return ranks


class Regions:
    """A picture [H, W, 3] in regions of even colour, a graph of neighbours with colour differences.

    Attributes:
        size: (H, W). index: [H, W], region of each pixel. background: [H, W], how likely each pixel is background.
        edges: [H, W], see `edge_ranks`.
    """

    def __init__(self, image: ByteArray) -> None:
        self.size = image.shape[0], image.shape[1]
        lab = _smooth_lab(image)
        self.edges = edge_ranks(image)
        self.index = _watershed(lab, max(4, round(max(self.size) / REGIONS)))
        count = int(self.index.max()) + 1
        area = np.bincount(self.index.reshape(-1), minlength=count).astype(np.float64)
        self._count = count
        sums = [np.bincount(self.index.reshape(-1), lab[..., channel].reshape(-1), count) for channel in range(3)]
        colors = np.stack(sums, axis=1) / area[:, None]
        self._first, self._second = _neighbours(self.index, count)
        self._steps = np.maximum(np.linalg.norm(colors[self._first] - colors[self._second], axis=1) - ALIKE, 0.0)
        self._background = self._linked_to_border(colors, area)
        self.background = self._background[self.index]

    def _graph(self, first: IntArray, second: IntArray, lengths: FloatArray) -> sparse.csr_array:
        # A length of zero would mean that there is no step at all
        return sparse.coo_array((lengths + 1e-6, (first, second)), shape=(self._count, self._count)).tocsr()

    def _linked_to_border(self, colors: FloatArray, area: FloatArray) -> FloatArray:
        """How likely each region is background: the length of the border that it is linked to, by its linked area."""
        rim = np.unique(np.concatenate([self.index[0], self.index[-1], self.index[:, 0], self.index[:, -1]]))
        first, second = (part[np.triu_indices(len(rim), 1)] for part in np.meshgrid(rim, rim, indexing="ij"))
        across = np.maximum(np.linalg.norm(colors[first] - colors[second], axis=1) - ALIKE, 0.0)
        # Regions at the border are neighbours of each other: what hides a part of the background does not split it
        pairs = np.concatenate([self._first, first]), np.concatenate([self._second, second])
        keys = np.minimum(*pairs) * self._count + np.maximum(*pairs)
        _, once = np.unique(keys, return_index=True)
        graph = self._graph(pairs[0][once], pairs[1][once], np.concatenate([self._steps, across])[once])
        linked = np.exp(-(dijkstra(graph, directed=False) ** 2) / (2 * BLUR**2))
        connectivity = linked[:, rim].sum(axis=1) / np.sqrt(linked @ (area / area.mean()))
        likely: FloatArray = 1.0 - np.exp(-(connectivity**2) / 2)
        return likely

    def flood(self, clicks: IntArray) -> FloatArray:
        """How far each pixel is from the nearest click [P, 2], by steps in colour and between object and background."""
        crossing = np.abs(self._background[self._first] - self._background[self._second])
        graph = self._graph(self._first, self._second, self._steps + 0.5 + CROSSING * crossing)
        starts = np.unique(self.index[clicks[:, 1], clicks[:, 0]])
        far: FloatArray = dijkstra(graph, directed=False, indices=starts).min(axis=0)[self.index]
        return far


def _smooth_lab(image: ByteArray) -> FloatArray:
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    smooth: FloatArray = cv2.bilateralFilter(lab, 7, 20, 5)
    return smooth


def _gradient(lab: FloatArray) -> FloatArray:
    slopes = [np.abs(cv2.Sobel(lab, cv2.CV_32F, *axis, ksize=3)).sum(axis=2) for axis in ((1, 0), (0, 1))]
    gradient: FloatArray = cv2.blur(slopes[0] + slopes[1], (3, 3))
    return gradient


def _watershed(lab: FloatArray, step: int) -> IntArray:
    """Regions [H, W] numbered from 0: watersheds around the smoothest pixel of every cell of `step` pixels."""
    gradient = _gradient(lab)
    height, width = gradient.shape
    markers = np.zeros((height, width), dtype=np.int32)
    count = 0
    for top in range(0, height, step):
        for left in range(0, width, step):
            cell = gradient[top : top + step, left : left + step]
            row, column = divmod(int(cell.argmin()), cell.shape[1])
            count += 1
            markers[top + row, left + column] = count
    cv2.watershed(lab.clip(0, 255).astype(np.uint8), markers)
    # The lines between the regions go to the nearest one
    nearest = ndimage.distance_transform_edt(markers <= 0, return_distances=False, return_indices=True)
    _, index = np.unique(markers[tuple(nearest)], return_inverse=True)
    return index.reshape(height, width)


def _neighbours(index: IntArray, count: int) -> tuple[IntArray, IntArray]:
    """Pairs of regions that touch, each once."""
    pairs = [(index[:, :-1], index[:, 1:]), (index[:-1], index[1:]), (index[:-1, :-1], index[1:, 1:])]
    pairs.append((index[:-1, 1:], index[1:, :-1]))
    keys = [np.minimum(one, other) * count + np.maximum(one, other) for one, other in pairs]
    unequal = [key[one != other] for key, (one, other) in zip(keys, pairs, strict=True)]
    found = np.unique(np.concatenate(unequal))
    return found // count, found % count
