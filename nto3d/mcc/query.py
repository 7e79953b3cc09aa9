"""Where the network says that there is surface: a lattice of places, asked coarse to fine.

Letters: n places along an axis, Q places asked at a time, K places found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from nto3d.mcc.model import LEVELS
from nto3d.types import BoolArray, ByteArray, FloatArray, IntArray

Answer = Callable[[Tensor], Tensor]  # places [Q, 3] -> logits [Q, 1 + 3 * 256]
Progress = Callable[[int, int, int], None]  # pass, places asked in it so far, places of the pass
Found = Callable[[int, FloatArray, ByteArray], None]  # pass, occupied places [K, 3] that are new in it, uint8 [K, 3]

EXTENT = 3.0  # the published demo's lattice spans -3..3 on every axis
TEMPERATURE = 0.1  # of the colour classes, as there
FIRST_STRIDES = (4, 2, 1)  # places along each axis; what the first pass may begin with
SHELL = 0.2  # how wide the shell of occupied places is
# Logits below the threshold from where on a cell's inside is asked, too; none in the second halving, after which what
# was stepped over is found from its neighbours. Measured on a small network: 10 % of the places, 99.96 % of the
# occupied ones
SLACK, LAST_SLACK = 3.0, 0.0


@dataclass(frozen=True)
class Sweep:
    """The answer of a sweep.

    Attributes:
        axis: [n] coordinates of the lattice, normalized, the same for x, y and z.
        logit: float32 [n, n, n] of occupancy; -inf where nothing was asked.
        rgb: uint8 [K, 3], colours of the occupied places, in the order of `occupied`.
        level: logit of the threshold. asked: how many places were asked.
    """

    axis: FloatArray
    logit: FloatArray
    rgb: ByteArray
    level: float
    asked: int

    @property
    def occupied(self) -> BoolArray:
        """bool [n, n, n]."""
        above: BoolArray = self.logit > self.level
        return above

    @property
    def places(self) -> FloatArray:
        """Occupied places [K, 3], normalized."""
        return self.axis[np.argwhere(self.occupied)]


def sweep(
    answer: Answer,
    granularity: float,
    threshold: float,
    batch: int,
    progress: Progress | None = None,
    first_stride: int | None = None,
    extent: float = EXTENT,
    found: Found | None = None,
    temperature: float = TEMPERATURE,
) -> Sweep:
    """Ask the network about a lattice, finely only where the threshold may be crossed.

    The first pass asks every fourth place along each axis, or every second or all: as far apart as the shell of
    occupied places is wide (SHELL), so that it is not stepped over. Every further pass halves the distance: the places
    half-way around one that comes within SLACK of the threshold are asked, in the second halving around one that is
    above it. Then the six neighbours of every occupied place are asked, until no more are occupied: what hangs together
    is found as a whole, and the logits around it are known.

    Args:
        answer: the network. granularity: between places, normalized units. threshold: probability of being occupied.
        batch: places asked at a time, which bounds the memory. progress: is told how far it is.
        first_stride: a power of two; 1 asks everywhere; None: as above. extent: the lattice spans -extent..extent on
            every axis. found: is told after every pass what is new. temperature: of the colour classes.

    Raises:
        ValueError: a number is impossible.
    """
    stride = _first_stride(granularity, threshold, batch, first_stride, extent)
    lattice = _Lattice(granularity, extent, logit_of(threshold))
    for number, wanted in enumerate(_passes(lattice, stride)):
        told = None if progress is None else partial(progress, number)
        places, rgb = lattice.ask(answer, wanted, batch, temperature, told)
        if found is not None:
            found(number, places, rgb)
    return lattice.result()


def _first_stride(granularity: float, threshold: float, batch: int, stride: int | None, extent: float) -> int:
    """The stride of the first pass, given or by the shell's width; raises ValueError where a number is impossible."""
    if not (0 < granularity <= extent < math.inf and 0 < threshold < 1 and batch > 0):
        raise ValueError(f"expected positive numbers, a threshold below 1, got {granularity}, {threshold}, {batch}")
    if stride is None:
        return next(stride for stride in FIRST_STRIDES if stride * granularity <= 1.001 * SHELL or stride == 1)
    if stride < 1 or stride & (stride - 1):
        raise ValueError(f"expected a power of two as the first stride, got {stride}")
    return stride


class _Lattice:
    """What is known of the places so far: the attributes of `Sweep`, and `known` [n, n, n], where it was asked."""

    def __init__(self, granularity: float, extent: float, level: float) -> None:
        count = math.ceil(2 * extent / granularity)
        self.axis: FloatArray = (np.arange(count) - count / 2) * (2 * extent / count)
        self.level = level
        self.logit = np.full((count, count, count), -np.inf, dtype=np.float32)
        self.known = np.zeros_like(self.logit, dtype=np.bool_)
        self._index = [np.zeros(0, dtype=np.int64)]  # of occupied places, flat, in the order in which they were asked
        self._rgb = [np.zeros((0, 3), dtype=np.uint8)]

    def ask(
        self,
        answer: Answer,
        wanted: BoolArray,
        batch: int,
        temperature: float,
        progress: Callable[[int, int], None] | None,
    ) -> tuple[FloatArray, ByteArray]:
        """Ask wanted places [n, n, n] that are not known yet; the occupied ones of them [K, 3] and their colours."""
        index, before = np.flatnonzero(wanted & ~self.known), len(self._index)
        for start in range(0, len(index), batch):
            some = index[start : start + batch]
            with torch.no_grad():
                logits = answer(torch.from_numpy(self._places(some).astype(np.float32))).float()
            self.logit.reshape(-1)[some] = logits[:, 0].cpu().numpy()
            above = logits[:, 0] > self.level
            self._index.append(some[above.cpu().numpy()])
            self._rgb.append(decoded_colors(logits[above], temperature).cpu().numpy())
            if progress is not None:
                progress(min(start + batch, len(index)), len(index))
        self.known |= wanted
        fresh, rgb = self._occupied(before)
        return self._places(fresh), rgb

    def result(self) -> Sweep:
        """All that was found."""
        index, rgb = self._occupied(0)
        return Sweep(self.axis, self.logit, rgb[np.argsort(index, kind="stable")], self.level, int(self.known.sum()))

    def _places(self, index: IntArray) -> FloatArray:
        return self.axis[np.stack(np.unravel_index(index, self.logit.shape), axis=1)]

    def _occupied(self, since: int) -> tuple[IntArray, ByteArray]:
        """Flat indices [K] and colours [K, 3] of the occupied places of all batches from one on."""
        return (
            np.concatenate([self._index[0], *self._index[since:]]),
            np.concatenate([self._rgb[0], *self._rgb[since:]]),
        )


def _passes(lattice: _Lattice, stride: int) -> Iterator[BoolArray]:
    """The places [n, n, n] that each pass wants, from what the passes before it found."""
    wanted = np.zeros_like(lattice.known)
    wanted[::stride, ::stride, ::stride] = True
    yield wanted
    slack = SLACK
    while stride > 1:
        yield _closer(lattice.logit, lattice.level - slack, stride)
        slack, stride = LAST_SLACK, stride // 2
    while True:
        wanted = ndimage.binary_dilation(lattice.logit > lattice.level)
        if not (wanted & ~lattice.known).any():
            return
        yield wanted


def logit_of(probability: float) -> float:
    """The logit at which a probability lies."""
    return math.log(probability / (1.0 - probability))


def _closer(logit: FloatArray, least: float, stride: int) -> BoolArray:
    """Which places [n, n, n] the next pass, of half the stride, wants: those half-way around one above `least`."""
    half = stride // 2
    wanted = np.zeros(logit.shape, dtype=np.bool_)
    fine = wanted[::half, ::half, ::half]  # a view
    fine[::2, ::2, ::2] = logit[::stride, ::stride, ::stride] > least
    fine[...] = ndimage.binary_dilation(fine, np.ones((3, 3, 3), dtype=np.bool_))
    return wanted


def decoded_colors(logits: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Colours uint8 [Q, 3]: means over the classes, from logits [Q, 1 + 3 * 256]."""
    classes = logits[:, 1:].reshape(-1, 3, LEVELS) / temperature
    steps = torch.arange(LEVELS, dtype=logits.dtype, device=logits.device)
    return (functional.softmax(classes, dim=2) * steps).sum(dim=2).round().to(torch.uint8)
