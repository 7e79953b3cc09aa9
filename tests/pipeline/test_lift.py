"""The rounds of a lift, with a segmenter whose answers are given: a target that is lost, and the masks that stay."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nto3d.build.device import build_device
from nto3d.config.compose import compose_config
from nto3d.config.schema import Config, SegmenterName
from nto3d.data.load import load_scene
from nto3d.errors import InputError
from nto3d.pipeline import lift as lifting
from nto3d.pipeline.lift import Lifter, Target, TargetLostError
from nto3d.pipeline.scene import fit_scene
from nto3d.pipeline.watch import CallbackWatch
from nto3d.runs.lift.masks import MaskFinder
from nto3d.segment.base import Instances
from nto3d.segment.prompts.read import read_prompts
from nto3d.stages.lift.refine import ViewMask
from nto3d.stages.lift.scene import SceneFit
from nto3d.stages.views.projection import Projection
from nto3d.types import BoolArray, ByteArray, Mask, Prompts
from tests.helpers import WrittenScene, write_dtu_scene

VIEWS = 8
UNCLICKED, TEXT = ("prompts.view=null", "prompts.points=null"), ("segmenter=hf", "prompts.text=ball")
SIZE = (48, 64)


class Oracle:
    """Answers with given masks [V, H, W], whatever it is asked with."""

    def __init__(self, masks: BoolArray) -> None:
        self.masks = masks

    def embed(self, image: ByteArray) -> None:
        assert image.shape == (*SIZE, 3)

    def segment(self, embedded: None, prompts: Prompts) -> Mask:
        return Mask(prompts.view, self.masks[prompts.view], 1.0)


@pytest.fixture
def ball(tmp_path: Path) -> WrittenScene:
    return write_dtu_scene(tmp_path / "ball", VIEWS, SIZE)


class Rounds(CallbackWatch):
    """Keeps the masks of every round."""

    def __init__(self) -> None:
        super().__init__()
        self.masks: list[Mapping[int, ViewMask]] = []

    def round(self, masks: Mapping[int, ViewMask], *rest: object) -> None:
        self.masks.append(dict(masks))


def configured(ball: WrittenScene, rounds: int, *more: str) -> Config:
    """A lift of the ball, clicked in view 1, on geometry that is right from the start."""
    start = ("field.start=sphere", "field.sphere_radius=0.5", "field.init_inv_std=100", "lift.scene_steps=1")
    lift = (
        *(f"lift.max_rounds={rounds}", "lift.tol=0", "lift.round_steps=15"),
        *("lift.transfer_views=0", "lift.accept=0.2"),
    )
    run = (f"output={ball.path.parent / 'run'}", "device=cpu", "threads=1", "logger=none", "trainer=smoke")
    click = ("scene=dtu", f"scene.path={ball.path}", "prompts.view=1", "prompts.points=[[32,24]]")
    return compose_config([*click, *run, *start, *lift, *more])


def open_lift(
    ball: WrittenScene, monkeypatch: pytest.MonkeyPatch, masks: BoolArray, rounds: int, *more: str
) -> tuple[Lifter, Rounds]:
    config, watch = configured(ball, rounds, *more), Rounds()
    monkeypatch.setattr(lifting, "build_segmenter", lambda _: Oracle(masks))
    scene = load_scene(config.scene, SegmenterName.grabcut)
    target = Target("", read_prompts(config.prompts, ball.path, scene, 1))
    return Lifter(config, scene, build_device(config), target, watch), watch


def fitted_scene(lift: Lifter) -> SceneFit:
    fitted = fit_scene(lift.config, lift.scene, lift.device, CallbackWatch())
    # The colours are not learnt in a step, but nothing stands in front of the ball
    seen = {v: dataclasses.replace(p, differs=np.zeros_like(p.differs)) for v, p in fitted.seen.items()}
    return dataclasses.replace(fitted, seen=seen)


def lifted(lift: Lifter) -> list[BoolArray]:
    masks = lift.masks(fitted_scene(lift), lift.first_masks())
    return [masks[view].pixels for view in range(VIEWS)]


def iou(first: BoolArray, second: BoolArray) -> float:
    return float((first & second).sum() / max(1, (first | second).sum()))


def test_the_click_s_mask_comes_to_all_views(ball: WrittenScene, monkeypatch: pytest.MonkeyPatch) -> None:
    lift, watch = open_lift(ball, monkeypatch, ball.masks, rounds=2)
    for mask, true in zip(lifted(lift), ball.masks, strict=True):
        assert iou(mask, true) > 0.8
    assert len(watch.masks) == 3


class Named:
    """Finds the ball, and beside it something better in some views."""

    def __init__(self, ball: WrittenScene, others: BoolArray) -> None:
        self.ball, self.others = ball, others

    def instances(self, image: ByteArray, text: str) -> Instances:
        assert text == "ball"
        view = next(v for v, other in enumerate(self.ball.images) if np.array_equal(image, other))
        masks = np.stack([self.others[view], self.ball.masks[view]])
        keep = masks.any(axis=(1, 2))
        return Instances(masks[keep], np.array([0.9, 0.8])[keep])


@pytest.mark.parametrize("clicked", [False, True])
def test_a_noun_comes_to_all_views(ball: WrittenScene, monkeypatch: pytest.MonkeyPatch, clicked: bool) -> None:
    """Without a click the views outvote the two that mean something else; a click says what is meant."""
    others = np.zeros_like(ball.masks)
    others[[1, 5] if not clicked else slice(None), :8, :12] = True
    monkeypatch.setattr(lifting, "build_finder", lambda _: Named(ball, others))
    more = (*TEXT, "lift.transfer_views=7", *(() if clicked else UNCLICKED))
    lift, _ = open_lift(ball, monkeypatch, ball.masks, 1, *more)
    first = lift.first_masks()
    assert set(first) == ({1} if clicked else set(lift.scene.train))
    masks = lift.masks(fitted_scene(lift), first)
    for view, true in enumerate(ball.masks):
        assert iou(masks[view].pixels, true) > 0.8


def test_a_target_that_is_lost_at_once(ball: WrittenScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was clicked is too small to be found again in any view."""
    dots = np.zeros_like(ball.masks)
    dots[:, 24, 32] = True
    config = configured(ball, 2)
    monkeypatch.setattr(lifting, "build_segmenter", lambda _: Oracle(dots))
    scene = load_scene(config.scene, SegmenterName.grabcut)
    with pytest.raises(InputError, match=r"round [01]: the target was lost.*clicked in view 1.*run/masks"):
        MaskFinder(config, scene, build_device(config)).find()
    assert np.array_equal(np.array(Image.open(ball.path.parent / "run" / "masks" / "001.png")) > 0, dots[1])


def test_the_last_good_masks_stay(ball: WrittenScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the second round the projection is empty: the masks of the first are what is left."""
    lift, watch = open_lift(ball, monkeypatch, ball.masks, rounds=3)
    project = lift._project

    def losing(*args: object) -> dict[int, Projection]:
        found = project(*args)  # type: ignore[arg-type]
        if len(watch.masks) < 2:
            return found
        return {v: dataclasses.replace(p, target=np.zeros_like(p.target)) for v, p in found.items()}

    monkeypatch.setattr(lift, "_project", losing)
    with pytest.raises(TargetLostError, match=r"round 2: the target was lost.*clicked in view 1") as lost:
        lifted(lift)
    assert len(watch.masks) == 2
    for view, mask in lost.value.masks.items():
        assert np.array_equal(mask, watch.masks[-1][view].pixels)
        assert iou(mask, ball.masks[view]) > 0.8


def test_one_scene_serves_any_number_of_clicks(ball: WrittenScene, monkeypatch: pytest.MonkeyPatch) -> None:
    lift, _ = open_lift(ball, monkeypatch, ball.masks, rounds=2)
    fitted = fitted_scene(lift)
    first, second = (lift.masks(fitted, lift.first_masks()) for _ in range(2))
    assert first.keys() == second.keys()
    for view, mask in first.items():
        assert np.array_equal(mask.prior, second[view].prior)  # to the bit: nothing is left of the first
        assert mask.trust == second[view].trust
