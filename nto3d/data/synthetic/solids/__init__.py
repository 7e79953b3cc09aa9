"""Shapes, textures, and the objects made of them."""
