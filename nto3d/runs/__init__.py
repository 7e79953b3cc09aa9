"""A module a mode, and a run's folder."""
