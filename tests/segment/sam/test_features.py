"""SAM's embeddings as feature maps: whose cells they are, where they lie in the picture, and when they are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from nto3d.segment.embeddings import EmbeddingCache
from nto3d.segment.sam.segmenter import SamSegmenter, sam_features
from nto3d.types import ByteArray
from tests.segment.sam.scripted import CPU, Brightness
from tests.segment.tiny_sam import random_sam


def pictures(count: int, height: int, width: int, seed: int = 0) -> ByteArray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


class BrightnessSam(nn.Module):
    """In SAM's place: a frame of 64 pixels, and one feature, the mean brightness of 8 x 8 cells."""

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder = Brightness()
        self.prompt_encoder = None

    def preprocess(self, pixels: Tensor) -> Tensor:
        return functional.pad(pixels, (0, 64 - pixels.shape[-1], 0, 64 - pixels.shape[-2]))


@pytest.mark.parametrize(
    ("size", "grid", "step"),
    [
        ((64, 64), (8, 8), (8.0, 8.0)),
        ((40, 120), (3, 8), (40 / 2.625, 15.0)),  # 21 x 64 pixels in SAM's frame: 2.625 rows of cells
        ((120, 40), (8, 3), (15.0, 40 / 2.625)),
        ((96, 128), (6, 8), (16.0, 16.0)),
        ((200, 25), (8, 1), (25.0, 25.0)),
    ],
)
def test_a_cells_centre_has_the_encoders_feature_and_padding_is_dropped(
    size: tuple[int, int], grid: tuple[int, int], step: tuple[float, float]
) -> None:
    segmenter, images = SamSegmenter(random_sam(3), CPU), pictures(3, *size)
    maps = sam_features(segmenter, images)
    assert maps.values.shape == (3, *grid, 32)
    assert maps.size == size
    assert maps.extent == pytest.approx((size[0] / step[0], size[1] / step[1]))
    row, column = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    xy = torch.stack([(column + 0.5) * step[1] - 0.5, (row + 0.5) * step[0] - 0.5], dim=-1).reshape(-1, 2)
    for view in (2, 0, 1):
        cells = segmenter.embed(images[view]).features[:, : grid[0], : grid[1]].reshape(32, -1).T
        found = maps.at(torch.full((len(xy),), view), xy)
        torch.testing.assert_close(found, cells, rtol=1e-3, atol=1e-3)  # half precision


def test_a_last_row_whose_centre_is_padding_is_not_read() -> None:
    segmenter, images = SamSegmenter(random_sam(), CPU), pictures(1, 34, 64)  # 4.25 rows
    maps = sam_features(segmenter, images)
    assert (maps.values.shape[1], maps.extent) == (5, (4.25, 8.0))
    bottom = torch.tensor([[8 * column + 3.5, 33.0] for column in range(8)])
    cells = segmenter.embed(images[0]).features
    torch.testing.assert_close(maps.at(torch.zeros(8, dtype=torch.int64), bottom), cells[:, 3].T, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("size", "along"), [((64, 128), 0), ((192, 96), 1), ((32, 64), 0), ((64, 64), 1), ((48, 32), 1)]
)
def test_features_lie_where_the_picture_shows_them(size: tuple[int, int], along: int) -> None:
    """A picture as bright as the number of its column (or row): the feature at a pixel is that number again.

    All of them fill whole cells: in others the padding blends into the last.
    """
    ramp = np.arange(size[1])[None, :] if along == 0 else np.arange(size[0])[:, None]
    images = np.broadcast_to(ramp[..., None], (*size, 3)).astype(np.uint8)[None]
    maps = sam_features(SamSegmenter(BrightnessSam(), CPU), images)
    longer = max(size)
    y, x = np.mgrid[: size[0], : size[1]]
    margin = longer / 16 + longer / 64  # half a cell, beyond whose centre nothing is interpolated, and the resize
    inner = (x > margin) & (x < size[1] - 1 - margin) & (y > margin) & (y < size[0] - 1 - margin)
    xy = torch.from_numpy(np.stack([x[inner], y[inner]], axis=1)).float()
    assert len(xy) > 20
    found = maps.at(torch.zeros(len(xy), dtype=torch.int64), xy)[:, 0]
    torch.testing.assert_close(found, xy[:, along], rtol=0, atol=0.5)


def test_with_a_cache_a_second_call_does_not_encode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    encode = SamSegmenter._encode

    def counted(self: SamSegmenter, image: ByteArray, input_size: tuple[int, int]) -> NDArray[np.float32]:
        calls.append(int(image.astype(int).sum()))
        return encode(self, image, input_size)

    monkeypatch.setattr(SamSegmenter, "_encode", counted)

    def features(images: ByteArray, **others: Any) -> Tensor:
        calls.clear()
        return sam_features(SamSegmenter(random_sam(), CPU, **others), images).values

    images = pictures(3, 40, 64)
    first = features(images, cache=EmbeddingCache(tmp_path, "a" * 64, {}))
    assert len(calls) == 3
    again = features(images, cache=EmbeddingCache(tmp_path, "a" * 64, {}))
    assert not calls
    assert torch.equal(first, again)
    images[1] = 255 - images[1]
    changed = features(images, cache=EmbeddingCache(tmp_path, "a" * 64, {}))
    assert calls == [int(images[1].astype(int).sum())]
    assert torch.equal(changed[[0, 2]], first[[0, 2]])
    assert not torch.equal(changed[1], first[1])
    assert torch.equal(changed, features(images))  # without a cache
    assert len(calls) == 3


def test_views_keep_their_order() -> None:
    segmenter, images = SamSegmenter(random_sam(), CPU), pictures(3, 24, 32)
    values = sam_features(segmenter, images).values
    turned = sam_features(segmenter, images[::-1]).values
    assert torch.equal(values.flip(0), turned)
    assert not torch.equal(values[0], values[2])


def test_pictures_that_are_none() -> None:
    segmenter = SamSegmenter(random_sam(), CPU)
    with pytest.raises(ValueError, match="expected a picture"):
        sam_features(segmenter, pictures(2, 8, 8)[..., :1])
