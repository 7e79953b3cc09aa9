"""Segmenters: pictures and prompts in, masks out."""
