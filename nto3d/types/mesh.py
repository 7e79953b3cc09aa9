"""A triangle mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nto3d.types.arrays import ByteArray, FloatArray, IntArray, expect


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh.

    Attributes:
        vertices: [M, 3] float64, world units unless said otherwise.
        faces: [F, 3] int64, counter-clockwise seen from outside.
        colors: uint8 [M, 3] RGB, or None.
        seen: integers [M], how many training views see each vertex, or None where that is unknown.

    Raises:
        ValueError: a shape is wrong, a vertex is not finite, or a face names a vertex that does not exist.
    """

    vertices: FloatArray
    faces: IntArray
    colors: ByteArray | None = None
    seen: IntArray | None = None

    def __post_init__(self) -> None:
        count = len(self.vertices)
        expect(self.vertices.shape == (count, 3), "vertices [M, 3]", self.vertices.shape)
        expect(self.faces.ndim == 2 and self.faces.shape[1] == 3, "faces [F, 3]", self.faces.shape)
        expect(bool(np.isfinite(self.vertices).all()), "finite vertices", "NaN or infinity")
        in_range = len(self.faces) == 0 or (int(self.faces.min()) >= 0 and int(self.faces.max()) < count)
        expect(in_range, f"faces of vertices 0..{count - 1}", "an index outside")
        if self.colors is not None:
            expect(
                self.colors.shape == (count, 3) and self.colors.dtype == np.uint8,
                f"colors uint8 [{count}, 3]",
                self.colors.shape,
            )
        if self.seen is not None:
            integers = self.seen.shape == (count,) and np.issubdtype(self.seen.dtype, np.integer)
            expect(integers, f"seen, integers [{count}]", (self.seen.dtype, self.seen.shape))

    def transformed(self, matrix: FloatArray) -> Mesh:
        """The mesh with its vertices mapped by a [4, 4] similarity (faces turned where it mirrors)."""
        vertices = self.vertices @ matrix[:3, :3].T + matrix[:3, 3]
        mirrored = np.linalg.det(matrix[:3, :3]) < 0
        return Mesh(vertices, self.faces[:, ::-1] if mirrored else self.faces, self.colors, self.seen)
