"""Where a segmenter of the library transformers lies, and whether all of it is there. Nothing is fetched."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nto3d.errors import InputError
from nto3d.parsers.contents import contents_of, shown
from nto3d.parsers.tensors import check_safetensors
from nto3d.parsers.text import read_json_object
from nto3d.segment.sam.published import file_hash
from nto3d.weights.transformers_library import check_sizes, import_transformers

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
PROCESSING = ("preprocessor_config.json", "processor_config.json")  # where sizes and colours stand: older, newer
WHO = "the segmenters of segmenter=hf"
# model_type in config.json: a published model of that kind
PUBLISHED = {
    "sam": "facebook/sam-vit-base",
    "sam_hq": "syscv-community/sam-hq-vit-base",
    "sam2": "facebook/sam2.1-hiera-tiny",
    "sam2_video": "facebook/sam2.1-hiera-tiny",
    "edgetam": "yonigozlan/EdgeTAM-hf",
    "edgetam_video": "yonigozlan/EdgeTAM-hf",
    "sam3_tracker": "facebook/sam3",
    "sam3_tracker_video": "facebook/sam3",
    "sam3_video": "facebook/sam3",
    "sam3": "facebook/sam3",
}
READS_TEXT = ("sam3_video", "sam3")  # those that hold a detector of nouns
_LONGEST_NAME = 255  # bytes; longer ones no file system has
EXAMPLE, FETCHED = PUBLISHED["sam2"], "weights"  # which model, and where a command puts models


@dataclass(frozen=True)
class HfFolder:
    """A folder with a segmenter.

    Attributes:
        path: the folder. config: what its config.json says; `model_type` is a key of PUBLISHED. weights: safetensors.
        processing: how pictures are prepared, as far as the folder says so.
    """

    path: Path
    config: Mapping[str, Any]
    weights: tuple[Path, ...]
    processing: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """What sort of network it is: the `model_type`."""
        return str(self.config["model_type"])

    def hash(self) -> str:
        """SHA-256 of the weights and of the configuration.

        Raises:
            InputError: a file cannot be read.
        """
        files = (self.path / CONFIG, *self.weights)
        return hashlib.sha256("".join(file_hash(file) for file in files).encode()).hexdigest()


def fetch_command(name: str) -> str:
    """How a published model gets here."""
    folder = f"{FETCHED}/{name.rpartition('/')[2]}"
    return f"hf download {name} --local-dir {folder}, then segmenter.model={folder}"


def find_folder(model: str | None) -> HfFolder:
    """The folder of a segmenter, checked as far as that goes without loading it.

    Args:
        model: a folder; or the name of a model of the Hugging Face hub (owner/name) that lies in the local cache.

    Raises:
        InputError: the package transformers is missing, there is no such folder, a file is missing or damaged, or it is
            another kind of network.
    """
    import_transformers(WHO)
    if not model:
        raise InputError(
            f"segmenter.model is missing: segmenter=hf needs weights, for example: {fetch_command(EXAMPLE)}"
        )
    path = _locate(model)
    config = _read_json(path / CONFIG)
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in PUBLISHED:
        raise InputError(f"{path / CONFIG}: expected a model_type of {', '.join(PUBLISHED)}, got {shown(kind)}")
    with contents_of(path / CONFIG):
        check_sizes(config)
    return HfFolder(path, config, _weights(path, PUBLISHED[kind]), _processing(path))


def _locate(model: str) -> Path:
    example = f"a published model is fetched with: {fetch_command(EXAMPLE)}"
    nowhere = f"segmenter.model: expected a folder, there is none at {model}; {example}"
    try:
        folder = Path(model).expanduser()
        known = folder.is_dir()
    except (OSError, RuntimeError) as error:  # a name too long, nobody's home
        raise InputError(nowhere) from error
    if known:
        if not (folder / CONFIG).is_file():
            raise InputError(f"segmenter.model: expected a folder with {CONFIG}, there is none in {model}")
        return folder
    # The first part may be a folder that is there: then the rest of the path is meant, and no name
    place = folder.exists() or folder.parent.is_dir() or folder.parts[0] == FETCHED
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", model) or place:
        raise InputError(nowhere)
    from huggingface_hub import try_to_load_from_cache  # here: it comes with transformers

    try:
        cached = try_to_load_from_cache(model, CONFIG)
    except ValueError as error:  # no name that the hub could have
        raise InputError(nowhere) from error
    if not isinstance(cached, str):
        raise InputError(
            f"segmenter.model: {model} is neither a folder nor a model in the local cache; fetch it with: "
            f"{fetch_command(model)}"
        )
    return Path(cached).parent


def _weights(path: Path, example: str) -> tuple[Path, ...]:
    """The files of weights, each of the length that its head tells."""
    index = path / INDEX
    if (path / WEIGHTS).is_file() or not index.is_file():
        names = [WEIGHTS]
    else:
        listed = _read_json(index).get("weight_map")
        if not isinstance(listed, dict) or not listed:
            raise InputError(f"{index}: expected a weight_map that names the files of weights")
        names = sorted({str(name) for name in listed.values()})
    for name in names:
        file = path / name
        if len(name.encode(errors="replace")) > _LONGEST_NAME or not file.is_file() or file.parent != path:
            pickled = "; pickled weights (.bin, .pt) are never loaded" if any(path.glob("*.bin")) else ""
            raise InputError(
                f"{file}: expected the weights, found no such file{pickled}; fetch them with: {fetch_command(example)}"
            )
        check_safetensors(file, "safetensors")
    return tuple(path / name for name in names)


def _processing(path: Path) -> Mapping[str, Any]:
    """How pictures are prepared; empty where the folder does not say."""
    for name in PROCESSING:
        if (path / name).is_file():
            content = _read_json(path / name)
            nested = content.get("image_processor", content)
            if not isinstance(nested, dict):
                raise InputError(f"{path / name}: image_processor: expected an object, got {type(nested).__name__}")
            if name == PROCESSING[0] or "image_processor" in content:
                return nested
    return {}


def _read_json(path: Path) -> dict[str, Any]:
    return read_json_object(path, "JSON")
