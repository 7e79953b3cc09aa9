"""Readers of a scene's folder: cameras, pictures, masks, depth, surfaces, notes, clicks."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self
from unittest import mock

import cv2
import numpy as np
import trimesh
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from nto3d.config.schema import PromptsConfig, SceneConfig
from nto3d.config.schema import Reader as SceneReader
from nto3d.data import images
from nto3d.data.dtu import read_dtu
from nto3d.data.image import read_single
from nto3d.data.load import load_scene
from nto3d.data.truth import read_truths
from nto3d.segment.prompts.read import read_objects
from nto3d.types import Scene
from tests.fuzz.harness import Case, Reader
from tests.fuzz.mutate.archives import npy, npz
from tests.fuzz.mutate.meshes import lines, ply
from tests.fuzz.mutate.pictures import jpeg, png
from tests.fuzz.mutate.trees import json_tree
from tests.helpers import write_dtu_scene

SIZE, VIEWS = (6, 8), 2  # H, W of the pictures


class OneThread:
    """A pool that works at once: starting threads would take most of the time."""

    def __init__(self, max_workers: int) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def submit(self, work: Callable[..., Any], *args: Any) -> Future[Any]:
        """Does the work; an error is kept for `result`."""
        done: Future[Any] = Future()
        try:
            done.set_result(work(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def shutdown(self, cancel_futures: bool = False) -> None:
        """Nothing is left."""


def one_thread() -> Any:
    """A context in which pictures are read by this thread."""
    return mock.patch.object(images, "ThreadPoolExecutor", OneThread)


def read(path: Path, masks: bool = True) -> Scene:
    """`read_dtu` by this thread."""
    with one_thread():
        return read_dtu(path, masks=masks)


def saved(write: Callable[[io.BytesIO], object]) -> bytes:
    """What a function writes."""
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def written(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """A picture's file."""
    return saved(lambda file: picture.save(file, format=kind, **options))


def encoded(pixels: np.ndarray) -> bytes:
    """A PNG by OpenCV, which also writes colours of 16 bits."""
    return bytes(cv2.imencode(".png", pixels)[1])


def png_seeds() -> list[bytes]:
    """PNGs of every colour type, with text and EXIF."""
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE, 4)).astype(np.uint8)
    half = np.zeros(SIZE, dtype=np.uint8)
    half[:, 4:] = 255
    rgb, wide = Image.fromarray(noise[..., :3]), noise.astype(np.uint16) * 257
    text, turned = PngInfo(), Image.Exif()
    text.add_text("Title", "view 1, clicked")
    text.add_itxt("Comment", "a", zip=True)
    turned[0x0112] = 6
    return [
        *(written(Image.fromarray(half)), written(rgb), written(Image.fromarray(noise)), written(rgb.quantize(16))),
        *(written(rgb.quantize(4), transparency=1), written(Image.fromarray(half).convert("1"))),
        *(written(Image.fromarray(noise[..., :2].copy(), mode="LA")), written(rgb, pnginfo=text, exif=turned)),
        *(encoded(wide[..., 0]), encoded(wide[..., :3]), encoded(wide)),
    ]


def jpeg_seeds() -> list[bytes]:
    """JPEGs in grey, in colours, progressive, of four inks, with EXIF."""
    noise = np.random.default_rng(1).integers(0, 256, (*SIZE, 4)).astype(np.uint8)
    rgb, turned = Image.fromarray(noise[..., :3]), Image.Exif()
    turned[0x0112] = 6
    return [
        *(written(rgb, "JPEG"), written(rgb.convert("L"), "JPEG"), written(rgb, "JPEG", progressive=True)),
        *(written(rgb.convert("CMYK"), "JPEG"), written(rgb, "JPEG", exif=turned, subsampling=0)),
    ]


def ply_seeds() -> list[bytes]:
    """A small closed mesh as PLY: binary, text, with colours and counts."""
    plain = trimesh.creation.box((10, 10, 10))
    colored = trimesh.Trimesh(plain.vertices, plain.faces, vertex_colors=np.full((8, 3), 90), process=False)
    colored.vertex_attributes["seen"] = np.arange(8, dtype=np.uint16)
    text: bytes = plain.export(file_type="ply", encoding="ascii")
    return [bytes(plain.export(file_type="ply")), bytes(text), bytes(colored.export(file_type="ply"))]


def _scene(folder: Path, file: str, seeds: list[bytes], **options: bool) -> Case:
    path = write_dtu_scene(folder / "scene", VIEWS, SIZE, **options).path
    return Case(path / file, seeds, lambda: read(path, options.get("masks", True)))


def cameras(folder: Path) -> Case:
    """Matrices of the cameras."""
    path = write_dtu_scene(folder / "scene", VIEWS, SIZE).path
    file = path / "cameras_sphere.npz"
    arrays = dict(np.load(file))
    double = {name: value.astype(np.float64) for name, value in arrays.items()}
    seeds = [
        file.read_bytes(),
        saved(lambda to: np.savez_compressed(to, **arrays)),
        saved(lambda to: np.savez(to, **double)),
    ]
    return Case(file, seeds, lambda: read(path))


def picture_jpeg(folder: Path) -> Case:
    """A picture of a scene as JPEG."""
    path = write_dtu_scene(folder / "scene", VIEWS, SIZE, suffix=".jpg").path
    return Case(path / "image" / "001.jpg", jpeg_seeds(), lambda: read(path))


def depth_npy(folder: Path) -> Case:
    """A depth map of a scene."""
    depth = np.full(SIZE, 20.0)
    kinds = [depth.astype(kind) for kind in (np.float32, np.float64, np.float16)]
    seeds = [saved(lambda to, kind=kind: np.save(to, kind)) for kind in (*kinds, np.asfortranarray(depth))]
    return _scene(folder, "depth/001.npy", seeds, depths=True)


def _with_depth_pictures(folder: Path) -> Path:
    path = write_dtu_scene(folder / "scene", VIEWS, SIZE).path
    (path / "depth").mkdir()
    for view in range(VIEWS):
        (path / "depth" / f"{view:03d}.png").write_bytes(encoded(np.full(SIZE, 500, dtype=np.uint16)))
    (path / "scene.json").write_text('{"depth": {"scale": 0.001}}')
    return path


def depth_png(folder: Path) -> Case:
    """A depth picture of a scene."""
    path = _with_depth_pictures(folder)
    ramp = np.arange(48, dtype=np.uint16).reshape(SIZE) * 1000
    return Case(
        path / "depth" / "001.png", [encoded(ramp), (path / "depth" / "001.png").read_bytes()], lambda: read(path)
    )


def depth_unit(folder: Path) -> Case:
    """The unit of a scene's depth pictures, in scene.json."""
    path = _with_depth_pictures(folder)
    return Case(path / "scene.json", [b'{"depth": {"scale": 0.001}, "target": "cup"}'], lambda: read(path))


def _loaded(config: SceneConfig) -> Scene:
    with one_thread():
        return load_scene(config)


def _truths(config: SceneConfig, scene: Scene) -> object:
    with one_thread():
        return read_truths(config, scene, ("cup", "ball"))


def note(folder: Path) -> Case:
    """scene.json of a procedural scene."""
    path = write_dtu_scene(folder / "scene", VIEWS, SIZE).path
    config = SceneConfig(reader=SceneReader.synthetic, path=str(path), recipe="sample", seed=3)
    seed = {"recipe": "sample", "seed": 3, "target": "cup", "depth": {"scale": 0.001}}
    return Case(path / "scene.json", [json.dumps(seed).encode()], lambda: _loaded(config))


def _truth(folder: Path, file: str, seeds: list[bytes]) -> Case:
    path = write_dtu_scene(folder / "scene", VIEWS, SIZE).path
    (path / "mask_cup").mkdir()
    for picture in (path / "mask").iterdir():
        (path / "mask_cup" / picture.name).write_bytes(picture.read_bytes())
    config, scene = SceneConfig(path=str(path)), read_dtu(path)
    return Case(path / file, seeds, lambda: _truths(config, scene))


def truth_note(folder: Path) -> Case:
    """The target's name in scene.json."""
    return _truth(folder, "scene.json", [b'{"recipe": "sample", "seed": 0, "target": "ball"}'])


def single_picture(folder: Path) -> Case:
    """The picture of mode=single."""
    path = folder / "picture.png"
    return Case(path, png_seeds() + jpeg_seeds(), lambda: read_single(path, None, 55.0, 2, "a"))


def single_mask(folder: Path) -> Case:
    """The mask of mode=single."""
    (folder / "picture.png").write_bytes(encoded(np.zeros((*SIZE, 3), dtype=np.uint8)))
    path = folder / "mask.png"
    seeds = [content for content in png_seeds() if not Image.open(io.BytesIO(content)).getexif()]  # none turned
    return Case(path, seeds, lambda: read_single(folder / "picture.png", path, 55.0, 1, "a"))


def prompts(folder: Path) -> Case:
    """Clicks and boxes in prompts.json."""
    path = write_dtu_scene(folder / "scene", VIEWS, SIZE).path
    scene, config = read_dtu(path), PromptsConfig()
    trees: list[object] = [
        {"frames": [{"index": 0, "point": [[3, 2], [7, 5]], "label": [1, 0]}]},
        {
            "frames": [
                {"index": 1, "box": [1, 1, 5, 4.5], "point": [[2, 2]]},
                {"index": 0, "point": [[1, 1]], "label": [0]},
            ]
        },
        {
            "frames": [
                {"index": v, "object": name, "point": [[v + len(name), v]]}
                for v, name in ((0, "cup"), (1, "b_1"), (1, "ball"))
            ]
        },
    ]
    seeds = [json.dumps(tree).encode() for tree in trees]
    return Case(path / "prompts.json", seeds, lambda: read_objects(config, path, scene, 1))


SCENES: dict[str, Reader] = {
    "cameras": Reader(cameras, (npz,), pace=0.4),
    "picture_png": Reader(lambda folder: _scene(folder, "image/001.png", png_seeds()), (png,), pace=0.4),
    "picture_jpeg": Reader(picture_jpeg, (jpeg,), pace=0.4),
    "mask": Reader(lambda folder: _scene(folder, "mask/001.png", png_seeds()), (png,), pace=0.4),
    "depth_npy": Reader(depth_npy, (npy,), pace=0.4),
    "depth_png": Reader(depth_png, (png,), pace=0.4),
    "depth_unit": Reader(depth_unit, (json_tree,), pace=0.4),
    "note": Reader(note, (json_tree,), pace=0.4),
    "gt_mesh": Reader(lambda folder: _scene(folder, "gt_mesh.ply", ply_seeds()), (ply, ply, ply, lines), pace=0.4),
    "truth_mesh": Reader(lambda folder: _truth(folder, "gt_mesh_cup.ply", ply_seeds()), (ply,), quick=150, pace=0.4),
    "truth_mask": Reader(lambda folder: _truth(folder, "mask_cup/001.png", png_seeds()), (png,), quick=150, pace=0.4),
    "truth_note": Reader(truth_note, (json_tree,), quick=150, pace=0.4),
    "single_picture": Reader(single_picture, (png, jpeg)),
    "single_mask": Reader(single_mask, (png,)),
    "prompts": Reader(prompts, (json_tree,)),
}
