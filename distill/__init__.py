"""Distillation: the losses, and the run that trains a student on a teacher's outputs."""
