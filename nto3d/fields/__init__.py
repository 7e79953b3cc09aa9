"""Learned fields: SDF, colour, background."""
