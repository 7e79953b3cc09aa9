"""The overlay of a mask and what points at it, and pictures in files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from nto3d.report.overlay import BOX, NEGATIVE, POSITIVE, TINT, overlay_picture
from nto3d.report.pictures import write_picture
from nto3d.types import Prompts

SIZE = (60, 90)
CLICKS = Prompts(0, np.array([[20.0, 30.0], [70.0, 10.0]]), np.array([1, 0]), np.array([10.0, 20.0, 40.0, 50.0]))


def test_masks_are_tinted_and_points_coloured_by_their_label() -> None:
    image = np.full((*SIZE, 3), 200, dtype=np.uint8)
    mask = np.zeros(SIZE, dtype=bool)
    mask[22:48, 12:38] = True
    shown = overlay_picture(image, mask, CLICKS)
    times = 10  # 90 pixels are enlarged towards 900
    assert shown.shape == (SIZE[0] * times, SIZE[1] * times, 3)
    places = {"positive": (20, 30), "negative": (70, 10), "inside": (30, 40), "outside": (60, 50), "border": (10, 35)}
    at = {name: tuple(shown[round((y + 0.5) * times), round((x + 0.5) * times)]) for name, (x, y) in places.items()}
    assert at["positive"] == POSITIVE
    assert at["negative"] == NEGATIVE
    np.testing.assert_allclose(at["inside"], 0.65 * 200 + 0.35 * np.array(TINT), atol=1)
    assert at["outside"] == (200, 200, 200)
    assert at["border"] == BOX
    asked = overlay_picture(image, mask, CLICKS, asked=True)
    assert tuple(asked[305, 205]) == BOX  # what is asked has no label yet


def test_pictures_are_written_in_the_format_of_their_suffix(tmp_path: Path) -> None:
    picture = np.zeros((8, 8, 3), dtype=np.uint8)
    picture[..., 0] = 250  # red
    for name in ("a.png", "a.JPG"):
        write_picture(tmp_path / name, picture, quality=90)
        assert cv2.imread(str(tmp_path / name))[4, 4].tolist() == pytest.approx([0, 0, 250], abs=8)
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    write_picture(tmp_path / "low.jpg", noise, quality=20)
    write_picture(tmp_path / "own.jpg", noise)
    assert (tmp_path / "low.jpg").stat().st_size < (tmp_path / "own.jpg").stat().st_size
