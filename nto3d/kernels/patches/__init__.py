"""Correlation of picture patches over a surface."""
