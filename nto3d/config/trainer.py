"""What can be configured of a training: its loop and its losses; imports no torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import Enum

from nto3d.config.single import Precision


class ColorLoss(Enum):
    """Distance between rendered and true colour."""

    l1 = "l1"
    huber = "huber"


@dataclass
class LossConfig:
    """Weights of the losses."""

    color: ColorLoss = ColorLoss.huber
    color_weight: float = 1.0
    mask_weight: float = 0.1
    empty_weight: float = 0.05  # without masks: of any surface, so that the background explains what it can
    eikonal_weight: float = 0.05
    curvature_weight: float = 0.25  # of changes of curvature; less where the pictures are sure of the surface
    start_weight: float = 3.0  # of staying near to field.start=stereo, at first
    stereo_weight: float = 5.0  # of the points that field.start=stereo is sure of
    feature_weight: float = 0.1  # field.feature
    patch_weight: float = 0.3  # of patches that must look alike in neighbouring views; 0: not compared
    exposure_weight: float = 0.1  # of exposures that stay as estimated, see field.exposure


@dataclass
class TrainerConfig:
    """The training loop."""

    steps: int = 2200
    object_steps: float = 0.25  # so much longer for each object beyond the first, as a share of steps
    samples_per_step: int = 6144  # the number of rays adapts so that a step has about this many samples
    max_rays: int = 2048  # rays a step at the most
    lr: float = 2e-2  # hash grid; MLPs take mlp_lr
    mlp_lr: float = 2e-3
    exposure_lr: float = 1e-3  # of field.exposure
    variance_lr: float = 5e-3  # of NeuS's sharpness, which is learned as exp(10 v)
    warmup_steps: int = 100
    decay: float = 0.03  # learning rate at the end, as a share of lr
    clip_norm: float = 1.0
    grid_resolution: int = 128  # occupancy grid cells along an axis
    grid_start: int = 100  # first step after which the grid is pruned
    grid_every: int = 50  # steps between refreshes of the occupancy grid
    step_size: float = 0.008  # ray marching step at the end, normalized units
    max_step_size: float = 0.03  # ray marching step at the start; in between it follows the width of the surface
    least_weight: float = 0.01  # samples that weigh less, by the occupancy grid's rough SDF, are left out
    anneal_steps: int = 1000  # cosine annealing of NeuS
    coarse_to_fine_steps: int = 300  # until all hash grid levels take part
    start_steps: int = 600  # the pull towards field.start=stereo fades out in so many steps
    stereo_steps: int = 1000  # the pull towards the points of field.start=stereo becomes coarse in so many steps
    start_levels: int = 8  # hash grid levels that take part from the first step
    feature_ramp: int = 300  # steps until the loss of field.feature has its full weight
    feature_steps: int = 1300  # so long geometry and colour follow the features, too, less and less towards the end
    patch_start: int = 100  # step from which on patches are compared ...
    patch_ramp: int = 200  # ... with their full weight so many steps later
    patch_rays: int = 768  # rays a step along which patches are compared beside those that are rendered
    patch_fine: int = 0  # until then patches are compared at half the resolution
    patch_half: int = 3  # pixels on either side of a patch's middle
    patch_sources: int = 8  # views that each patch is carried into
    precision: Precision = Precision.float32
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    checkpoint_every: int = 1000  # steps
    log_every: int = 50  # steps between scalars
    image_every: int = 1000  # steps between TensorBoard pictures; 0: none
