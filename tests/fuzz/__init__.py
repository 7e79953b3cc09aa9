"""Mutated files and arguments for every reader: only an InputError may leave it, soon and without much memory."""
