"""Several named objects in one reconstruction: what of it is whose, and a mesh of each."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nto3d.config.schema import ExportConfig, MeshFormat
from nto3d.errors import InputError, memory_of
from nto3d.export.mesh_io import write_mesh, write_meshes
from nto3d.export.visibility import Visibility
from nto3d.geometry.hull import cell_centers
from nto3d.parsers.contents import MismatchError
from nto3d.segment.prompts.file import check_name
from nto3d.stages.lift.refine import ViewMask
from nto3d.stages.model import SurfaceModel
from nto3d.stages.objects.partition import CELLS, Labels, Partition
from nto3d.stages.reconstruct.mesh import HullRegion, extract_mesh
from nto3d.stages.views.projection import enlarged
from nto3d.stages.whole.solid import distances
from nto3d.types import FloatArray, Mesh

log = logging.getLogger("nto3d")


@dataclass(frozen=True)
class Objects:
    """The named objects of a run.

    Attributes:
        labels: whose the surface is; None where there is one object. visibilities: what views show of each, by name.
    """

    labels: Labels | None
    visibilities: Mapping[str, Visibility]

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of the labels."""
        return tuple(self.visibilities)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        labels = None if self.labels is None else self.labels.state_dict()
        return {
            "labels": labels,
            "sights": {name: visibility.state_dict() for name, visibility in self.visibilities.items()},
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Objects:
        """Counterpart of `state_dict`.

        Raises:
            MismatchError: labels and names do not agree, or there are none. InputError: a name cannot be one.
        """
        labels = None if state["labels"] is None else Labels.from_state(state["labels"])
        sights = {
            check_name(name, "objects.sights"): Visibility.from_state(one) for name, one in state["sights"].items()
        }
        if not sights or len(sights) != (1 if labels is None else labels.count):
            known = 1 if labels is None else labels.count
            raise MismatchError(f"objects.sights: expected those of {known} objects, got {len(sights)}")
        return cls(labels, sights)


def without_overlap(lifted: Sequence[Mapping[int, ViewMask]]) -> list[dict[int, ViewMask]]:
    """Masks of several objects of which no pixel belongs to two: it goes to the one whose projection is larger.

    Args:
        lifted: the masks of each object by view; all have the same views. Of equals the first wins.
    """
    apart: list[dict[int, ViewMask]] = [{} for _ in lifted]
    for view in lifted[0]:
        masks = [some[view] for some in lifted]
        likely = [np.where(mask.pixels, enlarged(mask.prior, mask.pixels.shape), -1.0) for mask in masks]
        winner = np.argmax(likely, axis=0)
        for number, mask in enumerate(masks):
            apart[number][view] = ViewMask(
                mask.pixels & (winner == number), mask.trust, mask.prompts, mask.prior, mask.hidden
            )
    return apart


@torch.no_grad()
def split_solid(model: SurfaceModel, labels: Labels) -> Partition:
    """The borders between the objects that a model holds together."""
    device = model.variance.device
    centers = torch.from_numpy(cell_centers(CELLS).reshape(-1, 3)).to(device)
    hull = torch.cat([HullRegion(model.grid)(some).cpu() for some in centers.split(2**18)])
    solid = np.maximum(distances(model), hull.numpy().reshape((CELLS,) * 3))
    return Partition(labels, solid, device)


def extract_objects(
    model: SurfaceModel, world_from_normalized: FloatArray, config: ExportConfig, objects: Objects
) -> dict[str, Mesh]:
    """A mesh of each object by its name, world units; closed ones do not intersect each other.

    An object without surface is left out, and the log says so.

    Raises:
        InputError: there is no surface of any.
    """
    borders = None if objects.labels is None else split_solid(model, objects.labels)
    meshes = {}
    for number, (name, visibility) in enumerate(objects.visibilities.items()):
        part = None if borders is None else borders(number)
        log.info("object %s:", name)
        try:
            meshes[name] = extract_mesh(model, world_from_normalized, config, visibility, part)
        except InputError as error:
            log.warning("object %s has no mesh (%s): point at it in more views, or give a box", name, error)
    if not meshes:
        raise InputError(f"none of the objects has a surface: {', '.join(objects.names)}")
    return meshes


def joined(meshes: Sequence[Mesh]) -> Mesh:
    """Meshes as one: their vertices and faces behind each other."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    faces = np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts[:-1], strict=True)])
    colors = [mesh.colors for mesh in meshes if mesh.colors is not None]
    seen = [mesh.seen for mesh in meshes if mesh.seen is not None]
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        faces,
        np.concatenate(colors) if len(colors) == len(meshes) else None,
        np.concatenate(seen) if len(seen) == len(meshes) else None,
    )


def write_object_meshes(meshes: Mapping[str, Mesh], folder: Path, form: MeshFormat) -> None:
    """Write mesh_NAME.ply of each object (and mesh_NAME.FORMAT), and mesh.glb with all of them as named nodes.

    Nothing is written where there are none.

    Raises:
        InputError: a mesh is empty, or a file cannot be written.
    """
    for name, mesh in meshes.items():
        for kind in dict.fromkeys((MeshFormat.ply, form)):
            write_mesh(mesh, folder / f"mesh_{name}.{kind.value}")
    if meshes:
        write_meshes(meshes, folder / "mesh.glb")


def extract_all(
    model: SurfaceModel,
    world_from_normalized: FloatArray,
    config: ExportConfig,
    visibility: Visibility | None,
    objects: Objects | None,
) -> tuple[Mesh, dict[str, Mesh]]:
    """What a run reconstructs as one mesh, world units, and the meshes of named objects that it consists of.

    Args:
        visibility: where nothing has a name, see `mesh.extract_mesh`. objects: that have names, or None.

    Raises:
        InputError: there is no surface.
    """
    with memory_of(f"export.resolution={config.resolution}, cells along the mesh's longest side", "lower it"):
        if objects is None:
            return extract_mesh(model, world_from_normalized, config, visibility), {}
        meshes = extract_objects(model, world_from_normalized, config, objects)
        return joined(list(meshes.values())), meshes
