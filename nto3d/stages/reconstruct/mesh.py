"""From a trained model to the mesh that the user takes away."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from nto3d.config.schema import ExportConfig, MeshFormat, Unseen
from nto3d.errors import InputError
from nto3d.export.clean import clean_mesh
from nto3d.export.mesh_io import vertex_colors, write_mesh, write_mesh_arrays
from nto3d.export.regions import Field, held_within, intersect, unit_sphere
from nto3d.export.surface import extract_surface
from nto3d.export.unseen import close_unseen, trim_unseen
from nto3d.export.visibility import Visibility, count_views
from nto3d.render.grid import OccupancyGrid
from nto3d.stages.model import SurfaceModel
from nto3d.types import FloatArray, Mesh

log = logging.getLogger("nto3d")
ARRAYS_NAME = "mesh.npz"


class HullRegion:
    """Signed distance to the hull of the occupancy grid, and to the unit sphere, whichever is larger.

    Outside the hull no ray ever looked, so what the SDF says there means nothing.
    """

    def __init__(self, grid: OccupancyGrid) -> None:
        hull = functional.pad(grid.hull, (1, 1, 1, 1, 1, 1)).cpu().numpy() > 0
        signed = ndimage.distance_transform_edt(~hull) - ndimage.distance_transform_edt(hull)
        values = torch.from_numpy(signed).float() * grid.cell_size
        self._values = values.permute(2, 1, 0)[None, None].contiguous().to(grid.hull.device)  # grid_sample's x is last
        self._reach = 1.0 + grid.cell_size

    def __call__(self, positions: Tensor) -> Tensor:
        """Values [N] at positions [N, 3], negative inside."""
        place = (positions / self._reach)[None, None, None]
        hull = functional.grid_sample(self._values, place, align_corners=False, padding_mode="border")[0, 0, 0, 0]
        return torch.maximum(hull, unit_sphere(positions))


@torch.no_grad()
def extract_mesh(
    model: SurfaceModel,
    world_from_normalized: FloatArray,
    config: ExportConfig,
    visibility: Visibility | None = None,
    part: Field | None = None,
) -> Mesh:
    """The model's surface as a mesh in world units.

    Args:
        visibility: what the training views show; None: unknown, then surface that they do not see stays as it is.
        part: a signed distance, negative inside, that bounds the object, membranes included; None: nothing does.

    Raises:
        InputError: there is no surface.
    """
    started = time.perf_counter()
    device = model.variance.device
    used = torch.nonzero(model.grid.hull).float()
    region: Field = HullRegion(model.grid)
    if part is not None:
        used = used[part((used + 0.5) * model.grid.cell_size - 1.0) < model.grid.cell_size]
        region = intersect(region, part)
        if not len(used):
            raise InputError("no place in the hull of the masks belongs to it")
    lower = ((used.amin(dim=0) - 1.0) * model.grid.cell_size - 1.0).tolist()
    upper = ((used.amax(dim=0) + 2.0) * model.grid.cell_size - 1.0).tolist()
    mesh = extract_surface(
        model.sdf.sdf,
        resolution=config.resolution,
        lower=lower,
        upper=upper,
        device=device,
        region=region,
        close_border=True,
    )
    mesh = clean_mesh(mesh, largest_only=config.largest_only)
    if config.colors:
        mesh = vertex_colors(mesh, model.surface_color, device=device)
    if visibility is not None:
        mesh = _with_seen(mesh, visibility, config.unseen)
        if part is not None and config.unseen is Unseen.close:
            with torch.enable_grad():
                mesh = held_within(mesh, part, device)
    log.info(
        "mesh: %d vertices, %d faces in %.1f s", len(mesh.vertices), len(mesh.faces), time.perf_counter() - started
    )
    return mesh.transformed(world_from_normalized)


def _with_seen(mesh: Mesh, visibility: Visibility, unseen: Unseen) -> Mesh:
    """A mesh (normalized frame) that knows how many views see its vertices, with what none sees dealt with."""
    mesh = replace(mesh, seen=count_views(mesh, visibility))
    assert mesh.seen is not None
    share = 100 * float((mesh.seen == 0).mean())
    match unseen:
        case Unseen.close:
            mesh, what = close_unseen(mesh), "closed by a membrane"
        case Unseen.trim:
            mesh, what = trim_unseen(mesh), "cut away"
        case Unseen.mark:
            what = "left as they are"
    log.info("%.1f %% of the vertices are seen by no training view: %s", share, what)
    return mesh


def write_run_mesh(mesh: Mesh, run_dir: Path, config: ExportConfig) -> None:
    """Write RUN/mesh.ply and RUN/mesh.npz, and RUN/mesh.FORMAT where another format is asked for.

    Raises:
        InputError: the mesh is empty, or a file cannot be written.
    """
    for kind in dict.fromkeys((MeshFormat.ply, config.format)):
        write_mesh(mesh, run_dir / f"mesh.{kind.value}")
    write_mesh_arrays(mesh, run_dir / ARRAYS_NAME)
