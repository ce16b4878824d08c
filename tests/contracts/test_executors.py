"""Every registered executor passes the kit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import nas.executors
from nas.executors.executor_checks import EXECUTOR_CHECKS


def marked(name: str) -> Any:
    """A name, for ``parametrize``; an executor that needs a cluster is marked."""
    return pytest.param(name, marks=pytest.mark.system) if name == "ray" else name


@pytest.mark.parametrize("check", EXECUTOR_CHECKS.values(), ids=EXECUTOR_CHECKS.keys())
@pytest.mark.parametrize("name", map(marked, nas.executors.REGISTRY.names()))
def test_contract(request: pytest.FixtureRequest, name: str, check: Callable[..., None]) -> None:
    if name == "ray":
        request.getfixturevalue("ray_cluster").two_nodes()
    check(name)
