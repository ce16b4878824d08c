"""Data sets: sources, decoding, splits."""
