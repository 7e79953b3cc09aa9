"""The data that flows between the parts of nto3d: frozen dataclasses, checked when made.

Letters: V views, H W image height and width in pixels, R rays, N samples, M vertices, F faces, P points, C channels.

Frames: *world* is the frame and unit of the input cameras (DTU: millimetres). *normalized* is the frame in which
everything is trained: the region of interest is the unit sphere. `Scene.world_from_normalized` maps one to the other.
Camera axes are OpenCV's: x right, y down, z forward. Pixel coordinates: integers are pixel centres, the picture's
top left corner is (-0.5, -0.5).
"""

from nto3d.types.arrays import BoolArray, ByteArray, FloatArray, IntArray
from nto3d.types.masks import Mask, Prompts
from nto3d.types.mesh import Mesh
from nto3d.types.rays import RayBatch, RenderOutput, Samples
from nto3d.types.scene import Cameras, Scene

__all__ = [
    "BoolArray",
    "ByteArray",
    "Cameras",
    "FloatArray",
    "IntArray",
    "Mask",
    "Mesh",
    "Prompts",
    "RayBatch",
    "RenderOutput",
    "Samples",
    "Scene",
]
