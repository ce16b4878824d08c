"""Diagnosis of an installation: what it runs on, what is installed, and whether the essential parts work.

Nothing here imports another package at import time: it must say what is wrong where one is missing or
broken. What may crash runs in a process of its own.
"""

from __future__ import annotations

from minnow.doctor.diagnosis import Diagnosis, diagnose

__all__ = ["Diagnosis", "diagnose"]
