"""The HTML report and its parts."""
