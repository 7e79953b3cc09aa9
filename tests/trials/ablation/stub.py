"""Stands in for the processes that train."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from nto3d.config.compose import compose_config
from nto3d.config.io import parse_overrides
from nto3d.errors import InputError
from nto3d.runs.folder import claim, write_run_info

# psnr: better by more than the spread (0.2); chamfer: worse; ssim: within; feature_cosine: of one field only
METRICS = {
    "neus": {"psnr": 30.0, "ssim": 0.9, "chamfer": 0.5, "train_seconds": 10.0, "peak_memory_gb": 1.0},
    "neus_feature": {"psnr": 31.0, "ssim": 0.9001, "chamfer": 0.6, "train_seconds": 15.0, "peak_memory_gb": 1.5},
}
STEPS = {"psnr": 0.2, "ssim": 0.01, "chamfer": 0.01, "train_seconds": 0.5, "peak_memory_gb": 0.0}


class StubbedTrainer:
    """Keeps what it is told, and leaves a run's files."""

    def __init__(self) -> None:
        self.told: list[list[str]] = []
        self.fails_at: int | None = None
        self.failure: BaseException = InputError("train.py failed (exit code 2): no such picture")

    def __call__(self, overrides: Sequence[str]) -> None:
        config = compose_config(list(overrides))
        folder = Path(config.output)
        claim(folder, config)  # refuses a folder that is not free, as train.py does
        write_run_info(folder, ["python", "train.py", *overrides], fresh=True)
        if len(self.told) == self.fails_at:
            (folder / "checkpoint.pt").write_text("half")
            raise self.failure
        self.told.append(list(overrides))
        field = "neus_feature" if config.field.feature else "neus"
        metrics = {key: value + STEPS[key] * (config.seed - 1) for key, value in METRICS[field].items()}
        if config.field.feature:
            metrics["feature_cosine"] = 0.9
        (folder / "metrics.json").write_text(json.dumps(metrics))

    def values(self, key: str) -> list[object]:
        """What the trainings were told of a key, in order."""
        found = [{o.key_or_group: o.value() for o in parse_overrides(told)} for told in self.told]
        return [values.get(key) for values in found]
