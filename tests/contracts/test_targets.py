"""Every registered target passes the kit, where its packages are installed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import deploy.targets
from deploy.targets.target_checks import TARGET_CHECKS, missing


@pytest.mark.parametrize("check", TARGET_CHECKS.values(), ids=TARGET_CHECKS.keys())
@pytest.mark.parametrize("name", deploy.targets.REGISTRY.names())
def test_contract(name: str, check: Callable[..., None]) -> None:
    if reason := missing(name):
        pytest.skip(reason)
    check(name)
