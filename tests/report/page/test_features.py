"""The features' part of the report."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nto3d.report.page.features import FeaturePictures, features_section

RNG = np.random.default_rng(0)


def view(name: str = "000003.png", **values: Any) -> FeaturePictures:
    inside = np.zeros((8, 10), dtype=np.bool_)
    inside[2:6, 3:7] = True
    parts: dict[str, Any] = {
        "picture": RNG.integers(0, 256, (8, 10, 3), dtype=np.uint8),
        "encoded": np.full((8, 10, 3), 0.25),
        "rendered": np.full((8, 10, 3), 0.75),
        "cosine": np.where(inside, 0.9, -1.0),
        "inside": inside,
    }
    return FeaturePictures(name, **(parts | values))


def pictures(page: str) -> list[np.ndarray]:
    found = re.findall(r'<figcaption>.*?<img src="data:image/jpeg;base64,([^"]+)"', page)
    return [np.array(Image.open(io.BytesIO(base64.b64decode(text)))) for text in found]


def test_no_views_no_section() -> None:
    assert features_section([]) == ""


def test_a_view_shows_the_picture_both_features_and_where_they_agree() -> None:
    page = features_section([view()])
    for caption in ("picture", "encoder&#x27;s features", "rendered features", "cosine"):
        assert f"<b>{caption}</b>" in page
    assert "mean cosine 0.9" in page  # inside the target only
    _, encoded, rendered, cosine = pictures(page)
    assert np.abs(encoded.astype(int) - 64).max() < 4
    assert np.abs(rendered.astype(int) - 191).max() < 4
    assert cosine[0, 0].max() < 60  # dark beside the target
    assert cosine[4, 5].max() > 120


def test_names_are_escaped() -> None:
    assert "<script>" not in features_section([view("<script>")])
    assert "&lt;script&gt;" in features_section([view("<script>")])


def test_a_view_without_the_target_has_a_mean_of_zero() -> None:
    assert view(inside=np.zeros((8, 10), dtype=np.bool_)).mean == 0.0


@pytest.mark.parametrize(
    ("part", "value"),
    [("encoded", np.zeros((8, 10))), ("rendered", np.zeros((4, 5, 3))), ("cosine", np.zeros((8, 10, 3)))],
)
def test_parts_of_another_shape_are_refused(part: str, value: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected (features|maps)"):
        view(**{part: value})
