"""Which views are held out for testing."""

from __future__ import annotations

from collections.abc import Sequence

from nto3d.errors import InputError

DTU_VIEW_COUNTS = (49, 64)
DTU_HELD_OUT = (8, 13, 16, 21, 26, 31, 34, 56)  # the protocol of SparseNeuS' and NTO3D's held-out evaluation
EVERY, FIRST = 8, 4  # otherwise every eighth view, from view 4: view 0, which prompts refer to, stays in training


def split(views: int, test_views: Sequence[int] | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Training and held-out views, each sorted.

    Args:
        views: how many views there are.
        test_views: the held-out views; an empty list holds out none. None: DTU's list for scenes of 49 or 64 views
            (those of it that exist), otherwise views 4, 12, 20, ...

    Raises:
        InputError: a held-out view does not exist, or fewer than two views are left to train on.
    """
    if test_views is None:
        chosen = DTU_HELD_OUT if views in DTU_VIEW_COUNTS else range(FIRST, views, EVERY)
        test = {view for view in chosen if view < views}
    else:
        test = set(test_views)
        outside = sorted(view for view in test if not 0 <= view < views)
        if outside:
            raise InputError(f"scene.test_views: expected views from 0 to {views - 1}, got {outside}")
    train = tuple(view for view in range(views) if view not in test)
    if len(train) < 2:
        raise InputError(
            f"scene.test_views: expected at least 2 views to train on, "
            f"got {len(train)} ({views} views, {len(test)} of them held out)"
        )
    return train, tuple(sorted(test))
