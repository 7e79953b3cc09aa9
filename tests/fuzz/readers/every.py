"""All readers by name."""

from __future__ import annotations

from tests.fuzz.harness import Reader
from tests.fuzz.readers.files import FILES
from tests.fuzz.readers.runs import RUNS
from tests.fuzz.readers.scenes import SCENES
from tests.fuzz.readers.weights import WEIGHTS

READERS: dict[str, Reader] = SCENES | FILES | RUNS | WEIGHTS
