"""What is tried: other clicks, damaged first masks, fewer rounds, fewer kinds of prompts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nto3d.config.schema import Config, PromptsConfig, PromptUse
from nto3d.evaluate.damage import DAMAGES
from nto3d.segment.prompts.read import to_file_pixels
from nto3d.types import Scene


@dataclass(frozen=True)
class Trial:
    """One lift: its name, its configuration, and what is done to the first mask (a key of DAMAGES, or nothing)."""

    name: str
    config: Config
    damage: str | None = None


def clicks(config: Config, scene: Scene, count: int, seed: int) -> Iterator[Trial]:
    """Random pixels of the target in random training views, each in a trial."""
    assert scene.masks is not None
    rng = np.random.default_rng(seed)
    for number in range(count):
        view = int(rng.choice([view for view in scene.train if scene.masks[view].any()]))
        rows, columns = np.nonzero(scene.masks[view])
        pick = int(rng.integers(len(rows)))
        x, y = to_file_pixels(np.array([columns[pick], rows[pick]]), config.scene.downscale).tolist()
        prompts = PromptsConfig(view=view, points=[[x, y]])
        yield Trial(f"{number}: view {view} [{x:g}, {y:g}]", dataclasses.replace(config, prompts=prompts))


def damages(config: Config) -> Iterator[Trial]:
    """The first mask as it is, and damaged in every way."""
    yield Trial("undamaged", config)
    for name in DAMAGES:
        yield Trial(name, config, name)


def rounds(config: Config) -> Iterator[Trial]:
    """The click projected once, and all rounds; with some and all kinds of prompts."""
    for use in PromptUse:
        for number in (0, config.lift.max_rounds):
            lift = dataclasses.replace(config.lift, max_rounds=number, prompts=use)
            yield Trial(f"{use.value}, max_rounds={number}", dataclasses.replace(config, lift=lift))
