"""Ways to break a scene in the DTU layout, and the line that each is refused with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.helpers import truncate

Entries = dict[str, NDArray]


def edit(change: Callable[[Entries], object]) -> Callable[[Path], None]:
    """Break the camera file."""

    def break_scene(path: Path) -> None:
        file = path / "cameras_sphere.npz"
        with np.load(file) as archive:
            entries = dict(archive)
        change(entries)
        np.savez(file, **entries)

    return break_scene


def remove(name: str) -> Callable[[Path], None]:
    return lambda path: shutil.rmtree(path / name) if (path / name).is_dir() else (path / name).unlink()


def replace(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda path: (path / name).write_bytes(content)


def picture(name: str, pixels: NDArray) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(pixels).save(path / name)


def clear(folder: str) -> Callable[[Path], None]:
    def break_scene(path: Path) -> None:
        for file in (path / folder).iterdir():
            file.unlink()

    return break_scene


def fill_masks(value: int) -> Callable[[Path], None]:
    def break_scene(path: Path) -> None:
        for file in (path / "mask").iterdir():
            Image.fromarray(np.full((24, 32), value, np.uint8)).save(file)

    return break_scene


def label_masks(path: Path) -> None:
    for file in (path / "mask").iterdir():
        mask = np.array(Image.open(file)) // 255
        mask[:3, :3] = 2
        Image.fromarray(mask).save(file)


def one_of_ones(path: Path) -> None:
    file = path / "mask" / "003.png"
    Image.fromarray(np.array(Image.open(file)) // 255).save(file)


def letters(folder: str) -> Callable[[Path], None]:
    """Names without numbers."""

    def break_scene(path: Path) -> None:
        for place, file in enumerate(sorted((path / folder).iterdir())):
            file.rename(file.with_stem("abcdefgh"[place]))

    return break_scene


def renumber(folder: str, shift: int) -> Callable[[Path], None]:
    def break_scene(path: Path) -> None:
        for file in sorted((path / folder).iterdir(), reverse=True):
            file.rename(file.with_stem(f"{int(file.stem) + shift:03d}"))

    return break_scene


def same_place(entries: Entries) -> None:
    for view in range(6):
        entries[f"world_mat_{view}"] = entries["world_mat_0"]


def turn_away(entries: Entries) -> None:
    for view in range(6):
        entries[f"world_mat_{view}"] = np.diag([1.0, -1.0, -1.0, 1.0]) @ entries[f"world_mat_{view}"]


def skew(entries: Entries) -> None:
    for view in range(6):
        entries[f"scale_mat_{view}"] = np.diag([10.0, 10.0, 20.0, 1.0])


def extra_camera(entries: Entries) -> None:
    entries["world_mat_6"] = entries["scale_mat_6"] = np.eye(4)


def objects(entries: Entries) -> None:
    entries["world_mat_2"] = np.array([{"a": 1}], dtype=object)


Break = Callable[[Path], object]


BROKEN: dict[str, tuple[Break, str]] = {
    "no folder": (
        lambda path: path.rename(path.parent / "gone"),
        r"scene\.path: expected a folder, there is none at .*box",
    ),
    "no camera file": (
        remove("cameras_sphere.npz"),
        r"cameras_sphere\.npz, cameras\.npz or cameras_large\.npz, none is",
    ),
    "empty camera file": (replace("cameras_sphere.npz", b""), r"cameras_sphere\.npz: expected an npz archive.*empty"),
    "no archive": (replace("cameras_sphere.npz", b"hello" * 99), r"cameras_sphere\.npz: expected an npz archive"),
    "cut archive": (
        lambda path: truncate(path / "cameras_sphere.npz"),
        r"cameras_sphere\.npz: expected an npz archive.*cut",
    ),
    "object array": (edit(objects), r"cameras_sphere\.npz: expected .*world_mat_2 holds Python objects"),
    "no cameras": (edit(dict.clear), r"expected keys world_mat_0, scale_mat_0, \.\.\., got \[\]"),
    "other keys": (edit(lambda e: (e.clear(), e.update(K=np.eye(3)))), r"world_mat_0, .*got \['K'\]"),
    "too few cameras": (
        lambda path: (edit(lambda e: e.pop("world_mat_5"))(path), letters("image")(path)),
        r"cameras_sphere\.npz: expected a camera for each of the 6 pictures, got 5 cameras$",
    ),
    "too many cameras": (
        lambda path: (edit(extra_camera)(path), letters("image")(path)),
        r"cameras_sphere\.npz: expected a camera for each of the 6 pictures, got 7 cameras$",
    ),
    "other numbers and counts": (
        lambda path: (edit(extra_camera)(path), renumber("image", 100)(path)),
        r"6 pictures, got 7 cameras, whose numbers do not tell .*pictures 100 to 105, cameras 0 to 6\)",
    ),
    "pictures and cameras from 1, masks from 0, one missing": (
        lambda path: (edit(extra_camera)(path), renumber("image", 1)(path), (path / "mask" / "002.png").unlink()),
        r"mask: expected a mask for each of the 6 pictures, got 5 masks, whose numbers do not tell",
    ),
    "no scale_mat": (edit(lambda e: e.pop("scale_mat_3")), r"expected a key scale_mat_3, it is not there"),
    "shape": (edit(lambda e: e.update(world_mat_1=np.eye(3))), r"shape \[4, 4\] for world_mat_1, got \[3, 3\]"),
    "text": (edit(lambda e: e.update(world_mat_1=np.full((4, 4), "a"))), r"numbers for world_mat_1, got <U1"),
    "NaN": (edit(lambda e: e.update(world_mat_1=np.full((4, 4), np.nan))), r"finite numbers for world_mat_1"),
    "infinity": (edit(lambda e: e.update(scale_mat_0=np.full((4, 4), np.inf))), r"finite numbers for scale_mat_0"),
    "singular": (edit(lambda e: e.update(world_mat_1=np.zeros((4, 4)))), r"world_mat: camera 1: .*singular"),
    "two scales": (edit(lambda e: e.update(scale_mat_2=np.eye(4))), r"scale_mat_2 differs from scale_mat_0"),
    "no similarity": (edit(skew), r"scale_mat_0: expected one uniform scale.*from 10 to 20"),
    "one place": (edit(same_place), r"cameras at different places, all 6 stand at the same point"),
    "turned away": (edit(turn_away), r"it lies behind all of them"),
    "no image folder": (remove("image"), r"expected a folder image or images with pictures, there is none"),
    "empty image folder": (clear("image"), r"image: expected PNG or JPEG pictures, there are none"),
    "image of another size": (
        picture("image/003.png", np.zeros((24, 30, 3), np.uint8)),
        r"image/003\.png: expected 32 x 24 pixels like 000\.png, got 30 x 24",
    ),
    "first image of another size": (
        picture("image/000.png", np.zeros((24, 30, 3), np.uint8)),
        r"image/000\.png: expected 32 x 24 pixels like 001\.png, got 30 x 24",
    ),
    "truncated image": (lambda path: truncate(path / "image" / "003.png"), r"image/003\.png: expected a .*cut short"),
    "empty image": (replace("image/003.png", b""), r"image/003\.png: .*the file is empty"),
    "image is text": (
        replace("image/003.png", b"abc"),
        r"image/003\.png: expected a PNG or JPEG picture, it is damaged",
    ),
    "no mask folder": (remove("mask"), r"folder mask or masks, there is none; pass scene\.masks=none"),
    "empty mask folder": (clear("mask"), r"mask: expected PNG or JPEG pictures"),
    "masks of letters, one missing": (
        lambda path: (remove("mask/003.png")(path), letters("mask")(path)),
        r"mask: expected a mask for each of the 6 pictures, got 5 masks$",
    ),
    "white masks": (
        fill_masks(255),
        r"mask: expected masks that are white on .* alone, 6 of 6 cover more than 99%",
    ),
    "labels of several objects": (label_masks, r"mask: expected .*or 0 and one other value, got the values 0, 1, 2 \("),
    "masks of two scales": (one_of_ones, r"mask/003\.png: expected a mask of 0 and 255 like others.*one of 0 and 1$"),
    "lying mask": (
        picture("mask/003.png", np.full((32, 24), 255, np.uint8)),
        r"mask/003\.png: expected 32 x 24 pixels.*got a mask of 24 x 32 \(turned by a quarter: EXIF orientation is not",
    ),
    "lying image": (
        picture("image/003.png", np.zeros((32, 24, 3), np.uint8)),
        r"image/003\.png: expected 32 x 24 .*got 24 x 32 \(turned by a quarter: EXIF orientation is not",
    ),
    "mask of another size": (
        picture("mask/003.png", np.full((12, 16), 255, np.uint8)),
        r"mask/003\.png: expected 32 x 24 pixels like its picture, got a mask of 16 x 12",
    ),
    "truncated mask": (
        lambda path: truncate(path / "mask" / "003.png"),
        r"mask/003\.png: expected a .*(cut short|read)",
    ),
    "black masks": (fill_masks(0), r"masks that are white on the target, all 6 are empty"),
    "depths of letters, one missing": (
        lambda path: (remove("depth/003.npy")(path), letters("depth")(path)),
        r"depth: expected a depth map for each of the 6 pictures, got 5 depth maps$",
    ),
    "lying depth": (
        lambda path: np.save(path / "depth" / "003.npy", np.ones((32, 24))),
        r"depth/003\.npy: expected .*got \[32, 24\] \(turned by a quarter: EXIF orientation is not",
    ),
    "depth is text": (replace("depth/003.npy", b"abc"), r"depth/003\.npy: expected a depth map as npy"),
    "depth of another size": (
        lambda path: np.save(path / "depth" / "003.npy", np.ones((3, 4))),
        r"depth/003\.npy: expected \[H, W\] = \[24, 32\] like its picture, got \[3, 4\]",
    ),
    "depth of whole numbers": (
        lambda path: np.save(path / "depth" / "003.npy", np.ones((24, 32), int)),
        r"depth/003\.npy: expected a depth map of floats",
    ),
    "negative depth": (
        lambda path: np.save(path / "depth" / "003.npy", np.full((24, 32), -1.0)),
        r"depth/003\.npy: expected depths of 0 \(unknown\) and above",
    ),
    "mesh is text": (replace("gt_mesh.ply", b"abc"), r"gt_mesh\.ply: expected a triangle mesh in PLY format"),
    "cut mesh": (lambda path: truncate(path / "gt_mesh.ply"), r"gt_mesh\.ply: expected a triangle mesh"),
    "points only": (
        replace(
            "gt_mesh.ply",
            b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
            b"end_header\n0 0 0\n",
        ),
        r"gt_mesh\.ply: expected a triangle mesh, it holds no triangles",
    ),
}
