"""Every key of real checkpoints, removed or replaced: refused in one line, or the run goes on with the same bits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nto3d.build.device import build_device
from nto3d.build.exposure import find_exposures
from nto3d.build.model import build_model, build_optimizer
from nto3d.config.compose import compose_config
from nto3d.config.schema import Config, ExposureUse
from nto3d.data.load import load_scene
from nto3d.data.rays import RaySampler
from nto3d.errors import InputError
from nto3d.export.visibility import Visibility
from nto3d.parsers.contents import contents_of
from nto3d.pipeline.reconstruct import Training
from nto3d.pipeline.scene import Checkpoints, _restore, check_seen, fit_scene, lift_config
from nto3d.pipeline.targets import find_targets
from nto3d.pipeline.watch import CallbackWatch
from nto3d.stages.lift.objective import Lift
from nto3d.stages.lift.scene import SceneFit
from nto3d.stages.objects.meshes import Objects
from nto3d.stages.objects.partition import CELLS, Labels
from nto3d.stages.reconstruct.stereo_points import StereoTerm, SurfacePoints
from nto3d.training.checkpoint import load_checkpoint, random_state, save_checkpoint
from nto3d.training.contents import LIFT_STAGE, OPENED, RESUMED, SCENE_STAGE, check_state
from nto3d.training.restore import check_step, load_module, load_optimizer
from nto3d.types import Scene
from tests.helpers import write_dtu_scene

STEPS = 3
FILE = Path("run/checkpoint.pt")
REMOVED = object()
WRONG = (REMOVED, None, -1, 0.5, [], "x", torch.zeros(2, 5), torch.full((1,), 0.5).expand(10**12))
State = dict[str, Any]
FOR_EXPORT = ("sight", "world_from_normalized", "objects", "scaler")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("contents") / "ball"
    write_dtu_scene(folder, 5, (24, 32))
    return load_scene(configured(folder).scene, configured(folder).segmenter.name)


def configured(folder: Path) -> Config:
    run = (f"output={folder.parent / 'run'}", "device=cpu", "threads=1", "logger=none", "trainer=smoke")
    small = (
        f"trainer.steps={STEPS}",
        "trainer.checkpoint_every=1",
        "trainer.object_steps=0",
        "field.start=sphere",
        "lift.scene_steps=2",
        "lift.max_rays=64",
    )
    fields = ("encoding.levels=2", "encoding.log2_entries=8", "field.hidden=8", "field.color_hidden=8")
    grid = ("trainer.grid_resolution=16", "trainer.max_rays=64", "segmenter=precomputed")
    return compose_config(["scene=dtu", f"scene.path={folder}", *run, *small, *fields, *grid])


class Case:
    """A stage with its checkpoint.

    Attributes:
        state: of the checkpoint. go_on: takes over such a state; returns what it then is.
    """

    def __init__(self, state: State, go_on: Callable[[State], State]) -> None:
        self.state, self.go_on = state, go_on

    def resumed(self, state: State) -> State:
        """What a resume makes of a state."""
        check_state(state, FILE, RESUMED, (self.state["stage"],))
        with contents_of(FILE):
            return self.go_on(state)


@pytest.fixture(scope="module")
def trained(scene: Scene) -> Case:
    """A reconstruction of two named objects with stereo points, after two steps."""
    config = configured(Path("ball"))
    assert scene.masks is not None
    sight = Visibility.of(scene.cameras, scene.train, scene.masks)
    nearest = np.zeros((CELLS,) * 3, dtype=np.uint8)
    nearest[:10] = 1
    targets = find_targets(scene, scene.masks, None, Objects(Labels(nearest, 2), {"a": sight, "b": sight}), "ball")
    training = Training(config, scene, targets, build_device(config))
    flat = torch.nn.functional.normalize(torch.arange(60.0).view(20, 3) + 1.0, dim=1)
    points = SurfacePoints(0.5 * flat, flat, flat, torch.full((20,), 0.5))
    training._objective._stereo = StereoTerm(points, 0.25, 10, config.seed)
    saved: list[State] = []
    training.run(CallbackWatch(), lambda step: saved.append(copied(training.state(step))))
    state = {"format": 1, **next(state for state in saved if state["step"] == 2)}

    def go_on(given: State) -> State:
        training._restore(given)
        Objects.from_state(given["objects"]) if "objects" in given else None
        return copied(training.state(training._start))

    return Case(state, go_on)


@pytest.fixture(scope="module")
def lifted(scene: Scene) -> Case:
    """What the scene stage of a lift leaves."""
    config = configured(Path("ball"))
    device = build_device(config)
    fitted = fit_scene(config, scene, device, CallbackWatch())
    rest = {"format": 1, "stage": LIFT_STAGE, "step": config.lift.scene_steps, "random": random_state()}
    state = {**fitted.state(), **rest, "config": {"mode": "multiview"}}
    model = build_model(lift_config(config), scene, None, None, device)

    def go_on(given: State) -> State:
        check_step(given["step"], config.lift.scene_steps)
        again = SceneFit.from_state(given)
        check_seen(again, scene)
        load_module(model, again.model)
        optimizer = build_optimizer(config, model)
        load_optimizer(optimizer, again.optimizer, config.lift.scene_steps)
        return copied({**again.state(), "model": model.state_dict(), "optimizer": optimizer.state_dict()})

    return Case(state, go_on)


@pytest.fixture(scope="module")
def begun(scene: Scene) -> Case:
    """What the scene stage keeps on its way."""
    config, device, saved = configured(Path("ball")), build_device(configured(Path("ball"))), list[State]()
    checkpoints = Checkpoints(lambda state: saved.append(copied(state)), FILE.parent)
    fit_scene(config, scene, device, CallbackWatch(), checkpoints=checkpoints)
    state = {"format": 1, **saved[-1], "config": {"mode": "multiview"}}
    assert (state["stage"], state["step"]) == (SCENE_STAGE, config.lift.scene_steps)
    own = lift_config(config)
    model = build_model(own, scene, None, None, device)
    sampler = RaySampler(scene, scene.train, device, seed=config.seed)

    def go_on(given: State) -> State:
        check_step(given["step"], config.lift.scene_steps)
        optimizer, stage = build_optimizer(own, model), Lift(model, sampler, own.trainer, config.seed)
        _restore(given, model, optimizer, stage)
        again = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "objective": stage.state_dict()}
        return copied({**again, "random": random_state()})

    return Case(state, go_on)


def copied(tree: Any) -> Any:
    """A deep copy."""
    if isinstance(tree, torch.Tensor):
        return tree.detach().clone()
    if isinstance(tree, dict):
        return {key: copied(value) for key, value in tree.items()}
    return [copied(value) for value in tree] if isinstance(tree, list) else tree


def paths(tree: Any, start: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every value of a state stands, those that hold others, too; of the configuration only the whole."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (*start, key)
        if isinstance(value, dict | list) and key not in ("config", "params"):
            yield from paths(value, (*start, key))


def found_at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def not_finite(value: Any) -> Any:
    """NaN, as a tensor of the same kind where it is one."""
    return value * float("nan") if isinstance(value, torch.Tensor) and value.is_floating_point() else float("nan")


def edited(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A state with one value replaced or removed; what lies beside the path is shared."""
    other = dict(tree) if isinstance(tree, dict) else list(tree)
    if len(path) > 1:
        other[path[0]] = edited(tree[path[0]], path[1:], value)
    elif value is REMOVED:
        del other[path[0]]
    else:
        other[path[0]] = value
    return other


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        if not isinstance(other, dict) or one.keys() != other.keys():
            return False
        return all(same(one[key], other[key]) for key in one if key != "seconds")
    return len(one) == len(other) and all(map(same, one, other)) if isinstance(one, list) else bool(one == other)


# What a run may as well have there, or an early version (which knew no stereo points)
POSSIBLE: dict[tuple[Any, ...], tuple[Any, ...]] = {
    ("objective", "stereo"): (None, REMOVED),
    ("objective", "stereo", "weight"): (0.5,),
    ("objective", "start"): (None,),
}


@pytest.mark.parametrize("name", ["trained", "lifted", "begun"])
def test_each_key_is_refused_or_of_no_effect(name: str, request: pytest.FixtureRequest) -> None:
    case: Case = request.getfixturevalue(name)
    right = case.resumed(case.state)
    refused, harmless, wrong = 0, set(), []
    for path in paths({key: value for key, value in case.state.items() if key != "format"}):
        for value in (*WRONG, not_finite(found_at(case.state, path))):
            if not isinstance(value, torch.Tensor) and value in POSSIBLE.get(path, ()):
                continue
            try:
                found = case.resumed(edited(case.state, path, value))
            except InputError as error:
                refused += 1
                if "\n" in str(error) or not str(error).startswith(str(FILE)) or len(str(error)) > 400:
                    wrong.append((path, value, str(error)))
                continue
            harmless.add(path)
            if not same(right, found):
                wrong.append((path, value, "goes on differently"))
    assert wrong == []
    assert refused > 500
    # An optimizer's settings may be missing, its rates are set anew in every step; the rest is for an export or CUDA
    assert {path[0] for path in harmless} <= {"seconds", "optimizer", "random", *FOR_EXPORT}
    assert all(path[1] == "param_groups" for path in harmless if path[0] == "optimizer")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("stage",), None, "stage: expected one of reconstruct, got None"),
        (("stage",), "train_mcc", "stage: expected one of reconstruct, got 'train_mcc'"),
        (("step",), STEPS + 1, f"step: expected a whole number, 0 to {STEPS}, got {STEPS + 1}"),
        (("step",), True, "step: expected a whole number, 0 to .*, got True"),
        (("seconds",), REMOVED, "expected the keys .*; seconds is missing"),
        (("objective",), REMOVED, "expected the keys .*; objective is missing"),
        (("scaler",), REMOVED, "expected the keys .*; scaler is missing"),
        (("model", "variance"), torch.tensor(torch.nan), "model.variance: expected finite numbers, got nan"),
        (("model", "variance"), torch.zeros((), dtype=torch.float64), r"variance: expected float32 \[\], got float64"),
        (("model", "new"), torch.zeros(2), "model: expected the tensors of this model, too many: new"),
        (("optimizer", "state", 0, "exp_avg"), torch.zeros(3), r"state\.0\.exp_avg: expected float32 \[\d+, 2\], got"),
        (
            ("random", "torch"),
            torch.zeros(5055, dtype=torch.uint8),
            r"torch: expected uint8 \[5056\], got uint8 \[5055\]",
        ),
        (("objects", "sights"), {}, "objects.sights: expected those of 2 objects, got 0"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_the_line_names_key_expected_and_found(trained: Case, path: tuple[Any, ...], value: Any, words: str) -> None:
    with pytest.raises(InputError, match=rf"^run/checkpoint\.pt: .*{words}"):
        trained.resumed(edited(trained.state, path, value))


def test_a_view_of_one_number_is_refused_before_it_is_unfolded(trained: Case, tmp_path: Path) -> None:
    state = edited(trained.state, ("model", "viewpoints"), torch.zeros(1).expand(10**12))
    save_checkpoint(tmp_path / "checkpoint.pt", state)
    assert (tmp_path / "checkpoint.pt").stat().st_size < 1_000_000
    with pytest.raises(InputError, match=r"a tensor \[1000000000000\] over 4 bytes"):
        load_checkpoint(tmp_path / "checkpoint.pt")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("grid.hull", REMOVED, "model: expected grid.hull, viewpoints; grid.hull is missing"),
        (
            "exposure.start_gain",
            torch.ones(5, 3),
            "expected exposure.start_gain, .*; exposure.start_offset is m",
        ),
        ("features.out.bias", torch.ones(9), "model: expected features.out.bias, .*; features.out.weight is missing"),
        ("viewpoints", torch.zeros(2, 3), r"sight.intrinsics: expected float64 \[2, 3, 3\], got float64 \[4, 3, 3\]"),
    ],
)
def test_what_an_export_is_made_of_is_compared_first(trained: Case, name: str, value: Any, words: str) -> None:
    state = edited(trained.state, ("model", name), value)
    for kinds in (OPENED, RESUMED):
        with pytest.raises(InputError, match=words):
            check_state(state, FILE, kinds, ("reconstruct",))


def test_exposures_of_other_views_are_refused(trained: Case, scene: Scene) -> None:
    views = len(scene.cameras) + 1
    model = {"exposure.start_gain": torch.ones(views, 3), "exposure.start_offset": torch.zeros(views, 3)}
    config = configured(Path("ball"))
    config.field.exposure = ExposureUse.on
    with pytest.raises(InputError, match=f"start_gain: expected {views - 1} views as in ball, got {views}"):
        find_exposures(config, scene, {"model": model})
