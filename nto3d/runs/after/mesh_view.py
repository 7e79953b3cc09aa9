"""Any mesh in pictures: a turntable, or as a camera of a scene sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nto3d.config.io import parse_options
from nto3d.data.dtu import read_dtu
from nto3d.errors import InputError
from nto3d.export.mesh_io import read_mesh
from nto3d.report.shade import Shading, guess_up, shade_mesh, turntable
from nto3d.types import ByteArray

MOST = {"frames": 360, "size": 4096, "downscale": 64}


@dataclass
class Options:
    """What can be given as key=value."""

    mesh: str = ""
    out: str = "mesh.png"
    shading: Shading = Shading.clay
    frames: int = 4
    size: int = 360  # pixels, of one turntable picture
    up: list[float] | None = None
    scene: str | None = None  # a folder in the DTU/NeuS layout
    view: int | None = None
    downscale: int = 1


def read_options(argv: Sequence[str]) -> Options:
    """The options from `key=value` arguments.

    Raises:
        InputError: an unknown key, a wrong type or an impossible value.
    """
    options = parse_options(Options, argv)
    if not options.mesh:
        raise InputError("mesh is missing: give it as mesh=FILE")
    for key, most in MOST.items():
        if not 1 <= getattr(options, key) <= most:
            raise InputError(f"{key}: expected a number from 1 to {most}, got {getattr(options, key)}")
    up = options.up
    if up is not None and not (len(up) == 3 and np.isfinite(up).all() and np.linalg.norm(up) > 0):
        raise InputError(f"up: expected a direction x, y, z that is not 0, got {up}")
    if options.view is not None and options.scene is None:
        raise InputError("view: needs scene=FOLDER")
    return options


def mesh_pictures(options: Options) -> list[ByteArray]:
    """The pictures that are asked for, uint8 [H, W, 3] RGB each.

    Raises:
        InputError: the mesh or the scene cannot be read, or there is no such view.
    """
    mesh = read_mesh(Path(options.mesh))
    up = np.asarray(options.up if options.up is not None else [0.0, 0.0, 1.0])
    if options.scene is not None:
        scene = read_dtu(Path(options.scene), downscale=options.downscale, masks=False)
        if options.up is None:
            up = scene.world_from_normalized[:3, :3] @ guess_up(scene.cameras.cam_to_world) / scene.scale
        if options.view is not None:
            if not 0 <= options.view < len(scene.cameras):
                raise InputError(f"view: expected 0..{len(scene.cameras) - 1}, got {options.view}")
            pose = scene.cameras.cam_to_world[options.view]
            normalized = mesh.transformed(np.linalg.inv(scene.world_from_normalized))
            intrinsics = scene.cameras.intrinsics[options.view]
            return [shade_mesh(normalized, intrinsics, pose, scene.cameras.size, options.shading)]
    return turntable(mesh, options.frames, (options.size, options.size), up, options.shading)
