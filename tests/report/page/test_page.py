from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nto3d.errors import InputError
from nto3d.report.page.page import write_report
from nto3d.report.page.plots import line_chart, number, smoothed
from nto3d.report.pictures import (
    DEPTH_MAP,
    ViewPictures,
    animation_uri,
    color_map,
    data_uri,
    depth_range,
    error_ceiling,
    normal_picture,
    to_bytes,
)

RNG = np.random.default_rng(0)
METRICS = {"psnr": 31.23456, "ssim": 0.93, "mask_iou": 0.991, "points_mean": 0.000123, "device": "<cpu>"}
VOID = {"meta", "img", "br", "line", "polyline"}


class Balance(HTMLParser):
    """Checks that every tag is closed and collects what the page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.references: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.add(tag)
        self.references += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def view(name: str = "000003.png") -> ViewPictures:
    truth = RNG.random((12, 16, 3))
    normal = np.tile([0.0, 0.0, -1.0], (12, 16, 1))
    return ViewPictures(name, truth, np.clip(truth + 0.02, 0, 1), normal, RNG.random((12, 16)), {"psnr": 33.98})


def decode(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))


def write(path: Path, **changed: object) -> Balance:
    arguments: dict = {
        "title": "Scan <65> & more",
        "command": 'python train.py scene.name="<script>alert(1)</script>"',
        "metrics": METRICS,
        "views": [view(), view("<b>.png")],
        "curves": {"loss/<total>": (np.arange(50), np.exp(-np.arange(50) / 5)), "inv_std": (np.arange(3), np.ones(3))},
        "turntables": {"clay": [RNG.integers(0, 255, (8, 8, 3), dtype=np.uint8) for _ in range(3)]},
        "config_yaml": "a: <1>\n",
        "notes": ["<note>"],
    }
    write_report(path, **(arguments | changed))
    parser = Balance()
    parser.feed(path.read_text(encoding="utf-8"))
    parser.close()
    assert not parser.open
    return parser


def test_page_holds_everything_and_needs_nothing(tmp_path: Path) -> None:
    page = write(tmp_path / "report.html")
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.references
    assert all(reference.startswith("data:image/") for reference in page.references)
    assert not re.search(r"https?:|@import|url\(|<script|<link", source)
    for text in ("Scan <65> & more", *METRICS, "31.23", "0.93", "0.991", "0.00012", "<cpu>", "<note>", "a: <1>"):
        assert text in page.text
    for text in ("truth", "render", "normals", "depth", "absolute error", "000003.png", "<b>.png", "loss/<total>"):
        assert text in page.text
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_the_colours_of_a_turntable_can_have_meanings(tmp_path: Path) -> None:
    plain = write(tmp_path / "report.html")
    assert "i" not in plain.tags
    page = write(
        tmp_path / "report.html", keys={"clay": {"seen": (1, 2, 3), "<not>": (250, 0, 9)}, "other": {"no": (0, 0, 0)}}
    )
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<not>" in page.text
    assert "not" not in page.tags
    assert re.search(r"rgb\(1,2,3\)[^/]*></i>seen<", source)
    assert re.search(r"rgb\(250,0,9\)[^/]*></i>&lt;not&gt;<", source)
    assert "rgb(0,0,0)" not in source


def test_no_text_becomes_markup(tmp_path: Path) -> None:
    page = write(tmp_path / "report.html")
    assert not page.tags & {"script", "note", "total", "cpu"}
    assert 'scene.name="<script>alert(1)</script>"' in page.text


def test_every_picture_can_be_decoded(tmp_path: Path) -> None:
    for uri in write(tmp_path / "report.html").references:
        decode(uri).load()


def test_a_run_without_pictures_has_a_page(tmp_path: Path) -> None:
    page = write(tmp_path / "report.html", views=(), curves=None, turntables=None, config_yaml="", notes=())
    assert "psnr" in page.text
    assert "Held-out views" not in page.text
    assert "svg" not in page.tags


def test_a_path_that_cannot_be_written_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot write .*report\.html"):
        write(tmp_path / "file" / "report.html")


def test_pictures_by_hand() -> None:
    np.testing.assert_array_equal(to_bytes(np.array([-1.0, 0.0, 0.5, 1.0, 2.0])), [0, 0, 128, 255, 255])
    normals = np.array([[[0.0, 0.0, 2.0], [0.0, 0.0, 0.0], [-0.5, 0.0, 0.0]]])
    np.testing.assert_array_equal(normal_picture(normals), [[[128, 128, 255], [0, 0, 0], [0, 64, 64]]])
    colored = color_map(np.array([[0.0, 1.0, 5.0]]), 1.0, 5.0, DEPTH_MAP, np.array([[False, True, True]]))
    assert not colored[0, 0].any()
    assert colored[0, 1, 2] > colored[0, 1, 1]  # viridis: blue where low, yellow where high
    assert colored[0, 2, 0] > 240 > 100 > colored[0, 2, 2]
    assert depth_range(np.zeros((4, 4))) == (0.0, 1.0)
    assert depth_range(np.array([0.0, 2.0, 2.0])) == (2.0, 2.0)


def test_error_maps_share_a_scale() -> None:
    truth = np.zeros((10, 10, 3))
    views = [ViewPictures("a", truth, truth + error) for error in (0.02, 0.12)]
    np.testing.assert_allclose(views[1].error, 0.12)
    assert error_ceiling(views) == pytest.approx(0.15)
    assert error_ceiling([]) == pytest.approx(0.05)


def test_views_of_different_sizes_are_refused() -> None:
    truth = np.zeros((4, 5, 3))
    with pytest.raises(ValueError, match="of one size"):
        ViewPictures("a", truth, np.zeros((5, 4, 3)))
    with pytest.raises(ValueError, match="depth"):
        ViewPictures("a", truth, truth, depth=np.zeros((5, 4)))
    with pytest.raises(ValueError, match="normals"):
        ViewPictures("a", truth, truth, normal=np.zeros((4, 5)))


def test_pictures_survive_encoding() -> None:
    picture = np.tile(np.array([200, 100, 50], dtype=np.uint8), (16, 24, 1))
    np.testing.assert_allclose(np.asarray(decode(data_uri(picture))), picture, atol=3)
    frames = [np.full((16, 24, 3), value, dtype=np.uint8) for value in (0, 120, 240)]
    moving = decode(animation_uri(frames))
    assert moving.format == "WEBP"
    assert getattr(moving, "n_frames", 1) == 3


def points_of(svg: str, kind: str) -> np.ndarray:
    found = re.search(rf'class="{kind}" points="([^"]+)"', svg)
    assert found is not None
    return np.array([[float(number) for number in pair.split(",")] for pair in found[1].split()])


def test_a_curve_goes_where_its_values_go() -> None:
    points = points_of(line_chart("x", np.arange(100.0), np.arange(100.0)), "raw")
    assert (np.diff(points[:, 0]) > 0).all()
    assert (np.diff(points[:, 1]) <= 0).all()  # y grows downwards
    assert points[0, 1] > 190
    assert points[-1, 1] < 25


def test_a_wide_curve_is_logarithmic() -> None:
    svg = line_chart("loss", np.arange(101.0), 10.0 ** (-np.arange(101.0) / 20))
    points = points_of(svg, "raw")[5:-5]
    assert "log scale" in svg
    np.testing.assert_allclose(np.diff(points[:, 1]), np.diff(points[:, 1]).mean(), atol=0.11)  # a straight line


def test_odd_curves_are_drawn() -> None:
    assert "no values" in line_chart("x", np.arange(2.0), np.array([np.nan, np.inf]))
    assert len(points_of(line_chart("x", np.array([5.0]), np.array([1.0])), "raw")) == 1
    assert np.isfinite(points_of(line_chart("x", np.arange(3.0), np.zeros(3)), "smooth")).all()
    assert len(points_of(line_chart("x", np.arange(3.0), np.array([1.0, np.nan, 2.0])), "raw")) == 2
    assert len(points_of(line_chart("x", np.arange(90_000.0), np.ones(90_000)), "raw")) == 500


def test_smoothing_keeps_constants_and_follows_the_mean() -> None:
    np.testing.assert_allclose(smoothed(np.full(300, 2.5)), 2.5)
    noisy = 1 + RNG.normal(size=2000)
    assert smoothed(noisy)[200:].std() < 0.2
    np.testing.assert_array_equal(smoothed(np.array([1.0, 5.0])), [1.0, 5.0])


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (31.23456, "31.23"), (0.000123, "0.00012"), (123456.7, "123,457"), (-0.5, "-0.5")]
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text
