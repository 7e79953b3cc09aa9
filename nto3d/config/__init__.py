"""What can be configured: schemas, checks, and the way to and from YAML; imports no torch."""
