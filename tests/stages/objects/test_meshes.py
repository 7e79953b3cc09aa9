"""Masks of several objects, and their meshes as one."""

from __future__ import annotations

import numpy as np
import pytest

from nto3d.config.schema import ExportConfig
from nto3d.errors import InputError
from nto3d.stages.lift.initialize import FirstMasks, _clicked
from nto3d.stages.lift.refine import ViewMask
from nto3d.stages.objects import meshes as objects
from nto3d.stages.objects.meshes import Objects, extract_objects, joined, without_overlap
from nto3d.stages.views.projection import Projection
from nto3d.types import BoolArray, Cameras, FloatArray, Mesh, Prompts
from tests.helpers import ring_cameras

SIZE = (8, 12)


def found(pixels: BoolArray, prior: FloatArray) -> ViewMask:
    return ViewMask(pixels, 0.5, None, prior.astype(np.float32), np.zeros(SIZE, dtype=bool))


def test_a_pixel_of_two_goes_to_the_larger_projection() -> None:
    """The projections are reduced to a half; of equals the first wins."""
    left, right = np.zeros((2, *SIZE), dtype=bool)
    left[:, :8], right[:, 4:] = True, True
    prior = np.zeros((4, 6))
    stronger = prior + np.array([0.2, 0.2, 0.9, 0.1, 0.1, 0.1])
    for second, owner in ((prior + 0.5, None), (stronger, 0)):
        one, two = without_overlap([{3: found(left, stronger)}, {3: found(right, second)}])
        assert not (one[3].pixels & two[3].pixels).any()
        np.testing.assert_array_equal(one[3].pixels | two[3].pixels, left | right)
        assert one[3].pixels[:, :4].all()  # what only one of them has stays
        assert two[3].pixels[:, 8:].all()
        if owner == 0:
            assert one[3].pixels[:, 4:8].all()
        else:
            assert one[3].pixels[:, 4:6].all()
            assert two[3].pixels[:, 7].all()
        assert one[3].trust == 0.5


def test_three_that_overlap() -> None:
    everywhere = np.ones(SIZE, dtype=bool)
    apart = without_overlap([{0: found(everywhere, np.full((4, 6), share))} for share in (0.3, 0.8, 0.5)])
    assert [int(masks[0].pixels.sum()) for masks in apart] == [0, everywhere.size, 0]


def test_meshes_as_one() -> None:
    corners, face = np.eye(3), np.array([[0, 1, 2]])
    one = Mesh(corners, face, np.full((3, 3), 7, np.uint8), np.array([1, 2, 3]))
    both = joined([one, Mesh(corners + 1, face, np.full((3, 3), 9, np.uint8), np.array([4, 5, 6]))])
    assert both.faces.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert both.vertices[3:].tolist() == (corners + 1).tolist()
    assert both.colors is not None
    assert both.seen is not None
    assert (both.colors[:, 0].tolist(), both.seen.tolist()) == ([7, 7, 7, 9, 9, 9], [1, 2, 3, 4, 5, 6])
    assert joined([one, Mesh(corners, face)]).colors is None


def test_what_lies_under_clicks_on_others_is_refused() -> None:
    size = (20, 30)
    cameras = Cameras(*ring_cameras(2, size), size)
    depth = np.full(size, 3.0, np.float32)
    opacity = np.ones(size, np.float32)
    opacity[:, :5] = 0.0  # no surface
    seen = {view: Projection(view, 0 * depth, depth, opacity, depth < 0) for view in (0, 1)}
    own = {0: Prompts(0, np.array([[15.0, 10.0], [25.0, 10.0]]), np.array([1, 0]))}
    others = (Prompts(1, np.array([[20.0, 12.0], [2.0, 12.0]]), np.array([0, 0])),)
    positive, negative = _clicked(cameras, seen, FirstMasks({}, {}, own, others))
    assert (len(positive), len(negative)) == (1, 2)
    np.testing.assert_allclose(np.linalg.norm(negative[0] - cameras.centers[0]), 3.0, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(negative[1] - cameras.centers[1]), 3.0, rtol=1e-5)
    assert len(_clicked(cameras, seen, FirstMasks({}, {}, own))[1]) == 1


def test_one_object_without_surface_does_not_take_the_others_with_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    mesh = Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]]))

    def extract(model: object, matrix: object, config: object, visibility: object, part: object) -> Mesh:
        if visibility == "cup":
            raise InputError("there is no surface")
        return mesh

    monkeypatch.setattr(objects, "extract_mesh", extract)
    named = Objects(None, {"cup": "cup", "jug": "jug"})  # type: ignore[dict-item]
    arguments = (None, np.eye(4), ExportConfig())
    found = extract_objects(*arguments, named)  # type: ignore[arg-type]
    assert found == {"jug": mesh}
    assert "object cup has no mesh (there is no surface)" in caplog.text
    with pytest.raises(InputError, match="none of the objects has a surface: cup"):
        extract_objects(*arguments, Objects(None, {"cup": "cup"}))  # type: ignore[arg-type, dict-item]
