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

from nto3d.errors import InputError
from nto3d.segment.sam import published as sam_weights
from nto3d.segment.sam.fetch import fetch

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


class Fetched:
    """What a fetch says, and warns of."""

    def __init__(self, folder: Path, server: Server | None = None, mirror: str | None = None) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []
        url = mirror or f"http://127.0.0.1:{server.server_port if server else 0}/segment_anything"
        self.path = fetch(NAME, folder, url, self.said.append, self.warned.append)


def refusal(folder: Path, server: Server | None = None, mirror: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        Fetched(folder, server, mirror)
    return str(caught.value)


def test_a_whole_file(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "weights"
    assert Fetched(folder, server).said == [f"wrote {folder / NAME}.pth"]
    assert (folder / f"{NAME}.pth").read_bytes() == CONTENT
    assert [file.name for file in folder.iterdir()] == [f"{NAME}.pth"]
    assert server.asked == [(f"/segment_anything/{NAME}.pth", None)]
    again = Fetched(folder, server)
    assert again.said == [f"{again.path} is there already"]
    assert len(server.asked) == 1


def test_an_interrupted_download_goes_on(server: Server, tmp_path: Path) -> None:
    server.cut = 1_000_000
    line = refusal(tmp_path, server)
    assert "1,000,000 of 3,000,000 bytes" in line
    assert "call again to go on" in line
    part = tmp_path / f"{NAME}.pth.part"
    assert part.read_bytes() == CONTENT[:1_000_000]
    assert not (tmp_path / f"{NAME}.pth").exists()
    server.cut = 0
    Fetched(tmp_path, server)
    assert server.asked[-1][1] == "bytes=1000000-"
    assert (tmp_path / f"{NAME}.pth").read_bytes() == CONTENT
    assert not part.exists()


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("have", [CONTENT[:500], CONTENT, CONTENT + b"more"], ids=["some", "all", "too much"])
def test_whatever_lies_there_already(server: Server, tmp_path: Path, have: bytes, ranges: bool) -> None:
    server.ranges = ranges
    (tmp_path / f"{NAME}.pth.part").write_bytes(have)
    assert Fetched(tmp_path, server).path.read_bytes() == CONTENT


@pytest.mark.parametrize("have", [b"", b"other bytes"])
def test_a_wrong_hash(server: Server, tmp_path: Path, have: bytes) -> None:
    if have:
        (tmp_path / f"{NAME}.pth.part").write_bytes(have)
    else:
        server.content = CONTENT[::-1]
    assert f"SHA-256 begins with {sam_weights.PUBLISHED[NAME]}" in refusal(tmp_path, server)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_fetched_again(server: Server, tmp_path: Path) -> None:
    path = tmp_path / f"{NAME}.pth"
    path.write_bytes(CONTENT[:-1])
    server.status = 503
    assert "the server answers 503" in refusal(tmp_path, server)
    assert path.is_file()
    server.status = 200
    (line,) = Fetched(tmp_path, server).warned
    assert line.startswith(f"{path} is damaged ")
    assert path.read_bytes() == CONTENT


def test_no_such_file(server: Server, tmp_path: Path) -> None:
    server.status = 404
    line = refusal(tmp_path, server)
    assert "404" in line
    assert f"put {NAME}.pth" in line
    assert list(tmp_path.iterdir()) == []


def test_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = taken.getsockname()[1]
    line = refusal(tmp_path, mirror=f"http://127.0.0.1:{closed}")
    assert "the download failed" in line
    assert f"put {NAME}.pth (from https://dl.fbaipublicfiles.com/segment_anything/{NAME}.pth) into {tmp_path}" in line
