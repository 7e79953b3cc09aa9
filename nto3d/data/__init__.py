"""Readers that turn folders into a Scene, and ray batches from a Scene."""
