"""What a file declares is refused before anything is unpacked or allocated for it."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nto3d.data.dtu import read_dtu
from nto3d.errors import InputError
from nto3d.parsers.archives import Archive, read_npy
from nto3d.parsers.meshes import load_mesh, load_ply_vertices
from nto3d.parsers.pictures import open_picture
from nto3d.parsers.tensors import read_torch
from nto3d.parsers.text import read_json, read_json_object, read_yaml
from nto3d.runs.folder import load_run_config
from tests.helpers import ROOT, write_dtu_scene

HUGE = 2_100_000_000
MEASURED = """
import resource, sys, time
from pathlib import Path
from nto3d.data.dtu import read_dtu
from nto3d.errors import InputError
before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
try:
    read_dtu(Path(sys.argv[1]))
except InputError as error:
    print(error)
print(time.perf_counter() - began, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def bomb(path: Path, name: str, header: bytes = b"") -> None:
    """A zip of 2 MB whose member unpacks to 2.1 GB of zeros."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(name, "w", force_zip64=True) as member,
    ):
        member.write(header)
        block = bytes(1 << 20)
        for _ in range(HUGE >> 20):
            member.write(block)


def npy_header(shape: tuple[int, ...], dtype: str = "<f8") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text.encode() + b"\n"


def test_a_zip_bomb_is_refused_at_once(tmp_path: Path) -> None:
    scene = write_dtu_scene(tmp_path / "ball", views=2).path
    bomb(scene / "cameras_sphere.npz", "world_mat_0.npy", npy_header((16384, 16384)))
    with zipfile.ZipFile(scene / "cameras_sphere.npz", "a") as archive:
        for name in ("world_mat_1", "scale_mat_0", "scale_mat_1"):
            archive.writestr(f"{name}.npy", npy_header((4, 4)) + np.eye(4).tobytes())
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(scene)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    message, figures = done.stdout.strip().splitlines()
    seconds, megabytes = map(float, figures.split())
    assert "cameras_sphere.npz: expected at most" in message
    assert "world_mat_0 declares 2,099,249,228" in message
    assert seconds < 2
    assert megabytes < 200


def png(width: int, height: int, data: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


PLY = "ply\nformat {} 1.0\nelement vertex {}\nproperty float x\nproperty float y\nproperty float z\nend_header\n"


def glb(tree: dict[str, object]) -> bytes:
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text), len(text), b"JSON") + text


def picture(path: Path) -> None:
    with open_picture(path) as opened:
        opened.load()


def packed_torch() -> bytes:
    stored, packed = io.BytesIO(), io.BytesIO()
    torch.save({"a": torch.zeros(4)}, stored)
    with zipfile.ZipFile(stored) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    return packed.getvalue()


def bytes_of_a_number() -> bytes:
    """A checkpoint that asks for 2 GB of zeros in 60 bytes."""
    code = b"\x80\x02c__builtin__\nbytearray\nJ" + struct.pack("<i", 2_000_000_000) + b"\x85R."
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", code)
        archive.writestr("archive/version", b"3\n")
    return content.getvalue()


def many_members() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a", b"")
    data = content.getvalue()
    place, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    directory = data[place:end] * 100_000
    tail = bytearray(data[end:])
    struct.pack_into("<I", tail, 12, len(directory))
    return data[:place] + directory + bytes(tail)


BOMBS: dict[str, tuple[str, bytes, Callable[[Path], object], str]] = {
    "npy": (
        "a.npy",
        npy_header((10**9, 100)),
        lambda p: read_npy(p, "x", 1 << 30),
        "its header declares 800,000,000,000",
    ),
    "npy, shape 10^30": ("a.npy", npy_header((10**30,)), lambda p: read_npy(p, "x", 1 << 30), "declares 8,000"),
    "npy, more than there is": ("a.npy", npy_header((1 << 20,)), lambda p: read_npy(p, "x", 1 << 30), "there are"),
    "npy, negative": ("a.npy", npy_header((-1, 4)), lambda p: read_npy(p, "x", 1 << 30), r"shape \(-1, 4\)"),
    "png": ("a.png", png(60000, 60000, b""), picture, "exceeds limit"),
    "png, above the limit": ("a.png", png(12000, 14000, b""), picture, "at most 160,000,000 pixels"),
    "png, more than its bytes": ("a.png", png(12000, 12000, b""), picture, "12000 x 12000 pixels in"),
    "ply": (
        "a.ply",
        PLY.format("binary_little_endian", 10**9).encode(),
        lambda p: load_ply_vertices(p, "x"),
        "declares 12,0",
    ),
    "ply, text": ("a.ply", PLY.format("ascii", 10**9).encode(), lambda p: load_mesh(p, "x"), "declares 6,000"),
    "ply, negative": ("a.ply", PLY.format("ascii", -5).encode(), lambda p: load_mesh(p, "x"), "-5 of vertex"),
    "glb, accessor": (
        "a.glb",
        glb({"accessors": [{"bufferView": 0, "count": 10**9, "componentType": 5126, "type": "VEC3"}]}),
        lambda p: load_mesh(p, "x"),
        "an accessor declares",
    ),
    "glb, no bytes behind it": (
        "a.glb",
        glb({"accessors": [{"count": 10**9, "componentType": 5126, "type": "VEC3"}]}),
        lambda p: load_mesh(p, "x"),
        "sparse",
    ),
    "torch, packed": ("a.pt", packed_torch(), lambda p: read_torch(p, "x"), "is packed"),
    "torch, bytes of a number": ("a.pt", bytes_of_a_number(), lambda p: read_torch(p, "x"), "bytes of a number"),
    "npz, members": ("a.npz", many_members(), lambda p: Archive(p, "x", 1), "its directory declares"),
    "torch, members": ("a.pt", many_members(), lambda p: read_torch(p, "x"), "its directory declares"),
    "json, lists": (
        "a.json",
        b"[" + b"[]," * (1 << 21) + b"[]]",
        lambda p: read_json(p, "x"),
        "at most 4,194,304 bytes",
    ),
    "json, deep": ("a.json", b"[" * 200_000, lambda p: read_json(p, "x"), "RecursionError"),
    "json, a list": ("a.json", b"[1]", lambda p: read_json_object(p, "x"), "an object, got list"),
    "yaml, deep": (
        "a.yaml",
        b"".join(b" " * n + b"a:\n" for n in range(99)),
        lambda p: read_yaml(p, "x"),
        "nested at most",
    ),
    "yaml, aliases": (
        "a.yaml",
        b"a: &a [1, 1]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c, c, c - 1, c - 1) for c in range(98, 122)),
        lambda p: read_yaml(p, "x"),
        "without aliases",
    ),
    "yaml, large": ("a.yaml", b"a: 1\n" * 200_000, lambda p: read_yaml(p, "x"), "at most 65,536 bytes"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_what_is_declared_is_refused_before_it_is_made(tmp_path: Path, kind: str) -> None:
    name, content, read, words = BOMBS[kind]
    path = tmp_path / name
    path.write_bytes(content)
    began = time.perf_counter()
    with pytest.raises(InputError, match=words) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert time.perf_counter() - began < 2


def test_a_member_longer_than_its_header_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", npy_header((2,)) + bytes(64))
    with pytest.raises(InputError, match="longer than its header"):
        Archive(path, "x", 1 << 20).read(["a"])


@pytest.mark.parametrize("method", [99, 12])
def test_foreign_compression_and_encryption_are_one_line(tmp_path: Path, method: int) -> None:
    scene = write_dtu_scene(tmp_path / "ball", views=2).path
    path = scene / "cameras_sphere.npz"
    content = bytearray(path.read_bytes())
    place = content.rfind(b"PK\x01\x02")
    if method == 99:
        content[place + 10 : place + 12] = struct.pack("<H", method)
    else:
        content[place + 8] |= 1  # encrypted
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"cameras_sphere\.npz: expected an npz archive of cameras, it is damaged"):
        read_dtu(scene)


def test_configurations_nested_deep_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("scene: " + "{a: " * 60 + "1" + "}" * 60)
    with pytest.raises(InputError, match=r"config\.yaml: "):
        load_run_config(tmp_path)


def test_whole_files_are_read_to_the_bit(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((3, 5)).astype(np.float32)
    np.savez_compressed(tmp_path / "a.npz", a=values, b=np.asfortranarray(values), c=np.array("text"))
    a, b, c = Archive(tmp_path / "a.npz", "x", 1 << 20).read(["a", "b", "c"])
    assert (a == values).all()
    assert (b == values).all()
    assert str(c) == "text"
    np.save(tmp_path / "a.npy", values)
    assert (read_npy(tmp_path / "a.npy", "x", 1 << 20) == values).all()
    pixels = (values * 255).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with open_picture(tmp_path / "a.png") as opened:
        assert (np.asarray(opened) == pixels).all()


def test_pictures_in_a_glb_are_not_unpacked(tmp_path: Path) -> None:
    import trimesh

    box = trimesh.creation.box()
    picture = Image.new("L", (4, 4))
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=picture)
    box.visual = trimesh.visual.TextureVisuals(uv=np.zeros((len(box.vertices), 2)), material=material)
    content = box.export(file_type="glb")
    small, bomb = io.BytesIO(), png(12000, 12000, bytes(12000 * 36001))
    picture.save(small, format="PNG")
    (length,) = struct.unpack_from("<I", content, 12)
    tree = json.loads(content[20 : 20 + length])
    view = tree["bufferViews"][tree["images"][0]["bufferView"]]
    rest = bytearray(content[20 + length :])
    view["byteOffset"], view["byteLength"] = len(rest) - 8, len(bomb)
    tree["buffers"][0]["byteLength"] = len(rest) - 8 + len(bomb)
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    rest += bomb + b" " * (-len(bomb) % 4)
    struct.pack_into("<I", rest, 0, len(rest) - 8)
    path = tmp_path / "a.glb"
    path.write_bytes(struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text) + len(rest), len(text), b"JSON") + text + rest)
    began = time.perf_counter()
    assert len(load_mesh(path, "x").faces) == 12
    assert time.perf_counter() - began < 1
