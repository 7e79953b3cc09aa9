"""Procedural scenes: textured objects on a table, ray-cast and written in the DTU/NeuS layout."""

from nto3d.data.synthetic.measure import hull_distance, visible_fraction
from nto3d.data.synthetic.recipes import RECIPES, Recipe, SyntheticScene, build_scene
from nto3d.data.synthetic.write import make_scene

__all__ = ["RECIPES", "Recipe", "SyntheticScene", "build_scene", "hull_distance", "make_scene", "visible_fraction"]
