"""One whole step of training on the bundled sample, with each backend of the hash grid."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from nto3d.build.device import build_device
from nto3d.build.model import build_model, build_optimizer, build_schedule
from nto3d.build.start import build_photometric, build_start
from nto3d.config.compose import compose_config
from nto3d.data.load import load_scene
from nto3d.data.rays import RaySampler
from nto3d.fields.sdf import SHARPNESS, SdfField
from nto3d.geometry.occlusion import occluded_pixels
from nto3d.segment.precomputed import given_masks
from nto3d.stages.reconstruct.objective import Reconstruction
from nto3d.training.parallel import ShardedGradients
from nto3d.trials.bench.table import DOUBLE, Row
from nto3d.trials.bench.timing import memory, seconds
from nto3d.trials.places import SAMPLE


def by_autograd(sdf: SdfField, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`SdfField.forward` as it is written in plain torch: the gradient by autograd, to be differentiated again."""
    with torch.enable_grad():
        x = positions.detach().requires_grad_()
        hidden = torch.cat([x, sdf.encoding(x)], dim=1)
        for layer in sdf.hidden:
            hidden = torch.nn.functional.softplus(layer(hidden), beta=SHARPNESS)
        out = sdf.out(hidden)
        (gradient,) = torch.autograd.grad(out[:, 0].sum(), x, create_graph=True)
    return out[:, 0], gradient, out[:, 1:]


class Trainer:
    """A training run of the bundled sample without its loop's logs and checkpoints.

    Args:
        name: of the backend. overrides: further ones for the configuration.
    """

    def __init__(self, name: str, device_name: str, overrides: Sequence[str] = ()) -> None:
        backend = name.partition(",")[0]
        values = [f"encoding={backend}", f"device={device_name}", "output=unused", "trainer=fast"]
        values += ["segmenter=precomputed", f"scene.path={SAMPLE}"]
        config = compose_config([*values, *overrides])
        self.device = build_device(config)
        scene = load_scene(config.scene)
        masks = given_masks(scene)
        unknown = occluded_pixels(scene.cameras, scene.train, masks)
        self.model = build_model(config, scene, masks, unknown, self.device)
        if name == DOUBLE:
            sdf = self.model.sdf
            assert isinstance(sdf, SdfField)
            sdf.forward = partial(by_autograd, sdf)  # type: ignore[method-assign]
        sampler = RaySampler(scene, scene.train, self.device, seed=config.seed, masks=masks, unknown=unknown)
        self.optimizer = build_optimizer(config, self.model)
        rough = build_start(config, scene, self.model, masks, unknown)
        parts: dict[str, Any] = {} if rough is None else {"start": rough.distance, "pull": rough.pull}
        parts["photometric"] = build_photometric(config, scene, masks, self.device)
        self.objective = Reconstruction(self.model, sampler, config.trainer, config.seed, **parts)
        self.schedule = build_schedule(config)
        self.shards = torch.get_num_threads() if self.device.type == "cpu" else 1

    def take(self, step: int, differentiate: ShardedGradients) -> None:
        """One whole step, as in `training.loop.fit`."""
        self.objective.prepare(step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * self.schedule.rate(step)
        differentiate(self.objective.shards(step, self.shards), lambda loss: loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.schedule.clip_norm)
        self.optimizer.step()

    def gradients(self) -> ShardedGradients:
        """What `take` differentiates with; to be entered."""
        return ShardedGradients([p for group in self.optimizer.param_groups for p in group["params"]], self.shards)


def bench_step(backends: Sequence[str], steps: int, device_name: str, overrides: Sequence[str] = ()) -> list[Row]:
    """Time of one training step with each backend on the same batch, milliseconds, without the grid's refresh.

    Args:
        steps: taken before one is timed. overrides: further ones for the configuration.
    """
    rows: list[Row] = []
    start: Trainer | None = None
    for backend in backends:
        trainer = Trainer(backend, device_name, overrides)
        with trainer.gradients() as differentiate:
            if start is None:
                for step in range(steps):
                    trainer.take(step, differentiate)
                start = trainer
                weights = copy.deepcopy(trainer.model.state_dict())
                state = trainer.objective.state_dict()
            trainer.model.load_state_dict(weights)
            trainer.objective.load_state_dict(state)
            count = 5 if backend != "warp" and trainer.device.type == "cpu" else 20
            trainer.objective.counts()
            # One past a refresh of the grid: it belongs to none of the steps that are timed
            (took,) = seconds([partial(trainer.take, steps + 1, differentiate)], count, trainer.device)
            rays, samples = trainer.objective.counts()
        rows.append(
            {"backend": backend, "ms": took * 1e3, "rays": rays // (count + 1), "samples": samples // (count + 1)}
        )
    return [{**row, **memory(trainer.device)} for row in rows]
