"""Nobody calls a parser of files outside the guard."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "nto3d"
# As they are written in the source: the module that a parser is called by, and its name
PARSERS = {
    *("np.load", "np.loadtxt", "np.genfromtxt", "np.fromfile", "np.memmap", "numpy.load", "npy.read_array"),
    *("Image.open", "cv2.imread", "cv2.imdecode", "iio.imread", "imageio.imread"),
    *("trimesh.load", "trimesh.load_mesh", "trimesh.load_scene", "load_ply", "load_obj", "load_gltf"),
    *("json.load", "json.loads", "yaml.load", "yaml.safe_load", "yaml.full_load", "OmegaConf.load", "tomllib.load"),
    *("torch.load", "torch.jit.load", "safe_open", "load_file", "pickle.load", "pickle.loads"),
    *("zipfile.ZipFile", "zipfile.is_zipfile", "tarfile.open", "gzip.open", "zlib.decompress"),
    *("csv.reader", "csv.DictReader", "ElementTree.parse", "ElementTree.fromstring"),
}
OF_LIBRARIES = "from_pretrained"  # reads a folder of many files; its callers catch everything


def called(node: ast.Call) -> str:
    """What is called, as it is written: a name, or a module's attribute."""
    function = node.func
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return f"{function.value.id}.{function.attr}"
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def outside(source: str) -> list[str]:
    """The calls of parsers in a module, with their lines, that nothing guards."""
    tree, found, guarded = ast.parse(source), [], set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and any(_catches_all(handler) for handler in node.handlers):
            guarded |= {id(inner) for part in node.body for inner in ast.walk(part)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = called(node)
            loads = name.endswith(OF_LIBRARIES) and id(node) not in guarded
            writes = name == "zipfile.ZipFile" and any(
                isinstance(argument, ast.Constant) and argument.value == "w" for argument in node.args
            )
            if (name in PARSERS and not writes) or loads:
                found.append(f"line {node.lineno}: {name}")
    return found


def _catches_all(handler: ast.ExceptHandler) -> bool:
    return isinstance(handler.type, ast.Name) and handler.type.id == "Exception"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_parsers_are_called_in_their_room_alone(path: Path) -> None:
    if "parsers" not in path.relative_to(PACKAGE).parts:
        assert outside(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("import numpy as np\nnp.load('a')", 1),
        ("x = json.loads(open('a').read())", 1),
        ("with Image.open(path) as picture:\n    pass", 1),
        ("AutoModel.from_pretrained('a')", 1),
        ("try:\n    AutoModel.from_pretrained('a')\nexcept Exception:\n    raise", 0),
        ("zipfile.ZipFile(path, 'w')", 0),
        ("json.dumps({})", 0),
    ],
)
def test_what_counts_as_a_parser(source: str, count: int) -> None:
    assert len(outside(source)) == count
