"""Segmenters of the library transformers."""
