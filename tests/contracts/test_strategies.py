"""What every registered strategy must do."""

from __future__ import annotations

import json
import logging
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

import nas.spaces
import nas.strategies
from nas.cost import cost
from nas.errors import UserError
from nas.objectives import Objectives
from nas.strategies import SpaceExhausted, Strategy
from nas.trial import Proposal, Trial

ROOT = Path(__file__).parents[2]
TABLE = ROOT.parent / "shared" / "data" / "nas-bench-macro_cifar10.json"
CLASSES = 10
STRATEGIES = nas.strategies.REGISTRY.names()


def make(
    kind: type[Strategy],
    space: str = "macro",
    goals: Sequence[str] = ("f1:max",),
    limits: Sequence[str] = (),
    seed: int = 0,
) -> Strategy:
    objectives = Objectives.parse(goals, limits)
    return kind(nas.spaces.load(space)(), objectives, seed=seed, num_classes=CLASSES)


def score(proposal: Proposal) -> dict[str, float]:
    """A smooth score with its best point at the last option of everything."""
    total = cost(proposal.architecture, CLASSES)
    return {"f1": float(sum(proposal.choices)), "params": total.params, "macs": total.macs}


def outcome(proposal: Proposal) -> Trial:
    """Every fifth trial fails, every seventh returns NaN."""
    if proposal.number % 5 == 4:
        return proposal.fail("out of luck")
    if proposal.number % 7 == 6:
        return proposal.complete({**score(proposal), "f1": float("nan")})
    return proposal.complete(score(proposal))


def run(strategy: Strategy, trials: int, outcome: Callable[[Proposal], Trial] = outcome) -> list[Trial]:
    return [_step(strategy, outcome) for _ in range(trials)]


def _step(strategy: Strategy, outcome: Callable[[Proposal], Trial]) -> Trial:
    trial = outcome(strategy.ask())
    strategy.tell(trial)
    return trial


def check_new_and_within(kind: type[Strategy], space: str, limit: str, trials: int) -> None:
    strategy = make(kind, space, limits=[limit])
    asked = run(strategy, trials)
    assert len({trial.architecture.key for trial in asked}) == trials
    for trial in asked:
        assert all(type(choice) is int for choice in trial.choices)
        assert trial.choices == strategy.space.canonical(strategy.space.validate(trial.choices))
        assert strategy.objectives.violation(score(trial.proposal)) == 0


def check_resume(kind: type[Strategy], space: str, limits: Sequence[str], trials: int) -> None:
    whole = run(make(kind, space, limits=limits), trials)
    for cut in range(trials):
        resumed = make(kind, space, limits=limits)
        for trial in whole[:cut]:
            resumed.tell(trial)
        assert resumed.ask().choices == whole[cut].choices, f"cut at {cut}"


@pytest.fixture(params=STRATEGIES)
def kind(request: pytest.FixtureRequest) -> type[Strategy]:
    return nas.strategies.load(request.param)


@pytest.mark.parametrize(
    ("space", "limit", "trials"), [("macro", "macs<=45.5M", 60), ("mobilenet", "params<=200k", 25)]
)
def test_new_networks_within_limits(kind: type[Strategy], space: str, limit: str, trials: int) -> None:
    check_new_and_within(kind, space, limit, trials)


@pytest.mark.parametrize(
    ("space", "limits", "trials"),
    [("toy", [], 12), ("macro", ["macs<=45.5M"], 30), ("mobilenet", ["params<=200k"], 14)],
)
def test_resumes_at_every_cut(kind: type[Strategy], space: str, limits: list[str], trials: int) -> None:
    check_resume(kind, space, limits, trials)


def test_same_seed_same_proposals_in_another_process(kind: type[Strategy]) -> None:
    name = next(name for name in STRATEGIES if nas.strategies.load(name) is kind)
    here = [trial.choices for trial in run(make(kind, seed=3), 20)]
    code = (
        "import importlib.util, json, sys;"
        f"spec = importlib.util.spec_from_file_location('suite', {str(Path(__file__))!r});"
        "suite = importlib.util.module_from_spec(spec); spec.loader.exec_module(suite);"
        f"kind = suite.nas.strategies.load({name!r});"
        "print(json.dumps([t.choices for t in suite.run(suite.make(kind, seed=3), 20)]))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert [tuple(choices) for choices in json.loads(out.stdout)] == here
    assert here != [trial.choices for trial in run(make(kind, seed=4), 20)]


def test_takes_over_another_strategys_study(kind: type[Strategy]) -> None:
    strategy = make(kind, seed=9)
    for trial in run(make(nas.strategies.load("random"), seed=1), 15):
        strategy.tell(trial)
    further = run(strategy, 10)
    assert [trial.number for trial in further] == list(range(15, 25))
    assert len({trial.architecture.key for trial in strategy.trials}) == 25


def test_a_failed_or_nan_trial_never_becomes_a_score(kind: type[Strategy]) -> None:
    strategy = make(kind)
    run(strategy, 21)
    for trial in strategy.trials:
        failed = trial.number % 5 == 4 or trial.number % 7 == 6
        assert trial.completed is not failed
    best = strategy.objectives.best(strategy.trials)
    assert best is not None
    assert best.completed


def test_exhausts_a_space_exactly(kind: type[Strategy]) -> None:
    strategy = make(kind, "toy")
    asked = {trial.choices for trial in run(strategy, 12)}
    assert asked == set(strategy.space.points())
    with pytest.raises(SpaceExhausted, match="12"):
        strategy.ask()


def test_exhausts_the_feasible_part(kind: type[Strategy]) -> None:
    strategy = make(kind, "toy", limits=["params<=2k"])
    feasible = [
        point
        for point in strategy.space.points()
        if cost(strategy.space.decode(point), CLASSES).params <= 2000
    ]
    assert 0 < len(feasible) < 12
    assert {trial.choices for trial in run(strategy, len(feasible))} == set(feasible)
    with pytest.raises(SpaceExhausted):
        strategy.ask()


@pytest.mark.parametrize("space", ["toy", "macro", "mobilenet"])
def test_impossible_limit_names_the_cheapest(kind: type[Strategy], space: str) -> None:
    with pytest.raises(UserError, match="smallest found has params") as error:
        make(kind, space, limits=["params<=100"])
    if space != "mobilenet":
        made = nas.spaces.load(space)()
        lowest = min(cost(made.decode(point), CLASSES).params for point in made.points())
        assert f"{lowest:,.6g}" in str(error.value)


def test_probes_are_limits_too(kind: type[Strategy]) -> None:
    measured: list[int] = []

    def probe(architecture: object) -> float:
        macs = cost(architecture, CLASSES).macs  # type: ignore[arg-type]
        assert macs <= 60e6, "the closed form comes first"
        measured.append(macs)
        return macs / 10e6

    objectives = Objectives.parse(["f1"], ["macs<=60M", "latency_ms<=4"])
    space = nas.spaces.load("macro")()
    strategy = kind(space, objectives, num_classes=CLASSES, probes={"latency_ms": probe})
    asked = run(strategy, 15)
    assert all(cost(trial.architecture, CLASSES).macs <= 40e6 for trial in asked)
    assert measured


def test_several_objectives(kind: type[Strategy]) -> None:
    strategy = make(kind, goals=["f1:max", "macs:min"])
    run(strategy, 25)
    front = strategy.objectives.front(strategy.trials)
    assert len(front) > 1


def test_pending_proposals_are_not_repeated(kind: type[Strategy]) -> None:
    strategy = make(kind, "toy")
    asked = [strategy.ask() for _ in range(12)]
    assert len({proposal.choices for proposal in asked}) == 12
    for proposal in reversed(asked):
        strategy.tell(proposal.complete(score(proposal)))
    assert len(strategy.trials) == 12


def test_an_interrupted_proposal_is_taken_up_again(kind: type[Strategy]) -> None:
    first = make(kind)
    known = run(first, 6)
    waiting = first.ask()
    resumed = make(kind)
    for trial in known:
        resumed.tell(trial)
    resumed.resume(waiting)
    resumed.tell(outcome(waiting))
    first.tell(outcome(waiting))
    assert resumed.ask().choices == first.ask().choices


def test_misuse_raises(kind: type[Strategy]) -> None:
    strategy = make(kind)
    proposal = strategy.ask()
    trial = proposal.complete(score(proposal))
    strategy.tell(trial)
    with pytest.raises(ValueError, match="told before"):
        strategy.tell(trial)
    other = strategy.ask()
    swapped = Proposal(other.number, proposal.choices, proposal.architecture, other.seed)
    with pytest.raises(ValueError, match="other choices"):
        strategy.tell(swapped.complete(score(swapped)))


def test_leaves_the_process_alone(kind: type[Strategy], capfd: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    run(make(kind), 40)
    after = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    assert before == after
    assert (root.handlers, root.level) == (handlers, level)
    assert capfd.readouterr() == ("", "")


class Unseeded(nas.strategies.load("random")):  # type: ignore[misc]
    """Draws from somewhere else than the generator it is handed."""

    def propose(self, rng: np.random.Generator) -> list[int]:
        return list(self.space.sample(np.random.default_rng()))


class Outside(nas.strategies.load("random")):  # type: ignore[misc]
    def propose(self, rng: np.random.Generator) -> list[int]:
        return [99] * len(self.space.decisions)


def test_the_resume_check_can_fail() -> None:
    with pytest.raises(AssertionError, match="cut at"):
        check_resume(Unseeded, "macro", [], 5)


def test_a_point_outside_the_space_is_refused() -> None:
    with pytest.raises(ValueError, match="outside 0"):
        make(Outside).ask()


def test_repeating_itself_does_not_repeat_networks() -> None:
    class Stuck(nas.strategies.load("random")):  # type: ignore[misc]
        def propose(self, rng: np.random.Generator) -> list[int]:
            return [0] * len(self.space.decisions)

    check_new_and_within(Stuck, "macro", "macs<=45.5M", 30)


@pytest.mark.skipif(not TABLE.exists(), reason="NAS-Bench-Macro's table is not beside the checkout")
@pytest.mark.parametrize("name", ["tpe", "nni-evolution"])
def test_learns_on_trained_networks(name: str) -> None:
    table = json.loads(TABLE.read_text(encoding="utf-8"))

    def trained(proposal: Proposal) -> Trial:
        code = "".join(map(str, proposal.choices))
        return proposal.complete({"f1": table[code]["mean_acc"]})

    def best_of(name: str, seed: int) -> float:
        trials = run(make(nas.strategies.load(name), seed=seed), 60, trained)
        return max(trial.metrics["f1"] for trial in trials if trial.metrics)

    learned = np.mean([best_of(name, seed) for seed in range(5)])
    assert learned > np.mean([best_of("random", seed) for seed in range(5)])
