"""Several named objects in one reconstruction."""
