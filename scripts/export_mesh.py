"""Export a run's mesh again, from its checkpoint; the pictures are not needed.

    python scripts/export_mesh.py run=RUN export.resolution=512 export.format=glb [export.output=FILE]

Writes RUN/mesh.FORMAT, or the file of `export.output`, whose suffix is its format. With RUN/mesh.ply, RUN/mesh.npz is
written, too, and the features of the vertices where there is a feature field. Of a run with named objects,
RUN/mesh_NAME.FORMAT and RUN/mesh.glb are written as well; a GLB holds the objects as named nodes. Other keys:
export.largest_only, export.colors, export.unseen, device, threads.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

from nto3d.build.device import build_device  # noqa: E402
from nto3d.cli import guarded, pop_argument  # noqa: E402
from nto3d.config.io import parse_overrides  # noqa: E402
from nto3d.config.schema import ExportConfig, MeshFormat  # noqa: E402
from nto3d.errors import InputError  # noqa: E402
from nto3d.export.mesh_io import write_mesh, write_mesh_arrays, write_meshes  # noqa: E402
from nto3d.runs.folder import CHECKPOINT_NAME, load_run_config  # noqa: E402
from nto3d.runs.stored import open_run  # noqa: E402
from nto3d.stages.features.term import write_features  # noqa: E402
from nto3d.stages.objects.meshes import extract_all, write_object_meshes  # noqa: E402
from nto3d.stages.reconstruct.mesh import ARRAYS_NAME  # noqa: E402

log = logging.getLogger("nto3d")
KEYS = ("export.", "device", "threads")


def output_path(run_dir: Path, config: ExportConfig, format_given: bool) -> Path:
    """Where the mesh goes.

    Raises:
        InputError: the file's suffix is no mesh format or not the one asked for, or its folder does not exist.
    """
    if config.output is None:
        return run_dir / f"mesh.{config.format.value}"
    path = Path(config.output)
    formats = [config.format.value] if format_given else [choice.value for choice in MeshFormat]
    if path.suffix.lower().lstrip(".") not in formats:
        raise InputError(f"export.output: expected a file ending in {' or '.join(formats)}, got {path}")
    if not path.parent.is_dir():
        raise InputError(f"export.output: expected a file in a folder that exists, got {path}")
    return path


def main(argv: Sequence[str]) -> int:
    """Export the mesh of a run."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder, rest = pop_argument(argv, "run")
    for override in parse_overrides(rest):
        if not override.key_or_group.startswith(KEYS):
            raise InputError(f"{override.key_or_group}: cannot be changed, expected export.*, device, threads")
    run_dir = Path(folder)
    config = load_run_config(run_dir, rest)
    path = output_path(run_dir, config.export, any(argument.startswith("export.format=") for argument in rest))
    device = build_device(config)
    run = open_run(run_dir, config, device)
    if run.sight is None and run.objects is None:
        log.warning("%s: written by an older version, so export.unseen has no effect", run_dir / CHECKPOINT_NAME)
    mesh, parts = extract_all(run.model, run.world_from_normalized, config.export, run.sight, run.objects)
    if parts and path.suffix.lower() == ".glb":
        write_meshes(parts, path)
    else:
        write_mesh(mesh, path)
    print(path)
    if path.parent.resolve() == run_dir.resolve() and path.stem == "mesh":
        write_object_meshes(parts, run_dir, MeshFormat(path.suffix.lower()[1:]))
    if path.resolve() == (run_dir / "mesh.ply").resolve():  # its vertices are others now
        write_mesh_arrays(mesh, run_dir / ARRAYS_NAME)
        if run.model.features is not None:
            write_features(run.model, mesh, run.world_from_normalized, run_dir)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
