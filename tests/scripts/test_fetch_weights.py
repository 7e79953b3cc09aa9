"""Fetching weights, from a server on this machine: whole, resumed, wrong, cut off, absent, and without network."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from nto3d.segment.sam import published as sam_weights
from tests.scripts.conftest import Script

NAME = "sam_vit_b_01ec64"
CONTENT = np.random.default_rng(0).bytes(3_000_000)


class Server(ThreadingHTTPServer):
    """Serves `content` at every path; how is set by its attributes, and what was asked is kept in `asked`."""

    content = CONTENT
    ranges = True  # understands Range
    cut = 0  # bytes after which it hangs up, 0: never
    status = 200
    asked: list[tuple[str, str | None]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        if self.server.status != 200:
            self.send_error(self.server.status)
            return
        content, first = self.server.content, 0
        if wanted and self.server.ranges:
            match = re.fullmatch(r"bytes=(\d+)-", wanted)
            assert match is not None
            first = int(match[1])
            if first >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        rest = content[first:]
        self.wfile.write(rest[: self.server.cut] if self.server.cut else rest)

    def log_message(self, *arguments: object) -> None:
        return


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setitem(sam_weights.PUBLISHED, NAME, hashlib.sha256(CONTENT).hexdigest()[:6])
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def mirror(server: Server) -> str:
    return f"mirror=http://127.0.0.1:{server.server_port}/segment_anything"


def one_line(capfd: pytest.CaptureFixture[str]) -> str:
    """The error's line: the last; a progress bar may stand above it."""
    lines = capfd.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:]
    return lines[-1]


def test_a_whole_file(server: Server, script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "weights"
    assert script("fetch_weights", NAME, f"folder={folder}", mirror(server)) == 0
    assert (folder / f"{NAME}.pth").read_bytes() == CONTENT
    assert [file.name for file in folder.iterdir()] == [f"{NAME}.pth"]
    assert server.asked == [(f"/segment_anything/{NAME}.pth", None)]
    assert "wrote" in capfd.readouterr().out
    for name in (NAME, f"{NAME}.pth", "vit_b"):
        assert script("fetch_weights", name, f"folder={folder}", mirror(server)) == 0
        assert "is there already" in capfd.readouterr().out
    assert len(server.asked) == 1


def test_goes_to_where_the_configuration_looks(
    server: Server, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sam_weights, "WEIGHTS_FOLDER", tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    assert script("fetch_weights", NAME, mirror(server)) == 0
    assert sam_weights.find_checkpoint(f"{NAME}.pth").read_bytes() == CONTENT


def test_an_interrupted_download_goes_on(
    server: Server, script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    server.cut = 1_000_000
    assert script("fetch_weights", NAME, f"folder={tmp_path}", mirror(server)) == 2
    line = one_line(capfd)
    assert "1,000,000 of 3,000,000 bytes" in line
    assert "call again to go on" in line
    part = tmp_path / f"{NAME}.pth.part"
    assert part.read_bytes() == CONTENT[:1_000_000]
    assert not (tmp_path / f"{NAME}.pth").exists()
    server.cut = 0
    assert script("fetch_weights", NAME, f"folder={tmp_path}", mirror(server)) == 0
    assert server.asked[-1][1] == "bytes=1000000-"
    assert (tmp_path / f"{NAME}.pth").read_bytes() == CONTENT
    assert not part.exists()


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("have", [CONTENT[:500], CONTENT, CONTENT + b"more"], ids=["some", "all", "too much"])
def test_whatever_lies_there_already(server: Server, script: Script, tmp_path: Path, have: bytes, ranges: bool) -> None:
    server.ranges = ranges
    (tmp_path / f"{NAME}.pth.part").write_bytes(have)
    assert script("fetch_weights", NAME, f"folder={tmp_path}", mirror(server)) == 0
    assert (tmp_path / f"{NAME}.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("have", [b"", b"other bytes"])
def test_a_wrong_hash(
    server: Server, script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str], have: bytes
) -> None:
    if have:
        (tmp_path / f"{NAME}.pth.part").write_bytes(have)
    else:
        server.content = CONTENT[::-1]
    assert script("fetch_weights", NAME, f"folder={tmp_path}", mirror(server)) == 2
    assert f"SHA-256 begins with {sam_weights.PUBLISHED[NAME]}" in one_line(capfd)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_fetched_again(
    server: Server, script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"{NAME}.pth"
    path.write_bytes(CONTENT[:-1])
    server.status = 503
    assert script("fetch_weights", NAME, f"folder={tmp_path}", mirror(server)) == 2
    assert path.is_file()
    server.status = 200
    assert script("fetch_weights", NAME, f"folder={tmp_path}", mirror(server)) == 0
    assert "damaged" in capfd.readouterr().err
    assert path.read_bytes() == CONTENT


def test_no_such_file(server: Server, script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    server.status = 404
    assert script("fetch_weights", NAME, f"folder={tmp_path}", mirror(server)) == 2
    line = one_line(capfd)
    assert "404" in line
    assert f"put {NAME}.pth" in line
    assert list(tmp_path.iterdir()) == []


def test_without_network(
    script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = taken.getsockname()[1]
    assert script("fetch_weights", NAME, f"folder={tmp_path}", f"mirror=http://127.0.0.1:{closed}") == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "the download failed" in lines[0]
    assert (
        f"put {NAME}.pth (from https://dl.fbaipublicfiles.com/segment_anything/{NAME}.pth) into {tmp_path}" in lines[0]
    )


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
