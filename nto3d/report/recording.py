"""A recording of a run for the Rerun viewer (viewer=rerun): what is known, when it became known.

Entities of a run on one picture, in the camera's frame (OpenCV axes) and the depth's unit:
    camera, camera/picture, camera/prompt, camera/mask, camera/depth, seen, completed/pass_N, mesh
Entities of a run on many pictures, in the world's frame and unit:
    views/NAME, views/NAME/picture, views/NAME/prompt, views/NAME/mask, rounds/agreement, rounds/iou, mesh
    and of a named object: views/NAME/prompt/OBJECT, views/NAME/mask/OBJECT, rounds/OBJECT/..., meshes/OBJECT
Timelines: `pass` of the sweep; `round` of the lift (0: the click, propagated to all views; the mesh comes one later).

Letters: H W picture, N points.
"""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from nto3d.config.schema import ViewerName
from nto3d.errors import InputError
from nto3d.files import open_temporary
from nto3d.types import BoolArray, ByteArray, FloatArray, Mesh, Prompts

if TYPE_CHECKING:
    import rerun

JPEG_QUALITY = 90
TARGET_CLASS = 1
TARGET_COLOR = (255, 140, 0, 120)  # of masks, over the picture
ON, BESIDE = (0, 200, 0), (220, 0, 0)  # points of a prompt


class Recording:
    """Keeps nothing: what a run without a viewer tells. Use it in a `with`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""

    def at(self, timeline: str, number: int) -> None:
        """What follows became known then."""

    def camera(self, entity: str, intrinsics: FloatArray, cam_to_world: FloatArray, size: tuple[int, int]) -> None:
        """A camera, always there. intrinsics: [3, 3] pixels. cam_to_world: [3, 4], OpenCV axes. size: (H, W)."""

    def picture(self, entity: str, picture: ByteArray) -> None:
        """A picture uint8 [H, W, 3], always there."""

    def prompt(self, entity: str, prompts: Prompts) -> None:
        """What points at the target, always there."""

    def mask(self, entity: str, mask: BoolArray) -> None:
        """A mask [H, W]; one that has not changed is not kept again."""

    def depth(self, entity: str, depth: FloatArray) -> None:
        """Depth [H, W] along the optical axis, 0 where unknown."""

    def points(self, entity: str, points: FloatArray, colors: ByteArray, radius: float) -> None:
        """Points [N, 3] with colours uint8 [N, 3]."""

    def scalar(self, entity: str, value: float) -> None:
        """A number; one that is not a number is not kept."""

    def mesh(self, entity: str, mesh: Mesh) -> None:
        """A mesh."""

    def about(self, place: FloatArray) -> None:
        """What is told from here on is kept relative to a place [3]: a recording holds float32."""


class RerunRecording(Recording):
    """Writes a .rrd file, under a temporary name until it is closed.

    Args:
        path: of the file; an older one is replaced when this one is whole. application: shown by the viewer.

    Raises:
        InputError: rerun-sdk is not installed, or the file cannot be written.
    """

    def __init__(self, path: Path, application: str) -> None:
        if importlib.util.find_spec("rerun") is None:
            raise InputError(
                "viewer=rerun: expected the package rerun-sdk, it is not installed: pip install rerun-sdk==0.41.0"
            )
        import rerun  # only where wanted: it is large

        self._rerun = rerun
        self._path, self._temporary = path, open_temporary(path)
        self._stream = rerun.RecordingStream(application)
        try:
            self._stream.save(self._temporary)
        except (OSError, RuntimeError, ValueError) as error:
            self._temporary.unlink(missing_ok=True)
            raise InputError(f"cannot write {path}: {error}") from error
        self._stream.log("/", rerun.ViewCoordinates.RDF, static=True)
        self._masks: dict[str, BoolArray] = {}
        self._place: FloatArray = np.zeros(3)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file; what a run that failed has told so far is kept, too."""
        try:
            self._stream.flush()
            self._stream.disconnect()
            self._temporary.replace(self._path)
        except (OSError, RuntimeError) as failure:  # Rerun's own for a full disk is a RuntimeError
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)
            if error is None:  # else it says more
                reason = (str(failure).splitlines() or ["unknown"])[0]
                raise InputError(f"cannot write {self._path}: {reason}") from failure

    def at(self, timeline: str, number: int) -> None:
        """See `Recording`."""
        self._stream.set_time(timeline, sequence=number)

    def camera(self, entity: str, intrinsics: FloatArray, cam_to_world: FloatArray, size: tuple[int, int]) -> None:
        """See `Recording`."""
        rerun = self._rerun
        pose = rerun.Transform3D(translation=cam_to_world[:, 3] - self._place, mat3x3=cam_to_world[:, :3])
        # Rerun's pixels have their corner at an integer, ours their centre
        shifted = intrinsics + np.array([[0.0, 0.0, 0.5], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
        lens = rerun.Pinhole(
            image_from_camera=shifted, resolution=[size[1], size[0]], camera_xyz=rerun.ViewCoordinates.RDF
        )
        self._log(entity, pose, always=True)
        self._log(entity, lens, always=True)

    def picture(self, entity: str, picture: ByteArray) -> None:
        """See `Recording`."""
        self._log(entity, self._rerun.Image(picture).compress(jpeg_quality=JPEG_QUALITY), always=True)

    def prompt(self, entity: str, prompts: Prompts) -> None:
        """See `Recording`."""
        rerun = self._rerun
        colors = [ON if label else BESIDE for label in prompts.labels]
        if len(prompts.points):
            self._log(entity, rerun.Points2D(prompts.points + 0.5, colors=colors, radii=-6.0), always=True)
        if prompts.box is not None:
            box = np.asarray(prompts.box, dtype=np.float64) + 0.5
            shown = rerun.Boxes2D(array=box[None], array_format=rerun.Box2DFormat.XYXY, colors=[ON])
            self._log(f"{entity}/box", shown, always=True)

    def mask(self, entity: str, mask: BoolArray) -> None:
        """See `Recording`."""
        rerun, before = self._rerun, self._masks.get(entity)
        if before is not None and np.array_equal(before, mask):
            return
        if before is None:
            self._log(entity, rerun.AnnotationContext([(TARGET_CLASS, "target", TARGET_COLOR)]), always=True)
        self._masks[entity] = mask.copy()
        self._log(entity, rerun.SegmentationImage(mask.astype(np.uint8) * TARGET_CLASS))

    def depth(self, entity: str, depth: FloatArray) -> None:
        """See `Recording`."""
        self._log(entity, self._rerun.DepthImage(np.asarray(depth, dtype=np.float32), meter=1.0))

    def points(self, entity: str, points: FloatArray, colors: ByteArray, radius: float) -> None:
        """See `Recording`."""
        self._log(entity, self._rerun.Points3D(points - self._place, colors=colors, radii=radius))

    def scalar(self, entity: str, value: float) -> None:
        """See `Recording`."""
        if np.isfinite(value):
            self._log(entity, self._rerun.Scalars(value))

    def mesh(self, entity: str, mesh: Mesh) -> None:
        """See `Recording`."""
        shown = self._rerun.Mesh3D(
            vertex_positions=mesh.vertices - self._place, triangle_indices=mesh.faces, vertex_colors=mesh.colors
        )
        self._log(entity, shown)

    def about(self, place: FloatArray) -> None:
        """See `Recording`."""
        self._place = place

    def _log(self, entity: str, what: rerun.AsComponents | Any, always: bool = False) -> None:
        self._stream.log(entity, what, static=always)


def free_name(path: Path) -> Path:
    """A path at which there is no file: a run that goes on leaves its first recording as it is."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}_{number}{path.suffix}")
    return free


def open_recording(viewer: ViewerName, path: Path, application: str) -> Recording:
    """The recording that a run tells what it finds.

    Args:
        path: of the file. application: shown by the viewer.

    Raises:
        InputError: the viewer's package is not installed, or the file cannot be written.
    """
    return RerunRecording(path, application) if viewer is ViewerName.rerun else Recording()
