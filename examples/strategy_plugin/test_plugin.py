"""The contract suite, run on the plugin."""

from pathlib import Path

from nas.strategies.testing import check_strategy


def test_annealing():
    check_strategy(f"{Path(__file__).with_name('minnow_strategy_plugin.py')}:Annealing")
