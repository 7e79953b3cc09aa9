"""Pieces of a solid as a graph: the minimum cut between what was clicked and what was not, and what hangs together.

Letters: N pieces, numbered from 1 on; 0 is the empty space around them.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, maximum_flow

from nto3d.types import BoolArray, FloatArray, IntArray

COLOUR, CLICK = 1.0, 1e6  # weights of votes, a cell's face each, and of clicks, beside a face of contact


def minimum_cut(contact: IntArray, leaning: FloatArray, clicked: IntArray, refused: IntArray) -> BoolArray:
    """The pieces [N + 1] on the clicks' side of the minimum cut: what they lean to against contact."""
    count = len(contact)  # the piece 0 is replaced by the two ends
    source, sink = 0, count
    pull = COLOUR * contact[:, 0] * leaning
    pull[0] = 0.0
    pull[clicked], pull[refused] = CLICK, -CLICK
    rows, columns = np.nonzero(contact[1:, 1:])
    first = np.concatenate([rows + 1, np.full(count, source), np.arange(count)])
    second = np.concatenate([columns + 1, np.arange(count), np.full(count, sink)])
    values = np.concatenate([contact[1:, 1:][rows, columns], pull.clip(0.0), (-pull).clip(0.0)])
    keep = (np.rint(values) > 0) & (first != second)
    capacity = csr_array(
        (np.rint(values[keep]).astype(np.int32), (first[keep], second[keep])), shape=(count + 1, count + 1)
    )
    flow = maximum_flow(capacity, source, sink).flow
    rest = (capacity - flow).tocsr()
    rest.data = (rest.data > 0).astype(np.int32)
    rest.eliminate_zeros()
    reached = breadth_first_order(rest, source, return_predecessors=False)
    inside = np.zeros(count + 1, dtype=bool)
    inside[reached] = True
    inside[[source, sink]] = False
    return inside[:count]


def components(contact: IntArray, chosen: BoolArray) -> IntArray:
    """The connected group, from 1 on, that each chosen piece [N] belongs to; 0 for the others."""
    index = np.flatnonzero(chosen)
    _, group = connected_components(csr_array(contact[np.ix_(index, index)]), directed=False)
    groups = np.zeros(len(chosen), dtype=np.int64)
    groups[index] = group + 1
    return groups


def joined(contact: IntArray, chosen: BoolArray, own: BoolArray) -> BoolArray:
    """What of the chosen pieces [N] hangs together with some of them."""
    groups = components(contact, chosen | own)
    joined: BoolArray = np.isin(groups, np.unique(groups[own])) & (chosen | own)
    return joined
