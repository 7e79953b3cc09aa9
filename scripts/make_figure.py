"""A run in one picture: python scripts/make_figure.py run=RUN [view=N] [out=RUN/figure.jpg] [scene.path=FOLDER].

Side by side, of one view (a held-out one by default): the picture, the mask, what the model renders, its normals, and
the shaded mesh seen by the same camera.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from nto3d.build.device import build_device  # noqa: E402
from nto3d.cli import guarded, pop_argument  # noqa: E402
from nto3d.config.schema import Config  # noqa: E402
from nto3d.data.load import load_scene  # noqa: E402
from nto3d.errors import InputError  # noqa: E402
from nto3d.export.mesh_io import read_mesh  # noqa: E402
from nto3d.files import write_atomic  # noqa: E402
from nto3d.report.pictures import normal_picture  # noqa: E402
from nto3d.report.shade import shade_mesh  # noqa: E402
from nto3d.runs.folder import MASKS_NAME, load_run_config  # noqa: E402
from nto3d.runs.lift.files import read_masks, true_masks  # noqa: E402
from nto3d.runs.stored import open_run  # noqa: E402
from nto3d.stages.views.render import render_view  # noqa: E402
from nto3d.types import ByteArray, FloatArray  # noqa: E402

GAP = 4  # white pixels between pictures
QUALITY = 90


def panels(run_dir: Path, config: Config, view: int | None) -> list[ByteArray]:
    """The pictures of one view, uint8 [H, W, 3] RGB each.

    Raises:
        InputError: the run is not complete, or there is no such view.
    """
    mesh = read_mesh(run_dir / "mesh.ply")
    device = build_device(config)
    scene = load_scene(config.scene, config.segmenter.name)
    # From a click, what the run found, though the scene may have masks, too
    found = (run_dir / MASKS_NAME).is_dir()
    masks = read_masks(run_dir / MASKS_NAME, scene) if found else true_masks(config, scene, run_dir)
    number = (scene.test or scene.train)[0] if view is None else view
    if not 0 <= number < len(scene.cameras):
        raise InputError(f"view: expected 0..{len(scene.cameras) - 1}, got {number}")
    stored = open_run(run_dir, config, device)
    model, world_from_normalized = stored.model, stored.world_from_normalized
    rendered = render_view(model, scene, number, config.trainer.step_size)
    normals = normal_picture(rendered.normal * rendered.opacity[..., None])
    normalized = mesh.transformed(np.linalg.inv(world_from_normalized))
    cameras = scene.cameras
    pose: FloatArray = cameras.cam_to_world[number]
    shaded = shade_mesh(normalized, cameras.intrinsics[number], pose, cameras.size)
    mask = [] if masks is None else [np.repeat(masks[number, ..., None], 3, axis=2).astype(np.uint8) * 255]
    return [scene.images[number], *mask, rendered.rgb, normals, shaded]


def main(argv: Sequence[str]) -> int:
    """Write the picture."""
    run, rest = pop_argument(argv, "run")
    run_dir, view, out = Path(run), None, Path(run) / "figure.jpg"
    if any(argument.startswith("view=") for argument in rest):
        text, rest = pop_argument(rest, "view")
        if not text.isdecimal():
            raise InputError(f"view: expected a number, got {text}")
        view = int(text)
    if any(argument.startswith("out=") for argument in rest):
        text, rest = pop_argument(rest, "out")
        out = Path(text)
    if out.suffix.lower() not in (".jpg", ".png"):
        raise InputError(f"out: expected a file ending in .jpg or .png, got {out}")
    parts = panels(run_dir, load_run_config(run_dir, rest), view)
    gap = np.full((len(parts[0]), GAP, 3), 255, dtype=np.uint8)
    row = np.concatenate([piece for part in parts for piece in (part, gap)][:-1], axis=1)
    quality = [cv2.IMWRITE_JPEG_QUALITY, QUALITY] if out.suffix.lower() == ".jpg" else []
    done, data = cv2.imencode(out.suffix, row[..., ::-1], quality)
    assert done
    write_atomic(out, data.tobytes())
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
