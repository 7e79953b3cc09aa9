"""What a prior says, on a textured picture whose outline is known."""

from __future__ import annotations

import numpy as np
import pytest

from nto3d.evaluate.masks import iou
from nto3d.types import BoolArray
from tests.segment.grabcut.asking import IMAGE, MIDDLE, SIZE, TARGET, asked, grown, moved, prior, segment, without_right
from tests.segment.pictures import ORANGE, clover, disc, painted


@pytest.mark.parametrize(
    ("wrong", "before"),
    [
        (moved(TARGET, 7, -5), 0.75),
        (grown(TARGET, 6), 0.72),
        (grown(TARGET, -6), 0.65),
        (without_right(TARGET, 106), 0.95),
        (TARGET | disc(SIZE, (60, 22), 11), 0.93),
    ],
    ids=["shifted", "too wide", "too narrow", "cut", "with a foreign patch"],
)
def test_a_wrong_prior_is_corrected(wrong: BoolArray, before: float) -> None:
    assert iou(wrong, TARGET) < before
    assert iou(segment(IMAGE, asked(prior=prior(wrong))).pixels, TARGET) > 0.98


def test_a_prior_is_trusted_beyond_its_band() -> None:
    """There is another target of the same colours far away, and this one is taken for a half."""
    twin = clover(SIZE, (22, 100), 14)
    image = painted(SIZE, [(TARGET | twin, ORANGE)])
    assert not segment(image, asked(prior=prior(TARGET))).pixels[twin].any()
    half = prior(without_right(TARGET, 80))
    reached = [iou(segment(image, asked(prior=half), band=band).pixels, TARGET) for band in (0.05, 0.25, 0.8)]
    assert reached[0] < 0.65
    assert reached[0] + 0.05 < reached[1] < 0.8
    assert reached[2] > 0.95


def test_prompts_say_how_far_a_prior_may_be_wrong() -> None:
    wrong = disc(SIZE, MIDDLE, 32)  # covers what is between the leaves
    loose, tight = (segment(IMAGE, asked(prior=prior(wrong), slack=slack)).pixels for slack in (None, 0.02))
    assert iou(loose, TARGET) > iou(tight, TARGET) + 0.02
    assert iou(tight, wrong) > 0.95


def test_where_a_prior_is_unsure_the_colours_decide() -> None:
    unsure = prior(TARGET)
    unsure[TARGET & ~without_right(TARGET, 80)] = 0.4  # far wider than the band
    assert iou(unsure > 0.5, TARGET) < 0.6
    assert iou(segment(IMAGE, asked(prior=unsure)).pixels, TARGET) > 0.9
    unsure = prior(TARGET)
    unsure[disc(SIZE, (135, 60), 25) & ~TARGET] = 0.6
    assert iou(unsure > 0.5, TARGET) < 0.85
    assert iou(segment(IMAGE, asked(prior=unsure)).pixels, TARGET) > 0.98


def test_an_empty_prior_is_an_empty_mask() -> None:
    around = np.array([30.0, 20.0, 120.0, 100.0])
    for prompts in (asked(prior=prior(TARGET, 0.4)), asked(prior=prior(TARGET, 0.0), box=around)):
        mask = segment(IMAGE, prompts)
        assert not mask.pixels.any()
        assert mask.score == 0.0


def test_a_prior_of_everything_is_believed_but_not_trusted() -> None:
    mask = segment(IMAGE, asked(prior=np.ones(SIZE, np.float32)))
    assert mask.pixels.all()
    assert mask.score == 0.0


def test_the_score_tells_a_good_mask_from_a_bad_one() -> None:
    good = segment(IMAGE, asked(prior=prior(TARGET))).score
    nothing = segment(IMAGE, asked(prior=prior(disc(SIZE, (25, 25), 18)))).score
    half = segment(IMAGE, asked(prior=prior(without_right(TARGET, 80)))).score
    assert good > 0.85
    assert half < 0.8 * good
    assert nothing < 0.5 * good
