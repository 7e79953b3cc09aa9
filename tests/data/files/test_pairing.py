"""Numbers in names decide what belongs together."""

from __future__ import annotations

from pathlib import Path

import pytest

from nto3d.data.files.pairing import natural, numberings, pair_cameras, pair_files
from nto3d.errors import InputError

FILE = Path("cameras_sphere.npz")


def files(*stems: object, folder: str = "mask") -> list[Path]:
    return sorted((Path(folder) / f"{stem}.png" for stem in stems), key=natural)


def partners(pictures: list[Path], masks: list[Path], cameras: list[int | None] | None = None) -> dict[str, str | None]:
    """By the picture's stem the mask's."""
    found = pair_files(pictures, masks, "mask", list(range(len(pictures))) if cameras is None else cameras)
    return {picture.stem: mask.stem if mask else None for picture, mask in zip(pictures, found, strict=True)}


@pytest.mark.parametrize(
    ("stems", "numbers"),
    [
        (["000", "001", "010"], (0, 1, 10)),
        (["IMG_20240101_0001", "IMG_20240102_0007"], (1, 7)),
        (["rect_001_3_r5000", "rect_002_3_r5000"], (1, 2)),  # the last number is in every name
        (["frame-12.color", "frame-13.color"], (12, 13)),
        (["a1_b1", "a1_b2", "a2_b1"], ((1, 1), (1, 2), (2, 1))),  # each alone comes twice
        (["٠٠٧", "٠١٢"], (7, 12)),
        (["front", "x²"], ("front", "x²")),
    ],
)
def test_the_number_of_a_file(stems: list[str], numbers: tuple) -> None:
    assert numberings([Path(f"{stem}.png") for stem in stems])[0] == numbers


@pytest.mark.parametrize(
    ("picture", "mask"),
    [
        ("{:03d}", "{:03d}.png"),
        ("{:03d}", "{}_mask"),
        ("{:06d}", "mask_{:03d}"),
        ("IMG_20240101_{:04d}", "{:04d}"),
        ("rect_{:03d}_3_r5000", "rect_{:03d}_3_r5000_mask"),
        ("rect_{:03d}_3_r5000", "{:03d}"),
        ("frame_{:03d}_17325{:03d}", "frame_{:03d}_object_2"),
        ("frame-{}.color", "frame-{}.mask"),
    ],
)
def test_gaps_do_not_shift_what_follows(picture: str, mask: str) -> None:
    every = range(32)
    pictures = files(*(picture.format(i, 7 * i + 3) for i in every if i != 2))
    found = partners(pictures, files(*(mask.format(i) for i in every if i != 31)), [i for i in every if i != 2])
    assert found == {
        picture.format(i, 7 * i + 3): None if i == 31 else Path(mask.format(i) + ".png").stem for i in every if i != 2
    }


def test_names_without_numbers_are_paired_by_name_or_order() -> None:
    assert partners(files("front", "left", "top"), files("front", "top")) == {
        "front": "front",
        "left": None,
        "top": "top",
    }
    assert partners(files("a", "b"), files("x", "y")) == {"a": "x", "b": "y"}
    with pytest.raises(InputError, match=r"^mask: expected a mask for each of the 3 pictures, got 2 masks$"):
        pair_files(files("a", "b", "c"), files("x", "y"), "mask", [0, 1, 2])


def test_ranges_from_another_start_are_in_order() -> None:
    ones, zeros = files(*range(1, 9)), files(*range(8))
    assert partners(ones, zeros) == {str(i + 1): str(i) for i in range(8)}
    assert partners(zeros, ones) == {str(i): str(i + 1) for i in range(8)}
    # Every tenth frame, and masks counted on
    assert partners(files(*range(0, 80, 10)), zeros) == {str(10 * i): str(i) for i in range(8)}


def test_masks_may_be_numbered_like_cameras() -> None:
    """Pictures with a gap whose cameras are in order: the masks are those of the cameras."""
    pictures, cameras = files(0, 1, 3, 4, 5, 6, 7), list(range(7))
    assert pair_cameras(pictures, cameras, FILE) == cameras
    assert partners(pictures, files(*range(7))) == {
        "0": "0",
        "1": "1",
        "3": "2",
        "4": "3",
        "5": "4",
        "6": "5",
        "7": "6",
    }
    assert partners(files(*range(1, 9)), files(0, 1, 2, 4, 5, 6, 7))["4"] is None  # the fourth picture lacks mask 3


def test_what_could_be_either_is_refused() -> None:
    """Pictures 1 to 7 of cameras 0 to 7, masks 0 to 6: mask i may be of picture i, or of i + 1."""
    pictures = files(*range(1, 8))
    numbers = pair_cameras(pictures, list(range(8)), FILE)
    assert numbers == list(range(1, 8))
    with pytest.raises(InputError, match=r"do not tell which belongs to which \(pictures 1 to 7, masks 0 to 6\)"):
        pair_files(pictures, files(*range(7)), "mask", numbers)


def test_cameras() -> None:
    every = list(range(32))
    kept = [i for i in every if i not in (3, 9, 20, 31)]
    assert pair_cameras(files(*kept), every, FILE) == kept
    assert pair_cameras(files(*every), kept, FILE) == [i if i in kept else None for i in every]
    assert pair_cameras(files(*range(1, 33)), every, FILE) == every  # counted from 1
    assert pair_cameras(files(*range(0, 320, 10)), every, FILE) == every  # as many, numbered otherwise
    assert pair_cameras(files(*range(0, 64, 2)), list(range(0, 64, 2)), FILE) == list(range(0, 64, 2))
    assert pair_cameras(files("front", "left"), [0, 1], FILE) == [0, 1]
    assert pair_cameras(files("cam_a_1", "cam_b_0"), [0, 1], FILE) == [1, 0]


@pytest.mark.parametrize(
    ("stems", "cameras"),
    [
        (range(1, 33), range(31)),  # from 1 more have one
        (range(100, 110), range(12)),
        (("a", "b", "c"), range(4)),
        (("a", "b"), (0, 5)),
        (range(0, 320, 10), range(33)),
    ],
)
def test_cameras_that_cannot_be_told(stems: list[object], cameras: list[int]) -> None:
    with pytest.raises(
        InputError, match=r"^cameras_sphere\.npz: expected a camera for each of the \d+ pictures, got \d+"
    ):
        pair_cameras(files(*stems), list(cameras), FILE)
