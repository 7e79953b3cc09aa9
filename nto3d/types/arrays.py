"""The kinds of NumPy arrays, and how a wrong shape is refused."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]
ByteArray = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.integer]


def expect(condition: bool, what: str, came: object) -> None:
    """Raises ValueError, which says what was expected and what came, unless the condition holds."""
    if not condition:
        raise ValueError(f"expected {what}, got {came}")
