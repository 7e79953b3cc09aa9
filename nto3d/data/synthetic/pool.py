"""Many procedural objects, made on several processes and, where a folder is given, kept on the disk.

Letters: V views, H W picture, N surface points.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nto3d.data.object_views import ObjectViews
from nto3d.data.synthetic.endless import CELLS, POINTS, random_object, render_views
from nto3d.errors import InputError
from nto3d.files import write_atomic
from nto3d.parsers.archives import Archive
from nto3d.parsers.guard import parsing
from nto3d.types import Cameras

_ARRAYS = ("images", "depths", "intrinsics", "cam_to_world", "surface", "surface_rgb")
_MOST = 1 << 28  # bytes of an array
VERSION = 1  # of the generator: to be raised when a seed becomes another object
_AT_ONCE = 2  # objects that a process is handed at a time


@dataclass(frozen=True)
class PoolSpec:
    """How every object of a pool is looked at.

    Attributes:
        views: V. side: H = W. points: N. cells: of marching cubes along an object's longest side.
        cache: a folder where the objects are kept, or None.
    """

    views: int = 3
    side: int = 128
    points: int = POINTS
    cells: int = CELLS
    cache: Path | None = None


def make_objects(seeds: Sequence[int], spec: PoolSpec, workers: int = 1) -> Iterator[ObjectViews]:
    """The objects of seeds, in their order; the same whatever the workers and whether they were kept.

    Args:
        seeds: one an object. workers: processes; 1 makes them in this one.

    Raises:
        InputError: the cache cannot be written, or a worker was killed.
    """
    if workers <= 1 or len(seeds) <= _AT_ONCE:
        for seed in seeds:
            yield one_object(seed, spec)
        return
    # A fresh interpreter each: forking a process that runs threads of torch can hang
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _leave_ctrl_c_to_the_parent) as pool:
        try:
            yield from pool.map(one_object, seeds, [spec] * len(seeds), chunksize=_AT_ONCE)
        except BrokenProcessPool as error:
            raise InputError("a process that makes objects was killed: out of memory? pass threads=1") from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _leave_ctrl_c_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def one_object(seed: int, spec: PoolSpec) -> ObjectViews:
    """The object of a seed: read where it was kept, made (and kept) where not.

    Raises:
        InputError: the cache cannot be written.
    """
    if spec.cache is None:
        return _made(seed, spec)
    path = spec.cache / f"v{VERSION}_{spec.views}x{spec.side}_{spec.points}_{spec.cells}" / f"{seed:07d}.npz"
    kept = _read(path, spec)
    if kept is not None:
        return kept
    item = _made(seed, spec)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {path.parent}: {error.strerror}") from error
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        "name": np.array(item.name),
        **{"images": item.images, "depths": item.depths, "surface": item.surface, "surface_rgb": item.surface_rgb},
        **{"intrinsics": item.cameras.intrinsics, "cam_to_world": item.cameras.cam_to_world},
    }
    np.savez_compressed(buffer, **arrays)
    own = path.with_name(f"{os.getpid()}_{path.name}")  # another run may be writing the same object
    write_atomic(own, buffer.getbuffer())
    own.replace(path)
    return item


def _made(seed: int, spec: PoolSpec) -> ObjectViews:
    return render_views(random_object(seed), seed, spec.views, (spec.side, spec.side), spec.cells, spec.points)


def _kinds(spec: PoolSpec) -> list[tuple[Any, ...]]:
    """Type and shape of each of `_ARRAYS`."""
    views, side, points = spec.views, spec.side, spec.points
    maps = (np.uint8, views, side, side, 3), (np.float32, views, side, side)
    cameras = (np.float64, views, 3, 3), (np.float64, views, 3, 4)
    return [*maps, *cameras, (np.float32, points, 3), (np.uint8, points, 3)]


def _read(path: Path, spec: PoolSpec) -> ObjectViews | None:
    """What was kept; None where there is nothing, or a file that is damaged or holds something else (made anew)."""
    try:
        arrays = Archive(path, "an object of a pool", _MOST).read([*_ARRAYS, "name"])
        with parsing(path, "an object of a pool"):
            images, depths, intrinsics, poses, surface, rgb, name = arrays
            for array, (kind, *shape) in zip(arrays, _kinds(spec), strict=False):
                if array.dtype != kind or list(array.shape) != shape or not np.isfinite(array).all():
                    return None
            cameras = Cameras(intrinsics, poses, (images.shape[1], images.shape[2]))
            return ObjectViews(str(name), images, depths, depths > 0, cameras, surface, rgb)
    except InputError:
        return None
