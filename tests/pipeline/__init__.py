"""Tests of `nto3d.pipeline`."""
