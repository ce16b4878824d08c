"""Foundations of all other packages; imports nothing of Minnow."""
