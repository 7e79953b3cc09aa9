"""A lift in a run: its stages, and the files that it leaves."""
