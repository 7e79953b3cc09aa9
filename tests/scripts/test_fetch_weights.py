"""scripts/fetch_weights.py: names, where the file goes, what is refused. Downloads: tests/segment/sam."""

from __future__ import annotations

from pathlib import Path

import pytest

from nto3d.segment.sam import published as sam_weights
from tests.scripts.conftest import Script
from tests.segment.sam.test_fetch import CONTENT, NAME, Server, server

__all__ = ["server"]  # the fixture


def mirror(server: Server) -> str:
    return f"mirror=http://127.0.0.1:{server.server_port}/segment_anything/"


def test_a_checkpoint_has_several_names(
    server: Server, script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"{NAME}.pth"
    assert script("fetch_weights", NAME, f"folder={tmp_path}", mirror(server)) == 0
    assert capfd.readouterr().out == f"wrote {path}\n"
    for name in (NAME, f"{NAME}.pth", "vit_b"):
        assert script("fetch_weights", name, f"folder={tmp_path}", mirror(server)) == 0
        assert capfd.readouterr().out == f"{path} is there already\n"
    assert server.asked == [(f"/segment_anything/{NAME}.pth", None)]
    path.write_bytes(CONTENT[:-1])
    server.status = 503
    assert script("fetch_weights", NAME, f"folder={tmp_path}", mirror(server)) == 2
    damaged, error = capfd.readouterr().err.splitlines()
    assert damaged.startswith(f"{path} is damaged ")
    assert error.startswith("error: ")


def test_it_goes_to_where_the_configuration_looks(
    server: Server, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sam_weights, "WEIGHTS_FOLDER", tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    assert script("fetch_weights", NAME, mirror(server)) == 0
    assert sam_weights.find_checkpoint(f"{NAME}.pth").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "expected one of sam_vit_h_4b8939"),
        (["sam_vit_x"], "sam_vit_x: unknown, expected one of"),
        (["vit_b", "vit_h"], "expected one of"),
        (["vit_b", "mirror=file:///tmp"], "mirror: expected http"),
        (["vit_b", "folder="], "folder is missing"),
    ],
)
def test_bad_arguments_are_one_line(
    script: Script, capfd: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert script("fetch_weights", *arguments) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert words in lines[0]
