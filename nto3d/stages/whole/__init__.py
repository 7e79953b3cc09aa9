"""The whole object that a click names, by geometry."""
