"""Where the kernels' tests run, and how close float32 has to come."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
DEVICES = [torch.device("cpu"), pytest.param(torch.device("cuda"), marks=[pytest.mark.gpu, needs_cuda], id="cuda")]


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    """Compares float32 values with a reference, relative to the largest value of each last-axis column.

    Levels of a hash grid lie in different columns and differ in size by orders of magnitude.
    """
    assert actual.shape == expected.shape
    actual, expected = actual.detach().cpu().double(), expected.detach().cpu().double()
    columns = expected.shape[-1] if expected.ndim > 1 else 1
    error = (actual - expected).abs().reshape(-1, columns).amax(dim=0)
    size = expected.abs().reshape(-1, columns).amax(dim=0)
    assert bool((error <= tolerance * size + 1e-12).all()), f"off by {error.tolist()}, values up to {size.tolist()}"
