"""Depth from files: what is stored, in which axes and units."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh

from nto3d.depth import readers
from nto3d.depth.base import Depth, back_project
from nto3d.depth.file import FileDepth
from nto3d.errors import InputError

INTRINSICS = np.array([[20.0, 0.0, 1.5], [0.0, 20.0, 1.0], [0.0, 0.0, 1.0]])
PICTURE = np.zeros((3, 4, 3), dtype=np.uint8)
DEPTH = np.array([[1.0, 2.0, 0.0, 4.0], [5.0, 6.0, 7.0, 8.0], [0.5, 0.25, 0.125, 12.0]], dtype=np.float32)


def test_steps_of_a_16_bit_picture_are_scaled(tmp_path: Path) -> None:
    steps = np.array([[0, 1, 255, 256], [1000, 2500, 40000, 65534], [7, 8, 9, 10]], dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "depth.png"), steps)
    source: Depth = FileDepth(tmp_path / "depth.png", scale=0.001)
    found = source.point_map(PICTURE, INTRINSICS)
    np.testing.assert_allclose(found.points[..., 2], steps / 1000, rtol=1e-6)
    np.testing.assert_array_equal(found.valid, steps > 0)
    # column 1, row 1 at 2.5: x = (1 - 1.5) 2.5 / 20, y = 0
    np.testing.assert_allclose(found.points[1, 1], [-0.0625, 0.0, 2.5], atol=1e-7)
    np.testing.assert_allclose(found.points[2, 3], [1.5 * 0.01 / 20, 0.01 / 20, 0.01], atol=1e-8)


def test_an_8_bit_picture_is_taken_as_it_is(tmp_path: Path) -> None:
    steps = np.array([[0, 1, 2, 3], [4, 100, 200, 254], [9, 9, 9, 9]], dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "DEPTH.PNG"), steps)
    found = FileDepth(tmp_path / "DEPTH.PNG", scale=2.0).point_map(PICTURE, INTRINSICS)
    np.testing.assert_array_equal(found.points[..., 2], 2.0 * steps)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.dtype(">f4")])
def test_arrays_hold_z(tmp_path: Path, dtype: np.dtype) -> None:
    unknown = DEPTH.copy()
    unknown[1, 0], unknown[1, 1], unknown[1, 2] = np.nan, np.inf, -np.inf
    np.save(tmp_path / "depth.npy", unknown.astype(dtype))
    np.savez_compressed(tmp_path / "depth.npz", depth=unknown.astype(dtype), other=np.zeros(3))
    expected = np.where(np.isfinite(unknown), unknown, 0)
    for name in ("depth.npy", "depth.npz"):
        found = FileDepth(tmp_path / name, scale=3.0).point_map(PICTURE, INTRINSICS)
        np.testing.assert_array_equal(found.points[..., 2], 3.0 * expected)
        np.testing.assert_allclose(found.points[0, 3], [1.5 * 12 / 20, -12 / 20, 12.0], rtol=1e-6)
        np.testing.assert_array_equal(found.valid, expected > 0)


def obj_text(points: np.ndarray) -> str:
    return "".join(f"v {x:.9g} {y:.9g} {z:.9g}\n" for x, y, z in points.reshape(-1, 3))


def test_vertices_of_the_demo_are_turned_to_opencv(tmp_path: Path) -> None:
    path = tmp_path / "points.obj"
    lines = [f"v {column} {10 * row} {1 + column + row}" for row in range(3) for column in range(4)]
    path.write_text("\n".join(lines))
    points = FileDepth(path, scale=2.0).point_map(PICTURE, INTRINSICS).points
    np.testing.assert_array_equal(points[0, 0], [0.0, 0.0, 2.0])
    np.testing.assert_array_equal(points[2, 3], [-6.0, -40.0, 12.0])  # left 3, up 20, forward 6, times 2
    np.testing.assert_array_equal(points[1, 2], [-4.0, -20.0, 8.0])


@pytest.mark.parametrize("suffix", ["obj", "ply", "binary.ply"])
def test_points_and_depth_of_one_camera_agree(tmp_path: Path, suffix: str) -> None:
    expected = back_project(DEPTH, INTRINSICS)
    stored = expected.points * np.float32([-1, -1, 1])
    path = tmp_path / f"points.{suffix}"
    if suffix == "obj":
        path.write_text(obj_text(stored))
    else:
        cloud = trimesh.PointCloud(stored.reshape(-1, 3))
        path.write_bytes(cloud.export(file_type="ply", encoding="ascii" if suffix == "ply" else "binary"))
    found = FileDepth(path).point_map(PICTURE, np.eye(3))  # the intrinsics say nothing about points
    np.testing.assert_array_equal(found.valid, expected.valid)
    np.testing.assert_allclose(found.points, expected.points, atol=1e-6)


@pytest.mark.parametrize("encoding", ["ascii", "binary"])
def test_equal_vertices_and_faces_of_a_ply_change_nothing(tmp_path: Path, encoding: str) -> None:
    vertices = np.tile([[0.0, 0.0, 1.0], [1.0, 0.0, 1.0], [0.0, 1.0, 2.0]], (4, 1))
    mesh = trimesh.Trimesh(vertices, [[0, 1, 2], [3, 5, 4]], process=False)
    path = tmp_path / "points.ply"
    path.write_bytes(mesh.export(file_type="ply", encoding=encoding))
    found = FileDepth(path).point_map(PICTURE, INTRINSICS)
    np.testing.assert_array_equal(found.points.reshape(-1, 3), vertices * [-1, -1, 1])


def test_vertices_that_are_no_points_are_unknown(tmp_path: Path) -> None:
    points = np.ones((12, 3), dtype=np.float32)
    points[0, 0], points[3, 2], points[5, 1], points[7, 2], points[8, 2] = np.nan, np.inf, -np.inf, 0.0, -2.0
    (tmp_path / "points.obj").write_text(obj_text(points))
    (tmp_path / "points.ply").write_bytes(trimesh.PointCloud(points).export(file_type="ply"))
    expected = np.ones(12, dtype=np.bool_)
    expected[[0, 3, 5, 7, 8]] = False
    for name in ("points.obj", "points.ply"):
        found = FileDepth(tmp_path / name).point_map(PICTURE, INTRINSICS)
        np.testing.assert_array_equal(found.valid.reshape(-1), expected)
        assert not found.points.reshape(-1, 3)[~expected].any()


OBJ = """# made by hand
mtllib room.mtl
v 1 2 3
v\t-1.5e0   +2 .5
vn 9 9 9
vt 8 8

v 4 5 6
f 1 2 3
v 7 8 1e-3
vp 3 3
"""


@pytest.mark.parametrize("chunk", [1, 7, 30, 1 << 20])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_only_vertices_of_an_obj_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, line_end: str
) -> None:
    monkeypatch.setattr(readers, "OBJ_CHUNK", chunk)
    path = tmp_path / "points.obj"
    path.write_bytes(OBJ.replace("\n", line_end).encode())
    expected = np.array([[1, 2, 3], [-1.5, 2, 0.5], [4, 5, 6], [7, 8, 1e-3]], dtype=np.float32)
    np.testing.assert_array_equal(readers.read_obj(path), expected)
    path.write_bytes(OBJ.replace("\n", line_end).rstrip().removesuffix("vp 3 3").rstrip().encode())
    np.testing.assert_array_equal(readers.read_obj(path), expected)


def test_colours_of_vertices_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "points.obj"
    path.write_text("v 1 2 3 0.1 0.2 0.3\nv 4 5 6 0.7 0.8 0.9\n")
    np.testing.assert_array_equal(readers.read_obj(path), np.float32([[1, 2, 3], [4, 5, 6]]))


@pytest.mark.parametrize(
    "text", ["v 1 2\nv 1 2 3 4\n", "v 1 2\nv 1 2\n", "v 1 2 3\nv 1 two 3\n", "v 1 2 3 # here\n", "v 1 2 3 4 5\n"]
)
def test_irregular_vertices_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "points.obj"
    path.write_text(text)
    with pytest.raises(InputError, match=r"points\.obj: expected an OBJ with lines v x y z"):
        readers.read_obj(path)


def test_files_that_cannot_be_depth_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.png: expected a file of depth, there is no such file"):
        FileDepth(tmp_path / "gone.png")
    with pytest.raises(InputError, match=r"\(\.png, \.npy, \.npz, \.obj, \.ply\), got \.exr"):
        FileDepth(tmp_path / "depth.exr")
    with pytest.raises(InputError, match="got no suffix"):
        FileDepth(tmp_path / "depth")
    (tmp_path / "folder.ply").mkdir()
    with pytest.raises(InputError, match="no such file"):
        FileDepth(tmp_path / "folder.ply")
    np.save(tmp_path / "depth.npy", DEPTH)
    for scale in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="positive scale"):
            FileDepth(tmp_path / "depth.npy", scale)


def saved(path: Path, values: np.ndarray) -> Path:
    if path.suffix == ".png":
        assert cv2.imwrite(str(path), values)
    elif path.suffix == ".npz":
        np.savez(path, depth=values)
    else:
        np.save(path, values)
    return path


@pytest.mark.parametrize("name", ["depth.png", "depth.npy", "depth.npz"])
def test_another_size_than_the_picture_is_refused(tmp_path: Path, name: str) -> None:
    values = np.ones((4, 3), dtype=np.uint16 if name == "depth.png" else np.float32)
    with pytest.raises(InputError, match=f"{name}: expected a depth map of 4 x 3 pixels like the picture, got 3 x 4"):
        FileDepth(saved(tmp_path / name, values)).point_map(PICTURE, INTRINSICS)


def test_another_count_of_vertices_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "points.obj"
    path.write_text(obj_text(np.ones((11, 3))))
    with pytest.raises(InputError, match="expected 12 vertices, one for each of the picture's 4 x 3 pixels, got 11"):
        FileDepth(path).point_map(PICTURE, INTRINSICS)
    path.write_text("# no vertex\n")
    with pytest.raises(InputError, match=r"expected 12 vertices.* got 0"):
        FileDepth(path).point_map(PICTURE, INTRINSICS)
    path = path.with_suffix(".ply")
    path.write_bytes(trimesh.PointCloud(np.ones((13, 3))).export(file_type="ply"))
    with pytest.raises(InputError, match=r"expected 12 vertices.* got 13"):
        FileDepth(path).point_map(PICTURE, INTRINSICS)


def test_negative_depths_are_counted(tmp_path: Path) -> None:
    values = DEPTH.copy()
    values[0, 1], values[2, 2], values[1, 1] = -0.5, -3.0, -np.inf
    with pytest.raises(InputError, match=r"of 0 \(unknown\) and above, got 2 of 12 pixels below 0"):
        FileDepth(saved(tmp_path / "depth.npy", values)).point_map(PICTURE, INTRINSICS)


@pytest.mark.parametrize(("value", "what"), [(0.0, r"0, NaN or infinity \(unknown\)"), (np.nan, "NaN or infinity")])
def test_depth_that_is_unknown_everywhere_is_refused(tmp_path: Path, value: float, what: str) -> None:
    path = saved(tmp_path / "depth.npy", np.full((3, 4), value))
    with pytest.raises(InputError, match=f"above 0 at some pixels, got {what} everywhere"):
        FileDepth(path).point_map(PICTURE, INTRINSICS)


def test_points_behind_the_camera_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "points.obj"
    path.write_text(obj_text(np.full((12, 3), -1.0)))
    with pytest.raises(InputError, match=r"\(x left, y up, z forward\), got none of 12 that is finite with z > 0"):
        FileDepth(path).point_map(PICTURE, INTRINSICS)


Change = Callable[[bytes], bytes]
CUT: dict[str, Change] = {"cut": lambda data: data[: len(data) * 2 // 3], "empty": lambda data: b""}


@pytest.mark.parametrize("name", ["depth.png", "depth.npy", "depth.npz", "points.ply", "ascii.ply"])
@pytest.mark.parametrize("change", CUT)
def test_files_cut_short_are_refused(tmp_path: Path, name: str, change: str) -> None:
    path = write_example(tmp_path / name)
    path.write_bytes(CUT[change](path.read_bytes()))
    with pytest.raises(InputError, match=f"{name}: expected .*(damaged, cut short|is empty)"):
        FileDepth(path).point_map(PICTURE, INTRINSICS)


def write_example(path: Path) -> Path:
    if path.suffix == ".ply":
        cloud = trimesh.PointCloud(back_project(DEPTH, INTRINSICS).points.reshape(-1, 3))
        encoding = "ascii" if path.stem == "ascii" else "binary"
        path.write_bytes(cloud.export(file_type="ply", encoding=encoding))
    elif path.suffix == ".obj":
        path.write_text(obj_text(back_project(DEPTH, INTRINSICS).points))
    else:
        saved(path, (DEPTH * 100).astype(np.uint16) if path.suffix == ".png" else DEPTH)
    return path


@pytest.mark.parametrize("name", ["depth.png", "depth.npy", "depth.npz", "points.ply", "ascii.ply", "points.obj"])
def test_damage_is_refused_or_harmless(tmp_path: Path, name: str) -> None:
    """Whatever byte is wrong: a point map, or one line that names the file, and nothing else."""
    path = write_example(tmp_path / name)
    whole = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    rng = np.random.default_rng(0)
    refused: list[str] = []
    for _ in range(200):
        damaged = whole[: rng.integers(1, len(whole) + 1)].copy()
        for place in rng.integers(0, len(damaged), rng.integers(0, 4)):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged.tobytes())
        try:
            FileDepth(path).point_map(PICTURE, INTRINSICS)
        except InputError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert all(str(path) in line for line in refused)


def test_pictures_of_other_kinds_are_refused(tmp_path: Path) -> None:
    cases = {"colour": (np.ones((3, 4, 3), np.uint8), 8), "alpha": (np.ones((3, 4, 4), np.uint16), 16)}
    for name, (values, bits) in cases.items():
        path = saved(tmp_path / f"{name}.png", values)
        with pytest.raises(InputError, match=f"grey of 8 or 16 bits, got colours or transparency of {bits} bits"):
            FileDepth(path).point_map(PICTURE, INTRINSICS)
    one_bit = tmp_path / "mask.png"
    assert cv2.imwrite(str(one_bit), np.full((3, 4), 255, np.uint8), [cv2.IMWRITE_PNG_BILEVEL, 1])
    with pytest.raises(InputError, match="got grey of 1 bits"):
        FileDepth(one_bit).point_map(PICTURE, INTRINSICS)
    jpeg = tmp_path / "photo.png"
    jpeg.write_bytes(cv2.imencode(".jpg", np.ones((3, 4), np.uint8))[1].tobytes())
    with pytest.raises(InputError, match=r"photo\.png: expected a whole PNG, it is damaged, cut short or foreign"):
        FileDepth(jpeg).point_map(PICTURE, INTRINSICS)


def test_arrays_of_other_kinds_are_refused(tmp_path: Path) -> None:
    cases: dict[str, tuple[np.ndarray, str]] = {
        "whole": (np.ones((3, 4), np.uint16), r"\[3, 4\] of uint16"),
        "complex": (np.ones((3, 4), np.complex64), "of complex64"),
        "points": (np.ones((3, 4, 3)), r"\[3, 4, 3\] of float64"),
    }
    for name, (values, what) in cases.items():
        for suffix in ("npy", "npz"):
            path = saved(tmp_path / f"{name}.{suffix}", values)
            with pytest.raises(InputError, match=f"{name}.{suffix}: expected depths .* as floats, got .*{what}"):
                FileDepth(path).point_map(PICTURE, INTRINSICS)
    np.savez(tmp_path / "keys.npz", z=DEPTH, mask=DEPTH > 0)
    with pytest.raises(InputError, match=r"keys\.npz: expected a key depth, it is not there \(keys: z, mask\)"):
        FileDepth(tmp_path / "keys.npz").point_map(PICTURE, INTRINSICS)
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"objects\.npy: expected a depth map as npy"):
        FileDepth(tmp_path / "objects.npy").point_map(PICTURE, INTRINSICS)
    (tmp_path / "depth.npy").write_bytes((tmp_path / "keys.npz").read_bytes())
    with pytest.raises(InputError, match="the magic string is not correct"):
        FileDepth(tmp_path / "depth.npy").point_map(PICTURE, INTRINSICS)
