"""What mode=train_mcc needs, from the configuration: the network and the views that it learns from."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import torch

from nto3d.config.schema import Config, SceneConfig
from nto3d.config.single import FIRST_HELD_OUT, TrainMccConfig
from nto3d.data.load import load_scene
from nto3d.data.object_views import ObjectViews
from nto3d.data.surfaces import scene_views
from nto3d.errors import InputError, memory_of
from nto3d.mcc.batches import Subject
from nto3d.mcc.inputs import FEWEST
from nto3d.mcc.model import Mcc, MccSizes
from nto3d.progress import tracked
from nto3d.stages.mcc.assess import HeldOut, subject_of
from nto3d.training.loop import Schedule

log = logging.getLogger("nto3d")
_AT_ONCE = 32  # objects


def build_network(config: TrainMccConfig, device: torch.device) -> Mcc:
    """A network with random weights.

    Raises:
        InputError: its sizes do not fit each other.
    """
    network = config.network
    asked = f"train_mcc.network.width={network.width} and decoder_width={network.decoder_width}"
    with memory_of(asked, "lower them or the network's depths"):
        return Mcc(network_sizes(config)).to(device)


def network_sizes(config: TrainMccConfig) -> MccSizes:
    """The sizes that the configuration names.

    Raises:
        InputError: they do not fit each other.
    """
    network = config.network
    if network.width % network.heads or network.decoder_width % network.decoder_heads:
        raise InputError("train_mcc.network: expected widths that the heads share evenly")
    try:
        return MccSizes(**dataclasses.asdict(network))
    except ValueError as error:
        raise InputError(f"train_mcc.network: {error}") from error


def learnt_subjects(config: Config) -> list[Subject]:
    """The views that are learnt from: of the scenes, then of the procedural objects.

    Raises:
        InputError: a scene cannot be used, or the cache cannot be written.
    """
    train = config.train_mcc
    subjects: list[Subject] = []
    for path in train.scenes:  # one at a time: its pictures are large
        with memory_of(f"train_mcc.downscale={train.downscale}, the pictures of {path}", "raise it"):
            subjects += make_subjects([learnt_scene(path, config)], train)
    if train.objects:
        asked = f"train_mcc.objects={train.objects} of train_mcc.views={train.views} at train_mcc.side={train.side}"
        with memory_of(asked, "lower one of them, or train_mcc.surface_points"):
            subjects += make_subjects(learnt_objects(config), train)
    return subjects


def learnt_scene(path: str, config: Config) -> ObjectViews:
    """One of `train_mcc.scenes`.

    Raises:
        InputError: it cannot be used.
    """
    chosen = SceneConfig(path=path, name=Path(path).name or "scene", downscale=config.train_mcc.downscale)
    try:
        return scene_views(load_scene(chosen), config.train_mcc.surface_points, config.seed)
    except InputError as error:
        raise InputError(f"train_mcc.scenes: {error}") from error


def learnt_objects(config: Config) -> Iterator[ObjectViews]:
    """The procedural objects that are learnt from."""
    train = config.train_mcc
    return _procedural(config, range(train.first_object, train.first_object + train.objects), "objects")


def make_subjects(objects: Iterable[ObjectViews], config: TrainMccConfig) -> list[Subject]:
    """The views of objects as the network takes them; those with next to nothing of the target are left out."""
    sizes, remaining, subjects = network_sizes(config), iter(objects), list[Subject]()

    def of_object(item: ObjectViews) -> list[Subject]:
        views = [view for view, mask in enumerate(item.masks) if mask.sum() >= FEWEST]
        return [subject_of(item, view, sizes) for view in views]

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        while some := list(islice(remaining, _AT_ONCE)):  # not all at once: pictures are large, subjects small
            for found in pool.map(of_object, some):
                subjects += found
    return subjects


def held_out_views(config: Config, count: int, skipped: int = 0) -> list[HeldOut]:
    """The first view of procedural objects that no training sees, after so many others of them."""
    sizes, found = network_sizes(config.train_mcc), []
    first = FIRST_HELD_OUT + skipped
    for item in _procedural(config, range(first, first + count), "held-out objects"):
        if item.masks[0].sum() >= FEWEST:
            found.append(HeldOut.of(item, 0, sizes))
    return found


def build_mcc_schedule(config: TrainMccConfig) -> Schedule:
    """When what happens in the training."""
    return Schedule(
        steps=config.steps,
        warmup=config.warmup_steps,
        decay=config.decay,
        clip_norm=config.clip_norm,
        checkpoint_every=config.checkpoint_every,
        log_every=config.log_every,
        image_every=0,
        linear=True,
    )


def _procedural(config: Config, seeds: Sequence[int], what: str) -> Iterator[ObjectViews]:
    from nto3d.data.synthetic.pool import PoolSpec, make_objects  # the ray caster is needed only where it casts

    train = config.train_mcc
    cache = None if train.cache is None else Path(train.cache)
    spec = PoolSpec(views=train.views, side=train.side, points=train.surface_points, cache=cache)
    workers = torch.get_num_threads()
    log.info(
        "%d %s, made on %d processes%s", len(seeds), what, workers, "" if cache is None else f" or read in {cache}"
    )
    return tracked(make_objects(seeds, spec, workers), what, len(seeds))
