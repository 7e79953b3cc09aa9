"""From pictures and masks to a mesh."""
