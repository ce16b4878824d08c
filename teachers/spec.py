"""The names of one teacher or several, as a user writes them."""

from __future__ import annotations

import math
import re

from core.config import MAX_TEACHER_SIDE, MIN_TEACHER_SIDE
from core.errors import UserError, short


def parse_spec(spec: str) -> list[tuple[str, float]]:
    """Split ``a``, ``a,b`` (equal weights) or ``a*0.7,b*0.3`` into specs and weights that sum to 1.

    Raises:
        UserError: the spec is malformed, or a weight is not a positive number.
    """
    members = []
    for member in spec.split(","):
        name, star, text = member.strip().partition("*")
        try:
            weight = float(text) if star else 1.0
        except ValueError:
            weight = math.nan
        if not name or not (math.isfinite(weight) and weight > 0):
            raise UserError(f"teacher {short(spec)}: write several as a,b or a*0.7,b*0.3")
        members.append((name, weight))
    total = sum(weight for _, weight in members)
    return [(name, weight / total) for name, weight in members]


def split_side(spec: str) -> tuple[str, int | None]:
    """Split ``NAME@SIDE`` into the name and the side of the network's input, pixels.

    Raises:
        UserError: the side is out of range.
    """
    match = re.fullmatch(r"(.+)@(\d+)", spec)
    if match is None:
        return spec, None
    name, side = match[1], int(match[2])
    if not MIN_TEACHER_SIDE <= side <= MAX_TEACHER_SIDE:
        bounds = f"from {MIN_TEACHER_SIDE} to {MAX_TEACHER_SIDE} pixels"
        raise UserError(f"teacher {short(spec)}: a side is {bounds}")
    return name, side
