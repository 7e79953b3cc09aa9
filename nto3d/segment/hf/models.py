"""The networks of the library transformers that answer prompts, and all in which they differ.

| class | picture in the frame | what an embedding is |
|---|---|---|
| SamModel | longer side S, padded | [C, G, G] |
| SamHQModel | likewise | that, and what the first global block of the encoder says, [G, G, E] |
| Sam2Model, EdgeTamModel, Sam3TrackerModel | both sides S | a pyramid [C/8, 4G, 4G], [C/4, 2G, 2G], [C, G, G] |

Pictures are resized and normalised here: the processors of most classes need torchvision, which does not load beside
every build of torch.

Letters: S side of the frame (1024; SAM 3 1008), G cells along a side of it (64; 72), C channels (256), E width of the
encoder, L = 4 G, K candidates, as in `passes`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from nto3d.errors import InputError, some_of
from nto3d.segment.hf.files import PROCESSING, WHO, HfFolder, fetch_command
from nto3d.segment.passes import Frame, Points
from nto3d.types import ByteArray
from nto3d.weights.transformers_library import import_transformers, quiet, reason

Parts = dict[str, Tensor]  # an embedding's parts, by name
FEATURES, EARLY, LEVELS = "features", "early", ("level_0", "level_1", "level_2")
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and deviation of RGB in 0..1
HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Family:
    """Networks that are asked alike.

    Attributes:
        model: the class in transformers. filled: whether the picture fills the frame, else it is padded.
        colors: mean and deviation by which pictures are normalised where the folder does not say.
        limit: of the logits of a mask prompt, or None.
        encode: (network, pixels [1, 3, S, S]) -> parts of the embedding, each with a first axis of 1.
        shapes: (network's configuration) -> shapes of the parts without that axis.
        arguments: parts -> what the network's `forward` calls them.
    """

    model: str
    filled: bool
    colors: tuple[tuple[float, ...], tuple[float, ...]]
    limit: float | None
    encode: Callable[[Any, Tensor], Parts]
    shapes: Callable[[Any], dict[str, tuple[int, ...]]]
    arguments: Callable[[Parts], dict[str, Any]]


def _grid(config: Any) -> int:
    """G."""
    return int(config.prompt_encoder_config.image_size) // int(config.prompt_encoder_config.patch_size)


def _encode_map(model: Any, pixels: Tensor) -> Parts:
    return {FEATURES: model.get_image_embeddings(pixels)}


def _map_shape(config: Any) -> dict[str, tuple[int, ...]]:
    return {FEATURES: (int(config.prompt_encoder_config.hidden_size), _grid(config), _grid(config))}


def _encode_map_and_early(model: Any, pixels: Tensor) -> Parts:
    features, early = model.get_image_embeddings(pixels)
    return {FEATURES: features, EARLY: early[0]}  # the decoder reads the first alone


def _map_and_early_shapes(config: Any) -> dict[str, tuple[int, ...]]:
    return _map_shape(config) | {EARLY: (_grid(config), _grid(config), int(config.vision_config.hidden_size))}


def _encode_pyramid(model: Any, pixels: Tensor) -> Parts:
    # Not `get_image_embeddings`: SAM 3's pyramid has a fourth level, which its decoder does not read, and transformers
    # (5.23.0, Sam3TrackerModel) adds what says "no memory" to that one. Its Sam3TrackerVideoModel does as is done here.
    sizes = [tuple(size) for size in model.backbone_feature_sizes]
    maps = list(model.get_image_features(pixels, return_dict=True).fpn_hidden_states)[: len(sizes)]  # [h w, 1, C] each
    maps[-1] = maps[-1] + model.no_memory_embedding
    named = zip(LEVELS, maps, sizes, strict=True)
    return {name: level.permute(1, 2, 0).reshape(1, -1, *size) for name, level, size in named}


def _pyramid_shapes(config: Any) -> dict[str, tuple[int, ...]]:
    width, sizes = int(config.mask_decoder_config.hidden_size), config.vision_config.backbone_feature_sizes
    channels = (width // 8, width // 4, width)
    return {name: (count, *size) for name, count, size in zip(LEVELS, channels, sizes, strict=True)}


def _pyramid(model: str, colors: tuple[tuple[float, ...], tuple[float, ...]]) -> Family:
    limit = 32.0  # as in SAM 2's own predictor

    def arguments(parts: Parts) -> dict[str, Any]:
        return {"image_embeddings": [parts[name] for name in LEVELS]}

    return Family(model, True, colors, limit, _encode_pyramid, _pyramid_shapes, arguments)


SAM = Family(
    "SamModel", False, IMAGENET, None, _encode_map, _map_shape, lambda parts: {"image_embeddings": parts[FEATURES]}
)
SAM_HQ = Family(
    "SamHQModel",
    False,
    IMAGENET,
    None,
    _encode_map_and_early,
    _map_and_early_shapes,
    lambda parts: {"image_embeddings": parts[FEATURES], "intermediate_embeddings": [parts[EARLY]]},
)
SAM2, EDGETAM = _pyramid("Sam2Model", IMAGENET), _pyramid("EdgeTamModel", IMAGENET)
SAM3_TRACKER = _pyramid("Sam3TrackerModel", HALF)
# model_type in config.json; published weights of SAM 2 and 3 are those of models of videos, which hold these
FAMILIES = {
    **{"sam": SAM, "sam_hq": SAM_HQ},
    **{"sam2": SAM2, "sam2_video": SAM2, "edgetam": EDGETAM, "edgetam_video": EDGETAM},
    **{"sam3_tracker": SAM3_TRACKER, "sam3_tracker_video": SAM3_TRACKER, "sam3_video": SAM3_TRACKER},
}


@dataclass(frozen=True)
class Processing:
    """How a picture becomes what a network sees: resized, times `scale`, minus `mean`, by `deviation` (of RGB)."""

    side: int
    filled: bool
    resample: int
    scale: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def of(cls, folder: HfFolder, side: int, family: Family) -> Processing:
        """As the folder says, and as the class does by default where it says nothing.

        Raises:
            InputError: the folder says something that cannot be.
        """
        given, mean, deviation = folder.processing, *family.colors
        try:
            size = given.get("size") or {}
            lengths = {int(value) for value in (size.values() if isinstance(size, dict) else [size])}
            scale = float(given.get("rescale_factor") or 1 / 255) if given.get("do_rescale", True) else 1.0
            mean, deviation = given.get("image_mean") or mean, given.get("image_std") or deviation
            mean, deviation = (tuple(float(value) for value in values) for values in (mean, deviation))
            resample = int(Image.Resampling(given.get("resample", Image.Resampling.BILINEAR)))
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"{folder.path}: {PROCESSING[0]}: cannot be understood ({reason(error)})") from error
        if lengths - {side}:
            raise InputError(
                f"{folder.path}: {PROCESSING[0]}: size: expected {side} pixels as in config.json, got {sorted(lengths)}"
            )
        if not given.get("do_normalize", True):
            mean, deviation = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        if (
            (len(mean), len(deviation)) != (3, 3)
            or not all(math.isfinite(value) for value in (scale, *mean, *deviation))
            or min(deviation) <= 0
        ):
            raise InputError(
                f"{folder.path}: {PROCESSING[0]}: expected image_mean and image_std, positive, of 3 colours, "
                f"got {list(mean)} and {list(deviation)}"
            )
        return cls(side, family.filled, resample, scale, mean, deviation)

    def frame(self, size: tuple[int, int]) -> Frame:
        """Where a picture (H, W) lies."""
        return Frame.filled(size, self.side) if self.filled else Frame.padded(size, self.side)

    def pixels(self, image: ByteArray) -> Tensor:
        """A picture uint8 [H, W, 3] as the network sees it, float32 [1, 3, S, S]."""
        height, width = self.frame((image.shape[0], image.shape[1])).input_size
        resized = Image.fromarray(image).resize((width, height), Image.Resampling(self.resample))
        values = torch.from_numpy(np.array(resized, dtype=np.float32)) * self.scale
        values = (values - torch.tensor(self.mean)) / torch.tensor(self.deviation)
        return functional.pad(values.permute(2, 0, 1)[None], (0, self.side - width, 0, self.side - height))


class HfNetwork:
    """One of these networks, as `passes.PromptedNetwork`; features are the parts of an embedding, by name.

    Args:
        model: in eval mode. family: of it. processing: of its pictures. device: where it is.
        dtype: arithmetic of the picture encoder (under autocast).
    """

    mask_threshold = 0.0

    def __init__(
        self, model: Any, family: Family, processing: Processing, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.model, self.family, self.processing = model, family, processing
        self.device, self.dtype = device, dtype
        self.low_size = (4 * _grid(model.config), 4 * _grid(model.config))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the parts of an embedding."""
        return self.family.shapes(self.model.config)

    @torch.no_grad()
    def encode(self, image: ByteArray) -> dict[str, NDArray[np.float32]]:
        """The parts of a picture's embedding, float32."""
        pixels = self.processing.pixels(image).to(self.device)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            parts = self.family.encode(self.model, pixels)
        return {name: part[0].float().cpu().contiguous().numpy() for name, part in parts.items()}

    def candidates(
        self, features: Parts, points: Points | None, box: Tensor | None, logits: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """See `passes.PromptedNetwork`."""
        if logits is not None and self.family.limit is not None:
            logits = logits.clamp(-self.family.limit, self.family.limit)
        answer = self.model(
            input_points=None if points is None else points.xy[None],
            input_labels=None if points is None else points.labels[None],
            input_boxes=None if box is None else box[None, None],
            input_masks=None if logits is None else logits[None, None],
            multimask_output=True,
            **self.family.arguments({name: part[None] for name, part in features.items()}),
        )
        return answer.pred_masks[0, 0].float(), answer.iou_scores[0, 0].float()

    def enlarge(self, logits: Tensor, frame: Frame) -> Tensor:
        """See `passes.PromptedNetwork`."""
        whole = logits[None, None]
        if not self.family.filled:
            whole = functional.interpolate(whole, (frame.side, frame.side), mode="bilinear", align_corners=False)
            whole = whole[..., : frame.input_size[0], : frame.input_size[1]]
        return functional.interpolate(whole, frame.size, mode="bilinear", align_corners=False)[0, 0]


def load_network(folder: HfFolder, device: torch.device, dtype: torch.dtype = torch.float32) -> HfNetwork:
    """The network in a folder, ready to answer.

    Raises:
        InputError: it cannot be loaded, or the folder holds no network that takes points.
    """
    if folder.kind not in FAMILIES:
        raise InputError(
            f"segmenter.model: {folder.path} holds the detector of SAM 3 alone, which takes no points; expected its "
            f"tracker, too: {fetch_command('facebook/sam3')}"
        )
    family = FAMILIES[folder.kind]
    model = load_model(folder, family.model, device)
    side = int(model.config.prompt_encoder_config.image_size)
    return HfNetwork(model, family, Processing.of(folder, side, family), device, dtype)


def load_model(folder: HfFolder, name: str, device: torch.device) -> Any:
    """A model of the class `name` of transformers, float32, in eval mode; from safetensors, without the network.

    Raises:
        InputError: it cannot be loaded, or weights are missing.
    """
    transformers = import_transformers(WHO)
    try:
        with quiet(transformers.utils.logging, bars=False):
            model, found = getattr(transformers, name).from_pretrained(
                folder.path, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
    except Exception as error:  # files of others: anything can be wrong
        if isinstance(error, ImportError) and "timm" in str(error):
            raise InputError(f"{name} needs the package timm, which is not installed: pip install timm") from error
        raise InputError(f"segmenter.model: {folder.path}: cannot be loaded as {name} ({reason(error)})") from error
    if found["missing_keys"]:  # transformers warns and goes on with random numbers
        missing = some_of(sorted(found["missing_keys"]))
        raise InputError(f"segmenter.model: {folder.path}: expected all weights of {name}, missing {missing}")
    return model.requires_grad_(False).eval().to(device)
