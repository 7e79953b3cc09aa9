"""What a library has to say of a bad file besides is not printed."""

from __future__ import annotations

import contextlib
import io
import logging
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nto3d.errors import InputError
from nto3d.parsers.archives import read_npy
from nto3d.parsers.meshes import load_mesh, load_ply_vertices
from nto3d.parsers.pictures import open_picture
from nto3d.parsers.tensors import read_torch

PLY = b"ply\nformat ascii 1.0\n%belement vertex 3\nproperty %b x\nproperty float y\nproperty float z\n"
FACE = b"element face 1\nproperty list uchar int vertex_indices\nend_header\n%b 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"


def python2() -> bytes:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (2L, 3L)}\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(48)


def damaged_exif() -> bytes:
    buffer, exif = io.BytesIO(), b"Exif\0\0II*\0\x08\0\0\0\xff\0" + bytes(10)
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def odd_protocol() -> bytes:
    buffer = io.BytesIO()
    torch.save({"a": 1}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue().replace(b"\x80\x02", b"\x80\x41")


def opened(path: Path) -> None:
    with open_picture(path) as picture:
        picture.load()
        picture.getexif()


CASES: dict[str, tuple[str, bytes, Callable[[Path], object]]] = {
    "an npy of Python 2": ("a.npy", python2(), lambda path: read_npy(path, "x", 100)),
    "EXIF that is cut": ("a.jpg", damaged_exif(), opened),
    "a texture that is gone": (
        "a.ply",
        PLY % (b"comment TextureFile a.png\n", b"float") + FACE % b"0",
        lambda path: load_mesh(path, "x"),
    ),
    "vertices beyond a type": (
        "a.ply",
        PLY % (b"", b"int") + FACE % b"1e99",
        lambda path: load_ply_vertices(path, "x"),
    ),
    "vertices that are no numbers": ("a.obj", b"v nan nan nan\n" * 3 + b"f 1 2 3\n", lambda path: load_mesh(path, "x")),
    "another protocol": ("a.pt", odd_protocol(), lambda path: read_torch(path, "x", legacy=True)),
}


@pytest.mark.parametrize("kind", CASES)
def test_nothing_is_printed(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    name, content, read = CASES[kind]
    path = tmp_path / name
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for warning in (DeprecationWarning, ImportWarning):
            warnings.simplefilter("ignore", warning)
        with contextlib.suppress(InputError):
            read(path)
    assert capfd.readouterr().err == ""


def test_numpy_s_own_errors_are_not_touched() -> None:
    before = np.geterr()
    assert set(before.values()) <= {"warn", "ignore", "raise"}
    assert logging.getLogger("trimesh").handlers
