"""What can be configured: one dataclass a group. Hydra composes them, `validate` checks the values; imports no torch.

Every field is documented where it stands; the YAML files under `configs/` only choose values.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import Enum
from typing import Any

from omegaconf import MISSING

from nto3d.config.single import DepthConfig, Precision, SingleConfig, TrainMccConfig
from nto3d.config.trainer import TrainerConfig


class Mode(Enum):
    """What a run does."""

    multiview = "multiview"  # many posed pictures of one object
    single = "single"  # one picture with depth, completed by MCC
    train_mcc = "train_mcc"  # MCC learns to complete objects


class Reader(Enum):
    """Where a scene comes from."""

    dtu = "dtu"  # a folder in the DTU/NeuS layout
    synthetic = "synthetic"  # the same layout, made on first use from a recipe
    image = "image"  # one picture file (mode=single)


class MaskUse(Enum):
    """Whether masks are used for training."""

    given = "given"  # the segmenter's masks
    none = "none"  # no masks: everything in the sphere is reconstructed, a background model explains the rest


class SegmenterName(Enum):
    """Where masks come from."""

    grabcut = "grabcut"  # OpenCV's GrabCut, from a click
    sam = "sam"  # Segment Anything, from a click
    hf = "hf"  # SAM, SAM-HQ, SAM 2, EdgeTAM or SAM 3 by the library transformers, from a click or a noun
    precomputed = "precomputed"  # the scene's mask folder


class PromptUse(Enum):
    """What a segmenter is told of a projection of the target."""

    points = "points"  # points on it and beside it
    box = "box"  # points and a box
    all = "all"  # points, a box and the projection itself


class Backend(Enum):
    """Which code evaluates the hash grid."""

    warp = "warp"
    torch = "torch"
    tcnn = "tcnn"


class Start(Enum):
    """What training starts from."""

    stereo = "stereo"  # the hull of masks or cameras, carved by rough depth maps
    sphere = "sphere"  # a sphere


class ExposureUse(Enum):
    """Whether a gain and an offset a view are learnt."""

    auto = "auto"  # where the colours of neighbouring pictures ask for it
    on = "on"
    off = "off"


class FeatureSource(Enum):
    """Where the features come from that the feature field learns."""

    auto = "auto"  # sam with segmenter=sam, else classical
    sam = "sam"  # SAM's picture encoder; needs segmenter.checkpoint
    classical = "classical"  # colours and oriented gradients at several scales


class ViewerName(Enum):
    """What a run is recorded for."""

    none = "none"
    rerun = "rerun"  # RUN/recording.rrd


class MeshFormat(Enum):
    """File formats a mesh can be written in."""

    ply = "ply"
    obj = "obj"
    glb = "glb"


class Unseen(Enum):
    """What happens to surface that no training view sees."""

    close = "close"  # a smooth membrane in its place
    trim = "trim"  # cut away: the mesh is open there
    mark = "mark"  # nothing: the vertices' `seen` tells


@dataclass
class SceneConfig:
    """The pictures to train on."""

    reader: Reader = Reader.dtu
    path: str = MISSING  # the scene's folder
    name: str = "scene"  # used for the run folder
    downscale: int = 1  # integer factor by which the pictures are reduced when read
    masks: MaskUse = MaskUse.given
    test_views: list[int] | None = None  # held-out views; null: DTU's list or every eighth
    recipe: str = "sample"  # reader=synthetic: which procedural scene
    seed: int = 0  # reader=synthetic
    view: int = 0  # mode=single: the view whose picture is completed
    mask: str | None = None  # reader=image: a picture of the target's mask; null: from the prompts
    fov_degrees: float = 55.0  # reader=image: field of view along the longer side


@dataclass
class SegmenterConfig:
    """Where the masks come from."""

    name: SegmenterName = SegmenterName.grabcut
    checkpoint: str | None = None  # name=sam: weights, sam_vit_{h,l,b}_*.pth
    model: str | None = None  # name=hf: a folder with config.json and safetensors, or a name in the hub's local cache
    device: str = "auto"  # name=sam, hf: auto, cpu, cuda, cuda:N
    precision: Precision = Precision.float32  # name=sam, hf: arithmetic of the image encoder
    cache: bool = True  # name=sam, hf: keep embeddings on disk, in the scene's folder


@dataclass
class PromptsConfig:
    """What points at the target. Coordinates are pixels of the picture files as they lie on disk."""

    file: str | None = None  # JSON; null: prompts.json in the scene's folder
    view: int | None = None  # instead of a file: the view ...
    points: list[Any] | None = None  # ... points [[x, y], ...] ...
    labels: list[int] | None = None  # ... 1 on the target, 0 beside it, for each point; null: all 1 ...
    box: list[Any] | None = None  # ... and a box x0, y0, x1, y1
    text: str | None = None  # a noun (segmenter=hf with SAM 3); then a click is not needed, and none is read from the
    # scene's folder; one that is given chooses among what the noun names


@dataclass
class EncodingConfig:
    """The multi-resolution hash grid (Mueller et al. 2022)."""

    backend: Backend = Backend.warp
    levels: int = 10
    features: int = 2  # per level
    log2_entries: int = 15  # table entries per level
    base_resolution: int = 16
    max_resolution: int = 512


@dataclass
class FieldConfig:
    """The MLPs behind the hash grid (NeuS, Wang et al. 2021)."""

    hidden: int = 64  # width of the SDF MLP
    layers: int = 1  # hidden layers of the SDF MLP
    geometry_features: int = 15
    color_hidden: int = 64
    color_layers: int = 2
    start: Start = Start.stereo
    sphere_radius: float | None = None  # start=sphere: normalized units; null: to fit well inside the hull
    init_inv_std: float | None = None  # initial sharpness s of the density; null: 80 with start=stereo, 20 with sphere
    background_log2_entries: int = 14  # hash table of the background model (masks=none)
    exposure: ExposureUse = (
        ExposureUse.auto
    )  # a gain and an offset a view between the fields' colours and the picture's
    feature: bool = False  # learn the features of pictures, too (field=neus_feature)
    feature_source: FeatureSource = FeatureSource.auto
    feature_hidden: int = 64


@dataclass
class LiftConfig:
    """From the click to masks of all views."""

    scene_steps: int = 500  # of the geometry and colour of everything in the sphere
    transfer_views: int = 8  # views beside the clicked one that are asked for a first mask, too
    round_steps: int = 120  # of all fields in a round; twice as many in the first
    max_rounds: int = 3  # 0: carry the click's mask over the surface, once
    sure: float = 0.89  # confidence in the masks from which on no second click is asked for, 0..1
    tol: float = 0.005  # stop when the masks of two rounds agree to 1 - tol (mean IoU)
    prompts: PromptUse = PromptUse.all  # how a view's mask is asked for
    accept: float = 0.6  # least IoU of a new mask with the projection that it was asked with
    mask_weight: float = 0.5  # of the masks, beside the colour
    geometry_gradient: float = 0.1  # share of the masks' gradient that reaches the geometry
    rate: float = 0.3  # learning rates of the rounds, as a share of the trainer's
    max_rays: int = 1536  # rays a step at the most
    log2_entries: int = 14  # hash table of the target field


@dataclass
class ExportConfig:
    """The mesh."""

    resolution: int = 320  # cells along the longest side of the region of interest
    format: MeshFormat = MeshFormat.ply
    largest_only: bool = True  # keep only the largest component
    colors: bool = True
    unseen: Unseen = Unseen.close  # surface that no training view sees
    output: str | None = None  # scripts/export_mesh.py: file to write; null: RUN/mesh.FORMAT


@dataclass
class EvaluateConfig:
    """What is measured after training."""

    enabled: bool = True
    points: str | None = None  # npz with key xyz [P, 3], world units: distance of check points to the mesh
    max_views: int | None = None  # evaluate at most so many held-out views
    report: bool = True
    chamfer_samples: int = 200_000
    fscore_threshold: float = 0.01  # share of the ground truth's bounding-box diagonal


@dataclass
class LoggerConfig:
    """Logs while training."""

    tensorboard: bool = True


@dataclass
class ViewerConfig:
    """A recording of the run to look at."""

    name: ViewerName = ViewerName.none


@dataclass
class Config:
    """The whole configuration of a run."""

    mode: Mode = Mode.multiview
    output: str = MISSING  # the run's folder
    resume: str | None = None  # a run's folder to go on with
    seed: int = 0
    device: str = "auto"  # auto, cpu, cuda, cuda:N
    threads: int | None = None  # CPU threads; null: all cores
    scene: SceneConfig = dataclasses.field(default_factory=SceneConfig)
    segmenter: SegmenterConfig = dataclasses.field(default_factory=SegmenterConfig)
    prompts: PromptsConfig = dataclasses.field(default_factory=PromptsConfig)
    encoding: EncodingConfig = dataclasses.field(default_factory=EncodingConfig)
    field: FieldConfig = dataclasses.field(default_factory=FieldConfig)
    trainer: TrainerConfig = dataclasses.field(default_factory=TrainerConfig)
    lift: LiftConfig = dataclasses.field(default_factory=LiftConfig)
    depth: DepthConfig = dataclasses.field(default_factory=DepthConfig)
    single: SingleConfig = dataclasses.field(default_factory=SingleConfig)
    train_mcc: TrainMccConfig = dataclasses.field(default_factory=TrainMccConfig)
    export: ExportConfig = dataclasses.field(default_factory=ExportConfig)
    evaluate: EvaluateConfig = dataclasses.field(default_factory=EvaluateConfig)
    logger: LoggerConfig = dataclasses.field(default_factory=LoggerConfig)
    viewer: ViewerConfig = dataclasses.field(default_factory=ViewerConfig)
