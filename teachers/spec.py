"""The names of one teacher or several, as a user writes them."""

from __future__ import annotations

import math

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
