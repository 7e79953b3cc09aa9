"""The multi-resolution hash grid: its shape, its module, a backend a file."""
