"""Files are written beside their place under names that nobody can foresee."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from nto3d.errors import InputError
from nto3d.files import open_temporary, remove_temporaries, write_atomic


def names_while_writing(monkeypatch: pytest.MonkeyPatch, path: Path) -> list[str]:
    """The names that a folder holds when a file is whole and has not its name yet."""
    seen: list[str] = []
    replace = Path.replace

    def look(self: Path, target: Path) -> Path:
        seen.extend(entry.name for entry in path.parent.iterdir())
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", look)
        write_atomic(path, "new")
    assert path.read_text() == "new"
    return [name for name in seen if name != path.name]


def test_no_two_temporary_names_are_alike_and_the_old_one_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".mesh.ply.tmp").symlink_to(victim)
    found = [
        name
        for _ in range(3)
        for name in names_while_writing(monkeypatch, folder / "mesh.ply")
        if name != ".mesh.ply.tmp"
    ]
    assert len(set(found)) == 3
    assert all(re.fullmatch(r"\.mesh\.ply\.[0-9a-f]{16}\.tmp", name) for name in found)
    assert victim.read_text() == "precious"
    assert sorted(entry.name for entry in folder.iterdir()) == [".mesh.ply.tmp", "mesh.ply"]


def test_a_link_at_a_name_that_was_guessed_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", lambda count: bytes(count))
    for name, target in (("a", tmp_path / "victim"), ("b", tmp_path / "nowhere")):
        (tmp_path / f".{name}.{bytes(8).hex()}.tmp").symlink_to(target)
    (tmp_path / "victim").write_text("precious")
    for name in ("a", "b"):
        with pytest.raises(InputError, match=f"cannot write .*{name}: File exists"):
            write_atomic(tmp_path / name, "new")
        assert not (tmp_path / name).exists()
    assert (tmp_path / "victim").read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


def test_files_have_the_rights_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "a", "x")
        beside = open_temporary(tmp_path / "b")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a", beside)] == [0o640, 0o640]


def test_only_our_own_leftovers_are_removed(tmp_path: Path) -> None:
    ours = [open_temporary(tmp_path / name) for name in ("a.png", "x" * 200, "\u00e4" * 100, "a.tmp")]
    theirs = [".a.png.tmp", ".a.png.0123.tmp", "a.0123456789abcdef.tmp", ".a.0123456789ABCDEF.tmp", "notes.tmp"]
    for name in theirs:
        (tmp_path / name).write_text("mine")
    assert all(path.exists() for path in ours)
    remove_temporaries(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(theirs)
    remove_temporaries(tmp_path / "gone")
