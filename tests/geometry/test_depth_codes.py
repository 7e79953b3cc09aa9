"""Which numbers of a depth map are codes for "unknown"."""

from __future__ import annotations

import numpy as np
import pytest

from nto3d.geometry.depth_codes import saturated, sentinels


@pytest.mark.parametrize("most", [255, 65535])
def test_the_largest_number_is_a_code_where_it_stands_apart(most: int) -> None:
    steps = np.array([0, most // 3, most // 2, most, most])
    assert saturated(steps, most).tolist() == [False, False, False, True, True]
    assert saturated(np.array([0, most]), most).tolist() == [False, True]
    assert not saturated(steps[:3], most).any()


@pytest.mark.parametrize("most", [255, 65535])
def test_a_map_that_is_stretched_to_all_numbers_ends_with_a_depth(most: int) -> None:
    assert not saturated(np.array([0, most // 2, most - most // 200, most]), most).any()


@pytest.mark.parametrize(
    ("depth", "expected"),
    [
        ([-1.0, 2.0, 3.0, -1.0], [-1.0]),
        ([-0.5, 2.0, -3.0], []),
        ([-1.0, -1.0], []),
        ([1e10, 2.0, 3.0, 1e10], [1e10]),
        ([1e10, 2.0, 3.0], []),
        ([5.0, 5.0, 2.0, 3.0], []),
        ([5.0, 5.0], []),
        ([np.nan, np.inf, 0.0], []),
        ([-9999.0, 1e10, 1e10, 3.4e38, 3.4e38, 2.0], [-9999.0, 3.4e38, 1e10]),
    ],
)
def test_floats_that_are_codes(depth: list[float], expected: list[float]) -> None:
    found, codes = sentinels(np.array(depth))
    assert codes == expected
    assert found.tolist() == [value in expected for value in depth]
