"""From posed pictures and one click to a mesh of the clicked object."""

__version__ = "0.1.0"
