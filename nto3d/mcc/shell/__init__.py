"""The shell that a sweep found: its inside filled, and how deep places lie in it."""
