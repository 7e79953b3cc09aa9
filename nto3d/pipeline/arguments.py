"""What callers of the public interface hand over, checked: clicks, masks, and a fit that belongs to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from nto3d.config.io import flatten, to_dict
from nto3d.config.schema import Config
from nto3d.depth.base import PointMap, back_project
from nto3d.errors import InputError
from nto3d.segment.prompts.file import check_distinct, check_name
from nto3d.segment.prompts.read import check_apart, check_inside
from nto3d.segment.prompts.values import Keys, short
from nto3d.stages.lift.scene import SceneFit
from nto3d.stages.views.projection import reduced
from nto3d.types import BoolArray, ByteArray, FloatArray, Prompts, Scene

KEYS = Keys("click: view", "click: points", "click: labels", "click: box")
SHAPING = ("encoding.", "field.")  # keys that must be those of the fit
Click = Prompts | Sequence[Prompts]  # in one view, or one each in several


def check_scene(scene: object) -> None:
    """Whether it is a scene.

    Raises:
        InputError: it is something else.
    """
    if not isinstance(scene, Scene):
        raise InputError(f"scene: expected what `load_scene` gives, got {short(scene)}")


def check_picture(image: ByteArray, depth: FloatArray, mask: BoolArray) -> None:
    """Whether a picture uint8 [H, W, 3], a depth map and a bool mask, [H, W], fit each other.

    Raises:
        InputError: one has another type or size.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise InputError(f"image: expected uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
    size = image.shape[:2]
    if depth.shape != size or depth.dtype.kind not in "fiu":
        raise InputError(f"depth: expected numbers {list(size)}, got {depth.dtype} {list(depth.shape)}")
    if mask.shape != size or mask.dtype != np.bool_:
        raise InputError(f"mask: expected bool {list(size)}, got {mask.dtype} {list(mask.shape)}")


def points_of(depth: FloatArray, intrinsics: FloatArray) -> PointMap:
    """The points of a depth map, see `depth.base.back_project`.

    Raises:
        InputError: the intrinsics are no camera's.
    """
    try:
        return back_project(depth, intrinsics)
    except ValueError as error:
        raise InputError(f"intrinsics: {error}") from error


def check_masks(masks: BoolArray, scene: Scene) -> BoolArray:
    """The masks, if they are bool [V, H, W].

    Raises:
        InputError: they are something else.
    """
    expected = (len(scene.cameras), *scene.cameras.size)
    if not isinstance(masks, np.ndarray) or masks.dtype != np.bool_ or masks.shape != expected:
        got = f"{masks.dtype} {list(masks.shape)}" if isinstance(masks, np.ndarray) else short(masks)
        raise InputError(f"masks: expected bool {list(expected)}, got {got}")
    return masks


def check_fit(fit: SceneFit, scene: Scene, config: Config) -> None:
    """Whether a fit is of this scene and configuration.

    Raises:
        InputError: it is not.
    """
    if not isinstance(fit, SceneFit):
        raise InputError(f"fit: expected what `fit_scene` gives, got {short(fit)}")
    size = reduced(scene.cameras).size
    if set(fit.seen) != set(range(len(scene.cameras))) or any(one.depth.shape != size for one in fit.seen.values()):
        raise InputError(f"fit: expected that of this scene, {len(scene.cameras)} views of {size}, got another's")
    now = flatten(to_dict(config))
    for key, value in (fit.made_with or {}).items():
        if now[key] != value:
            raise InputError(f"{key}: the fit was made with {value}, got {now[key]}: give both the same configuration")


def shaping_values(config: Config) -> dict[str, object]:
    """The values by dotted key that shape the fields of a fit."""
    return {key: value for key, value in flatten(to_dict(config)).items() if key.startswith(SHAPING)}


def clicks_by_name(clicks: Click | Mapping[str, Click], scene: Scene) -> dict[str, tuple[Prompts, ...]]:
    """Clicks by the object's name ("": the only one), one a view, ascending.

    Raises:
        InputError: there are none, one lies outside of the pictures, two of one object are in the same view, or a name
            cannot be one.
    """
    if isinstance(clicks, Mapping):
        named = {check_name(name, "clicks"): _frames(given) for name, given in clicks.items()}
        names: list[str | None] = list(named)
        check_distinct(dict.fromkeys(names, "clicks"))
    else:
        named = {"": _frames(clicks)}
    if not named:
        raise InputError("clicks: expected those of one object at least, got none")
    for name, frames in named.items():
        views = [some.view for some in frames]
        if not any(some.targeted for some in frames):
            raise InputError(f"clicks: expected a point or a box on the target {name}".rstrip() + ", got none")
        if len(set(views)) < len(views):
            raise InputError(f"clicks: expected one for each view, with all its points, got views {views}")
        for some in frames:
            check_inside(some, len(scene.cameras), scene.cameras.size, KEYS)
    check_apart(named, "clicks")
    return named


def _frames(given: object) -> tuple[Prompts, ...]:
    frames = (given,) if isinstance(given, Prompts) else tuple(given) if isinstance(given, Iterable) else (given,)
    found = []
    for some in frames:
        if not isinstance(some, Prompts):
            raise InputError(f"clicks: expected what `click` gives, got {short(some)}")
        found.append(some)
    return tuple(sorted(found, key=lambda some: some.view))
