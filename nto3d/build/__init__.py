"""What turns a configuration into objects."""
