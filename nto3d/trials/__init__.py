"""Trials of the project itself: its speed, what each part brings, other clicks, objects that it has not seen."""
