"""From clicks to masks of all views."""
