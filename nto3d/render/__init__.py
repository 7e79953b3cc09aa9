"""Volume rendering of fields that are passed in as functions."""
