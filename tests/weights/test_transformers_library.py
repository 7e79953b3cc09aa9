"""The package transformers: missing, or beside a torchvision that does not load."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from nto3d.depth.mono import MonoDepth
from nto3d.errors import InputError
from nto3d.weights.transformers_library import hide_broken_torchvision


def test_a_missing_package_is_said_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=r"transformers, which is not installed: pip install transformers==5\.23\.0"):
        MonoDepth("owner/some-depth")


def test_a_package_that_does_not_load_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "transformers.py").write_text("import a_module_that_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.split(".")[0] == "transformers"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(InputError, match=r"which cannot be imported \(No module named 'a_module_that_nobody_has'\)"):
        MonoDepth("owner/some-depth")


def test_a_torchvision_that_does_not_load_counts_as_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "part.py").write_text("")
    broken = "import torchvision.part\nraise RuntimeError('operator torchvision::nms does not exist')\n"
    (package / "__init__.py").write_text(broken)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    hide_broken_torchvision()
    assert isinstance(sys.modules["torchvision"], ModuleType)  # one that was loaded stays
    del sys.modules["torchvision"]
    hide_broken_torchvision()
    assert sys.modules["torchvision"] is None
    assert "torchvision.part" not in sys.modules
    del sys.modules["torchvision"]
    (package / "__init__.py").write_text("works = True\n# another length\n")
    hide_broken_torchvision()
    assert sys.modules["torchvision"].works
