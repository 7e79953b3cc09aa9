"""The rounds of a lift, with a segmenter whose answers are given: a target that is lost, and the masks that stay."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nto3d.runs.lift import run as run_lift
from nto3d.build.model import build_device
from nto3d.config.compose import compose_config
from nto3d.config.schema import SegmenterName
from nto3d.data.load import load_scene
from nto3d.errors import InputError
from nto3d.runs.lift.run import LiftRun
from nto3d.segment.base import Instances
from nto3d.stages.views.projection import Projection
from nto3d.stages.lift.scene import SceneFit
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


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def ball(tmp_path: Path) -> WrittenScene:
    return write_dtu_scene(tmp_path / "ball", VIEWS, SIZE)


def open_lift(
    ball: WrittenScene, monkeypatch: pytest.MonkeyPatch, masks: BoolArray, rounds: int, *more: str
) -> LiftRun:
    """A lift of the ball, clicked in view 1, on geometry that is right from the start."""
    values = [
        *("scene=dtu", f"scene.path={ball.path}", "prompts.view=1", "prompts.points=[[32,24]]", "trainer=smoke"),
        *(
            "field.start=sphere",
            "field.sphere_radius=0.5",
            "field.init_inv_std=100",
            "lift.scene_steps=1",
            f"lift.max_rounds={rounds}",
        ),
        *(
            "lift.tol=0",
            "lift.witnesses=0",
            "lift.accept=0.2",
            f"output={ball.path.parent / 'run'}",
            "device=cpu",
            "threads=1",
        ),
        "logger=none",
        *more,
    ]
    config = compose_config(values)
    monkeypatch.setattr(run_lift, "build_segmenter", lambda _: Oracle(masks))
    Path(config.output).mkdir()
    scene = load_scene(config.scene, SegmenterName.grabcut)
    return LiftRun(config, scene, build_device(config), Path(config.output))


def fitted_scene(lift: LiftRun) -> SceneFit:
    fitted = lift.fit_scene()
    # The colours are not learnt in a step, but nothing stands in front of the ball
    seen = {v: dataclasses.replace(p, differs=np.zeros_like(p.differs)) for v, p in fitted.seen.items()}
    return dataclasses.replace(fitted, seen=seen)


def lifted(lift: LiftRun) -> None:
    lift.masks(fitted_scene(lift), lift.first_masks())


def written(lift: LiftRun) -> list[BoolArray]:
    return [np.array(Image.open(lift.run_dir / "masks" / f"{view:03d}.png")) > 0 for view in range(VIEWS)]


def iou(first: BoolArray, second: BoolArray) -> float:
    return float((first & second).sum() / max(1, (first | second).sum()))


def test_the_click_s_mask_comes_to_all_views(ball: WrittenScene, monkeypatch: pytest.MonkeyPatch) -> None:
    lift = open_lift(ball, monkeypatch, ball.masks, rounds=2)
    lifted(lift)
    assert [row[0] for row in lift.notes.rows] == [0, 1, 2]
    for mask, true in zip(written(lift), ball.masks, strict=True):
        assert iou(mask, true) > 0.8


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
    monkeypatch.setattr(run_lift, "build_finder", lambda _: Named(ball, others))
    more = (*TEXT, "lift.witnesses=7", *(() if clicked else UNCLICKED))
    lift = open_lift(ball, monkeypatch, ball.masks, 1, *more)
    first = lift.first_masks()
    assert set(first) == ({1} if clicked else set(lift.scene.train))
    fitted = fitted_scene(lift)
    lift.masks(fitted, first)
    for mask, true in zip(written(lift), ball.masks, strict=True):
        assert iou(mask, true) > 0.8


def test_a_target_that_is_lost_at_once(ball: WrittenScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was clicked is too small to be found again in any view."""
    dots = np.zeros_like(ball.masks)
    dots[:, 24, 32] = True
    lift = open_lift(ball, monkeypatch, dots, rounds=2)
    with pytest.raises(InputError, match=r"round [01]: the target was lost.*clicked in view 1.*run/masks"):
        lifted(lift)
    assert np.array_equal(np.array(Image.open(lift.run_dir / "masks" / "001.png")) > 0, dots[1])


def test_the_last_good_masks_stay(ball: WrittenScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the second round the projection is empty: the masks of the first are what is left."""
    lift = open_lift(ball, monkeypatch, ball.masks, rounds=3)
    project, good = lift._project, []

    def losing(*args: object) -> dict[int, Projection]:
        found = project(*args)  # type: ignore[arg-type]
        if len(lift.notes.rows) < 2:
            return found
        good.extend(written(lift))
        return {v: dataclasses.replace(p, target=np.zeros_like(p.target)) for v, p in found.items()}

    monkeypatch.setattr(lift, "_project", losing)
    with pytest.raises(InputError, match=r"round 2: the target was lost.*clicked in view 1"):
        lifted(lift)
    assert len(lift.notes.rows) == 2
    for mask, before, true in zip(written(lift), good, ball.masks, strict=True):
        assert np.array_equal(mask, before)
        assert iou(mask, true) > 0.8


def test_one_scene_serves_any_number_of_clicks(ball: WrittenScene, monkeypatch: pytest.MonkeyPatch) -> None:
    lift = open_lift(ball, monkeypatch, ball.masks, rounds=2)
    fitted = fitted_scene(lift)
    first, second = (lift.masks(fitted, lift.first_masks()) for _ in range(2))
    assert first.keys() == second.keys()
    for view, mask in first.items():
        assert np.array_equal(mask.prior, second[view].prior)  # to the bit: nothing is left of the first
        assert mask.trust == second[view].trust
