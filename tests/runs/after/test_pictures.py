"""A run in one picture, and any mesh in pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nto3d.data.images import read_image, read_mask
from nto3d.runs.after.figure import run_figure
from nto3d.runs.after.mesh_view import mesh_pictures, read_options
from nto3d.runs.lift.files import write_masks
from nto3d.trials.places import SAMPLE
from nto3d.types import ByteArray
from tests.runs.pointing import refusal

MESH, SCENE = f"mesh={SAMPLE / 'gt_mesh.ply'}", f"scene={SAMPLE}"


def shown(*arguments: str) -> list[ByteArray]:
    return mesh_pictures(read_options(arguments))


def test_a_camera_sees_the_mesh_where_its_picture_does() -> None:
    (picture,) = shown(MESH, SCENE, "view=0")
    mask = read_mask(SAMPLE / "mask" / "000.png")
    drawn = np.ptp(picture.astype(int) - picture[0, 0], axis=2) > 0
    assert picture.shape == (*mask.shape, 3)
    assert drawn[mask].mean() > 0.97


def test_a_turntable_has_frames_of_a_size() -> None:
    assert [frame.shape for frame in shown(MESH, "frames=2", "size=40", "up=[0,0,1]")] == [(40, 40, 3)] * 2
    assert len(shown(MESH, SCENE, "frames=3", "size=20", "shading=normals")) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "mesh is missing"),
        ([MESH, "frames=0"], "frames: expected a number from 1 to 360, got 0"),
        ([MESH, "frames=1000000000"], "frames: expected a number from 1 to 360, got 1000000000"),
        ([MESH, "size=-1"], "size: expected a number from 1 to 4096, got -1"),
        ([MESH, "up=[0,1]"], "up: expected a direction x, y, z that is not 0, got [0.0, 1.0]"),
        ([MESH, "up=[0,0,0]"], "up: expected a direction x, y, z that is not 0, got [0.0, 0.0, 0.0]"),
        ([MESH, "up=[0,nan,1]"], "up: expected a direction x, y, z that is not 0, got [0.0, nan, 1.0]"),
        ([MESH, "view=0"], "view: needs scene=FOLDER"),
        ([MESH, SCENE, "view=32"], "view: expected 0..31, got 32"),
        ([MESH, "shading=glass"], "shading"),
        (["mesh=gone.ply"], "gone.ply: expected a PLY mesh"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_shown_is_one_line(arguments: list[str], words: str) -> None:
    assert words in refusal(shown, *arguments)


def test_a_run_has_five_pictures_side_by_side(run: Path) -> None:
    figure = run_figure(run, [], 1)
    assert figure.shape == (60, 5 * 80 + 4 * 4, 3)
    assert (figure[:, 80:84] == 255).all()
    assert set(np.unique(figure[:, 84:164])) == {0, 255}  # the mask
    view = read_image(SAMPLE / "image" / "000001.png").reshape(60, 4, 80, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(figure[:, :80], view, atol=1.0)
    # masks that a run has found are shown instead of the scene's
    write_masks(run / "masks", {number: np.zeros((60, 80), dtype=bool) for number in range(32)})
    assert not run_figure(run, [], 1)[:, 84:164].any()
    assert not np.array_equal(run_figure(run, [], None)[:, :80], figure[:, :80])  # a held-out view
    assert "view: expected 0..31, got 99" in refusal(run_figure, run, [], 99)
