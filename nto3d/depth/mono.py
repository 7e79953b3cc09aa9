"""Metric depth from one picture by a network of the library transformers: ZoeDepth, Depth Anything (metric), GLPN.

Letters: H, W picture height and width in pixels, h, w those of the network's answer.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from nto3d.depth.base import PointMap, back_project, picture_size
from nto3d.errors import InputError, some_of
from nto3d.parsers.contents import contents_of
from nto3d.types import ByteArray, FloatArray
from nto3d.weights.transformers_library import check_sizes, import_transformers, quiet, reason

# How the configuration of a network says that its answer is z in a fixed unit; networks that are not here give
# depth up to an unknown scale and shift (DPT), the inverse of depth, or need more than a picture.
METRIC_KINDS = "ZoeDepth, Depth Anything with depth_estimation_type metric, GLPN"


class MonoDepth:
    """A network that tells metric depth (most often metres) from one picture.

    Pictures are prepared by the processor of the network on its `pil` path, which needs no torchvision and gives the
    same numbers on every machine. The answer is brought to the picture's size here: transformers does that for
    ZoeDepth with torchvision, which does not load beside every build of torch.

    Args:
        model: a folder with config.json, preprocessor_config.json and weights, which is loaded without any access to
            the network; or a name on the Hugging Face hub (`Intel/zoedepth-nyu-kitti`), which is loaded from the
            local cache or downloaded.
        device: where the network runs.

    Raises:
        InputError: transformers is not installed, there is no such folder or model, it is of another kind, its weights
            are damaged or incomplete, or its depth is not metric.
    """

    def __init__(self, model: str, device: torch.device | str = "cpu") -> None:
        self._name, self._device = model, torch.device(device)
        self._network, self._processor = _load(model)
        self._network.requires_grad_(False).eval().to(self._device)

    def point_map(self, image: ByteArray, intrinsics: FloatArray) -> PointMap:
        """The points of a picture, camera frame, in the network's unit.

        Args:
            image: uint8 [H, W, 3], RGB. intrinsics: [3, 3], its pixels.

        Raises:
            InputError: the network cannot take this picture, or sees no depth above 0.
            ValueError: the picture or the intrinsics are of another shape or type.
        """
        points = back_project(self.depth(image).numpy(), intrinsics)
        if not points.valid.any():
            raise InputError(f"depth model {self._name}: expected depths above 0, got none in the whole picture")
        return points

    @torch.no_grad()
    def depth(self, image: ByteArray) -> Tensor:
        """The depth map of a picture uint8 [H, W, 3]: [H, W] float32 on the CPU, z along the optical axis.

        Raises:
            InputError: the network cannot take this picture.
            ValueError: it is no picture.
        """
        size = picture_size(image)
        try:
            inputs = self._processor(images=image, input_data_format="channels_last", return_tensors="pt")
            answer = self._network(pixel_values=inputs["pixel_values"].to(self._device)).predicted_depth
        except (RuntimeError, ValueError) as error:  # a picture of a few pixels leaves nothing after the first layers
            raise InputError(
                f"depth model {self._name}: cannot take a picture of {size[1]} x {size[0]} pixels ({reason(error)})"
            ) from error
        padded = self._network.config.model_type == "zoedepth" and self._processor.do_pad
        return to_picture(answer.float(), size, padded)[0].cpu()


def to_picture(answer: Tensor, size: tuple[int, int], padded: bool) -> Tensor:
    """A network's answer [1, h, w] at the picture's size: [1, H, W], by bicubic interpolation (pixel areas fit).

    Args:
        answer: depth over the picture as it was prepared.
        size: (H, W).
        padded: the picture was extended on each side by `int(3 * sqrt(n / 2))` pixels for a side of n, as ZoeDepth's
            code does against errors near the border (its `DepthModel._infer_with_pad_aug`); that part is cut off.
    """
    vertical, horizontal = [int(math.sqrt(side / 2) * 3) if padded else 0 for side in size]
    height, width = size
    whole = (height + 2 * vertical, width + 2 * horizontal)
    resized = interpolate(answer[:, None], size=whole, mode="bicubic", align_corners=False)[:, 0]
    return resized[:, vertical : vertical + height, horizontal : horizontal + width]


def _load(model: str) -> tuple[Any, Any]:
    """The network and the processor of its pictures."""
    transformers = import_transformers("depth models")
    folder = Path(model)
    if not folder.is_dir() and (folder.is_file() or model.startswith((".", "~", "/")) or model.count("/") > 1):
        raise InputError(f"depth model {model}: expected a folder with a model of transformers, found no such folder")
    local = folder.is_dir()
    options = {"local_files_only": local, "trust_remote_code": False}
    if local and not (folder / "config.json").is_file():
        raise InputError(f"depth model {model}: expected a folder with config.json, there is none")
    try:
        with quiet(transformers.utils.logging, bars=not local):
            config = transformers.AutoConfig.from_pretrained(model, **options)
            _check_metric(model, config)
            with contents_of(folder / "config.json" if local else folder):
                check_sizes(config.to_dict())
            network, found = transformers.AutoModelForDepthEstimation.from_pretrained(
                model, config=config, dtype=torch.float32, output_loading_info=True, **options
            )
            processor = transformers.AutoImageProcessor.from_pretrained(model, backend="pil", **options)
    except InputError:
        raise
    except Exception as error:  # files of others, and a network connection: anything can be wrong
        source = "a depth model in this folder" if local else "a folder or a model on the Hugging Face hub"
        raise InputError(f"depth model {model}: expected {source}, it cannot be loaded ({reason(error)})") from error
    missing = sorted(found["missing_keys"])
    if missing:  # transformers warns and goes on with random numbers
        raise InputError(
            f"depth model {model}: expected all weights of {type(network).__name__}, missing {some_of(missing)}"
        )
    return network, processor


def _check_metric(model: str, config: Any) -> None:
    """Refuses networks whose answer is not z in a fixed unit."""
    kind = getattr(config, "model_type", "")
    if kind in ("zoedepth", "glpn"):
        return
    if kind == "depth_anything" and config.depth_estimation_type == "metric":
        return
    given = f"{kind} with depth_estimation_type relative" if kind == "depth_anything" else kind or "an unknown kind"
    raise InputError(f"depth model {model}: expected a network of metric depth ({METRIC_KINDS}), got {given}")
