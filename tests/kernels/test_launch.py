"""Warp starts without a word about a GPU that nobody asked for, and with every other word."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
import warp as wp

from nto3d.kernels.launch import start
from tests.helpers import ROOT

LINES = b"Warp CUDA warning: Could not find or load the NVIDIA CUDA driver.\nWarp error: no such thing\nlast"


@pytest.mark.parametrize("cuda", [False, True])
def test_what_warp_s_library_prints(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, cuda: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(wp, "init", lambda: os.write(2, LINES))
    start.__wrapped__()
    assert capfd.readouterr().err.encode() == (LINES if cuda else LINES.partition(b"\n")[2])


def test_a_failure_is_raised_and_stderr_is_as_before(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("no library")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(wp, "init", fail)
    with pytest.raises(RuntimeError, match="no library"):
        start.__wrapped__()
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"


@pytest.mark.skipif(torch.cuda.is_available(), reason="where there is no GPU")
@pytest.mark.parametrize("module", ["nto3d.stereo.maps", "nto3d.data.synthetic"])
def test_nothing_is_printed_where_there_is_no_gpu(module: str) -> None:
    code = f"import warp as wp, {module}; wp.zeros(3, dtype=float, device='cpu')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
