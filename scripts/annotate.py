"""Point at the target in one view: writes prompts.json and an overlay of the mask that it gives.

    python scripts/annotate.py scene=FOLDER view=0 points=[[x,y]]
    python scripts/annotate.py scene=FOLDER view=0 points=[[x,y],[x,y]] labels=[1,0] box=[x0,y0,x1,y1]
    python scripts/annotate.py scene=FOLDER view=7 points=[[x,y]] add=true        another view in the same file
    python scripts/annotate.py scene=FOLDER view=0 points=[[x,y]] object=cup add=true    another object in it
    python scripts/annotate.py suggest=true run=RUN [answer=yes]        where a second click would help most
    python scripts/annotate.py ... segmenter=sam checkpoint=sam_vit_b_01ec64.pth
    python scripts/annotate.py ... segmenter=hf model=weights/sam2.1-hiera-tiny

Coordinates are pixels (x, y) of the picture file; label 1 lies on the target, 0 beside it. `out=FILE` (default
SCENE/prompts.json, where train.py looks) is replaced only with `overwrite=true`; `add=true` replaces the frame of this
view and object, and no other one. `overlay=FILE` (default overlay.png) shows the mask, its outline and the prompts.
`downscale=N` segments the picture reduced, as `scene.downscale=N` would.

`suggest=true` shows, over the masks of a run that are in doubt, the place where one more click would tell most.
`answer=yes` (the place is part of the object) or `answer=no` adds that click to those of the run, in the prompts file
that it read or in `out=FILE`.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from nto3d.cli import guarded  # noqa: E402
from nto3d.config.io import parse_options  # noqa: E402
from nto3d.config.schema import MaskUse, PromptsConfig, SceneConfig  # noqa: E402
from nto3d.data.load import load_scene  # noqa: E402
from nto3d.errors import InputError  # noqa: E402
from nto3d.files import write_atomic  # noqa: E402
from nto3d.runs.lift.question import add_answer, read_question  # noqa: E402
from nto3d.segment.prompts.file import FILE_NAME, UNNAMED, check_name, write_prompts  # noqa: E402
from nto3d.segment.prompts.read import (  # noqa: E402
    IMAGE_FOLDERS,
    ObjectPrompts,
    check_apart,
    check_inside,
    file_size,
    read_unreduced,
    to_scene_pixels,
)
from nto3d.segment.prompts.values import Keys, check_positive, make_prompts  # noqa: E402
from nto3d.types import BoolArray, ByteArray, FloatArray, Mask, Prompts, Scene  # noqa: E402

LONGEST = 900  # pixels that small pictures are enlarged towards
TINT, POSITIVE, NEGATIVE, BOX = (80, 220, 60), (40, 255, 40), (255, 40, 40), (255, 200, 0)  # RGB


class Segmenters(Enum):
    """What makes the mask."""

    grabcut = "grabcut"
    sam = "sam"
    hf = "hf"


@dataclass
class Options:
    """What can be given as key=value."""

    scene: str = ""
    view: int = 0
    points: list[Any] | None = None
    labels: list[int] | None = None
    box: list[Any] | None = None
    object: str | None = None
    out: str | None = None
    overlay: str = "overlay.png"
    overwrite: bool = False
    add: bool = False
    downscale: int = 1
    segmenter: Segmenters = Segmenters.grabcut
    checkpoint: str | None = None
    model: str | None = None
    device: str = "auto"
    suggest: bool = False
    run: str | None = None
    answer: bool | None = None


def read_options(argv: Sequence[str]) -> Options:
    """The options from `key=value` arguments.

    Raises:
        InputError: an unknown key, a wrong type or an impossible value.
    """
    options = parse_options(Options, argv)
    if Path(options.overlay).suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InputError(f"overlay: expected a file ending in png or jpg, got {options.overlay}")
    if options.suggest:
        if options.run is None:
            raise InputError("run is missing: give the run whose masks are in doubt as run=FOLDER")
        given = {argument.partition("=")[0] for argument in argv}
        foreign = sorted(given - {"suggest", "run", "answer", "object", "out", "overlay", "overwrite"})
        if foreign:
            raise InputError(f"{foreign[0]}: cannot be given with suggest=true, the run knows it")
        return options
    if options.run is not None or options.answer is not None:
        raise InputError("run, answer: expected suggest=true with them")
    if not options.scene:
        raise InputError("scene is missing: give it as scene=FOLDER")
    if options.points is None and options.box is None:
        raise InputError("points is missing: give it as 'points=[[x,y]]', pixels of the picture file")
    if (options.segmenter is Segmenters.sam) != (options.checkpoint is not None):
        raise InputError("checkpoint: expected weights with segmenter=sam, and only with it")
    if options.model is not None and options.segmenter is not Segmenters.hf:
        raise InputError("model: expected segmenter=hf with it, whose folder it is")
    return options


def segment(options: Options, image: ByteArray, prompts: Prompts) -> Mask:
    """The mask that the chosen segmenter gives for the picture [H, W, 3]."""
    segmenter: Any
    if options.segmenter is not Segmenters.grabcut:
        import torch  # here: GrabCut does not need it

        from nto3d.segment.hf.segmenter import open_hf
        from nto3d.segment.sam.loading import open_sam

        auto = "cuda" if torch.cuda.is_available() else "cpu"
        device = torch.device(auto if options.device == "auto" else options.device)
        if options.segmenter is Segmenters.sam:
            segmenter = open_sam(options.checkpoint, device)
        else:
            segmenter = open_hf(options.model, device)
    else:
        from nto3d.segment.grabcut.segmenter import GrabCutSegmenter

        segmenter = GrabCutSegmenter()
    mask: Mask = segmenter.segment(segmenter.embed(image), prompts)
    return mask


def draw(image: ByteArray, mask: BoolArray, prompts: Prompts, asked: bool = False) -> ByteArray:
    """The picture [H, W, 3] with the mask [H, W] tinted and outlined, points and box on top; small ones enlarged.

    Args:
        asked: whether the points' labels are not known yet.
    """
    times = max(1, round(LONGEST / max(mask.shape)))
    size = (mask.shape[1] * times, mask.shape[0] * times)
    large = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR if times > 1 else cv2.INTER_NEAREST)
    inside = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    tinted = np.where(inside[..., None] > 0, 0.65 * large + 0.35 * np.array(TINT), large).astype(np.uint8)
    thick = max(2, round(max(size) / 500))
    outlines, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(tinted, outlines, -1, TINT, thick)

    def place(xy: FloatArray) -> tuple[int, ...]:
        return tuple(round((float(value) + 0.5) * times - 0.5) for value in xy)

    if prompts.box is not None:
        cv2.rectangle(tinted, place(prompts.box[:2]), place(prompts.box[2:]), BOX, thick)
    for point, label in zip(prompts.points, prompts.labels, strict=True):
        cv2.circle(tinted, place(point), 3 * thick, (255, 255, 255), -1)
        color = BOX if asked else POSITIVE if label else NEGATIVE
        if asked:
            cv2.circle(tinted, place(point), 10 * thick, color, thick)
        cv2.circle(tinted, place(point), 2 * thick, color, -1)
    return tinted


def write_picture(path: Path, picture: ByteArray) -> None:
    """Write an RGB picture [H, W, 3], atomically."""
    done, data = cv2.imencode(path.suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not done:
        raise InputError(f"{path}: the picture cannot be written")
    write_atomic(path, data.tobytes())


def others(options: Options, path: Path, scene: Scene) -> ObjectPrompts:
    """What the file holds already, in pixels of the picture files; empty where it is to be replaced.

    Raises:
        InputError: there is a file, and it was not said what should become of it.
    """
    if not path.exists() or options.overwrite:
        return {}
    if not options.add:
        raise InputError(f"{path}: is there already: add=true adds view {options.view}, overwrite=true replaces it")
    return read_unreduced(PromptsConfig(file=str(path)), Path(options.scene), scene, options.downscale)


def added(kept: ObjectPrompts, name: str | None, prompts: Prompts) -> ObjectPrompts:
    """The objects with a view's prompts of one of them, in the place of what was there for both.

    Raises:
        InputError: the name differs from another one only in its case.
    """
    objects = {UNNAMED if key is None and name is not None else key: frames for key, frames in kept.items()}
    if name is None and objects and None not in objects:
        name = UNNAMED
    for other in objects:
        if other != name and str(other).casefold() == str(name).casefold():
            raise InputError(f"object: expected a name that differs from {other} in more than its case, got {name}")
    frames = [*(frame for frame in objects.get(name, ()) if frame.view != prompts.view), prompts]
    return {**objects, name: tuple(sorted(frames, key=lambda frame: frame.view))}


def suggest(options: Options) -> int:
    """Show where a click would tell most of a run's masks, and add it if there is an answer."""
    question = read_question(Path(str(options.run)), options.object)
    doubt, config, click = question.doubt, question.config, question.click
    sure = "sure enough" if doubt.confidence >= config.lift.sure else "in doubt"
    print(f"{question.folder}: confidence {doubt.confidence:.2f}, {sure} (lift.sure={config.lift.sure:g})")
    if click is None:
        print("there is no place where a click would help")
        return 0
    scene, mask = question.load()
    check_overlay(options, Path(config.scene.path))
    labelled = dataclasses.replace(click, labels=np.array([int(options.answer is not False)]))
    reduced = to_scene_pixels(labelled, mask.shape, config.scene.downscale)
    if options.answer is not None:
        out = Path(options.out) if options.out is not None else None
        path = add_answer(question, scene, options.answer, out, options.overwrite)
        instead = "" if config.prompts.view is None else " in the place of prompts.view and all else that points"
        print(f"{path}: has the click; train again with prompts.file={path}{instead}")
    write_picture(Path(options.overlay), draw(scene.images[click.view], mask, reduced, options.answer is None))
    x, y = click.points[0]
    print(f"{options.overlay}: a click would tell most in view {click.view} at [{x:g}, {y:g}]")
    if options.answer is None:
        print("is it part of the object? answer=yes or answer=no adds the click")
    return 0


def check_overlay(options: Options, folder: Path) -> None:
    """Whether the overlay would replace something else.

    Raises:
        InputError: it would be a picture or mask of the scene, or the prompts file.
    """
    path = Path(options.overlay).resolve()
    if path.parent in {(folder / name).resolve() for name in (*IMAGE_FOLDERS, "mask")}:
        raise InputError(f"overlay: expected a file outside of the scene's pictures and masks, got {options.overlay}")
    if options.out is not None and path == Path(options.out).resolve():
        raise InputError(f"overlay: expected another file than out={options.out}")


def main(argv: Sequence[str]) -> int:
    """Segment, write the file and the overlay, and say where they are."""
    options = read_options(argv)
    if options.suggest:
        return suggest(options)
    folder = Path(options.scene)
    out = Path(options.out) if options.out is not None else folder / FILE_NAME
    keys = Keys("view", "points", "labels", "box")
    name = None if options.object is None else check_name(options.object, "object")
    prompts = make_prompts(options.view, options.points, options.labels, options.box, keys, alone=not options.add)
    scene = load_scene(SceneConfig(path=options.scene, downscale=options.downscale, masks=MaskUse.none))
    check_inside(prompts, len(scene.cameras), file_size(folder, scene, options.downscale), keys)
    objects = added(others(options, out, scene), name, prompts)
    own = next(frames for frames in objects.values() if any(frame is prompts for frame in frames))
    check_apart(objects, str(out))
    check_overlay(options, folder)
    if not any(frame.targeted for frame in own):
        check_positive(prompts.labels, keys)
    reduced = to_scene_pixels(prompts, scene.cameras.size, options.downscale)
    image = scene.images[options.view]
    mask = segment(options, image, reduced) if prompts.targeted else None
    pixels = np.zeros(scene.cameras.size, dtype=bool) if mask is None else mask.pixels
    write_picture(Path(options.overlay), draw(image, pixels, reduced))
    write_prompts(out, objects)
    for called, frames in objects.items():
        print(f"{out}: {len(frames)} view(s)" + ("" if called is None else f" of {called}"))
    if mask is None:
        print(f"{options.overlay}: nothing here points at the target, so there is no mask")
    else:
        print(f"{options.overlay}: the mask covers {mask.pixels.mean():.1%} of the picture, score {mask.score:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
