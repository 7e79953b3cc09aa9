"""What the fields show in whole views, and votes of views on the surface."""
