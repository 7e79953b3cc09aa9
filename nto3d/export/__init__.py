"""From a function to a mesh file."""
