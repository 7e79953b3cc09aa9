"""Readers of weights, checkpoints, and folders of models."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import io
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from nto3d.config.schema import Config, MaskUse, SegmenterName
from nto3d.data.dtu import read_dtu
from nto3d.mcc.model import Mcc, MccSizes
from nto3d.mcc.weights import load_mcc, save_mcc
from nto3d.pipeline.reconstruct import STAGE, Training
from nto3d.pipeline.targets import Targets
from nto3d.runs.folder import load_run_config
from nto3d.runs.multiview import _resumed
from nto3d.runs.stored import open_run, stored_objects
from nto3d.segment.hf.files import find_folder
from nto3d.segment.hf.models import FAMILIES, Processing
from nto3d.segment.sam.loading import load_sam
from nto3d.stages.lift.scene import SceneFit
from nto3d.training.checkpoint import save_checkpoint
from tests.fuzz.harness import Case, Reader
from tests.fuzz.mutate.archives import torch_zip
from tests.fuzz.mutate.meshes import safetensors
from tests.fuzz.mutate.trees import json_tree, torch_tree
from tests.fuzz.readers.runs import EARLIER
from tests.helpers import write_dtu_scene
from tests.segment.tiny_sam import TINY, write_sam

MCC = MccSizes(
    image=8, patch=4, points=8, window=4, width=8, depth=1, heads=1, decoder_width=8, decoder_depth=1, decoder_heads=1
)
# The least that a published SAM can be: a picture of 16 pixels, two blocks
SAM = dataclasses.replace(
    TINY, width=8, depth=2, heads=1, mlp_width=8, grid=4, patch=4, prompt_width=16, decoder_depth=1
)


def _sam(folder: Path) -> Case:
    path = write_sam(folder / "sam.pth", 0, SAM)
    return Case(path, [path.read_bytes(), _legacy(path)], lambda: load_sam(path, "cpu"))


def _legacy(path: Path) -> bytes:
    """The same in torch's format before the zip archives."""
    buffer = io.BytesIO()
    torch.save(torch.load(path, weights_only=True), buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def _mcc_torch(folder: Path) -> Case:
    path = folder / "mcc.pth"
    state = Mcc(MCC).state_dict()
    seeds = []
    for content in ({"model": state}, dict(state), {"model": state, "args": argparse.Namespace(lr=1e-4), "epoch": 9}):
        torch.save(content, path)
        seeds.append(path.read_bytes())
    return Case(path, [*seeds[:2], seeds[2]], lambda: load_mcc(path))


def _mcc_own(folder: Path) -> Case:
    path = folder / "mcc.safetensors"
    save_mcc(Mcc(MCC), path)
    return Case(path, [path.read_bytes()], lambda: load_mcc(path))


def _stored(folder: Path) -> Case:
    """A checkpoint that an export opens."""
    shutil.copy(EARLIER / "config.yaml", folder / "config.yaml")
    path, config = folder / "checkpoint.pt", load_run_config(folder)
    device = torch.device("cpu")
    seeds = [(EARLIER / "checkpoint.pt").read_bytes()]
    return Case(path, seeds, lambda: (open_run(folder, config, device), stored_objects(folder)))


def tiny_config(scene: Path, output: Path) -> Config:
    """A run that takes no time, from given masks."""
    config = Config()
    config.scene.path, config.output, config.resume = str(scene), str(output), str(output)
    config.segmenter.name, config.scene.masks = SegmenterName.precomputed, MaskUse.given
    config.encoding.levels, config.encoding.log2_entries, config.encoding.max_resolution = 2, 4, 32
    config.field.hidden, config.field.layers, config.field.color_hidden, config.field.geometry_features = 4, 1, 4, 2
    config.trainer.grid_resolution, config.trainer.steps = 8, 20
    config.field.start = type(config.field.start)("sphere")
    return config


def _resume(folder: Path) -> Case:
    """A checkpoint from which a run goes on."""
    scene_path = write_dtu_scene(folder / "scene", 3, (12, 16)).path
    config, scene = tiny_config(scene_path, folder), read_dtu(scene_path)
    training = Training(config, scene, Targets(scene.masks), torch.device("cpu"))
    for parameter in training.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    training._optimizer.step()  # before the first it has no state
    path = folder / "checkpoint.pt"
    save_checkpoint(path, training.state(7))

    def read() -> None:
        state = _resumed(config, torch.device("cpu"))
        assert state is not None
        if state["stage"] == STAGE:
            training._restore(state)
        else:
            SceneFit.from_state(state)

    return Case(path, [path.read_bytes()], read)


def _hf_folder(folder: Path, name: str, seeds: list[bytes]) -> Case:
    content = {"model_type": "sam", "vision_config": {"hidden_size": 8}}
    (folder / "config.json").write_text(json.dumps(content))
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5], "size": {"longest_edge": 64}}')
    save_mcc(Mcc(MCC), folder / ("model.safetensors" if name != "model.safetensors.index.json" else "a.safetensors"))
    seeds = seeds or [(folder / name).read_bytes()]

    def read() -> Any:
        found = find_folder(str(folder))
        return found.hash(), Processing.of(found, 64, FAMILIES["sam"])

    return Case(folder / name, seeds, read)


def _hf_index(folder: Path) -> Case:
    seed = {"metadata": {"total_size": 3}, "weight_map": {"a": "a.safetensors", "b": "a.safetensors"}}
    return _hf_folder(folder, "model.safetensors.index.json", [json.dumps(seed).encode()])


WEIGHTS: dict[str, Reader] = {
    "sam": Reader(_sam, (torch_zip, torch_zip, torch_tree), quick=50, pace=0.05),
    "mcc_torch": Reader(_mcc_torch, (torch_zip, torch_tree), quick=60, pace=0.08),
    "mcc_safetensors": Reader(_mcc_own, (safetensors,), quick=200, pace=0.3),
    "checkpoint_open": Reader(_stored, (torch_zip, torch_tree, torch_tree), quick=30, pace=0.03),
    "checkpoint_resume": Reader(_resume, (torch_zip, torch_tree, torch_tree), quick=60, pace=0.08),
}
if importlib.util.find_spec("transformers") is not None:
    WEIGHTS |= {
        "hf_config": Reader(lambda folder: _hf_folder(folder, "config.json", []), (json_tree,)),
        "hf_pictures": Reader(lambda folder: _hf_folder(folder, "preprocessor_config.json", []), (json_tree,)),
        "hf_safetensors": Reader(lambda folder: _hf_folder(folder, "model.safetensors", []), (safetensors,)),
        "hf_index": Reader(_hf_index, (json_tree,)),
    }
