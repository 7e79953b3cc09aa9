"""What the public interface gives back: masks, a model, meshes that can be saved."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nto3d.config.check import validate
from nto3d.config.schema import ExportConfig, Unseen
from nto3d.errors import InputError
from nto3d.export.mesh_io import write_mesh, write_meshes
from nto3d.geometry.exposure import Exposures
from nto3d.pipeline.reconstruct import Training
from nto3d.report.shade import shade_mesh
from nto3d.stages.objects.meshes import Objects, extract_all
from nto3d.stages.views.render import RenderedView, render_view
from nto3d.training.log import History
from nto3d.types import BoolArray, ByteArray, Mesh


@dataclass(frozen=True)
class ObjectMesh(Mesh):
    """A mesh that can be saved."""

    def save(self, path: str | Path) -> Path:
        """Write a .ply, .obj or .glb file (coordinates and colours as they are), and return its path."""
        write_mesh(self, Path(path))
        return Path(path)


@dataclass(frozen=True)
class Masks:
    """Where the clicked object is seen.

    Attributes:
        pixels: bool [V, H, W], of all objects together. hidden: bool [V, H, W], where something stands in front of it.
        confidence: 0..1, roughly the IoU of the masks with what was meant; of the least sure object.
        ask: where one more click would tell most: view, pixel (x, y) of `scene.images`, name of the object; or None.
        each: bool [V, H, W] by name, of named objects. objects: what is whose; None without names.
    """

    pixels: BoolArray
    hidden: BoolArray
    confidence: float
    ask: tuple[int, tuple[float, float], str] | None = None
    each: Mapping[str, BoolArray] = field(default_factory=dict)
    objects: Objects | None = None
    exposures: Exposures | None = field(default=None, repr=False)


class Model:
    """A reconstructed object.

    Attributes:
        scene: that it was trained on. history: what was logged, name -> (steps, values). seconds: of the training.
    """

    def __init__(self, training: Training, history: History) -> None:
        self._training, self.scene = training, training.scene
        self.history, self.seconds = dict(history), training.seconds

    def mesh(self, resolution: int | None = None, unseen: str | None = None, colors: bool | None = None) -> ObjectMesh:
        """The surface as a mesh in the cameras' units; of several named objects as one.

        Args:
            resolution: cells along the longest side. unseen: what happens to surface that no training view sees:
                `close`, `trim` or `mark`. colors: whether the vertices get colours. None: as the configuration says.
        """
        return savable(self._extract(resolution, unseen, colors)[0])

    def meshes(
        self, resolution: int | None = None, unseen: str | None = None, colors: bool | None = None
    ) -> dict[str, ObjectMesh]:
        """The named objects' meshes, see `mesh`; empty without names."""
        return {name: savable(mesh) for name, mesh in self._extract(resolution, unseen, colors)[1].items()}

    def _extract(self, resolution: int | None, unseen: str | None, colors: bool | None) -> tuple[Mesh, dict[str, Mesh]]:
        own = self._training.config
        export = _changed(own.export, resolution, unseen, colors)
        validate(dataclasses.replace(own, export=export))
        world, objects = self.scene.world_from_normalized, self._training.targets.objects
        return extract_all(self._training.model, world, export, self._training.visibility, objects)

    def save(self, path: str | Path, resolution: int | None = None) -> Path:
        """Write the mesh, see `ObjectMesh.save`; a .glb holds named objects as named nodes."""
        mesh, parts = self._extract(resolution, None, None)
        if parts and Path(path).suffix.lower() == ".glb":
            write_meshes(parts, Path(path))
            return Path(path)
        return savable(mesh).save(path)

    def render(self, view: int) -> RenderedView:
        """What a view of the scene looks like: rgb, normal, depth, opacity [H, W, ...]."""
        self._check_view(view)
        return render_view(self._training.model, self.scene, view, self._training.config.trainer.step_size)

    def shaded(self, view: int, mesh: Mesh | None = None) -> ByteArray:
        """A mesh (world units; None: `mesh()`) as lit clay, seen from a view's camera, uint8 [H, W, 3]."""
        self._check_view(view)
        cameras = self.scene.cameras
        seen = (mesh or self.mesh()).transformed(np.linalg.inv(self.scene.world_from_normalized))
        return shade_mesh(seen, cameras.intrinsics[view], cameras.cam_to_world[view], cameras.size)

    def _check_view(self, view: int) -> None:
        if not isinstance(view, int) or not 0 <= view < len(self.scene.cameras):
            raise InputError(f"view: expected a view from 0 to {len(self.scene.cameras) - 1}, got {view!r}")


def savable(mesh: Mesh) -> ObjectMesh:
    """The same mesh, which can be saved."""
    return ObjectMesh(mesh.vertices, mesh.faces, mesh.colors, mesh.seen)


def _changed(config: ExportConfig, resolution: int | None, unseen: str | None, colors: bool | None) -> ExportConfig:
    given: dict[str, Any] = {}
    if resolution is not None:
        if isinstance(resolution, bool) or not isinstance(resolution, int):
            raise InputError(f"resolution: expected a whole number of cells, got {resolution!r}")
        given["resolution"] = resolution
    if colors is not None:
        given["colors"] = colors
    if unseen is not None:
        kinds = [kind.value for kind in Unseen]
        if unseen not in kinds:
            raise InputError(f"unseen: expected one of {', '.join(kinds)}, got {unseen!r}")
        given["unseen"] = Unseen(unseen)
    return dataclasses.replace(config, **given)
