"""Fetching a published checkpoint: an interrupted download goes on, and a file gets its name only when it is whole."""

from __future__ import annotations

import http.client
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from nto3d.errors import InputError
from nto3d.segment.sam.published import MIRROR, PUBLISHED, file_hash

CHUNK = 1 << 20  # bytes
TIMEOUT = 30.0  # seconds without a byte
PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416
COLUMNS = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
Say = Callable[[str], None]


def fetch(name: str, folder: Path, mirror: str, say: Say, warn: Say) -> Path:
    """Download `mirror/NAME.pth` into `folder`, or do nothing where it is already there.

    Args:
        name: a key of PUBLISHED. say: is told what was done. warn: is told of a damaged file.

    Raises:
        InputError: there is no network or no such file, it cannot be written, or its hash is wrong.
    """
    path, url, digits = folder / f"{name}.pth", f"{mirror}/{name}.pth", PUBLISHED[name]
    if path.is_file():
        if has_hash(path, digits):
            say(f"{path} is there already")
            return path
        warn(f"{path} is damaged (its SHA-256 does not begin with {digits}), fetching it again")
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        download(url, part)
    except urllib.error.HTTPError as error:
        raise InputError(f"{url}: the server answers {error.code} {error.reason}; {_by_hand(path)}") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise InputError(f"{url}: the download failed ({reason}); call again to go on; {_by_hand(path)}") from error
    if not has_hash(part, digits):
        part.unlink()
        raise InputError(f"{url}: expected a file whose SHA-256 begins with {digits}, got another; it was deleted")
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
    say(f"wrote {path}")
    return path


def download(url: str, part: Path) -> None:
    """Download a file to `part`, after the bytes that are there already.

    Raises:
        urllib.error.URLError: there is no connection, or (HTTPError) no such file.
        http.client.HTTPException: the connection ended before the file did, or the server sent something else.
        InputError: the disk is too full.
    """
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != RANGE_NOT_SATISFIABLE or not have:
            raise
        error.close()
        if _content_range(error.headers)[1] == have:
            return  # nothing is missing
        part.unlink()  # longer than the file: something else
        download(url, part)
        return
    with response:
        start = _content_range(response.headers)[0] if response.status == PARTIAL_CONTENT else 0
        if start not in (0, have):  # a server that knows no ranges begins at 0
            raise http.client.HTTPException(f"asked for the bytes from {have} on, got those from {start}")
        length = response.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        free = shutil.disk_usage(part.parent).free + have - start
        if total is not None and total - start > free:
            raise InputError(f"{part.parent}: expected room for {total - start:,} bytes, {free:,} are free")
        with part.open("ab" if start else "wb") as file, Progress(*COLUMNS, console=Console(stderr=True)) as bar:
            task = bar.add_task(part.name.removesuffix(".part"), total=total, completed=start)
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.advance(task, len(chunk))
    size = part.stat().st_size
    if total is not None and size < total:
        raise http.client.HTTPException(f"it ended after {size:,} of {total:,} bytes")


def has_hash(path: Path, digits: str) -> bool:
    """Whether the SHA-256 of a file begins with these hexadecimal digits."""
    return file_hash(path).startswith(digits)


def _content_range(headers: Message) -> tuple[int, int | None]:
    """First byte and length of the whole file, from `bytes FIRST-LAST/LENGTH` or `bytes */LENGTH`."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", headers.get("Content-Range", ""))
    if match is None:
        return 0, None
    first, length = match.groups()
    return int(first or 0), None if length == "*" else int(length)


def _by_hand(path: Path) -> str:
    return f"without network, put {path.name} (from {MIRROR}/{path.name}) into {path.parent}"
