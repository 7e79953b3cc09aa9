"""Solids in pieces."""

from __future__ import annotations

import numpy as np
import pytest

from nto3d.stages.whole.pieces import split
from nto3d.types import BoolArray

SIDE = 64
PLACES = np.stack(np.mgrid[:SIDE, :SIDE, :SIDE], axis=-1)


def ball(center: tuple[float, float, float], radius: float) -> BoolArray:
    return np.linalg.norm(PLACES - np.array(center), axis=-1) < radius


def rod(start: tuple[float, float, float], end: tuple[float, float, float], radius: float) -> BoolArray:
    a, b = np.array(start), np.array(end)
    share = (((PLACES - a) @ (b - a)) / ((b - a) @ (b - a))).clip(0.0, 1.0)
    return np.linalg.norm(PLACES - a - share[..., None] * (b - a), axis=-1) < radius


def test_balls_that_touch_are_two_pieces() -> None:
    one, other = ball((20, 32, 32), 12), ball((43, 32, 32), 12)
    pieces = split(one | other)
    assert len(pieces) == 2
    assert len(np.unique(pieces.labels[one & ~other])) == 1
    assert len(np.unique(pieces.labels[other & ~one])) == 1
    assert pieces.labels[20, 32, 32] != pieces.labels[43, 32, 32]


def test_a_limb_is_no_piece_of_its_own() -> None:
    assert len(split(ball((32, 32, 24), 12) | rod((32, 32, 24), (32, 32, 60), 4))) == 1


def test_a_thin_stem_divides_what_is_thick_on_both_sides() -> None:
    pieces = split(ball((32, 32, 48), 11) | rod((32, 32, 10), (32, 32, 48), 3) | ball((32, 32, 10), 8))
    assert len(pieces) == 2
    assert pieces.labels[32, 32, 48] != pieces.labels[32, 32, 10]


def test_labels_cover_the_solid_and_nothing_else() -> None:
    solid = ball((20, 32, 32), 9) | ball((45, 20, 40), 7) | ball((45, 45, 20), 3)
    pieces = split(solid)
    assert len(pieces) == 3
    assert ((pieces.labels > 0) == solid).all()


def test_contact_counts_the_faces_of_cells() -> None:
    solid = np.zeros((SIDE,) * 3, dtype=bool)
    solid[10:14, 10:14, 10:14] = True
    pieces = split(solid)
    assert len(pieces) == 1
    assert pieces.contact.tolist() == [[0, 96], [96, 0]]
    assert (pieces.contact == pieces.contact.T).all()


@pytest.mark.parametrize("value", [False, True])
def test_nothing_and_everything(value: bool) -> None:
    pieces = split(np.full((16, 16, 16), value))
    assert len(pieces) == int(value)
    assert (pieces.labels == int(value)).all()


def test_cells_of_two_things_are_in_two_pieces() -> None:
    # A bar is one piece, and stays one where all that is known of it belongs to one thing
    bar = rod((10, 32, 32), (54, 32, 32), 6)
    left, right = np.array([[12, 32, 37], [20, 32, 37]]), np.array([[52, 32, 37]])
    assert len(split(bar)) == len(split(bar, left)) == len(split(bar, left, right[:0])) == 1
    pieces = split(bar, left, right)
    assert len(np.unique(pieces.labels[tuple(left.T)])) == 1
    assert pieces.labels[tuple(left[0])] != pieces.labels[tuple(right[0])]
    assert ((pieces.labels > 0) == bar).all()
    # As far around the other thing's cell as the bar is thick
    off = np.argwhere(pieces.labels == pieces.labels[tuple(right[0])])
    assert np.linalg.norm(off - right[0], axis=1).max() < 8.0
    assert np.linalg.norm(np.argwhere(bar) - right[0], axis=1).max() > 40.0
    assert 0.05 < len(off) / bar.sum() < 0.2


def test_what_is_known_of_two_things_leaves_a_wide_neck_at_its_narrowest_place() -> None:
    one, other = ball((20, 32, 32), 13), ball((41, 32, 32), 12)
    wide = one | other | rod((20, 32, 32), (41, 32, 32), 11)
    assert len(split(wide)) == 1
    pieces = split(wide, np.array([[20, 32, 43]]), np.array([[41, 32, 42]]))
    assert (pieces.labels[:25] == pieces.labels[20, 32, 32])[wide[:25]].mean() > 0.95
    beyond = np.unique(pieces.labels[37:][wide[37:]])
    assert pieces.labels[20, 32, 32] not in beyond
    assert len(beyond) == 2  # around the cell that is known, and the rest
