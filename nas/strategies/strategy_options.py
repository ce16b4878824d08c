"""Constructor arguments of strategies: common ones, and options of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Required, TypedDict

from core.errors import UserError
from nas.architecture import Architecture


class Given(TypedDict, total=False):
    """Keyword arguments that every strategy takes, besides its own options."""

    seed: int
    num_classes: Required[int]
    probes: Mapping[str, Callable[[Architecture], float]] | None


#: Constructor parameters of every strategy; the others are its own options.
COMMON_ARGUMENTS = ("space", "objectives", *Given.__annotations__)


def whole_number(strategy: str, option: str, value: object, *, minimum: int) -> int:
    """Return an option's value, checked.

    Raises:
        UserError: no whole number of at least ``minimum``.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise UserError(
            f"strategy '{strategy}': {option} must be a whole number of at least {minimum}, got {value!r}"
        )
    return value
