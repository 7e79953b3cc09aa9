"""The files of a scene: which belong to which, and what the pixels of masks and depth maps mean."""
