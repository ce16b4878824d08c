"""What a training does when its numbers stop being finite: it ends, or goes back and slows down."""

from __future__ import annotations

from collections.abc import Callable

_SLOWER = 0.5


class DivergedError(Exception):
    """The loss, the gradient or the outputs became infinite or NaN; the message says when."""


#: Decides on a divergence, given how often this training went back before: returns the factor of the
#: learning rate with which it repeats the epoch from the end of the one before, or raises.
OnDivergence = Callable[[DivergedError, int], float]


def stop(error: DivergedError, times: int) -> float:
    """A divergence ends the training.

    Raises:
        DivergedError: always.
    """
    raise error


def halve_once(warn: Callable[[str], None]) -> OnDivergence:
    """The first divergence halves the learning rate, the second ends the training.

    Args:
        warn: hears one line about the first.
    """

    def decide(error: DivergedError, times: int) -> float:
        if times:
            raise DivergedError(f"{error}, which was halved before") from error
        warn(f"{error}; repeating the epoch with half the learning rate")
        return _SLOWER

    return decide
