"""The lift tried where the truth is known."""
