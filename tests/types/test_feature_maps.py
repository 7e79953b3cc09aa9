"""Reading feature maps at pixels: on a map that holds its own columns and rows, the answer is the position in cells."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from nto3d.types.feature_maps import FeatureMaps

NAN = float("nan")


def positions(rows: int, columns: int) -> Tensor:
    """A map [rows, columns, 2] whose channels are the column and the row of each cell."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([x, y], dim=-1).float()


def read(maps: FeatureMaps, *pixels: tuple[float, float], view: int = 0) -> list[list[float]]:
    xy = torch.tensor(pixels, dtype=torch.float32)
    return maps.at(torch.full((len(pixels),), view), xy).tolist()


def all_pixels(size: tuple[int, int]) -> Tensor:
    """Every pixel (x, y) of a picture, [H W, 2]."""
    y, x = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2).float()


def close(found: list[list[float]], expected: list[list[float]]) -> None:
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected, dtype=torch.float32), rtol=0, atol=1e-5)


def test_positions_in_a_square_picture() -> None:
    maps = FeatureMaps(positions(4, 4)[None], (4.0, 4.0), (16, 16))
    # A cell is 4 pixels wide: pixels 0 to 3 make cell 0, whose centre lies at pixel 1.5; then every 4 pixels.
    close(read(maps, (1.5, 1.5), (5.5, 1.5), (13.5, 9.5)), [[0, 0], [1, 0], [3, 2]])
    close(read(maps, (2, 6), (7, 12), (9.25, 3.5)), [[0.125, 1.125], [1.375, 2.625], [1.9375, 0.5]])


def test_beyond_the_outermost_centres_the_outermost_cell_is_taken() -> None:
    maps = FeatureMaps(positions(4, 4)[None], (4.0, 4.0), (16, 16))
    corners = [(0, 0), (15, 0), (0, 15), (15, 15)]
    close(read(maps, *corners), [[0, 0], [3, 0], [0, 3], [3, 3]])
    close(read(maps, (-0.5, 15.5), (-40, 7.5), (7.5, 1e6)), [[0, 3], [0, 1.5], [1.5, 3]])


def test_more_cells_than_pixels() -> None:
    maps = FeatureMaps(positions(6, 6)[None], (6.0, 6.0), (2, 3))
    # Two cells a pixel across, three down: pixel 0 covers cells 0 and 1, and its centre lies between the two.
    close(read(maps, (0, 0), (1, 0), (2, 1)), [[0.5, 1], [2.5, 1], [4.5, 4]])


@pytest.mark.parametrize("portrait", [False, True])
def test_positions_in_a_picture_of_101_by_37_pixels(portrait: bool) -> None:
    # In a frame of 64 pixels it has 64 x 23, of 8 x 8 cells each: 8 columns and 2.875 rows. The middle pixel (50, 18)
    # lies in the middle, 4 - 1/2 and 1.4375 - 1/2; the last row's centre lies at 2.5 of 2.875, before the bottom.
    pixels = [(50.0, 18.0), (0.0, 0.0), (100.0, 36.0), (25.0, 10.0)]
    expected = [[3.5, 0.9375], [0, 0], [7, 2], [25.5 * 8 / 101 - 0.5, 10.5 * 2.875 / 37 - 0.5]]
    maps = FeatureMaps(positions(3, 8)[None], (2.875, 8.0), (37, 101))
    if portrait:
        maps = FeatureMaps(positions(8, 3)[None], (8.0, 2.875), (101, 37))
        pixels = [(y, x) for x, y in pixels]
        expected = [[row, column] for column, row in expected]
    close(read(maps, *pixels), expected)


@pytest.mark.parametrize("portrait", [False, True])
def test_positions_in_sams_map_of_683_by_1024_pixels(portrait: bool) -> None:
    # Cells of 16 pixels; 683 / 16 = 42.6875 rows show the picture, so row 42 (centre at 42.5) still does.
    pixels = [(7.5, 7.5), (1016.0, 680.0), (23.5, 8.0), (512.0, 671.5), (1023.0, 682.0)]
    expected = [[0, 0], [63, 42], [1, 0.03125], [31.53125, 41.5], [63, 42]]
    size, extent = (683, 1024), (42.6875, 64.0)
    values = positions(64, 64)
    values[43:] = NAN
    if portrait:
        size, extent, values = (1024, 683), (64.0, 42.6875), positions(64, 64)
        values[:, 43:] = NAN
        pixels = [(y, x) for x, y in pixels]
        expected = [[row, column] for column, row in expected]
    close(read(FeatureMaps(values[None], extent, size), *pixels), expected)


@pytest.mark.parametrize(
    ("extent", "size", "last"),
    [
        ((42.6875, 64.0), (683, 1024), (42, 63)),
        ((64.0, 42.6875), (1024, 683), (63, 42)),
        ((42.25, 64.0), (169, 256), (41, 63)),  # the centre of row 42 lies at 42.5: in the padding
        ((64.0, 42.25), (256, 169), (63, 41)),
        ((0.25, 64.0), (1, 256), (0, 63)),  # less than a half cell: there is no other
        ((7.5, 1.5), (15, 3), (7, 1)),  # exactly half a cell
        ((64.0, 64.0), (100, 100), (63, 63)),
    ],
)
def test_padding_is_never_read(extent: tuple[float, float], size: tuple[int, int], last: tuple[int, int]) -> None:
    values = positions(64, 64)
    values[last[0] + 1 :] = NAN
    values[:, last[1] + 1 :] = NAN
    maps = FeatureMaps(values[None], extent, size)
    pixels = all_pixels(size)
    pixels = torch.cat([pixels, pixels + 0.5, pixels - 0.5])
    found = maps.at(torch.zeros(len(pixels), dtype=torch.int64), pixels)
    assert bool(torch.isfinite(found).all())
    assert found.amax(dim=0).tolist() == [last[1], last[0]]
    assert found.amin(dim=0).tolist() == [0, 0]
    assert read(maps, (size[1] - 0.5, size[0] - 0.5)) == [[last[1], last[0]]]  # the picture's outer corner


def test_views_do_not_mix() -> None:
    values = positions(3, 5) + 100 * torch.arange(4)[:, None, None, None]
    maps = FeatureMaps(values, (3.0, 5.0), (6, 10))
    # A cell is 2 pixels wide; the last pixels of one view and the first of the next are neighbours in memory.
    xy = torch.tensor([[9.0, 5.0], [0.0, 0.0], [9.0, 5.0], [2.0, 3.0], [0.0, 0.0]])
    found = maps.at(torch.tensor([3, 0, 0, 2, 1]), xy)
    close(found.tolist(), [[304, 302], [0, 0], [4, 2], [200.75, 201.25], [100, 100]])


def test_half_precision_is_interpolated_in_float32() -> None:
    values = torch.tensor([1.0, 1.0 + 2**-10], dtype=torch.float16).view(1, 1, 2, 1)  # neighbours among halves
    found = FeatureMaps(values, (1.0, 2.0), (1, 2)).at(
        torch.zeros(3, dtype=torch.int64), torch.tensor([[0.5, 0.0]] * 3)
    )
    assert found.dtype == torch.float32
    assert found.tolist() == [[1.0 + 2**-11]] * 3


@pytest.mark.parametrize("size", [(16, 16), (37, 101), (101, 37), (5, 3)])
@pytest.mark.parametrize("grid", [(7, 9), (1, 4), (6, 1)])
def test_agrees_with_grid_sample_where_there_is_no_padding(size: tuple[int, int], grid: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, *grid, 5, generator=generator)
    maps = FeatureMaps(values, (float(grid[0]), float(grid[1])), size)
    extra = torch.rand(500, 2, generator=generator) * torch.tensor([size[1], size[0]]) - 0.5
    xy = torch.cat([all_pixels(size), extra])
    where = 2 * (xy + 0.5) / torch.tensor([size[1], size[0]]) - 1  # -1..1 over the picture
    for view in range(2):
        expected = functional.grid_sample(
            values[view].permute(2, 0, 1)[None], where[None, None], padding_mode="border", align_corners=False
        )
        found = maps.at(torch.full((len(xy),), view), xy)
        torch.testing.assert_close(found, expected[0, :, 0].T, rtol=0, atol=1e-4)


def test_no_pixels_give_no_rows() -> None:
    maps = FeatureMaps(positions(2, 2)[None], (2.0, 2.0), (4, 4))
    found = maps.at(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 2))
    assert (maps.channels, found.shape) == (2, (0, 2))


@pytest.mark.parametrize("shape", [(4, 4, 2), (1, 1, 4, 4, 2), (1, 0, 4, 2), (1, 4, 0, 2), (1, 4, 4, 0)])
def test_values_that_are_no_maps(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected feature maps"):
        FeatureMaps(torch.zeros(shape), (1.0, 1.0), (8, 8))


@pytest.mark.parametrize(
    "extent", [(0.0, 5.0), (3.0, 0.0), (-1.0, 5.0), (3.01, 5.0), (3.0, 5.5), (5.0, 3.0), (3.0, NAN)]
)
def test_an_extent_beyond_the_maps(extent: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="expected an extent"):
        FeatureMaps(torch.zeros(2, 3, 5, 1), extent, (30, 50))
