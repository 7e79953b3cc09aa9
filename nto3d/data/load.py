"""Choose the reader of a scene."""

from __future__ import annotations

from pathlib import Path

from nto3d.config.schema import MaskUse, Reader, SceneConfig, SegmenterName
from nto3d.data.dtu import read_dtu
from nto3d.data.image import read_single
from nto3d.errors import InputError, memory_of
from nto3d.parsers.text import read_json_object
from nto3d.types import Scene


def load_scene(config: SceneConfig, segmenter: SegmenterName = SegmenterName.precomputed) -> Scene:
    """The scene that the configuration names; a procedural one is made first where its folder does not exist yet.

    Args:
        segmenter: where the masks to train with come from. Only `precomputed` requires some in the scene's folder;
            where there are some they are always read, to measure with.

    Raises:
        InputError: the scene cannot be used (see `dtu.read_dtu`), or the folder holds another procedural scene.
    """
    with memory_of(f"scene.downscale={config.downscale}, the pictures of {config.path}", "raise scene.downscale"):
        return _load(config, segmenter)


def _load(config: SceneConfig, segmenter: SegmenterName) -> Scene:
    path = Path(config.path)
    match config.reader:
        case Reader.dtu:
            pass
        case Reader.synthetic:
            _provide(path, config.recipe, config.seed)
        case Reader.image:
            mask = None if config.mask is None else Path(config.mask)
            return read_single(path, mask, config.fov_degrees, config.downscale, config.name)
    return read_dtu(
        path,
        downscale=config.downscale,
        masks=config.masks is MaskUse.given and segmenter is SegmenterName.precomputed,
        test_views=config.test_views,
        name=config.name,
    )


def _provide(path: Path, recipe: str, seed: int) -> None:
    """Make the procedural scene unless it is there."""
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        from nto3d.data.synthetic import make_scene  # the ray caster is needed only where a scene is made

        make_scene(recipe, seed, path)
        return
    note = path / "scene.json"
    try:
        about = read_json_object(note, "the note of a procedural scene")
        found = about["recipe"], about["seed"]
    except (InputError, KeyError) as error:
        raise InputError(
            f"{note}: expected the note of a procedural scene, it cannot be read; "
            "pass scene.reader=dtu for other folders"
        ) from error
    if found != (recipe, seed):
        raise InputError(
            f"{path}: expected the procedural scene {recipe} with seed {seed}, got {found[0]} with seed {found[1]}; "
            "pass another scene.path or remove the folder"
        )
