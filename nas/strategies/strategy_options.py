"""Constructor arguments of strategies: common ones, and options of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Required, TypedDict

from core.errors import UserError
from nas.architecture import Architecture


class Given(TypedDict, total=False):
    """Keyword arguments that every strategy takes, besides its own options."""

    seed: int
    num_classes: Required[int]
    probes: Mapping[str, Callable[[Architecture], float]] | None


_COMMON = ("space", "objectives", *Given.__annotations__)


def option_names(kind: type[object]) -> list[str]:
    """Return the names of a strategy's own options."""
    return [
        name
        for name, parameter in signature(kind).parameters.items()
        if name not in _COMMON and parameter.kind is not Parameter.VAR_KEYWORD
    ]


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
