"""Prompts: read, checked, written."""
