"""What every registered strategy must do, and strategies that do it wrong, to show that each check can fail.

A check is a function of a strategy class.
"""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nas.spaces
import nas.strategies
from nas.architecture import Architecture
from nas.cost import cost
from nas.errors import UserError
from nas.objectives import Objectives
from nas.spaces import Decision, SearchSpace
from nas.strategies import SpaceExhausted, Strategy
from nas.strategies.random import RandomSearch
from nas.trial import Proposal, Trial

ROOT = Path(__file__).parents[2]
TABLE = ROOT.parent / "shared" / "data" / "nas-bench-macro_cifar10.json"
CLASSES = 10
STRATEGIES = nas.strategies.REGISTRY.names()

Kind = type[Strategy]
Check = Callable[[Kind], None]


def make(
    kind: Kind,
    space: str = "macro",
    limits: Sequence[str] = (),
    *,
    goals: Sequence[str] = ("f1:max",),
    seed: int = 0,
    **options: Any,
) -> Strategy:
    objectives = Objectives.parse(goals, limits)
    return kind(nas.spaces.load(space)(), objectives, seed=seed, num_classes=CLASSES, **options)


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
    asked = []
    for _ in range(trials):
        trial = outcome(strategy.ask())
        strategy.tell(trial)
        asked.append(trial)
    return asked


def choices_of(trials: Iterable[Trial]) -> list[tuple[int, ...]]:
    return [trial.choices for trial in trials]


def raised(call: Callable[[], object], *kinds: type[Exception]) -> str:
    """The message of the error that ``call`` must raise."""
    try:
        call()
    except kinds as error:
        return str(error)
    raise AssertionError(f"raised no {kinds[0].__name__}")


def check_proposals(
    kind: Kind, space: str = "macro", limit: str = "macs<=45.5M", trials: int = 20
) -> None:
    """Canonical points in Python integers, every network once, within the limits, numbered in order."""
    strategy, wanted = make(kind, space, [limit]), Objectives.parse(["f1"], [limit])
    asked = run(strategy, trials)
    assert [trial.number for trial in asked] == list(range(trials))
    assert len({trial.architecture.key for trial in asked}) == trials, "a network twice"
    for trial in asked:
        assert type(trial.choices) is tuple
        assert all(type(choice) is int for choice in trial.choices), "not Python integers"
        assert trial.choices == strategy.space.canonical(strategy.space.validate(trial.choices))
        assert trial.architecture == strategy.space.decode(trial.choices)
        assert wanted.violation(score(trial.proposal)) == 0, "over the limit"
    assert len({trial.proposal.seed for trial in asked}) == trials


def check_resume(
    kind: Kind,
    space: str = "macro",
    limits: Sequence[str] = (),
    trials: int = 10,
    goals: Sequence[str] = ("f1:max",),
    ahead: int = 2,
) -> None:
    """Telling a new instance the first trials makes it go on as the one that asked for them did."""
    whole = run(make(kind, space, limits, goals=goals), trials)
    for cut in range(trials):
        resumed = make(kind, space, limits, goals=goals)
        for trial in whole[:cut]:
            resumed.tell(trial)
        further = run(resumed, min(ahead, trials - cut))
        expected = whole[cut : cut + ahead]
        assert choices_of(further) == choices_of(expected), f"cut at {cut}"
        assert [t.proposal.seed for t in further] == [t.proposal.seed for t in expected]


def check_seeds(kind: Kind) -> None:
    """The seed decides, and nothing else does."""
    first, again, other = (choices_of(run(make(kind, seed=seed), 12)) for seed in (3, 3, 4))
    assert first == again, "not the same with the same seed"
    assert first != other, "the same with another seed"


def check_processes(kind: Kind, name: str) -> None:
    """A new process proposes the same."""
    code = "print(json.dumps(suite.choices_of(suite.run(suite.make(kind, seed=3), 20))))"
    out = json.loads(in_new_process(name, code).stdout)
    assert [tuple(choices) for choices in out] == choices_of(run(make(kind, seed=3), 20))


def check_leaves_process_alone(name: str) -> None:
    """Nothing is printed; global generators and the root logger stay as they are.

    In a new process, because the first import of a library counts too.
    """
    code = """
import logging, random
import numpy as np
def state():
    root = logging.getLogger()
    generators = random.getstate(), np.random.get_state()[1].tolist()
    return generators, root.handlers[:], root.level
random.seed(1); np.random.seed(1)
logging.getLogger().addHandler(logging.NullHandler())
before = state()
suite.run(suite.make(kind), 40)
assert state() == before, "changed the process"
"""
    done = in_new_process(name, code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done.stderr


def in_new_process(name: str, code: str) -> subprocess.CompletedProcess[str]:
    start = (
        "import importlib.util, json, sys\n"
        f"spec = importlib.util.spec_from_file_location('suite', {str(Path(__file__))!r})\n"
        "suite = importlib.util.module_from_spec(spec); spec.loader.exec_module(suite)\n"
        f"kind = suite.nas.strategies.load({name!r})\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", start + code], env=environment, capture_output=True, text=True
    )


def check_foreign_trials(kind: Kind) -> None:
    """A study that another strategy began goes on; its networks are not proposed again."""
    strategy = make(kind, seed=9)
    began = run(make(RandomSearch, seed=1), 15)
    for trial in reversed(began):
        strategy.tell(trial)
    further = run(strategy, 10)
    assert [trial.number for trial in further] == list(range(15, 25))
    assert len({trial.architecture.key for trial in [*began, *further]}) == 25, "a network twice"


def check_foreign_encodings(kind: Kind) -> None:
    """A told point that is not canonical counts as the network it stands for."""
    strategy = make(kind)
    point = (1, 0, 1, 0, 2, 1, 0, 2)
    assert strategy.space.canonical(point) != point
    foreign = Proposal(7, point, strategy.space.decode(point), seed=1)
    strategy.tell(foreign.complete({"f1": 0.5}))
    assert strategy.trials[0].choices == strategy.space.canonical(point)
    assert strategy.ask().number == 8


def check_failures(kind: Kind) -> None:
    """A failed or NaN trial stays failed, and the next proposals come all the same."""
    strategy = make(kind)
    asked = run(strategy, 21)
    for trial in strategy.trials:
        failed = trial.number % 5 == 4 or trial.number % 7 == 6
        assert trial.completed is not failed, "a failed trial got a score"
    assert choices_of(asked) == choices_of(strategy.trials)
    everything_fails = make(kind)
    run(everything_fails, 15, lambda proposal: proposal.fail("no luck"))
    assert everything_fails.objectives.best(everything_fails.trials) is None


def check_exhaustion(kind: Kind, limits: Sequence[str] = ()) -> None:
    """Every network within the limits is proposed, then ``SpaceExhausted`` is raised, again and again."""
    strategy = make(kind, "toy", limits)
    feasible = {
        point
        for point in strategy.space.points()
        if strategy.objectives.violation(score(Proposal(0, point, strategy.space.decode(point), 0))) == 0
    }
    assert set(choices_of(run(strategy, len(feasible)))) == feasible
    for _ in range(2):
        assert str(len(feasible)) in raised(strategy.ask, SpaceExhausted)


class OnePoint(SearchSpace):
    """A single network."""

    def make_decisions(self) -> tuple[Decision, ...]:
        return (Decision("width", (8,)), Decision("depth", (1,)))

    def decode(self, choices: Sequence[int]) -> Architecture:
        return nas.spaces.load("toy")().decode((0, 0, 0, 0))


def check_one_point(kind: Kind) -> None:
    """A space of one network gives that network, once."""
    strategy = kind(OnePoint(), Objectives.parse(["f1"]), num_classes=CLASSES)
    assert choices_of(run(strategy, 1)) == [(0, 0)]
    raised(strategy.ask, SpaceExhausted)


def check_impossible(kind: Kind, space: str, metric: str = "params") -> None:
    """A limit that nothing meets is refused, with the true cost of the cheapest network."""
    message = raised(lambda: make(kind, space, [f"{metric}<=100"]), UserError)
    made = nas.spaces.load(space)()
    points = [(0,) * len(made.decisions)] if made.size > 10_000 else made.points()
    lowest = min(getattr(cost(made.decode(point), CLASSES), metric) for point in points)
    assert f"{metric}<=100: the smallest found has {metric} {lowest:,}; " in message


class Probe:
    """A latency that is one millisecond per 10 M multiply-adds; refuses what the closed form refuses."""

    def __init__(self, most_macs: float) -> None:
        self.most_macs, self.calls = most_macs, 0

    def __call__(self, architecture: Architecture) -> float:
        macs = cost(architecture, CLASSES).macs
        assert macs <= self.most_macs, "measured although its macs are over the limit"
        self.calls += 1
        return macs / 10e6


def check_probes(kind: Kind) -> None:
    """Measured limits are kept; a network is measured only when the closed forms let it through."""
    probe = Probe(60e6)
    strategy = make(kind, "macro", ["macs<=60M", "latency_ms<=4"], probes={"latency_ms": probe})
    for trial in run(strategy, 15):
        assert cost(trial.architecture, CLASSES).macs <= 40e6, "over the measured limit"
    assert 15 <= probe.calls <= 15 * 80 + 40


def check_several_objectives(kind: Kind) -> None:
    """Several goals are taken, and leave a front."""
    strategy = make(kind, goals=["f1:max", "macs:min", "params:min"])
    run(strategy, 25)
    assert len(strategy.objectives.front(strategy.trials)) > 1


def check_pending(kind: Kind) -> None:
    """What is asked for and not told yet is not proposed again; results come back in any order."""
    strategy = make(kind, "toy")
    asked = [strategy.ask() for _ in range(12)]
    assert len({proposal.choices for proposal in asked}) == 12, "a network twice"
    for proposal in reversed(asked):
        strategy.tell(outcome(proposal))
    assert sorted(trial.number for trial in strategy.trials) == list(range(12))
    raised(strategy.ask, SpaceExhausted)


def check_interrupted(kind: Kind) -> None:
    """A proposal that an interruption cut short is taken up as if nothing had happened."""
    first = make(kind)
    known = run(first, 6)
    waiting = first.ask()
    resumed = make(kind)
    for trial in known:
        resumed.tell(trial)
    resumed.resume(waiting)
    for strategy in (first, resumed):
        strategy.tell(outcome(waiting))
    assert choices_of(run(first, 3)) == choices_of(run(resumed, 3))


def check_misuse(kind: Kind) -> None:
    """Telling twice, telling other choices, and taking up what is known are errors."""
    strategy = make(kind)
    proposal = strategy.ask()
    trial = proposal.complete(score(proposal))
    strategy.tell(trial)
    assert "told before" in raised(lambda: strategy.tell(trial), ValueError)
    assert "already known" in raised(lambda: strategy.resume(proposal), ValueError)
    other = strategy.ask()
    swapped = Proposal(other.number, proposal.choices, proposal.architecture, other.seed)
    assert "other choices" in raised(lambda: strategy.tell(swapped.complete(score(swapped))), ValueError)
    outside = Proposal(50, (9,) * 8, proposal.architecture, 0)
    assert "outside 0..2" in raised(lambda: strategy.tell(outside.fail("")), ValueError)
    strategy.tell(outcome(other))
    assert len(strategy.trials) == 2


def check_learns(kind: Kind, trials: int = 40) -> None:
    """On trained networks, the best of ``trials`` beats random search, on average over five seeds."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))

    def trained(proposal: Proposal) -> Trial:
        return proposal.complete({"f1": table["".join(map(str, proposal.choices))]["mean_acc"]})

    def mean_best(kind: Kind) -> float:
        runs = [run(make(kind, seed=seed), trials, trained) for seed in range(5)]
        return float(np.mean([max(t.metrics["f1"] for t in trials if t.metrics) for trials in runs]))

    assert mean_best(kind) > mean_best(RandomSearch), "no better than random search"


CHECKS: dict[str, Check] = {
    "new networks within limits, macro": partial(check_proposals, trials=50),
    "new networks within limits, mobilenet": partial(
        check_proposals, space="mobilenet", limit="params<=200k", trials=20
    ),
    "resume at every cut, toy": partial(check_resume, space="toy", trials=12, ahead=12),
    "resume at every cut, toy within limits": partial(
        check_resume, space="toy", limits=["params<=4k"], trials=4, ahead=4
    ),
    "resume at every cut, macro within limits": partial(
        check_resume, limits=["macs<=45.5M"], trials=24, ahead=1
    ),
    "resume at every cut, mobilenet within limits": partial(
        check_resume, space="mobilenet", limits=["params<=200k"], trials=14, ahead=1
    ),
    "resume at every cut, several objectives": partial(
        check_resume, goals=["f1", "macs"], trials=15, ahead=2
    ),
    "seeds": check_seeds,
    "foreign trials": check_foreign_trials,
    "foreign encodings": check_foreign_encodings,
    "failures": check_failures,
    "exhaustion": check_exhaustion,
    "exhaustion within limits": partial(check_exhaustion, limits=["params<=4k"]),
    "one point": check_one_point,
    "impossible limit, toy": partial(check_impossible, space="toy"),
    "impossible limit, macro": partial(check_impossible, space="macro", metric="macs"),
    "impossible limit, mobilenet": partial(check_impossible, space="mobilenet"),
    "probes": check_probes,
    "several objectives": check_several_objectives,
    "pending": check_pending,
    "interrupted": check_interrupted,
    "misuse": check_misuse,
}
needs_table = pytest.mark.skipif(
    not TABLE.exists(), reason="NAS-Bench-Macro's table is not beside the checkout"
)


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
@pytest.mark.parametrize("name", STRATEGIES)
def test_contract(name: str, check: Check) -> None:
    check(nas.strategies.load(name))


@pytest.mark.parametrize("name", STRATEGIES)
def test_same_proposals_in_another_process(name: str) -> None:
    check_processes(nas.strategies.load(name), name)


@pytest.mark.parametrize("name", STRATEGIES)
def test_leaves_the_process_alone(name: str) -> None:
    check_leaves_process_alone(name)


@needs_table
@pytest.mark.parametrize(("name", "trials"), [("tpe", 40), ("nni-evolution", 60)])
def test_learns_on_trained_networks(name: str, trials: int) -> None:
    check_learns(nas.strategies.load(name), trials)


# --- strategies that break one rule each -------------------------------------------------------------------


class Unseeded(RandomSearch):
    """Draws from a generator of its own."""

    def propose(self, rng: np.random.Generator) -> Sequence[int]:
        return self.space.sample(np.random.default_rng())


class Deaf(RandomSearch):
    """Ignores its seed."""

    def propose(self, rng: np.random.Generator) -> Sequence[int]:
        return self.space.sample(np.random.default_rng(len(self.trials) + len(self.refused)))


class Counting(RandomSearch):
    """Depends on how often it was asked, which a resumed instance cannot know."""

    asked = 0

    def propose(self, rng: np.random.Generator) -> Sequence[int]:
        self.asked += 1
        return self.space.sample(np.random.default_rng([self.asked, len(self.trials)]))


class Hashing(RandomSearch):
    """Depends on ``hash``, which differs between processes."""

    def propose(self, rng: np.random.Generator) -> Sequence[int]:
        return self.space.sample(np.random.default_rng(abs(hash("macro"))))


class Noisy(RandomSearch):
    """Prints."""

    def propose(self, rng: np.random.Generator) -> Sequence[int]:
        print("proposing")
        return super().propose(rng)


class Global(RandomSearch):
    """Moves Python's global generator."""

    def propose(self, rng: np.random.Generator) -> Sequence[int]:
        random.random()
        return super().propose(rng)


class Logging(RandomSearch):
    """Reconfigures the root logger."""

    def propose(self, rng: np.random.Generator) -> Sequence[int]:
        logging.getLogger().setLevel(logging.CRITICAL)
        return super().propose(rng)


class Loose(RandomSearch):
    """Proposes whatever it draws: repeats, and networks over the limits, and never an end."""

    def ask(self) -> Proposal:  # type: ignore[misc]
        number = self._next
        self._next += 1
        point = self.space.canonical(self.space.sample(np.random.default_rng([self.seed, number])))
        proposal = Proposal(number, self._told(point), self.space.decode(point), seed=number)
        self.pending[number] = proposal
        return proposal

    def _told(self, point: tuple[int, ...]) -> tuple[int, ...]:
        return point


class NumpyIntegers(Loose):
    """Proposes numpy's integers."""

    def _told(self, point: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(np.asarray(point))


class Accepting(RandomSearch):
    """Accepts anything it is told, as it is told, and gives failed trials a score of zero."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options["probes"] = None
        super().__init__(*args, **options)

    def tell(self, trial: Trial) -> None:  # type: ignore[misc]
        self.pending.pop(trial.number, None)
        self.trials.append(trial if trial.completed else trial.proposal.complete({"f1": 0.0}))

    def resume(self, proposal: Proposal) -> None:  # type: ignore[misc]
        pass


class Unchecked(RandomSearch):
    """Forgets its limits."""

    def __init__(self, space: SearchSpace, objectives: Objectives, **options: Any) -> None:
        super().__init__(space, Objectives(objectives.goals), **options)


class Eager(RandomSearch):
    """Measures everything first."""

    def measure(self, architecture: Architecture) -> dict[str, float]:
        for probe in self._probes.values():
            probe(architecture)
        return super().measure(architecture)


class Single(RandomSearch):
    """Cannot have several goals."""

    def observe(self, trial: Trial) -> None:
        if trial.metrics is not None:
            assert len(self.objectives.goals) == 1


BROKEN: list[tuple[Kind, Check]] = [
    (NumpyIntegers, check_proposals),
    (Loose, partial(check_proposals, space="toy", limit="params<=1G", trials=12)),
    (Unchecked, check_proposals),
    (Unseeded, check_resume),
    (Counting, check_resume),
    (Unseeded, check_seeds),
    (Deaf, check_seeds),
    (Loose, partial(check_exhaustion, limits=["params<=4k"])),
    (Loose, check_exhaustion),
    (Loose, check_one_point),
    (Loose, check_pending),
    (Unchecked, partial(check_impossible, space="toy")),
    (Accepting, check_failures),
    (Accepting, check_foreign_trials),
    (Accepting, check_foreign_encodings),
    (Accepting, check_misuse),
    (Accepting, check_probes),
    (Eager, check_probes),
    (Counting, check_interrupted),
    (Single, check_several_objectives),
]


@pytest.mark.parametrize(("broken", "check"), BROKEN)
def test_checks_can_fail(broken: Kind, check: Check) -> None:
    with pytest.raises(AssertionError):
        check(broken)


@pytest.mark.parametrize("broken", [Noisy, Global, Logging])
def test_the_check_of_the_process_can_fail(broken: Kind) -> None:
    with pytest.raises(AssertionError):
        check_leaves_process_alone(f"{__file__}:{broken.__name__}")


def test_the_check_of_processes_can_fail() -> None:
    with pytest.raises(AssertionError):
        check_processes(Hashing, f"{__file__}:Hashing")


@needs_table
def test_the_check_of_learning_can_fail() -> None:
    with pytest.raises(AssertionError, match="no better than random"):
        check_learns(RandomSearch)


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

    assert complaint in raised(make(Wrong).ask, ValueError)


def test_numpy_integers_become_python_integers() -> None:
    class Numpy(RandomSearch):
        def propose(self, rng: np.random.Generator) -> Sequence[int]:
            return np.asarray(super().propose(rng))  # type: ignore[return-value]

    check_proposals(Numpy)


def test_a_strategy_that_repeats_itself_gives_new_networks() -> None:
    class Stuck(RandomSearch):
        def propose(self, rng: np.random.Generator) -> Sequence[int]:
            return [0] * len(self.space.decisions)

    check_proposals(Stuck, trials=30)
    check_exhaustion(Stuck)


@pytest.mark.parametrize(("space", "most"), [("toy", 12), ("macro", 80), ("mobilenet", 80)])
def test_an_impossible_measured_limit_is_found_out_with_few_measurements(space: str, most: int) -> None:
    probe = Probe(np.inf)
    limits, probes = ["latency_ms<=0.0001"], {"latency_ms": probe}
    message = raised(lambda: make(RandomSearch, space, limits, probes=probes), UserError)
    made = nas.spaces.load(space)()
    points = [(0,) * len(made.decisions)] if made.size > 10_000 else made.points()
    lowest = min(cost(made.decode(point), CLASSES).macs for point in points)
    assert f"smallest found has latency_ms {lowest / 10e6:,.4g}" in message
    assert probe.calls <= most


def test_a_tight_measured_limit_is_met_with_few_measurements() -> None:
    """One network in ten thousand of ``mobilenet`` has fewer than 2 M multiply-adds."""
    probe = Probe(np.inf)
    strategy = make(RandomSearch, "mobilenet", ["latency_ms<=0.2"], probes={"latency_ms": probe})
    assert cost(strategy.ask().architecture, CLASSES).macs <= 2e6
    assert probe.calls <= 32 + 64 + 200 + 4 * 60


def test_tight_limits_in_a_large_space_are_met() -> None:
    strategy = make(RandomSearch, "mobilenet", ["params<=14k"])
    for trial in run(strategy, 4):
        assert cost(trial.architecture, CLASSES).params <= 14_000
