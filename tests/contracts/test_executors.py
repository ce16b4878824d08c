"""Every registered executor passes the kit."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import nas.executors
from nas.executors.executor_checks import EXECUTOR_CHECKS


@pytest.mark.parametrize("check", EXECUTOR_CHECKS.values(), ids=EXECUTOR_CHECKS.keys())
@pytest.mark.parametrize("name", nas.executors.REGISTRY.names())
def test_contract(request: pytest.FixtureRequest, name: str, check: Callable[..., None]) -> None:
    if name == "ray":
        request.getfixturevalue("ray_cluster").two_nodes()
    check(name)
