"""Cameras, poses and bounds: pure geometry, no learning."""
