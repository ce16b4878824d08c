"""Runners: self-contained Python texts, each of which opens the models of one runtime."""
