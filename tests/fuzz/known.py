"""Inputs that readers once did not stand, made of their seeds; small ones that fuzzing found lie in corpus/READER/."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Callable

from tests.fuzz.mutate.archives import members, packed

Made = Callable[[bytes], bytes]


def _central(place: int, value: bytes) -> Made:
    """Other bytes in the last entry of a zip's directory."""

    def made(seed: bytes) -> bytes:
        start = seed.rfind(b"PK\x01\x02") + place
        return seed[:start] + value + seed[start + len(value) :]

    return made


def npy(header: str, data: bytes = bytes(128)) -> bytes:
    """An .npy with this header."""
    raw = header.encode("latin-1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(raw)) + raw + data


def _shape(shape: str, kind: str = "<f8") -> str:
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}\n"


def _member(content: bytes) -> Made:
    """Another first member of an .npz."""

    def made(seed: bytes) -> bytes:
        first, *rest = members(seed)
        return packed([(first[0], content), *rest], [zipfile.ZIP_STORED] * (len(rest) + 1))

    return made


def _broken_stream(seed: bytes) -> bytes:
    """A deflated archive whose first member is no stream of deflate."""
    found = packed(members(seed), [zipfile.ZIP_DEFLATED] * len(members(seed)))
    start = 30 + len(members(seed)[0][0])
    return found[:start] + b"\xff" * 8 + found[start + 8 :]


def _sizes(**other: object) -> Made:
    """Other sizes of a network in the metadata of its safetensors."""

    def made(seed: bytes) -> bytes:
        length = struct.unpack_from("<Q", seed)[0]
        tree = json.loads(seed[8 : 8 + length])
        tree["__metadata__"]["mcc_sizes"] = json.dumps(json.loads(tree["__metadata__"]["mcc_sizes"]) | other)
        header = json.dumps(tree).encode()
        return struct.pack("<Q", len(header)) + header + seed[8 + length :]

    return made


def _always(content: bytes) -> Made:
    return lambda seed: content


ALIASES = b"a: &a [1, 1]\n" + b"".join(b"%c: &%c [*%c, *%c]\n" % (c, c, c - 1, c - 1) for c in range(98, 122))
PLY = b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
KNOWN: dict[str, dict[str, Made]] = {
    "cameras": {
        "compression 99": _central(10, b"\x63\x00"),
        "encrypted": _central(8, b"\x01\x00"),
        "shape 10^30": _member(npy(_shape("(1" + "0" * 30 + ",)"))),
        "a header of other bytes": _member(npy("{'descr': '\xff\xfe'")),
        "a name of other bytes": lambda seed: seed.replace(b"world_mat_1", b"world_mat_\xff"),
        "version 9": _member(b"\x93NUMPY\x09\x00" + bytes(99)),
    },
    "depth_npy": {
        "a header that ends early": _always(npy("{'descr': '<f4', 'shape': (")),
        "a header nested deep": _always(npy("(" * 300)),
        "beyond float32": _always(npy(_shape("(6, 8)"), struct.pack("<d", 1e300) * 48)),
    },
    "depth_unit": {
        "nested deep": _always(b'{"depth":' * 50_000),
        "a large unit": _always(b'{"depth": {"scale": 1e300}}'),
        "a long text": _always(b'{"depth": {"scale": "%s"}}' % (b"x" * 9000)),
    },
    "check_points": {"a stream that is none": _broken_stream, "encrypted": _central(8, b"\x01\x00")},
    "gt_mesh": {
        "no elements": _always(b"ply\nformat ascii 1.0\nend_header\n"),
        "no format": lambda seed: seed.replace(b"format ", b"comment "),
        "a property of nothing": _always(b"ply\nformat ascii 1.0\nproperty float x\nend_header\n1\n"),
        "text that is no number": _always(PLY + b"end_header\nx y z\n"),
        "a picture that is gone": lambda seed: seed.replace(
            b"element vertex", b"comment TextureFile a.png\nelement vertex"
        ),
    },
    "run_config": {
        "nested deep": _always(b"scene: " + b"{a: " * 60 + b"1" + b"}" * 60),
        "nested deeper": _always(b"[" * 100_000),
        "aliases": _always(ALIASES),
        "text": _always(b"nothing"),
        "an unknown function": _always(b"seed: ${nobody:1}\nscene: {path: a}\noutput: b\n"),
    },
    "run_info": {
        "nested deep": _always(b"[" * 200_000),
        "no command": _always(b'[{"time": 1}]'),
        "a number": _always(b"7"),
    },
    "metrics": {"a list": _always(b"[1, 2]"), "a value that is none": _always(b'{"psnr": null}')},
    "scalars": {"a long cell": _always(b"step,name,value\n1,loss," + b"x" * 9000 + b"\n")},
    "mcc_safetensors": {
        "no heads": _sizes(heads=0),
        "a width of 10^9": _sizes(width=10**9),
        "a depth of 10^7": _sizes(depth=10**7),
        "a width of 1.5": _sizes(width=1.5, decoder_width=True),
        "a patch of 0": _sizes(patch=0),
        "a list": _sizes(frequencies=[1]),
        "text of Not a Number": _sizes(image=float("nan")),
    },
    "hf_config": {"a list as kind": _always(b'{"model_type": ["sam"]}')},
    "hf_index": {"a long name": _always(b'{"weight_map": {"a": "%s"}}' % (b"1" * 5000))},
    "hf_pictures": {"an infinite size": _always(b'{"size": {"longest_edge": 1e999}}')},
    "single_depth_npy": {
        "larger than float32 allows to compare": _always(
            npy(_shape("(6, 8)", "<f4"), struct.pack("<2f", 3e38, 1e38) * 24)
        ),
    },
    "overrides": {
        "lists in lists": _always(b"scene.test_views=[[1,2],[3]]"),
        "nested deep": _always(b"prompts.points=" + b"[" * 3000),
        "thousands of digits": _always(b"seed=" + b"1" * 5000),
    },
    "compose": {
        "a group by numbers": _always(b"segmenter=[1,2]\nscene.path=a"),
        "a group by a number": _always(b"segmenter=3\nscene.path=a"),
        "a group that no file can be called": _always(b"trainer=" + b"a" * 5000),
    },
    "command": {"a group by numbers": _always(b"segmenter=[1,2]\nscene.path=a\noutput=b")},
    "options": {
        "a long key of other bytes": _always(b"\xae\xe1" * 400 + b"=1"),
        "no number": _always(b"run=a\ncount=x"),
        "nothing as truth": _always(b"run=a\non=''"),
    },
}
