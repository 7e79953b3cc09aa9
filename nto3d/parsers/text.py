"""JSON, CSV and YAML: bounded in size and depth, YAML without aliases (which unfold without bound)."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import yaml

from nto3d.errors import InputError
from nto3d.parsers.guard import check_file, parsing, reason

MOST_JSON = 1 << 22  # bytes; of `[[],[],...` each takes twenty times as many
MOST_CSV = 1 << 28
MOST_YAML = 1 << 16  # a run's configuration takes a tenth
MOST_DEPTH = 64  # of YAML


def read_json(path: Path, expected: str, limit: int = MOST_JSON) -> Any:
    """What a JSON file holds; a byte-order mark is let by.

    Args:
        expected: of the file, in words. limit: bytes of the file.

    Raises:
        InputError: it cannot be read, is no JSON, or is nested too deep.
    """
    check_file(path, expected, limit)
    with parsing(path, expected):
        return json.loads(path.read_text(encoding="utf-8-sig"))


def read_json_object(path: Path, expected: str, limit: int = MOST_JSON) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        InputError: as `read_json`, or it holds something else than an object.
    """
    content = read_json(path, expected, limit)
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected {expected}, an object, got {type(content).__name__}")
    return content


def parse_json(text: str | None, source: Path, expected: str) -> Any:
    """JSON out of another file, such as its metadata.

    Raises:
        InputError: it is not there, is no JSON, or is nested too deep.
    """
    if text is None:
        raise InputError(f"{source}: expected {expected}, it is not there")
    with parsing(source, expected):
        return json.loads(text)


def read_csv(path: Path, expected: str) -> list[list[str]]:
    """The rows of a CSV file; a last line that a crash cut off is left out, bytes that are no UTF-8 are replaced.

    Raises:
        InputError: it cannot be read, or is no CSV.
    """
    check_file(path, expected, MOST_CSV)
    with parsing(path, expected):
        text = path.read_text(encoding="utf-8", errors="replace")
        return list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))


def read_yaml(path: Path, expected: str) -> Any:
    """What a YAML file holds: plain values, lists and dicts.

    Raises:
        InputError: it cannot be read, is no YAML, is too large or nested too deep, or has aliases.
    """
    check_file(path, expected, MOST_YAML)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    with parsing(path, expected):
        text = path.read_text(encoding="utf-8")
        try:
            depth = 0
            for event in yaml.parse(text, Loader=loader):
                depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
                if isinstance(event, yaml.AliasEvent):
                    raise InputError(f"{path}: expected {expected} without aliases, got *{event.anchor}")
                if depth > MOST_DEPTH:
                    raise InputError(f"{path}: expected {expected} nested at most {MOST_DEPTH} deep, got more")
            return yaml.load(text, Loader=loader)
        except yaml.YAMLError as error:
            raise InputError(f"{path}: expected {expected}, it is no YAML ({reason(error)})") from error
