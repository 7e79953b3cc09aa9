"""What a lift is unsure of: kept in pixels of the picture file, read again, and said in one line."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from nto3d.config.compose import compose_config
from nto3d.errors import InputError
from nto3d.runs.lift.confidence import StoredConfidence, log_confidence, read_confidence, write_confidence
from nto3d.stages.lift.confidence import Confidence


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lift").mkdir()
    return tmp_path


@pytest.mark.parametrize(("factor", "expected"), [(1, (10.0, 4.0)), (2, (20.5, 8.5)), (4, (41.5, 17.5))])
def test_the_place_is_kept_in_pixels_of_the_picture_file(
    folder: Path, factor: int, expected: tuple[float, float]
) -> None:
    written = write_confidence(folder, Confidence(0.75, 3, np.array([10.0, 4.0])), factor)
    assert written == read_confidence(folder) == StoredConfidence(0.75, 3, expected)


def test_nothing_in_doubt(folder: Path) -> None:
    write_confidence(folder, Confidence(0.98765), 1)
    assert read_confidence(folder) == StoredConfidence(0.9877, None, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected confidence, view and point"),
        ("[]", "expected confidence, view and point"),
        ('{"confidence": 1}', "expected the keys confidence, view, point; view is missing"),
        ('{"confidence": "0.5", "view": 1, "point": [1, 2]}', "confidence: expected a number, 0 to 1, got '0.5'"),
        ('{"confidence": NaN, "view": 1, "point": [1, 2]}', "confidence: expected a number, 0 to 1, got nan"),
        ('{"confidence": true, "view": 1, "point": [1, 2]}', "confidence: expected a number, 0 to 1, got True"),
        ('{"confidence": 1, "view": 1.5, "point": [1, 2]}', "view: expected a whole number"),
        ('{"confidence": 1, "view": -1, "point": [1, 2]}', "view: expected a whole number"),
        ('{"confidence": 1, "view": 1, "point": [1, 2, 3]}', "point: expected a list of 2, got a list of 3"),
        ('{"confidence": 1, "view": 1, "point": [1, null]}', r"point\[1\]: expected a number, .* got None"),
        (f'{{"confidence": 1, "view": 1{"0" * 400}, "point": null}}', "view: .* got a number of 1329 bits"),
        (f'{{"confidence": 1, "view": 1, "point": [1{"0" * 400}, 1]}}', r"point\[0\]: .* got a number of 1329 bits"),
    ],
    ids=range(12),
)
def test_a_broken_file(folder: Path, text: str, words: str) -> None:
    (folder / "lift" / "confidence.json").write_text(text)
    with pytest.raises(InputError, match=rf"lift/confidence\.json: .*{words}") as caught:
        read_confidence(folder)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lift/confidence\.json: expected confidence, view and point.* no such file"):
        read_confidence(tmp_path)


@pytest.mark.parametrize(
    ("doubt", "name", "level", "words"),
    [
        (StoredConfidence(0.95, 3, (10.0, 4.5)), "", logging.INFO, ["0.95"]),
        (
            StoredConfidence(0.75, 3, (10.0, 4.5)),
            "",
            logging.WARNING,
            ["0.75", "lift.sure=0.8", "view 3 at [10, 4.5]", "annotate.py suggest=true run=runs/a shows"],
        ),
        (StoredConfidence(0.75, 3, (10.0, 4.5)), "cup", logging.WARNING, ["run=runs/a object=cup"]),
        (StoredConfidence(0.75, None, None), "", logging.WARNING, ["0.75", "more clicks"]),
    ],
)
def test_doubt_is_said_in_one_line(
    caplog: pytest.LogCaptureFixture, doubt: StoredConfidence, name: str, level: int, words: list[str]
) -> None:
    config = compose_config(["lift.sure=0.8", "output=runs/a"])
    with caplog.at_level(logging.INFO, logger="nto3d"):
        log_confidence(doubt, config, name)
    (record,) = caplog.records
    assert record.levelno == level
    assert [word for word in words if word not in record.getMessage()] == []
    assert "\n" not in record.getMessage()
