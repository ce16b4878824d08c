"""Checked access to the arguments of a row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import short
from nas.layers import ACTIVATIONS, make_divisible

_ALIASES = {"HardSwish": "Hardswish", "HardSigmoid": "Hardsigmoid", "Swish": "SiLU"}  # of activations
_MAX_WHOLE, _MAX_FACTOR = 1_000_000, 1_000  # keep the arithmetic small; the size is checked later


@dataclass(frozen=True)
class RowArguments:
    """The arguments of a row with their context, and checked access to them."""

    args: Sequence[Any]
    repeat: int
    channels: int  # that come in
    width: float
    earlier: bool = False  # the file is of the first writer, see the schema

    def get(self, index: int, default: Any) -> Any:
        """Return an argument, or ``default`` where the row has none."""
        return self.args[index] if index < len(self.args) else default

    def whole(self, index: int, name: str, default: Any = None, least: int = 1) -> int:
        """Return an argument that must be a whole number."""
        return whole(self.get(index, default), name, least)

    def positive(self, index: int, name: str, default: Any = None) -> float:
        """Return an argument that must be a positive, finite number."""
        value = self.get(index, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise ValueError(f"{name} must be a positive number, got {short(value)}")
        if value > _MAX_FACTOR:
            raise ValueError(f"{name} must be at most {_MAX_FACTOR:,}, got {short(value)}")
        return float(value)

    def flag(self, index: int, name: str, default: Any = None) -> bool:
        """Return an argument that must be 0 or 1."""
        value = self.get(index, default)
        if not isinstance(value, bool | int | float) or value not in (0, 1):
            raise ValueError(f"{name} must be 0 or 1, got {short(value)}")
        return bool(value)

    def activation(self, index: int, default: str | None) -> str | None:
        """Return the name in ``torch.nn`` of an activation; ``None``: no activation."""
        name = self.get(index, default)
        name = _ALIASES.get(name, name) if isinstance(name, str) else name
        if name is not None and name not in ACTIVATIONS:
            known = ", ".join((*ACTIVATIONS, *_ALIASES))
            raise ValueError(f"unknown activation {short(name)}; known: {known}, null")
        return name

    def padding(self, index: int) -> int | None:
        """Return a padding; ``None``: kernel // 2.

        The scripts compute ``padding or kernel // 2``. So 0 is kernel // 2 as well, and [0] is none.
        """
        value = self.get(index, None)
        sides = value if isinstance(value, list) and len(value) in (1, 2) else [value]
        if value is None or (value == 0 and type(value) is int and not self.earlier):
            return None
        if any(type(side) is not int or side < 0 for side in sides):
            raise ValueError(
                "padding must be a whole number, one in brackets ([0]: none), or null, "
                f"got {short(value)}"
            )
        if len(set(sides)) > 1:
            raise ValueError(f"padding must be that of every side, got {short(value)}")
        return whole(sides[0], "padding", 0)

    def scaled(self, index: int) -> int:
        """Return channels times the width multiple, rounded to 8."""
        return make_divisible(self.whole(index, "out") * self.width)

    def strides(self, index: int, *, last: bool, default: Any = None) -> list[int]:
        """Return the stride of each repeat: the row's at the last or first repeat, 1 at the others."""
        ones, stride = [1] * (self.repeat - 1), self.whole(index, "stride", default)
        return [*ones, stride] if last else [stride, *ones]


def whole(value: Any, name: str, least: int = 1) -> int:
    """Return ``value`` if it is a whole number.

    Raises:
        ValueError: it is not, is less than ``least``, or more than any network has.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {short(value)}")
    if value > _MAX_WHOLE:
        raise ValueError(f"{name} must be at most {_MAX_WHOLE:,}, got {short(value)}")
    return value
