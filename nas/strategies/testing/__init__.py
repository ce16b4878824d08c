"""Contract checks of a strategy: ``check_strategy(MyStrategy)`` in a test or a script.

With pytest, one test per check::

    @pytest.mark.parametrize("check", STRATEGY_CHECKS.values(), ids=STRATEGY_CHECKS)
    def test_contract(check):
        check(MyStrategy, population=10)

A script that calls the kit does so under ``if __name__ == "__main__":``, since some checks look at the
strategy from new processes.
"""

from __future__ import annotations

from typing import Any

from nas.strategies.base import Strategy
from nas.strategies.testing import process_checks, proposal_checks, told_checks  # noqa: F401  they add their checks
from nas.strategies.testing.strategy_case import SUITE

#: Name to check, each called with the strategy and its options; in the order :func:`check_strategy` runs.
STRATEGY_CHECKS = SUITE.checks


def check_strategy(strategy: type[Strategy] | str, **options: Any) -> None:
    """Run every check.

    Args:
        strategy: a class at the top level of its module, or a name that ``nas.strategies.load`` takes.
        options: of the strategy, for every instance that is made.

    Raises:
        AssertionError: a check failed; says which, with which seed, and what was expected.
    """
    for check in STRATEGY_CHECKS.values():
        check(strategy, **options)


__all__ = ["STRATEGY_CHECKS", "check_strategy"]
