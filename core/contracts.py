"""Suites of contract checks that a plugin's author runs in one line."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Generic, TypeVar

Subject = TypeVar("Subject")


class Suite(Generic[Subject]):
    """Named checks of one kind of plugin, in order.

    Args:
        prepare: makes the subject of a check from the check's arguments; ``str(subject)`` begins every
            message.

    Attributes:
        checks: check by name; each takes the arguments of ``prepare``.
    """

    def __init__(self, prepare: Callable[..., Subject]) -> None:
        self.checks: dict[str, Callable[..., None]] = {}
        self._prepare = prepare

    def add(self, name: str) -> Callable[[Callable[[Subject], None]], Callable[..., None]]:
        """Return a decorator that makes a function of a subject the check called ``name``.

        The check raises AssertionError, whatever goes wrong: with the subject, the check's name and
        what was expected.
        """

        def decorate(function: Callable[[Subject], None]) -> Callable[..., None]:
            @wraps(function)
            def check(*args: Any, **options: Any) -> None:
                subject = self._prepare(*args, **options)
                try:
                    function(subject)
                except AssertionError as error:
                    raise AssertionError(f"{subject} fails the check '{name}': {error}") from error
                except Exception as error:
                    reason = f"raised {type(error).__name__}: {error}"
                    raise AssertionError(f"{subject} fails the check '{name}': {reason}") from error

            self.checks[name] = check
            return check

        return decorate


def expect(condition: bool, message: str) -> None:
    """Raise AssertionError with ``message`` unless ``condition`` holds; also under ``python -O``."""
    if not condition:
        raise AssertionError(message)


def expect_error(call: Callable[[], object], words: str, *kinds: type[Exception]) -> str:
    """Return the message of the error that ``call`` must raise; it must contain ``words``.

    Args:
        call: without arguments.
        words: part of the message.
        kinds: of error; any of them will do.
    """
    names = " or ".join(kind.__name__ for kind in kinds)
    try:
        call()
    except kinds as error:
        expect(words in str(error), f"expected {names} with {words!r}, got {str(error)!r}")
        return str(error)
    raise AssertionError(f"expected {names}, but nothing was raised")
