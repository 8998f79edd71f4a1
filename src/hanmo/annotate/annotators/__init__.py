"""Backends that find words and labels, a file each: `hanmo annotate --annotator NAME`."""
