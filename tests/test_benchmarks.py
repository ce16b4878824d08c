"""The programs in ``benchmarks/`` import what there is, and say what they do. Type checks see the rest."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SPACES = {"shuffled_space", "stages_space"}  # plugins, which strategies.py and make_table.py name
PROGRAMS = sorted(
    path.stem for path in BENCHMARKS.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", PROGRAMS)
def test_help(name, monkeypatch, capsys):
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr("sys.argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
    assert not ended.value.code
    assert "usage: " in capsys.readouterr().out.lower()


@pytest.mark.parametrize("name", sorted(SPACES))
def test_spaces(name):
    """Their plugins build networks."""
    import numpy as np

    from nas.spaces.base import SearchSpace

    defined = [
        value
        for value in runpy.run_path(str(BENCHMARKS / f"{name}.py")).values()
        if isinstance(value, type) and issubclass(value, SearchSpace) and value.__module__ == "<run_path>"
    ]
    assert defined
    for space in (kind() for kind in defined):
        choices = space.sample(np.random.default_rng(0))
        assert space.decode(choices).layers
