from __future__ import annotations

import io
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from nto3d.report.lift import (
    BOX,
    EXTRA,
    GAP,
    GAP_COLOR,
    HIDDEN,
    MISSING,
    NEGATIVE,
    OUTLINE,
    PANEL,
    POSITIVE,
    LiftRound,
    prompt_picture,
    shown_views,
)
from nto3d.report.page.lift_section import lift_section
from nto3d.types import BoolArray, ByteArray, Prompts

HEIGHT, WIDTH = 60, 80
FACTOR = 4  # to the panel's 320 pixels
POINTS = np.array([[30.0, 30.0], [40.0, 20.0], [65.0, 50.0]])
PROMPTS = Prompts(0, POINTS, np.array([1, 1, 0]), np.array([18.0, 8.0, 56.0, 46.0]))


def square(top: int, left: int, bottom: int, right: int) -> BoolArray:
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


MASK = square(10, 20, 45, 55)


def grey(value: int = 120) -> ByteArray:
    return np.full((HEIGHT, WIDTH, 3), value, dtype=np.uint8)


def panels(picture: ByteArray) -> list[ByteArray]:
    """The three, each [h, w, 3]."""
    width = (picture.shape[1] - 2 * GAP) // 3
    return [picture[:, start : start + width] for start in range(0, picture.shape[1], width + GAP)]


def at(panel: ByteArray, x: float, y: float) -> ByteArray:
    """The panel's colour in the middle of a pixel of the picture."""
    return panel[int((y + 0.5) * FACTOR), int((x + 0.5) * FACTOR)]


def near(panel: ByteArray, color: tuple[int, ...], off: int = 40) -> BoolArray:
    return np.abs(panel.astype(int) - color).max(axis=2) <= off


@pytest.mark.parametrize("background", [grey(10), grey(245), np.full((HEIGHT, WIDTH, 3), POSITIVE, dtype=np.uint8)])
def test_prompts_are_seen_where_they_are_on_any_colour(background: ByteArray) -> None:
    asked = panels(prompt_picture(background, PROMPTS, MASK, MASK.astype(np.float32)))[0]
    for x, y in POINTS[:2]:
        assert near(at(asked, x, y)[None, None], POSITIVE).all()
        around = asked[int((y + 0.5) * FACTOR) - 6 :, int((x + 0.5) * FACTOR) - 6 :][:13, :13]
        assert near(around, (255, 255, 255)).any()
        assert near(around, (16, 18, 22), 60).any()
    assert near(at(asked, *POINTS[2])[None, None], NEGATIVE).all()
    for x, y in ((30, 8), (30, 46), (18, 20), (56, 20)):  # the box's sides
        assert near(asked[y * FACTOR : (y + 1) * FACTOR, x * FACTOR : (x + 1) * FACTOR], BOX).any()
    for x, y in ((30, 10), (20, 30)):  # the mask's
        edge = asked[(y - 1) * FACTOR : (y + 1) * FACTOR, (x - 1) * FACTOR : (x + 1) * FACTOR]
        assert near(edge, OUTLINE).any()


def test_a_click_is_larger_than_other_points() -> None:
    mask, prior = MASK, MASK.astype(np.float32)
    click = Prompts(0, POINTS[:1], np.array([1]))
    without = near(panels(prompt_picture(grey(), PROMPTS, mask, prior))[0], POSITIVE).sum()
    clicked = near(panels(prompt_picture(grey(), PROMPTS, mask, prior, clicks=click))[0], POSITIVE).sum()
    alone = near(panels(prompt_picture(grey(), None, mask, prior, clicks=click))[0], POSITIVE).sum()
    assert without < clicked < 2 * without
    assert without / 2 < alone < clicked


def test_the_mask_is_bright_and_its_errors_are_tinted() -> None:
    truth, hidden = square(10, 30, 45, 65), square(50, 5, 58, 15)
    answered = panels(prompt_picture(grey(), PROMPTS, MASK, MASK.astype(np.float32), truth, hidden))[1]
    assert (at(answered, 40, 30) == 120).all()
    assert (at(answered, 75, 5) < 50).all()
    for (x, y), color in (((25, 30), EXTRA), ((60, 30), MISSING), ((10, 54), HIDDEN)):
        strongest = int(np.argmax(color))
        assert at(answered, x, y).argmax() == strongest
        assert np.ptp(at(answered, x, y)) > 50
    plain = panels(prompt_picture(grey(), PROMPTS, MASK, MASK.astype(np.float32)))[1]
    assert (np.ptp(plain, axis=2) == 0).all()


def test_the_projection_is_brighter_where_it_is_surer() -> None:
    prior = np.tile(np.linspace(0, 1, WIDTH, dtype=np.float32), (HEIGHT, 1))
    heat = panels(prompt_picture(grey(), None, MASK, prior))[2]
    bright = [int(at(heat, x, 30).sum()) for x in (2, 20, 34, 50, 77)]
    assert bright == sorted(bright)
    assert bright[-1] > bright[0] + 300
    line = np.flatnonzero(near(heat[120:121], (255, 255, 255), 60)[0, : PANEL - 20])
    assert len(line)
    assert abs(line - PANEL / 2).max() < 3  # at one half


@pytest.mark.parametrize(
    ("size", "panel"),
    [((60, 80), (240, 320)), ((240, 320), (240, 320)), ((1200, 900), (320, 240)), ((7, 3), (315, 135))],
)
def test_panels_are_small_and_not_distorted(size: tuple[int, int], panel: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    mask = np.zeros(size, dtype=bool)
    picture = prompt_picture(image, None, mask, mask.astype(np.float32))
    assert picture.shape == (panel[0], 3 * panel[1] + 2 * GAP, 3)
    assert (picture[:, panel[1] : panel[1] + GAP] == GAP_COLOR).all()
    if size[0] <= panel[0]:  # pixels stay what they are
        factor = panel[0] // size[0]
        np.testing.assert_array_equal(panels(picture)[0], image.repeat(factor, axis=0).repeat(factor, axis=1))


def test_a_map_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="truth"):
        prompt_picture(grey(), None, MASK, MASK.astype(np.float32), MASK[1:])


def test_shown_views_are_the_clicked_and_spread_ones() -> None:
    assert shown_views(range(60), [7], 6) == (7, 5, 18, 30, 42, 54)
    assert shown_views((2, 3, 5), [5]) == (5, 2, 3)
    assert shown_views((2, 3, 5), [9, 11], 3) == (9, 11, 3)
    assert shown_views((2, 3, 5), [2, 3, 5], 2) == (2, 3)
    assert len(set(shown_views(range(9), [0, 8]))) == 6


class Page(HTMLParser):
    """Collects what a part of a page shows."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text, self.pictures, self.unfolded = "", 0, []
        self.feed(source)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag == "details":
            self.unfolded.append("open" in dict(attrs))
        if tag == "img":
            self.pictures += 1
        else:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data}\n"


def a_round(number: int, iou: float, pictures: int = 2) -> LiftRound:
    values = {
        "agreement": math.nan if number == 0 else 0.9876,
        "iou": iou,
        "least_iou": iou,
        "trust": 0.5,
        "seconds": 7,
    }
    return LiftRound(number, values, {f"view <{view}>": grey(view) for view in range(pictures)})


def test_section_shows_rounds_and_unfolds_the_first_and_the_last() -> None:
    page = Page(lift_section([a_round(0, 0.8111), a_round(1, 0.9222), a_round(2, 0.9333)]))
    assert page.unfolded == [True, False, True]
    assert page.pictures == 6 + 1  # and the scale
    for text in ("0.811", "0.922", "0.933", "0.988", "7.0", "least iou", "view <1>", "round 2", "propagated"):
        assert text in page.text
    assert "nan" not in page.text
    assert "\N{EN DASH}" in page.text
    assert "given mask" in page.text


def test_section_without_truth_or_pictures() -> None:
    assert lift_section([]) == ""
    page = Page(lift_section([a_round(0, math.nan), a_round(1, math.nan)]))
    assert "given mask" not in page.text
    assert "iou 0" not in page.text
    bare = Page(lift_section([a_round(0, 0.8, pictures=0)]))
    assert bare.pictures == 0
    assert "0.800" in bare.text


def test_section_is_small() -> None:
    noise = np.random.default_rng(0).integers(0, 60, (15, 61, 3), dtype=np.uint8)
    picture = np.asarray(Image.fromarray(noise).resize((976, 240), Image.Resampling.BICUBIC))
    source = lift_section([LiftRound(0, {"trust": 1.0}, {"view 0": picture})])
    png = io.BytesIO()
    Image.fromarray(picture).save(png, format="PNG")
    assert len(source) < len(png.getvalue()) / 2
    assert re.findall(r'src="data:image/(\w+);', source) == ["jpeg", "jpeg"]
