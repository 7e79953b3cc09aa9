"""The sample in all its changes: a run on each, in a process of its own, and the table of what came."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from nto3d.config.io import parse_options
from nto3d.errors import InputError
from nto3d.evaluate.geometry import chamfer, sample_surface
from nto3d.export.mesh_io import read_mesh
from nto3d.files import write_atomic
from nto3d.trials.places import SAMPLE, TRAIN
from nto3d.trials.transformed.change import Change, Expected
from nto3d.trials.transformed.names import MISSING, NAMES
from nto3d.trials.transformed.pictures import DEPTHS, MASKS, PICTURES
from nto3d.trials.transformed.world import CAMERA, WORLD

UNCHANGED = Change("unchanged", lambda scene: None)
CHANGES: Mapping[str, Sequence[Change]] = {
    "World": WORLD,
    "Cameras": CAMERA,
    "Names": NAMES,
    "Missing": MISSING,
    "Pictures": PICTURES,
    "Masks": MASKS,
    "Depth": DEPTHS,
}
SETTINGS = (
    *("scene=dtu", "scene.downscale=2", "segmenter=precomputed", "trainer=smoke", "trainer.steps=400"),
    *("encoding.levels=8", "field.exposure=off", "export.resolution=64", "evaluate=none", "logger=none"),
    *("device=cpu", "threads=1"),
)
MOST = 1.3  # times the Chamfer distance of the unchanged scene's mesh
SAMPLES = 20000  # points on each surface
Say = Callable[[str], None]


@dataclasses.dataclass
class Options:
    """What can be given as key=value, beside overrides for the runs."""

    only: list[str] | None = None  # parts of names of changes, or headings
    table: str | None = None
    out: str | None = None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a change.

    Attributes:
        ratio: of the Chamfer distance to the unchanged scene's; None where there is no mesh. code: the exit code.
        line: what the run said last on stderr.
    """

    change: Change
    code: int
    ratio: float | None
    line: str

    @property
    def holds(self) -> bool:
        """Whether it is as expected: the mesh follows, or one line says why there is none."""
        same = self.ratio is not None and self.ratio <= MOST
        refused = self.code == 2 and self.line.startswith("error: ")
        return {Expected.same: same, Expected.refused: refused}.get(self.change.expected, same or refused)


def read_options(argv: Sequence[str]) -> tuple[Options, list[str]]:
    """The options, and the overrides for the runs.

    Raises:
        InputError: a wrong type, or nothing is asked for.
    """
    names = {field.name for field in dataclasses.fields(Options)}
    own = [argument for argument in argv if argument.partition("=")[0] in names]
    options = parse_options(Options, own)
    if not any(chosen(options)):
        raise InputError(f"only: expected parts of names of changes or {', '.join(CHANGES)}, got {options.only}")
    return options, [argument for argument in argv if argument not in own]


def chosen(options: Options) -> Iterator[tuple[str, Change]]:
    """The changes that are asked for, each with its heading."""
    for heading, changes in CHANGES.items():
        for change in changes:
            wanted = options.only
            if wanted is None or heading in wanted or any(part in change.name for part in wanted):
                yield heading, change


def try_changes(options: Options, overrides: Sequence[str], command: str, say: Say) -> dict[str, list[Outcome]]:
    """Run every change that is asked for, by heading; the table is written where it is asked for.

    Args:
        overrides: for the runs. command: for the table. say: is told every line of it.

    Raises:
        InputError: the unchanged scene has no mesh, or the table cannot be written.
    """
    found: dict[str, list[Outcome]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(options.out or scratch)
        code, distance, line = _attempt(UNCHANGED, folder / "unchanged", overrides)
        if distance is None:
            raise InputError(f"the unchanged sample has no mesh (exit code {code}): {line}")
        say(f"unchanged: Chamfer distance {distance:.4f} mm")
        for number, (heading, change) in enumerate(chosen(options)):
            code, moved, line = _attempt(change, folder / f"{number:03d}", overrides)
            outcome = Outcome(change, code, None if moved is None else moved / distance, line)
            found.setdefault(heading, []).append(outcome)
            say(_row(outcome))
    if options.table is not None:
        write_atomic(Path(options.table), table(found, distance, command))
    return found


def _attempt(change: Change, folder: Path, overrides: Sequence[str]) -> tuple[int, float | None, str]:
    """Exit code, Chamfer distance in the sample's own world (None: no mesh) and last line on stderr of a run."""
    shutil.rmtree(folder, ignore_errors=True)
    scene, run = folder / change.folder, folder / "run"
    hidden = shutil.ignore_patterns(".*")  # kept embeddings
    shutil.copytree(SAMPLE, scene, ignore=hidden)
    change.make(scene)
    command = [sys.executable, str(TRAIN), *SETTINGS, *overrides, f"scene.path={scene}", f"output={run}"]
    done = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    said = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    distance = None
    if done.returncode == 0:
        mesh = read_mesh(run / "mesh.ply").transformed(np.linalg.inv(change.world))
        truth = read_mesh(SAMPLE / "gt_mesh.ply")
        distance = chamfer(sample_surface(mesh, SAMPLES, 0), sample_surface(truth, SAMPLES, 1))["chamfer"]
    shutil.rmtree(folder)
    last = said[-1] if said else ""
    return done.returncode, distance, last.replace(str(scene), "SCENE").replace(str(folder), "FOLDER")


def _row(outcome: Outcome) -> str:
    came = f"{outcome.ratio:.2f}" if outcome.ratio is not None else outcome.line.removeprefix("error: ")
    came = came.replace("|", "\\|")
    verdict = "" if outcome.holds else f" **not as expected: {outcome.change.expected.value}**"
    return f"| {outcome.change.name} | {outcome.code} | {came}{verdict} |"


def table(found: Mapping[str, Sequence[Outcome]], distance: float, command: str) -> str:
    """The Markdown page of outcomes by heading; `distance` is the unchanged scene's, in mm."""
    outcomes = [outcome for some in found.values() for outcome in some]
    followed = sum(outcome.ratio is not None and outcome.holds for outcome in outcomes)
    refused = sum(outcome.ratio is None and outcome.holds for outcome in outcomes)
    lines = [
        "# The sample, as other people may have it",
        "",
        f"    {command}",
        "",
        "makes a copy of `datasets/sample` for every row, changes it, and runs `train.py` with the scene's masks,",
        f"small and short: `{' '.join(SETTINGS)}`. The mesh is read back from `mesh.ply`, moved back to",
        "the sample's own world, and its Chamfer distance to `gt_mesh.ply` is divided by that of the unchanged sample",
        f"({distance:.3f} mm). At most {MOST} is expected, or one line that says why there is no mesh (exit code 2).",
        "",
        f"**{len(outcomes)} changes: {followed} follow, {refused} are refused as they should be, "
        f"{len(outcomes) - followed - refused} are not as expected.**",
    ]
    for heading, some in found.items():
        lines += ["", f"## {heading}", "", "| change | exit code | ratio, or what was said |", "|---|---|---|"]
        lines += [_row(outcome) for outcome in some]
    return "\n".join([*lines, ""])
