"""Memory that runs out is told from other errors, and what asked for it is named."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from nto3d.errors import InputError, memory_of, out_of_memory

MOST = 2**46  # bytes, more than there are


def numpys() -> object:
    return np.empty(MOST, dtype=np.uint8)


def torchs() -> object:
    return torch.empty(MOST, dtype=torch.uint8)


def opencvs() -> object:
    raise cv2.error(
        "OpenCV(4.12) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 70368744177664 bytes"
    )


def warps() -> object:
    raise RuntimeError("Failed to allocate 70368744177664 bytes on device 'cpu'")


@pytest.mark.parametrize("allocate", [numpys, torchs, opencvs, warps])
def test_every_allocator_s_error_names_the_key_and_the_size(allocate: object) -> None:
    assert callable(allocate)
    with pytest.raises(InputError) as told, memory_of("single.batch=9, places at a time", "lower it"):
        allocate()
    words = "single.batch=9, places at a time: there is not enough memory for it, 7.04e+04 GB at once; lower it"
    assert str(told.value) == words
    assert out_of_memory(told.value.__cause__ or ValueError())


def test_the_innermost_name_counts_and_a_size_may_be_missing() -> None:
    words = r"^inner: there is not enough memory for it; less$"
    with pytest.raises(InputError, match=words), memory_of("outer", "more"), memory_of("inner", "less"):
        raise MemoryError


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), InputError("a.npy: cannot allocate memory"), OSError(12)]
)
def test_other_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as passed, memory_of("key", "lower it"):
        raise error
    assert passed.value is error
