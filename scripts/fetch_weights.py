"""Fetch a published checkpoint of Segment Anything to where `segmenter.checkpoint` looks for it.

    python scripts/fetch_weights.py sam_vit_b_01ec64 [folder=FOLDER] [mirror=URL]

Names: sam_vit_b_01ec64 (375 MB), sam_vit_l_0b3195 (1.2 GB), sam_vit_h_4b8939 (2.6 GB), or short vit_b, vit_l, vit_h.
The file goes to `weights/` beside train.py. An interrupted download goes on with the next call; the file gets its name
only when it is whole and the beginning of its SHA-256, which is part of the name, is right. Without network, put the
file there by hand: it needs nothing else. `mirror=URL` fetches URL/NAME.pth instead of Meta's own.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from email.message import Message
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn  # noqa: E402

from nto3d.cli import guarded, pop_argument  # noqa: E402
from nto3d.errors import InputError  # noqa: E402
from nto3d.segment.sam import published as sam_weights  # noqa: E402

CHUNK = 1 << 20  # bytes
TIMEOUT = 30.0  # seconds without a byte
PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416
COLUMNS = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())


def fetch(name: str, folder: Path, mirror: str) -> Path:
    """Download `mirror/NAME.pth` into `folder`, or do nothing where it is already there.

    Raises:
        InputError: there is no network or no such file, it cannot be written, or its hash is wrong.
    """
    path, url, digits = folder / f"{name}.pth", f"{mirror}/{name}.pth", sam_weights.PUBLISHED[name]
    if path.is_file():
        if has_hash(path, digits):
            print(f"{path} is there already")
            return path
        print(f"{path} is damaged (its SHA-256 does not begin with {digits}), fetching it again", file=sys.stderr)
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
    print(f"wrote {path}")
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
    return sam_weights.file_hash(path).startswith(digits)


def main(argv: Sequence[str]) -> int:
    """Fetch the named checkpoint."""
    values = {"folder": str(sam_weights.WEIGHTS_FOLDER), "mirror": sam_weights.MIRROR}
    rest = list(argv)
    for key in values:
        if any(argument.startswith(f"{key}=") for argument in rest):
            values[key], rest = pop_argument(rest, key)
    known = ", ".join(sam_weights.PUBLISHED)
    if len(rest) != 1:
        raise InputError(f"expected one of {known}, got {' '.join(rest) or 'nothing'}")
    name = sam_weights.published_name(rest[0])
    if name is None:
        raise InputError(f"{rest[0]}: unknown, expected one of {known}")
    if not re.match(r"https?://", values["mirror"]):
        raise InputError(f"mirror: expected http://... or https://..., got {values['mirror']}")
    fetch(name, Path(values["folder"]).expanduser(), values["mirror"].rstrip("/"))
    return 0


def _content_range(headers: Message) -> tuple[int, int | None]:
    """First byte and length of the whole file, from `bytes FIRST-LAST/LENGTH` or `bytes */LENGTH`."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", headers.get("Content-Range", ""))
    if match is None:
        return 0, None
    first, length = match.groups()
    return int(first or 0), None if length == "*" else int(length)


def _by_hand(path: Path) -> str:
    return f"without network, put {path.name} (from {sam_weights.MIRROR}/{path.name}) into {path.parent}"


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
