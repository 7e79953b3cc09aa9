"""A scene of 49 pictures of 1600 x 1200 fits into little memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import ROOT, render_sphere, ring_cameras, world_matrices

VIEWS, SIZE = 49, (1200, 1600)
MOST_GB = 2.5


def write_large_scene(path: Path) -> None:
    """The helper's sphere; it looks alike from all cameras of a ring, so one picture serves them all."""
    intrinsics, cam_to_world = ring_cameras(VIEWS, SIZE)
    image, mask, _ = render_sphere(intrinsics[0], cam_to_world[0], SIZE)
    for folder, pixels in (("image", image), ("mask", mask.astype(np.uint8) * 255)):
        (path / folder).mkdir(parents=True)
        first = path / folder / "000.png"
        Image.fromarray(pixels).save(first, compress_level=1)
        for view in range(1, VIEWS):
            (path / folder / f"{view:03d}.png").write_bytes(first.read_bytes())
    np.savez(path / "cameras_sphere.npz", **world_matrices(intrinsics, cam_to_world, np.eye(4)))


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("masks", ["given", "none"])
def test_peak_memory_of_a_large_scene(tmp_path: Path, masks: str) -> None:
    write_large_scene(tmp_path / "large")
    arguments = [
        *("scene=dtu", "scene.path=large", f"scene.masks={masks}", "device=cpu", "threads=2", "output=run"),
        *("trainer.steps=60", "trainer.grid_start=20", "trainer.grid_every=10", "evaluate.max_views=1"),
        "segmenter=precomputed",
    ]
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert 0.3 < metrics["peak_memory_gb"] <= MOST_GB
