"""Write a procedural scene as a folder in the DTU/NeuS layout. The same arguments give the same bytes."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from nto3d.data.synthetic.raycast import Rendering
from nto3d.data.synthetic.recipes import SyntheticScene, build_scene
from nto3d.errors import InputError

Floats = NDArray[np.float64]

DEPTH_UNIT = 0.1  # millimetres per step of a 16-bit depth picture
CLICK_VIEW = 0
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def make_scene(
    recipe: str,
    seed: int,
    out: Path,
    *,
    views: int | None = None,
    size: tuple[int, int] | None = None,
    overwrite: bool = False,
    objects: bool = False,
) -> None:
    """Make a scene and write it to the folder `out` (see datasets/README.md for the layout).

    It is written beside `out` under a temporary name and then renamed, so a broken run leaves no half scene.

    Args:
        recipe: a key of `RECIPES`. seed: 0 or more. views: number of pictures. size: (width, height) in pixels.
        overwrite: replace a scene that is already there.
        objects: write the truth of the target's neighbours, too; then the unit sphere holds all of them.

    Raises:
        InputError: the recipe is unknown, a value is out of range, or `out` cannot be written or must not be replaced.
    """
    out = Path(out)
    _check_folder(out, overwrite)
    scene = build_scene(recipe, seed, views=views, size=size)
    part = out.parent / f".{out.name}.part"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
    except OSError as error:
        raise InputError(f"{out}: expected a folder that can be written, got {error.strerror}") from error
    try:
        _write_files(scene, part, objects)
        if out.exists():
            shutil.rmtree(out)
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check_folder(out: Path, overwrite: bool) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"{out}: expected a folder, got a file")
    if not any(out.iterdir()):
        return
    if not overwrite:
        raise InputError(
            f"{out}: expected a new or empty folder, got one with files in it (overwrite replaces a scene)"
        )
    if not (out / "scene.json").is_file():
        raise InputError(f"{out}: expected a procedural scene to replace, got a folder without scene.json")


def _write_files(scene: SyntheticScene, folder: Path, objects: bool) -> None:
    neighbours = _numbered(scene.names[1:-1]) if objects else ()
    for name in ("image", "mask", "depth", *(f"mask_{name}" for name in neighbours)):
        (folder / name).mkdir()
    for index, view in enumerate(scene.views):
        rendering = scene.rays.render(view)
        _write_png(folder / "image" / f"{index:06d}.png", rendering.color[..., ::-1])
        _write_mask(folder / "mask", index, rendering.object == 0)
        for number, name in enumerate(neighbours, 1):
            _write_mask(folder / f"mask_{name}", index, rendering.object == number)
        _write_png(folder / "depth" / f"{index:03d}.png", _depth_picture(scene, rendering))
        if index == CLICK_VIEW:
            _write_json(folder / "prompts.json", _click(rendering.object == 0))
    _write_npz(folder / "cameras_sphere.npz", camera_matrices(scene, sphere_of_all(scene) if objects else None))
    vertices = scene.target.vertices * scene.scale + scene.center
    _write_ply(folder / "gt_mesh.ply", vertices, scene.target.faces, scene.rays.colors(scene.painted, scene.target))
    for number, (name, solid) in enumerate(zip(neighbours, scene.others if objects else (), strict=True), 1):
        painted = scene.rays.colors(np.full(len(solid.vertices), number), solid)
        _write_ply(folder / f"gt_mesh_{name}.ply", solid.vertices * scene.scale + scene.center, solid.faces, painted)
    height, width = scene.views[0].size
    about = {
        "recipe": scene.recipe.name,
        "seed": scene.seed,
        "views": len(scene.views),
        "size": [width, height],
        "unit": "millimetre",
        "depth": {"kind": "z along the optical axis", "scale": DEPTH_UNIT, "invalid": 0},
        "target": scene.names[0],
        "objects": list(scene.names[1:]),
    }
    _write_json(folder / "scene.json", about)


def _numbered(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names in which what comes again has a number behind it."""
    return tuple(
        name if name not in names[:place] else f"{name}_{names[:place].count(name) + 1}"
        for place, name in enumerate(names)
    )


def sphere_of_all(scene: SyntheticScene) -> tuple[Floats, float]:
    """Centre [3] and radius, millimetres, of a sphere around the target and its neighbours."""
    points = np.concatenate([solid.vertices for solid in (scene.target, *scene.others)]) * scene.scale + scene.center
    center = (points.min(axis=0) + points.max(axis=0)) / 2
    return center, scene.recipe.margin * float(np.linalg.norm(points - center, axis=1).max())


def camera_matrices(scene: SyntheticScene, sphere: tuple[Floats, float] | None = None) -> dict[str, Floats]:
    """`world_mat_i` (world millimetres -> pixels) and `scale_mat_i` (unit sphere -> world), float64 [4, 4].

    Args:
        sphere: centre [3] and radius of the unit sphere, millimetres; None: that of the target.
    """
    middle, radius = sphere or (scene.center, scene.scale)
    scale_mat = np.diag([radius, radius, radius, 1.0])
    scale_mat[:3, 3] = middle
    matrices: dict[str, Floats] = {}
    for index, view in enumerate(scene.views):
        center = view.center * scene.scale + scene.center
        world_mat = np.eye(4)
        world_mat[:3, :3] = view.intrinsics @ view.rotation
        world_mat[:3, 3] = -world_mat[:3, :3] @ center
        matrices[f"world_mat_{index}"] = world_mat
        matrices[f"scale_mat_{index}"] = scale_mat
    return matrices


def _depth_picture(scene: SyntheticScene, rendering: Rendering) -> NDArray[np.uint16]:
    """Depth in steps of DEPTH_UNIT; 0 where the ray ends in the room (and where 16 bits are too few)."""
    steps = np.rint(rendering.depth.astype(np.float64) * scene.scale / DEPTH_UNIT)
    valid = (rendering.object >= 0) & (steps >= 1) & (steps <= 65535)
    return np.where(valid, steps, 0).astype(np.uint16)


def _click(mask: NDArray[np.bool_]) -> dict[str, object]:
    """One click in the middle of the mask's widest place, in NTO3D's prompt format."""
    if not mask.any():
        raise InputError(f"size: expected a picture in which view {CLICK_VIEW} shows the target, got an empty mask")
    inside = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = np.unravel_index(int(np.argmax(inside)), mask.shape)
    return {"frames": [{"index": CLICK_VIEW, "point": [[int(x), int(y)]], "label": [1]}]}


def _write_mask(folder: Path, view: int, mask: NDArray[np.bool_]) -> None:
    _write_png(folder / f"{view:03d}.png", np.where(mask, 255, 0).astype(np.uint8))


def _write_png(path: Path, picture: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    done, data = cv2.imencode(".png", np.ascontiguousarray(picture), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not done:
        raise RuntimeError(f"could not encode {path.name}")
    path.write_bytes(data.tobytes())


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _write_npz(path: Path, arrays: dict[str, Floats]) -> None:
    """An npz file with a fixed date, so that its bytes depend on the arrays only."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in arrays.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, np.ascontiguousarray(values), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=_ZIP_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data.getvalue())


def _write_ply(path: Path, vertices: Floats, faces: NDArray[np.int64], colors: NDArray[np.uint8]) -> None:
    """Binary little-endian PLY: float32 positions, uint8 colours, triangles."""
    header = (
        "ply\nformat binary_little_endian 1.0\ncomment millimetres, world frame\n"
        f"element vertex {len(vertices)}\nproperty float x\nproperty float y\nproperty float z\n"
        "property uchar red\nproperty uchar green\nproperty uchar blue\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    points = np.empty(len(vertices), dtype=[("position", "<f4", 3), ("color", "u1", 3)])
    points["position"], points["color"] = vertices, colors
    triangles = np.empty(len(faces), dtype=[("count", "u1"), ("index", "<i4", 3)])
    triangles["count"], triangles["index"] = 3, faces
    path.write_bytes(header.encode("ascii") + points.tobytes() + triangles.tobytes())
