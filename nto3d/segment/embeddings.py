"""A disk cache of picture embeddings: one .npz a picture, which carries the key of what it was made from."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nto3d.errors import InputError
from nto3d.files import write_arrays, write_atomic
from nto3d.parsers.archives import Archive
from nto3d.types import ByteArray

MOST_BYTES = 1 << 30  # of an array
FORMAT = 1
KEY, FEATURES = "key", "features"  # entries of a file: what it was made from, and an embedding of one part
log = logging.getLogger("nto3d")


def image_hash(image: ByteArray) -> str:
    """SHA-256 of a picture's shape and bytes, uint8 [H, W, 3]."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


class EmbeddingCache:
    """Embeddings of pictures under one checkpoint and one set of settings: float32 [C, h, w], or several such parts.

    What cannot be read, is damaged or was made from something else counts as absent, and is written anew. Where the
    folder cannot be written, everything still works: a single warning is logged.

    Args:
        folder: where the files go, `folder/CHECKPOINT/IMAGE.npz`; made when the first is written, and hidden from git.
        checkpoint: hash of the weights. settings: whatever else shapes an embedding, as JSON values.
    """

    def __init__(self, folder: Path, checkpoint: str, settings: Mapping[str, object]) -> None:
        self.folder = folder
        self.checkpoint = checkpoint
        self.settings = dict(settings)
        self.warned = False

    def load(self, image: str, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
        """The embedding of the picture with this hash, or None; it has to be of the given shape."""
        arrays = self.load_all(image, {FEATURES: shape})
        return None if arrays is None else arrays[FEATURES]

    def load_all(self, image: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]] | None:
        """The parts of an embedding, by name, of the picture with this hash, or None; all have to be there.

        Args:
            shapes: of the parts, by name.
        """
        path = self._path(image)
        if not path.is_file():
            return None
        try:
            found = Archive(path, "an embedding", MOST_BYTES).read([KEY, *shapes])
        except InputError as error:
            log.info("%s, made again", error)
            return None
        key, arrays = str(found[0]), dict(zip(shapes, found[1:], strict=True))
        right = all(arrays[name].shape == shape and arrays[name].dtype == np.float32 for name, shape in shapes.items())
        right = right and all(bool(np.isfinite(array).all()) for array in arrays.values())
        if key != self._key(image) or not right:
            log.info("%s: made with other settings, made again", path)
            return None
        return arrays

    def store(self, image: str, features: NDArray[np.float32]) -> None:
        """Keep the embedding of the picture with this hash."""
        self.store_all(image, {FEATURES: features})

    def store_all(self, image: str, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Keep an embedding of several parts, by name (any but `key`)."""
        path = self._path(image)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            ignore = self.folder / ".gitignore"
            if not ignore.exists():
                write_atomic(ignore, "*\n")
            write_arrays(path, {KEY: np.array(self._key(image)), **arrays})
        except (OSError, InputError) as error:
            if not self.warned:
                log.warning("embeddings are not kept, the next run makes them again (%s)", error)
            self.warned = True

    def _path(self, image: str) -> Path:
        return self.folder / self.checkpoint[:12] / f"{image[:24]}.npz"

    def _key(self, image: str) -> str:
        parts = {"format": FORMAT, "checkpoint": self.checkpoint, "image": image, "settings": self.settings}
        return json.dumps(parts, sort_keys=True)
