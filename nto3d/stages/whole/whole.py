"""The whole object that a click names, from the scene's geometry and the masks that colours gave.

Colours know parts: a click on a house takes its walls and leaves the roof. Geometry knows what hangs together and what
stands: the object is what is joined to the clicked place above the support. Where other things touch it, a cut through
the solid is looked for that is narrow *and* where the colours change (a minimum cut over pieces of the solid); but
nothing is cut off that does not stand on its own, and an object stays with what it stands on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nto3d.geometry.cameras import RayCaster
from nto3d.stages.model import SurfaceModel
from nto3d.stages.views.projection import UNSURE, Projection, shrunk, surface_places
from nto3d.stages.views.voting import SurfaceVotes
from nto3d.stages.whole.color_model import apart, common, elsewhere, piece_colours
from nto3d.stages.whole.cut import components, joined, minimum_cut
from nto3d.stages.whole.solid import Solid, distances, find_solid
from nto3d.types import BoolArray, ByteArray, Cameras, FloatArray, IntArray, Mask

SPILL_POWER = 4.0  # power of a mask's share that does not spill
APART, FOREIGN = 0.3, 1.2  # what stands on its own is another thing in so far, and by unlike colours: of its votes
STRANGE, FAMILIAR = 0.5, 0.85  # common share of two pieces' colours: what has less, what has more
HALF = 0.5  # share of the votes with which what hangs together is believed without a support
AGAINST, OTHER = 0.55, 0.65  # a place is unsure with fewer votes for it and colours rather those of something else
STRANGER = 0.85  # ... and whatever the votes, where the colours are so clearly those of something else
MOSTLY = 0.5  # share of a piece's pixels
CLEARLY = 0.6  # of the way from ALIKE to UNLIKE: from there on colours are asked
ALIKE, UNLIKE = 0.2, 0.45  # how different the colours inside and outside are: what is less, what is clearly
NARROW, WIDE = 0.04, 0.08  # how far an outline may be wrong where colours tell nothing, and where they tell much


@dataclass(frozen=True)
class Whole:
    """The object in all views.

    Attributes:
        targets: float32 [h, w] in 0..1 of each view, where it is seen. slack: of these as priors, see `Prompts`.
        against: float32 [h, w] in 0..1 of each view, how much votes and colours speak against what is chosen there.
    """

    targets: dict[int, FloatArray]
    slack: float
    against: dict[int, FloatArray]


def find_whole(
    model: SurfaceModel,
    cameras: Cameras,
    seen: Mapping[int, Projection],
    images: ByteArray,
    masks: Mapping[int, Mask],
    confidences: Mapping[int, float],
    clicked: tuple[FloatArray, FloatArray],
    held_out: Sequence[int] = (),
    seed: int = 0,
) -> Whole | None:
    """The object that clicks and first masks name.

    Args:
        model: after the scene stage. cameras: reduced, as `seen`. images: uint8 [V, H, W, 3].
        masks: first masks in whole pictures. confidences: how much each of them counts.
        clicked: places [P, 3] of the surface under positive and negative clicks.
        held_out: views of which nothing is learned. seed: of random choices.

    Returns:
        None where geometry cannot tell, see `whole_object`.
    """
    caster = RayCaster(cameras, "cpu")
    places = {view: surface_places(caster, found) for view, found in seen.items()}
    clear = {view: (points, known & ~seen[view].differs) for view, (points, known) in places.items()}
    learned = [view for view in seen if view not in held_out]
    surface = np.concatenate([clear[view][0][clear[view][1]] for view in learned])
    solid = find_solid(distances(model), surface, cameras, clicked, seed)
    small = {view: shrunk(mask.pixels, cameras.size) for view, mask in masks.items()}
    pieces = {view: np.where(known, solid.at(points), 0) for view, (points, known) in places.items()}
    told = {view: (pieces[view], clear[view][1]) for view in learned}
    count = len(solid.pieces) + 1
    votes, colours = count_votes(count, told, small, confidences), piece_colours(count, told, images)
    choice = whole_object(solid, votes, colours, *clicked)
    if choice is None:
        return None
    chosen = choice.chosen
    shown = {view: chosen[piece] for view, piece in pieces.items()}
    differences = [apart(images[view], shown[view]) for view in learned if shown[view].any()]
    if not differences:
        return None
    clearly = (float(np.median(differences)) - ALIKE) / (UNLIKE - ALIKE)
    targets = {view: mask.astype(np.float32) for view, mask in shown.items()}
    if clearly > CLEARLY:
        _leave_open(targets, pieces, seen, cameras, images, small, votes.weights, learned)
    against = {view: choice.against[piece].astype(np.float32) for view, piece in pieces.items()}
    return Whole(targets, NARROW + (WIDE - NARROW) * min(max(clearly, 0.0), 1.0), against)


def _leave_open(
    targets: dict[int, FloatArray],
    pieces: Mapping[int, IntArray],
    seen: Mapping[int, Projection],
    cameras: Cameras,
    images: ByteArray,
    masks: Mapping[int, BoolArray],
    weights: Mapping[int, float],
    learned: Sequence[int],
) -> None:
    """Make targets unsure where masks speak against them and the colours are rather those of something else.

    Surface that no view sees well is made up, and painted like what lies behind it. A piece that is doubted for the
    most part is none of that: geometry took it in against the colours, such as a foot.

    Args:
        pieces: what each pixel [h, w] shows. seen, cameras, images, masks: as in `find_whole`, reduced.
        weights: how much each mask counts. learned: views of which something is learned.
    """
    said = SurfaceVotes(cameras)
    for view, mask in masks.items():
        said.add(seen[view], mask, weights[view])
    share = {view: said.ask(seen[view]) for view in targets}
    inside = {view: (target > 0.5) & (share[view] > 0.5) for view, target in targets.items()}
    known = {view: ((targets[view] < 0.5) | inside[view]) & ~seen[view].differs for view in learned}
    other = elsewhere(images, inside, known)
    doubted = {}
    for view, target in targets.items():
        against = (share[view] < AGAINST) & (other[view] > OTHER)
        doubted[view] = (target > 0.5) & (against | (other[view] > STRANGER))
    count = max(int(piece.max()) for piece in pieces.values()) + 1
    asked = sum(np.bincount(pieces[view].reshape(-1), minlength=count) for view in learned)
    open_ = sum(np.bincount(pieces[view][doubted[view]], minlength=count) for view in learned)
    partly = open_ < MOSTLY * np.maximum(asked, 1)
    for view, target in targets.items():
        target[doubted[view] & partly[pieces[view]]] = UNSURE


@dataclass(frozen=True)
class Votes:
    """How often pieces [N + 1] were seen inside and outside of masks, and how much the mask of each view counted."""

    inside: FloatArray
    outside: FloatArray
    weights: dict[int, float]

    @property
    def share(self) -> FloatArray:
        """Of the votes for inside, 0.5 where nobody has voted."""
        return (self.inside + 0.5) / (self.inside + self.outside + 1.0)


def count_votes(
    count: int,
    told: Mapping[int, tuple[IntArray, BoolArray]],
    masks: Mapping[int, BoolArray],
    confidences: Mapping[int, float],
) -> Votes:
    """What masks [h, w] of views say of the pieces.

    Args:
        count: of pieces, the empty one included. told: of each view, the pieces in its pixels [h, w] and where they are
            known [h, w]. confidences: how much each mask counts.
    """
    both, weights = np.zeros((2, count)), {}
    for view, mask in masks.items():
        pieces, known = told[view]
        inside = np.bincount(pieces[known & mask], minlength=count)
        # What spills over the support or out of the sphere says little
        spilt = 1.0 - inside[1:].sum() / max(1, np.count_nonzero(mask))
        weights[view] = float(confidences[view] * (1.0 - spilt) ** SPILL_POWER)
        both[0] += weights[view] * inside
        both[1] += weights[view] * np.bincount(pieces[known & ~mask], minlength=count)
    return Votes(both[0], both[1], weights)


@dataclass(frozen=True)
class Choice:
    """Which pieces [N + 1] make up an object, and how much, 0..1, speaks against that for each of them [N + 1]."""

    chosen: BoolArray
    against: FloatArray


def whole_object(
    solid: Solid, votes: Votes, colours: FloatArray, positive: FloatArray, negative: FloatArray
) -> Choice | None:
    """Which pieces make up the object.

    Args:
        colours: [N + 1, T] of the pieces. positive, negative: [P, 3] places of the surface that were clicked.

    Returns:
        None where geometry says nothing: no click lies on what is solid, or nothing is stood on and the masks show less
        than half of what hangs together there.
    """
    clicked, refused = (np.setdiff1d(solid.at(places), 0) for places in (positive, negative))
    clicked = np.setdiff1d(clicked, refused)
    if not len(clicked):
        return None
    contact, held = solid.pieces.contact[1:, 1:], solid.held()
    alike = common(colours, colours[clicked].sum(axis=0))
    familiar = ((alike - STRANGE) / (FAMILIAR - STRANGE)).clip(0.0, 1.0)
    leaning = _leaning(votes, held, familiar)
    cut = minimum_cut(solid.pieces.contact, leaning, clicked, refused)[1:]
    own, fixed = np.zeros((2, len(cut)), dtype=bool)
    own[clicked - 1], fixed[refused - 1] = True, True
    inside = joined(contact, cut, own)
    if solid.support is not None:
        inside = _standing(solid, held[1:], inside, cut, fixed, (votes.share + familiar)[1:])
    else:
        area = solid.pieces.contact[1:, 0] * inside
        if area @ votes.share[1:] < HALF * area.sum():
            return None
    sure = np.concatenate([[0], clicked, refused]).astype(np.int64)
    return _choice(_with_empty(inside), leaning, solid.pieces.contact, colours, alike, sure)


def _standing(
    solid: Solid, held: BoolArray, inside: BoolArray, cut: BoolArray, fixed: BoolArray, likely: FloatArray
) -> BoolArray:
    """The pieces [N] of an object with what would not stay without it, and what it would not stand without.

    Args:
        held: what stands on its own. inside: the object so far. cut: what votes and colours give to it.
        fixed: what it is not to have. likely: how rather a piece belongs to it.
    """
    contact, inside = solid.pieces.contact[1:, 1:], inside.copy()
    while True:
        others = components(contact, ~inside)
        groups = [others == group for group in range(1, int(others.max(initial=0)) + 1)]
        touching = [group for group in groups if contact[np.ix_(inside, group)].any() and not (group & fixed).any()]
        loose = [group for group in touching if not held[group].any()]
        bearing = [group for group in touching if held[group].any()]
        if loose:
            inside |= np.any(loose, axis=0)
        elif bearing and not solid.stands(_with_empty(inside)):
            below = np.any(bearing, axis=0) & contact[inside].any(axis=0)
            inside[int(np.where(below, likely, -1.0).argmax())] = True
        else:
            # What floats is held by something too thin to be solid
            floating = [group for group in groups if not held[group].any() and cut[group].all()]
            together: BoolArray = inside | np.any([np.zeros_like(inside), *floating], axis=0)
            return together


def _choice(
    chosen: BoolArray, leaning: FloatArray, contact: IntArray, colours: FloatArray, alike: FloatArray, sure: IntArray
) -> Choice:
    """What speaks against chosen pieces [N + 1]; those that are sure are not in doubt.

    Args:
        alike: [N + 1], what the colours of each piece have in common with the clicked ones.
    """
    against = np.where(chosen, -leaning, leaning).clip(0.0, 1.0)
    against[sure] = 0.0
    # A pawn's head is no more part of it than the pawn is
    for piece in np.flatnonzero(chosen & (against > 0.0)):
        like = chosen & (contact[piece] > 0) & (common(colours, colours[piece]) > alike)
        against[like] = np.maximum(against[like], against[piece])
    against[sure] = 0.0
    return Choice(chosen, against)


def _with_empty(pieces: BoolArray) -> BoolArray:
    """Chosen pieces [N + 1] from those that are not empty [N]."""
    return np.concatenate([[False], pieces])


def _leaning(votes: Votes, held: BoolArray, familiar: FloatArray) -> FloatArray:
    """How much votes and colours speak for each piece [N + 1], 1 at most; negative: against it.

    What stands on its own (`held`) must look like what was clicked (`familiar`, [N + 1] in 0..1): where two things
    touch, the masks of all views may show both.
    """
    return 2.0 * votes.share - 1.0 - held * (APART + FOREIGN * (1.0 - familiar))
