"""Every registered strategy passes the kit, and learns; the guarantees of ``ask`` itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nas.spaces
import nas.strategies
from core.errors import UserError
from nas.architecture import Architecture
from nas.cost import cost
from nas.strategies import Strategy
from nas.strategies.random import RandomSearch
from nas.strategies.testing import STRATEGY_CHECKS, check_strategy
from nas.strategies.testing.strategy_case import CLASSES, case_of, run_trials
from nas.trial import Proposal, Trial

ROOT = Path(__file__).parents[2]
TABLE = ROOT.parent / "shared" / "data" / "nas-bench-macro_cifar10.json"
MORE_SAMPLERS = ("optuna:nsgaii", "optuna:qmc")  # checked by the slow tests; optuna:cmaes stands for them
#: Optuna's own samplers are many and some are slow: those that keep state go through every check.
STRATEGIES = [*nas.strategies.REGISTRY.names(), *MORE_SAMPLERS, "optuna:cmaes"]
needs_table = pytest.mark.skipif(
    not TABLE.exists(), reason="NAS-Bench-Macro's table is not beside the checkout"
)

Kind = type[Strategy]

HUB_SAMPLER = """
from __future__ import annotations

from optuna.samplers import NSGAIISampler

__all__ = ["SmallGenerations"]


class SmallGenerations(NSGAIISampler):
    def __init__(self, *, seed: int | None = None, population_size: int = 5) -> None:
        super().__init__(seed=seed, population_size=population_size)
"""


@pytest.fixture(scope="module")
def hub_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a package as OptunaHub's, with a sampler that keeps state in the study."""
    pytest.importorskip("optunahub")
    folder = tmp_path_factory.mktemp("samplers") / "small_generations"
    folder.mkdir()
    (folder / "__init__.py").write_text(HUB_SAMPLER)
    return folder


def make(kind: Kind, space: str = "macro", limits: Sequence[str] = (), **options: Any) -> Strategy:
    return case_of(kind, {}).make(space, limits, **options)


@pytest.mark.parametrize("check", STRATEGY_CHECKS.values(), ids=STRATEGY_CHECKS.keys())
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in MORE_SAMPLERS else n for n in STRATEGIES]
)
def test_contract(name: str, check: Callable[..., None]) -> None:
    check(name)


@pytest.mark.parametrize("check", STRATEGY_CHECKS.values(), ids=STRATEGY_CHECKS.keys())
def test_contract_of_a_sampler_of_optunahub(check: Callable[..., None], hub_package: Path) -> None:
    check(f"optunahub:{hub_package}")


@pytest.mark.parametrize(
    "options",
    [
        {"population": 4, "sample": 1},
        pytest.param({"population": 2, "sample": 9}, marks=pytest.mark.slow),
    ],
)
def test_contract_with_options(options: dict[str, int]) -> None:
    check_strategy("evolution", **options)


def test_the_example_plugin() -> None:
    check_strategy(f"{ROOT}/examples/strategy_plugin/minnow_strategy_plugin.py:Annealing")


def check_learns(kind: Kind, trials: int = 40) -> None:
    """On trained networks, the best of ``trials`` beats random search, on average over five seeds."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))

    def trained(proposal: Proposal) -> Trial:
        return proposal.complete({"f1": table["".join(map(str, proposal.choices))]["mean_acc"]})

    def mean_best(kind: Kind) -> float:
        runs = [run_trials(make(kind, seed=seed), trials, trained) for seed in range(5)]
        return float(np.mean([max(t.metrics["f1"] for t in trials if t.metrics) for trials in runs]))

    assert mean_best(kind) > mean_best(RandomSearch), "no better than random search"


@needs_table
@pytest.mark.parametrize(("name", "trials"), [("tpe", 40), ("nni-evolution", 60), ("evolution", 40)])
def test_learns_on_trained_networks(name: str, trials: int) -> None:
    check_learns(nas.strategies.load(name), trials)


@needs_table
def test_the_check_of_learning_can_fail() -> None:
    with pytest.raises(AssertionError, match="no better than random"):
        check_learns(RandomSearch)


class Probe:
    """A latency that is one millisecond per 10 M multiply-adds, and how often it was asked for."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, architecture: Architecture) -> float:
        self.calls += 1
        return cost(architecture, CLASSES).macs / 10e6


# --- what ask does about bad proposals ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "complaint"),
    [
        ([99] * 8, "outside 0..2"),
        ([-1] * 8, "outside 0..2"),
        ([0] * 7, "expected 8 choices, got 7"),
        ([0.0] * 8, "integers"),
        ([True] * 8, "integers"),
        (["0"] * 8, "integers"),
    ],
)
def test_what_is_no_point_is_refused(point: list[Any], complaint: str) -> None:
    class Wrong(RandomSearch):
        def propose(self, rng: np.random.Generator) -> Sequence[int]:
            return point

    with pytest.raises(ValueError, match=complaint):
        make(Wrong).ask()


def test_numpy_integers_become_python_integers() -> None:
    class Numpy(RandomSearch):
        def propose(self, rng: np.random.Generator) -> Sequence[int]:
            return np.asarray(super().propose(rng))  # type: ignore[return-value]

    STRATEGY_CHECKS["new networks within limits"](Numpy)


def test_a_strategy_that_repeats_itself_gives_new_networks() -> None:
    class Stuck(RandomSearch):
        def propose(self, rng: np.random.Generator) -> Sequence[int]:
            return [0] * len(self.space.decisions)

    for name in ("new networks within limits", "exhaustion", "exhaustion within limits"):
        STRATEGY_CHECKS[name](Stuck)


@pytest.mark.parametrize(("space", "most"), [("toy", 12), ("macro", 80), ("mobilenet", 80)])
def test_an_impossible_measured_limit_is_found_out_with_few_measurements(space: str, most: int) -> None:
    probe = Probe()
    limits, probes = ["latency_ms<=0.0001"], {"latency_ms": probe}
    with pytest.raises(UserError) as error:
        make(RandomSearch, space, limits, probes=probes)
    made = nas.spaces.load(space)()
    points = [(0,) * len(made.decisions)] if made.size > 10_000 else made.points()
    lowest = min(cost(made.decode(point), CLASSES).macs for point in points)
    assert f"smallest found has latency_ms {lowest / 10e6:,.4g}" in str(error.value)
    assert probe.calls <= most


def test_a_tight_measured_limit_is_met_with_few_measurements() -> None:
    """One network in ten thousand of ``mobilenet`` has fewer than 2 M multiply-adds."""
    probe = Probe()
    strategy = make(RandomSearch, "mobilenet", ["latency_ms<=0.2"], probes={"latency_ms": probe})
    assert cost(strategy.ask().architecture, CLASSES).macs <= 2e6
    assert probe.calls <= 32 + 64 + 200 + 4 * 60


def test_tight_limits_in_a_large_space_are_met() -> None:
    strategy = make(RandomSearch, "mobilenet", ["params<=14k"])
    for trial in run_trials(strategy, 4):
        assert cost(trial.architecture, CLASSES).params <= 14_000
