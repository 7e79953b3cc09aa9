"""The public interface: from pictures and a click to a mesh, in memory, without Hydra.

    scene = nto3d.load_scene("datasets/sample")
    fit = nto3d.fit_scene(scene)                          # once a scene
    masks = nto3d.lift(scene, fit, nto3d.click(0, (158, 133)))
    model = nto3d.reconstruct(scene, masks)
    model.mesh(resolution=256).save("object.glb")

Every function has defaults, takes a `Config` (see `configure`), calls `progress` as it goes and is stopped by what that
returns, leaves the caller's random numbers and threads as they were, and writes no file. The modes of `train.py` are
made of the same steps (`nto3d.pipeline`) and give the same bits.

Raises of all of them: InputError (one line that says what was expected and what came), CancelledError (the callback
returned False), KeyboardInterrupt (Ctrl-C).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nto3d.build.device import own_state
from nto3d.build.exposure import find_exposures
from nto3d.build.segmenter import check_weights
from nto3d.build.single import build_mcc
from nto3d.config.bundled import find_scene
from nto3d.config.check import validate
from nto3d.config.compose import compose_config
from nto3d.config.schema import Config, MaskUse, SceneConfig, SegmenterName
from nto3d.data.load import load_scene as read_scene
from nto3d.errors import InputError
from nto3d.geometry.cameras import intrinsics_from_fov
from nto3d.pipeline.arguments import (
    KEYS,
    Click,
    check_fit,
    check_masks,
    check_picture,
    check_scene,
    clicks_by_name,
    points_of,
    shaping_values,
)
from nto3d.pipeline.objects import ObjectLifts
from nto3d.pipeline.reconstruct import Training
from nto3d.pipeline.results import Masks, Model, ObjectMesh, savable
from nto3d.pipeline.scene import fit_scene as fit_everything
from nto3d.pipeline.single import complete_target, points_of_target
from nto3d.pipeline.targets import Targets, find_targets
from nto3d.pipeline.watch import Callback, CallbackWatch, Progress
from nto3d.segment.prompts.values import make_prompts
from nto3d.stages.lift.scene import SceneFit
from nto3d.stages.views.render import RenderedView
from nto3d.types import BoolArray, ByteArray, FloatArray, Prompts, Scene

Point = Sequence[float] | FloatArray  # x, y
__all__ = [
    "Callback",
    "Click",
    "Config",
    "Masks",
    "Model",
    "ObjectMesh",
    "Progress",
    "Prompts",
    "RenderedView",
    "Scene",
    "SceneFit",
    "click",
    "complete",
    "configure",
    "fit_scene",
    "lift",
    "load_scene",
    "reconstruct",
]


def load_scene(path: str | Path, downscale: int = 1, test_views: Sequence[int] | None = None) -> Scene:
    """The posed pictures of a folder in the DTU/NeuS layout (datasets/README.md); masks are read where there are some.

    Args:
        path: "datasets/sample", the bundled one, is found from every folder.
        downscale: whole factor by which the pictures are reduced. test_views: held out; None: as of `train.py`.
    """
    views = None if test_views is None else list(test_views)
    config = SceneConfig(path=find_scene(str(path)), name=Path(path).name, downscale=downscale, test_views=views)
    return read_scene(config, Config().segmenter.name)


def click(
    view: int,
    *points: Point,
    beside: Sequence[Point] = (),
    box: Sequence[float] | FloatArray | None = None,
) -> Prompts:
    """What points at the target in one view.

    Args:
        points: (x, y) on the target, pixels of `scene.images` (integers are pixel centres). beside: (x, y) that are not
            on it. box: x0, y0, x1, y1 around it.
    """
    xy = [*points, *beside] if isinstance(beside, Sequence | np.ndarray) else [*points, beside]
    labels = [1] * len(points) + [0] * (len(xy) - len(points))
    return make_prompts(view, xy or None, labels if xy else None, box, KEYS)


def fit_scene(scene: Scene, config: Config | None = None, progress: Callback | None = None) -> SceneFit:
    """Geometry and colour of everything in a scene, which serves any number of clicks."""
    config = _own(config, scene)
    with own_state(config) as device:
        exposures = find_exposures(config, scene)
        fit = fit_everything(config, scene, device, CallbackWatch(progress), exposures)
    return dataclasses.replace(fit, made_with=shaping_values(config))


def lift(
    scene: Scene,
    fit: SceneFit,
    clicks: Click | Mapping[str, Click],
    config: Config | None = None,
    progress: Callback | None = None,
) -> Masks:
    """From clicks to masks of all views.

    Args:
        fit: of `fit_scene`, with the same configuration. clicks: of `click`; or those of several objects by name.
    """
    config = _own(config, scene)
    if config.segmenter.name is SegmenterName.precomputed:
        raise InputError(
            "segmenter.name: expected one that answers clicks, got precomputed: give masks to `reconstruct`"
        )
    check_weights(config)
    named = clicks_by_name(clicks, scene)
    check_fit(fit, scene, config)
    with own_state(config) as device:
        watch = CallbackWatch(progress)
        scenes = dict.fromkeys(named, scene)
        lifts = ObjectLifts(config, scenes, device, named, lambda name: watch, fit.exposures)
        found = lifts.masks(scene, fit)
    name, least = min(lifts.lifters.items(), key=lambda item: item[1].confidence.confidence)
    asked, place = least.confidence.view, least.confidence.place
    ask = None if asked is None or place is None else (asked, (float(place[0]), float(place[1])), name)
    several = isinstance(clicks, Mapping)
    each, objects = (found.each, found.objects) if several else ({}, None)
    return Masks(found.together, found.hidden, least.confidence.confidence, ask, each, objects, fit.exposures)


def reconstruct(
    scene: Scene,
    masks: Masks | BoolArray | None = None,
    config: Config | None = None,
    progress: Callback | None = None,
) -> Model:
    """Train a model of what the masks show.

    Args:
        masks: of `lift`, or bool [V, H, W] such as `scene.masks`; None: everything in the unit sphere.
    """
    config = _own(config, scene)
    with own_state(config) as device:
        if isinstance(masks, Masks):
            check_masks(masks.pixels, scene)
            targets = find_targets(scene, masks.pixels, masks.hidden, masks.objects)
            exposures = masks.exposures
        else:
            config = _given(config, masks is not None)
            targets = Targets(None) if masks is None else find_targets(scene, check_masks(masks, scene))
            exposures = find_exposures(config, scene)
        training, watch = Training(config, scene, targets, device, exposures), CallbackWatch(progress)
        training.run(watch)
    return Model(training, watch.history)


def complete(
    image: ByteArray,
    depth: FloatArray,
    mask: BoolArray,
    intrinsics: FloatArray | None = None,
    config: Config | None = None,
    progress: Callback | None = None,
) -> ObjectMesh:
    """The whole surface of an object from one picture with depth, in the camera's frame (OpenCV axes).

    Args:
        image: uint8 [H, W, 3], RGB. depth: [H, W], z along the optical axis in any unit, which the mesh then has; 0 or
            NaN where it is unknown. mask: bool [H, W], the object. intrinsics: [3, 3], pixels; None: a camera that sees
            `config.scene.fov_degrees` along the picture's longer side.
    """
    config = config or Config()
    validate(config)
    image, depth, mask = np.asarray(image), np.asarray(depth), np.asarray(mask)
    check_picture(image, depth, mask)
    if intrinsics is None:
        intrinsics = intrinsics_from_fov((image.shape[0], image.shape[1]), config.scene.fov_degrees)
    watch = CallbackWatch(progress)
    found, mask = points_of_target(points_of(depth, np.asarray(intrinsics, dtype=np.float64)), mask)
    with own_state(config) as device:
        model = build_mcc(config, device)
        done = complete_target(
            config, model, image, found, mask, told=lambda asked, all_: watch.tell(Progress("complete", asked, all_))
        )
    return savable(done.mesh)


def configure(*overrides: str) -> Config:
    """A configuration: `configure("trainer=smoke", "export.resolution=128")`, groups and keys as of `train.py`.

    What the functions are given themselves is not read from it: `scene` (but `scene.fov_degrees` by `complete`),
    `prompts` (but `prompts.text`, a noun that the click chooses from), `output`, and what is measured or logged.
    """
    return compose_config(overrides)


def _own(config: Config | None, scene: Scene) -> Config:
    """A configuration of this scene that writes nothing.

    Raises:
        InputError: the scene or the configuration is none, or a value is impossible.
    """
    check_scene(scene)
    config = config or Config()
    if not isinstance(config, Config):
        raise InputError(f"config: expected what `configure` gives, got {type(config).__name__}")
    own = dataclasses.replace(
        config,
        output="nowhere",
        scene=dataclasses.replace(config.scene, path=scene.name or "scene", masks=MaskUse.given),
        segmenter=dataclasses.replace(config.segmenter, cache=False),
    )
    validate(own)
    return own


def _given(config: Config, masked: bool) -> Config:
    """A configuration for masks that were not found from a click, or for none."""
    scene = dataclasses.replace(config.scene, masks=MaskUse.given if masked else MaskUse.none)
    segmenter = dataclasses.replace(config.segmenter, name=SegmenterName.precomputed)
    return dataclasses.replace(config, scene=scene, segmenter=segmenter)
