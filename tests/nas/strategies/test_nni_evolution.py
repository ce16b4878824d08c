"""NNI, where it cannot be imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from core.errors import UserError
from nas.objectives import Objectives
from nas.spaces.toy import Toy
from nas.strategies.nni_evolution import NniEvolution


def test_a_broken_nni_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a package that it needs is too new."""
    monkeypatch.setitem(sys.modules, "nni.algorithms.hpo.evolution_tuner", None)
    with pytest.raises(
        UserError, match=r"cannot import NNI .*; pip install 'nni>=3,<4' in an environment"
    ):
        NniEvolution(Toy(), Objectives.parse(["f1:max"], []), num_classes=10).ask()


def test_no_other_strategy_imports_it() -> None:
    code = "import sys, nas.strategies as s\nfor n in s.REGISTRY.names(): s.load(n)\nprint('nni' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
    )
