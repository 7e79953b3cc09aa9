"""What can be configured of a single picture's completion, and of the training of its network; imports no torch.

Every field is documented where it stands, as in `config`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import Enum


class Precision(Enum):
    """Arithmetic of the networks. (The MLPs of the fields compute in float32 on the CPU, whatever it says.)"""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class DepthSource(Enum):
    """Where the depth of a single picture comes from."""

    scene = "scene"  # the depth maps in the scene's folder
    file = "file"  # depth.path: a depth map (PNG, NPY, NPZ) or a point a pixel (OBJ, PLY)
    model = "model"  # depth.model, a metric model that transformers loads, such as ZoeDepth


@dataclass
class DepthConfig:
    """The depth of a single picture."""

    source: DepthSource = DepthSource.scene
    path: str | None = None  # source=file
    scale: float = 1.0  # source=file: the file's numbers times this are lengths
    model: str | None = None  # source=model: a local folder, or a name of the hub


@dataclass
class SingleConfig:
    """Completing an object from one picture by MCC (Wu et al. 2023). Lengths in units of the seen points' spread."""

    checkpoint: str | None = None  # weights: .safetensors of ours, or the published .pth; null: the bundled ones
    granularity: float = 0.05  # between asked places
    extent: float = 3.0  # the asked places span -extent..extent along each axis
    threshold: float = 0.3  # probability from which on a place is occupied
    batch: int = 8192  # places asked at a time, which bounds the memory
    margin: int | None = None  # pixels around the mask that the network gets to see; null: as in its training
    half_width: float = 0.1  # of the shell that the network takes for occupied


FIRST_HELD_OUT = 1_000_000  # seed of the first procedural object that is kept from training, to measure with


@dataclass
class NetworkConfig:
    """The sizes of an MCC; the defaults are the bundled network's, the published ones are train_mcc=published."""

    image: int = 56  # pixels a side
    patch: int = 8  # pixels a side of a token
    points: int = 28  # points a side of the map of seen points
    window: int = 4  # points a side of a token
    width: int = 160  # of both encoders
    depth: int = 4
    heads: int = 4
    decoder_width: int = 128
    decoder_depth: int = 4
    decoder_heads: int = 4
    hints: bool = True  # places come with what the seen points alone say about them; the published model's do not
    frequencies: int = 6  # of the waves by which places are told beside their coordinates; the published model has none


@dataclass
class TrainMccConfig:
    """Training an MCC. Lengths in units of the seen points' spread, unless said otherwise."""

    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    scenes: list[str] = dataclasses.field(default_factory=list)  # folders in the DTU/NeuS layout, with depth and masks
    objects: int = 4000  # procedural objects to learn from; 0: none
    first_object: int = 0  # seed of the first
    views: int = 3  # pictures of an object
    side: int = 128  # pixels a side of a procedural picture
    surface_points: int = 12_000  # of an object, by which distances are known
    cache: str | None = None  # a folder where procedural objects are kept; null: made anew at every start
    downscale: int = 1  # of the scenes, integer factor
    steps: int = 11_000
    batch: int = 16  # views a step
    queries: int = 384  # places a view
    near: float = 0.5  # share of the places that lie about the surface, the others are anywhere in the box
    spread: float = 0.15  # how far from it
    distance: float = 0.1  # a place nearer than this to the surface is occupied
    scale: float = 0.2  # views are stretched by 1 - scale .. 1 + scale along each axis ...
    shift: float = 0.1  # ... moved by up to so much along each ...
    degrees: float = 10.0  # ... turned by up to so much about each ...
    flip: float = 0.5  # ... and mirrored with this probability
    color_weight: float = 0.01
    lr: float = 2e-2  # of the transformer blocks' matrices, which Muon trains
    adam_lr: float = 1e-3  # of everything else
    warmup_steps: int = 200
    decay: float = 0.01  # learning rates at the end, as a share of those at the start; they fall along a line
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    precision: Precision = Precision.float32
    calibrate: int = 20  # objects on which the probabilities are shifted until single.threshold is the best; 0: none
    held_out: int = 20  # objects that are not learnt from, to measure with
    check_every: int = 500  # steps between measurements of the loss on held-out objects; 0: none
    checkpoint_every: int = 500
    log_every: int = 50
