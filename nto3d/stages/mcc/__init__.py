"""MCC: asked, trained, measured."""
