"""Measure what the speed rests on: python scripts/bench.py [quick=true] [out=runs/bench.json] [device=cpu].

Prints one table and writes a JSON. Every part runs in a process of its own, so that its peak memory is its own.

- Hash grid: features, the gradient g = J w by position of a scalar made of them (what a normal is), and the backward
  pass of a loss on both, for the gradients of table and w. `torch, double backward` is how it is done in plain torch:
  the gradient by autograd, differentiated again. `torch, Jacobian` is the twin with the Jacobian written out.
- Training step: one whole step of `trainer=fast` on the bundled sample after `steps` real steps, the same batch each.
- Mesh: a sphere of radius 0.5 with texture, in a box of +-0.6, sparse and dense.
- Surface, only with parts=[surface]: whole trainings, with and without each part that makes the surface good.
"""

from __future__ import annotations

import copy
import itertools
import json
import multiprocessing
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # run as a file, the package is not on the path
    sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from bench_surface import SCENES, VARIANTS, bench_surface  # noqa: E402
from bench_table import DOUBLE, JACOBIAN, PARTS, SURFACE, Row, machine, ratios, table  # noqa: E402

from nto3d.build.device import build_device  # noqa: E402
from nto3d.build.model import build_model, build_optimizer, build_schedule  # noqa: E402
from nto3d.build.start import build_photometric, build_start  # noqa: E402
from nto3d.cli import guarded  # noqa: E402
from nto3d.config.compose import compose_config  # noqa: E402
from nto3d.config.io import parse_options  # noqa: E402
from nto3d.config.schema import Config, EncodingConfig, FieldConfig  # noqa: E402
from nto3d.data.load import load_scene  # noqa: E402
from nto3d.data.rays import RaySampler  # noqa: E402
from nto3d.errors import InputError  # noqa: E402
from nto3d.export.surface import extract_dense, extract_surface  # noqa: E402
from nto3d.fields.sdf import SHARPNESS, SdfField  # noqa: E402
from nto3d.files import write_atomic  # noqa: E402
from nto3d.geometry.occlusion import occluded_pixels  # noqa: E402
from nto3d.kernels.hashgrid.grid import HashGrid, HashGridSpec  # noqa: E402
from nto3d.segment.precomputed import given_masks  # noqa: E402
from nto3d.stages.reconstruct.objective import Reconstruction  # noqa: E402
from nto3d.training.parallel import ShardedGradients  # noqa: E402

LEVELS, BASE, FINEST = 16, 16, 2048


@dataclass
class Options:
    """What can be given as key=value."""

    out: str = "runs/bench.json"
    quick: bool = False  # leave out dense extraction at the highest resolution (minutes)
    device: str = "auto"  # auto: the CPU, and CUDA where there is one
    parts: list[str] = field(default_factory=lambda: list(PARTS))
    points: int = 65536
    log2_entries: list[int] = field(default_factory=lambda: [15, 19])
    steps: int = 400  # real training steps before one is timed
    resolutions: list[int] = field(default_factory=lambda: [256, 512])
    scenes: list[str] = field(default_factory=lambda: list(SCENES))  # of the part surface, see bench_surface.py
    variants: list[str] = field(default_factory=lambda: list(VARIANTS))  # likewise
    train: list[str] = field(default_factory=list)  # likewise: further arguments of train.py


def seconds(phases: Sequence[Callable[[], object]], repeats: int, device: torch.device) -> list[float]:
    """Median time of each of several functions that are called in turn, after one round that does not count."""
    rounds = []
    for _ in range(1 + repeats):
        times = [time.perf_counter()]
        for phase in phases:
            phase()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            times.append(time.perf_counter())
        rounds.append([end - begin for begin, end in itertools.pairwise(times)])
    return [statistics.median(column) for column in zip(*rounds[1:], strict=True)]


def peak_gb() -> float:
    """Most memory that this process held, in GB; on Linux a child's getrusage starts at its parent's peak."""
    if sys.platform == "linux":
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def memory(device: torch.device) -> Row:
    """Peak memory of this process, and on its device."""
    cuda = {"cuda_peak_gb": torch.cuda.max_memory_allocated(device) / 1e9} if device.type == "cuda" else {}
    return {"peak_gb": peak_gb(), **cuda}


def bench_hashgrid(name: str, log2_entries: int, points: int, device_name: str) -> Row:
    """Time of features, gradient by position and backward pass of one backend; milliseconds."""
    device = build_device(Config(output="", device=device_name))
    spec = HashGridSpec(LEVELS, 2, log2_entries, BASE, FINEST)
    try:
        grid = HashGrid(spec, name.partition(",")[0]).to(device)
    except (InputError, ImportError, OSError) as error:
        return {"missing": str(error).splitlines()[0]}
    positions = torch.rand(points, 3, device=device) * 2.0 - 1.0
    w = torch.randn(points, spec.width, device=device, requires_grad=True)
    like_features, like_gradient = torch.randn(points, spec.width, device=device), torch.randn(points, 3, device=device)

    losses: list[torch.Tensor] = []

    def forward() -> None:
        if name == DOUBLE:
            x = positions.clone().requires_grad_()
            features = grid(x)
            (gradient,) = torch.autograd.grad((features * w).sum(), x, create_graph=True)
        else:
            features, jacobian = grid.with_jacobian(positions)
            gradient = torch.bmm(jacobian, w[..., None])[..., 0]
        losses.append((features * like_features).sum() + (gradient * like_gradient).sum())

    def backward() -> None:
        torch.autograd.grad(losses.pop(), [grid.table, w])

    repeats = 3 if name in (DOUBLE, JACOBIAN) and device.type == "cpu" else 20
    ahead, back = (1e3 * value for value in seconds([forward, backward], repeats, device))
    return {"ms": ahead + back, "forward_ms": ahead, "backward_ms": back, **memory(device)}


def by_autograd(sdf: SdfField, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`SdfField.forward` as it is written in plain torch: the gradient by autograd, to be differentiated again."""
    with torch.enable_grad():
        x = positions.detach().requires_grad_()
        hidden = torch.cat([x, sdf.encoding(x)], dim=1)
        for layer in sdf.hidden:
            hidden = torch.nn.functional.softplus(layer(hidden), beta=SHARPNESS)
        out = sdf.out(hidden)
        (gradient,) = torch.autograd.grad(out[:, 0].sum(), x, create_graph=True)
    return out[:, 0], gradient, out[:, 1:]


class Trainer:
    """A training run of the bundled sample without its loop's logs and checkpoints."""

    def __init__(self, name: str, device_name: str) -> None:
        backend = name.partition(",")[0]
        values = [f"encoding={backend}", f"device={device_name}", "output=unused", "trainer=fast"]
        values += ["segmenter=precomputed", f"scene.path={ROOT / 'datasets' / 'sample'}"]
        config = compose_config(values)
        self.device = build_device(config)
        scene = load_scene(config.scene)
        masks = given_masks(scene)
        unknown = occluded_pixels(scene.cameras, scene.train, masks)
        self.model = build_model(config, scene, masks, unknown, self.device)
        if name == DOUBLE:
            sdf = self.model.sdf
            assert isinstance(sdf, SdfField)
            sdf.forward = partial(by_autograd, sdf)  # type: ignore[method-assign]
        sampler = RaySampler(scene, scene.train, self.device, seed=config.seed, masks=masks, unknown=unknown)
        self.optimizer = build_optimizer(config, self.model)
        rough = build_start(config, scene, self.model, masks, unknown)
        assert rough is not None
        parts: dict[str, Any] = {"start": rough.distance, "pull": rough.pull}
        parts["photometric"] = build_photometric(config, scene, masks, self.device)
        self.objective = Reconstruction(self.model, sampler, config.trainer, config.seed, **parts)
        self.schedule = build_schedule(config)
        self.shards = torch.get_num_threads() if self.device.type == "cpu" else 1

    def take(self, step: int, differentiate: ShardedGradients) -> None:
        """One whole step, as in `training.loop.fit`."""
        self.objective.prepare(step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * self.schedule.rate(step)
        differentiate(self.objective.shards(step, self.shards), lambda loss: loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.schedule.clip_norm)
        self.optimizer.step()

    def gradients(self) -> ShardedGradients:
        """What `take` differentiates with; to be entered."""
        return ShardedGradients([p for group in self.optimizer.param_groups for p in group["params"]], self.shards)


def bench_step(backends: Sequence[str], steps: int, device_name: str) -> list[Row]:
    """Time of one training step with each backend on the same batch, milliseconds, without the grid's refresh."""
    rows: list[Row] = []
    start: Trainer | None = None
    for backend in backends:
        trainer = Trainer(backend, device_name)
        with trainer.gradients() as differentiate:
            if start is None:
                for step in range(steps):
                    trainer.take(step, differentiate)
                start = trainer
                weights = copy.deepcopy(trainer.model.state_dict())
                state = trainer.objective.state_dict()
            trainer.model.load_state_dict(weights)
            trainer.objective.load_state_dict(state)
            count = 5 if backend != "warp" and trainer.device.type == "cpu" else 20
            trainer.objective.counts()
            # One past a refresh of the grid: it belongs to none of the steps that are timed
            (took,) = seconds([partial(trainer.take, steps + 1, differentiate)], count, trainer.device)
            rays, samples = trainer.objective.counts()
        rows.append(
            {"backend": backend, "ms": took * 1e3, "rays": rays // (count + 1), "samples": samples // (count + 1)}
        )
    return [{**row, **memory(trainer.device)} for row in rows]


def textured_sphere(device: torch.device) -> SdfField:
    """A field of the default size that looks like a trained one: relief on every scale that it resolves."""
    encoding, sizes = EncodingConfig(), FieldConfig()
    spec = HashGridSpec(
        encoding.levels, encoding.features, encoding.log2_entries, encoding.base_resolution, encoding.max_resolution
    )
    grid = HashGrid(spec, "warp")
    sdf = SdfField(grid, hidden=sizes.hidden, layers=sizes.layers, radius=0.5)
    with torch.no_grad():
        for level, scale in enumerate(spec.scales):
            grid.table[spec.offsets[level] : spec.offsets[level + 1]].uniform_(-0.1 / scale, 0.1 / scale)
    return sdf.to(device)


def bench_mesh(kind: str, resolution: int, device_name: str) -> Row:
    """Time and memory of extracting a mesh, once."""
    device = build_device(Config(output="", device=device_name))
    sdf = textured_sphere(device)
    extract = {"sparse": extract_surface, "dense": extract_dense}[kind]
    box: dict[str, Any] = {"lower": [-0.6] * 3, "upper": [0.6] * 3, "device": device}
    extract(sdf.sdf, resolution=32, **box)  # compiles the kernels
    before = peak_gb()
    started = time.perf_counter()
    mesh = extract(sdf.sdf, resolution=resolution, **box)
    took = time.perf_counter() - started
    return {"seconds": took, "faces": len(mesh.faces), "peak_before_gb": before, **memory(device)}


def apart(function: Callable[..., Any], *args: Any) -> Any:
    """The function's result, from a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def measure(options: Options, device: str) -> list[Row]:
    """All parts on one device."""
    rows: list[Row] = []

    def add(part: str, what: str, size: object, row: Row) -> None:
        rows.append({"part": part, "device": device, "size": size, "what": what, **row})
        print(f"measured {part} {size} {what} ({device})", file=sys.stderr)

    if "hashgrid" in options.parts:
        for bits in options.log2_entries:
            for name in ("warp", "tcnn", DOUBLE, JACOBIAN):
                add("hashgrid", name, f"2^{bits}", apart(bench_hashgrid, name, bits, options.points, device))
    if "step" in options.parts:
        for row in apart(bench_step, ("warp", JACOBIAN, DOUBLE), options.steps, device):
            add("step", row.pop("backend"), "sample", row)
    if "mesh" in options.parts:
        for resolution in options.resolutions:
            for kind in ("sparse", "dense"):
                if kind == "dense" and options.quick and resolution == max(options.resolutions):
                    continue
                row = apart(bench_mesh, kind, resolution, device)
                add("mesh", kind, resolution, {"ms": row["seconds"] * 1e3, **row})
    return rows


def read_options(argv: Sequence[str]) -> Options:
    """The options from `key=value` arguments.

    Raises:
        InputError: an unknown key, a wrong type or an impossible value.
    """
    options = parse_options(Options, argv)
    if options.device != "auto" and not re.fullmatch(r"cpu|cuda(:\d+)?", options.device):
        raise InputError(f"device: expected auto, cpu, cuda or cuda:N, got {options.device}")
    for key, given, known in (
        ("parts", options.parts, (*PARTS, SURFACE)),
        ("variants", options.variants, tuple(VARIANTS)),
    ):
        unknown = [name for name in given if name not in known]
        if unknown or not given:
            raise InputError(f"{key}: expected some of {', '.join(known)}, got {unknown or 'none'}")
    if min([options.points, *options.log2_entries, *options.resolutions]) < 1 or options.steps < 0:
        raise InputError("points, log2_entries and resolutions: expected positive numbers")
    return options


def main(argv: Sequence[str]) -> int:
    """Measure, print the table and write the JSON."""
    options = read_options(argv)
    out = Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    about = machine()
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    if options.device != "auto":
        devices = [options.device]
    rows = [row for device in devices for row in measure(options, device)]
    if SURFACE in options.parts:
        rows += bench_surface(options.scenes, options.variants, options.train, out.parent / "surface")
    gains = ratios(rows)
    print(table(about, rows, gains))
    result = {"date": f"{datetime.now().astimezone():%Y-%m-%d %H:%M %z}", "machine": about, "options": asdict(options)}
    write_atomic(out, json.dumps({**result, "rows": rows, "ratios": gains}, indent=2) + "\n")
    print(f"\nwrote {out}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
