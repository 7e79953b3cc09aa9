"""The only place that calls parsers of files: every call behind one guard, every size bounded before it is believed."""
