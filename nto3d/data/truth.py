"""What is known of the named objects of a scene, to measure with: their true masks and surfaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nto3d.config.schema import SceneConfig
from nto3d.data.dtu import read_surface
from nto3d.data.files.masks import read_masks
from nto3d.data.files.pairing import pair_files, places
from nto3d.data.files.views import IMAGE_FOLDERS, picture_files
from nto3d.data.images import common_size
from nto3d.errors import InputError
from nto3d.parsers.text import read_json_object
from nto3d.types import BoolArray, Mesh, Scene


@dataclass(frozen=True)
class Truth:
    """Of one object, None where it is not known.

    Attributes:
        masks: bool [V, H, W], where it is seen. mesh: its surface, world units.
    """

    masks: BoolArray | None = None
    mesh: Mesh | None = None


def read_truths(config: SceneConfig, scene: Scene, names: Sequence[str]) -> dict[str, Truth]:
    """The truth of each named object.

    It lies in mask_NAME/ and gt_mesh_NAME.ply of the scene's folder. The target that scene.json names, and an object
    that is the only one, have the scene's own masks and surface.

    Raises:
        InputError: a file is damaged or does not fit the pictures.
    """
    path, target = Path(config.path), names[0] if len(names) == 1 else _target(Path(config.path) / "scene.json")
    truths = {}
    for name in names:
        masks, mesh = _masks(path, f"mask_{name}", scene, config.downscale), read_surface(path / f"gt_mesh_{name}.ply")
        if name == target:
            masks, mesh = (scene.masks if masks is None else masks), (scene.gt_mesh if mesh is None else mesh)
        truths[name] = Truth(masks, mesh)
    return truths


def _masks(path: Path, folder: str, scene: Scene, downscale: int) -> BoolArray | None:
    """The masks [V, H, W] in a folder of the views that the scene uses."""
    files, pictures = picture_files(path, (folder,)), picture_files(path, IMAGE_FOLDERS)
    if files is None or pictures is None:
        return None
    paired = dict(zip(pictures, pair_files(pictures, files, "mask", places(pictures)), strict=True))
    used = [pictures[0].parent / name for name in scene.names]
    found = [mask for picture in used if (mask := paired.get(picture)) is not None]
    if len(found) < len(used):
        alone = next(picture.name for picture in used if paired.get(picture) is None)
        raise InputError(
            f"{path / folder}: expected a mask for each of the {len(used)} pictures, got {len(found)}; {alone} has none"
        )
    return read_masks(found, downscale, common_size(used))


def _target(file: Path) -> str | None:
    """What a procedural scene calls its target; None for other scenes."""
    try:
        name = read_json_object(file, "the note of a procedural scene").get("target")
    except InputError:
        return None
    return name if isinstance(name, str) else None
