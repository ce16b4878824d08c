"""Each check of the kit can fail: a strategy that breaks it, and what the message says."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.architecture import Architecture
from nas.objectives import Objectives
from nas.spaces import SearchSpace
from nas.strategies import Strategy
from nas.strategies.random import RandomSearch
from nas.strategies.testing import STRATEGY_CHECKS, check_strategy
from nas.trial import Proposal, Trial

ROOT = Path(__file__).parents[3]


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
        options.pop("no_such_option", None)
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


class Repeating(RandomSearch):
    """Takes a network that is trained twice for one worth training a third time."""

    again: Trial | None = None

    def observe(self, trial: Trial) -> None:
        if any(known.choices == trial.choices for known in self.trials):
            self.again = trial

    def propose(self, rng: np.random.Generator) -> Sequence[int]:
        if self.again is None:
            return super().propose(rng)
        self._seen.pop(self.again.architecture.key, None)
        return self.again.choices


class Spinning(RandomSearch):
    """Insists on finding something where nothing is left."""

    def _accepted(self, rng: np.random.Generator) -> tuple[int, ...] | None:
        accepts = self._filter()
        while True:
            point = self.space.canonical(self.propose(rng))
            if accepts(point):
                return point


class Racing(RandomSearch):
    """Depends on what all its instances have been told."""

    told = 0

    def observe(self, trial: Trial) -> None:
        Racing.told += 1

    def propose(self, rng: np.random.Generator) -> Sequence[int]:
        return self.space.sample(np.random.default_rng([Racing.told, len(self.refused)]))


class Late(RandomSearch):
    """Gives up where a limit turns out to be missed."""

    def observe(self, trial: Trial) -> None:
        if trial.metrics is not None and self.objectives.violation(trial.metrics):
            raise RuntimeError("over the limit")


class Swallowing(RandomSearch):
    """Takes any option."""

    def __init__(self, *args: Any, no_such_option: int = 0, **options: Any) -> None:
        super().__init__(*args, **options)


BROKEN: list[tuple[type[Strategy], str]] = [
    (NumpyIntegers, "new networks within limits"),
    (Loose, "new networks within limits"),
    (Unchecked, "new networks within limits"),
    (Unchecked, "new networks within limits, large space"),
    (Loose, "exhaustion"),
    (Spinning, "exhaustion"),
    (Loose, "exhaustion within limits"),
    (Loose, "one point"),
    (Unchecked, "impossible limits"),
    (Accepting, "measured limits"),
    (Eager, "measured limits"),
    (Late, "limits known after training"),
    (Single, "several objectives"),
    (Unseeded, "resume at every cut, to exhaustion"),
    (Unseeded, "resume at every cut, within limits"),
    (Counting, "resume at every cut, within limits"),
    (Counting, "resume at every cut, large space"),
    (Counting, "resume at every cut, several objectives"),
    (Counting, "interrupted"),
    (Accepting, "foreign trials"),
    (Accepting, "foreign encodings"),
    (Repeating, "repeated networks"),
    (Accepting, "failures"),
    (Loose, "pending"),
    (Racing, "workers"),
    (Unseeded, "seeds"),
    (Deaf, "seeds"),
    (Accepting, "misuse"),
    (Swallowing, "misuse"),
    (Hashing, "same in a new process"),
    (Noisy, "leaves the process alone"),
    (Global, "leaves the process alone"),
    (Logging, "leaves the process alone"),
]


@pytest.mark.parametrize(("broken", "check"), BROKEN)
def test_checks_can_fail(broken: type[Strategy], check: str) -> None:
    with pytest.raises(AssertionError, match=f"{broken.__name__} fails the check '{check}': "):
        STRATEGY_CHECKS[check](broken)


def test_every_check_has_a_strategy_that_fails_it() -> None:
    assert {check for _, check in BROKEN} == set(STRATEGY_CHECKS)


def test_the_whole_kit_stops_at_the_first_failure_and_says_which() -> None:
    with pytest.raises(AssertionError, match="Noisy fails the check 'leaves the process alone': "):
        check_strategy(Noisy)


def test_options_are_passed_on_and_named() -> None:
    with pytest.raises(AssertionError, match=r"evolution\(population=0\) fails .* whole number"):
        check_strategy("evolution", population=0)


def test_a_script_is_checked_in_its_own_processes(tmp_path: Path) -> None:
    """Guarded by ``__main__`` it passes; without, it is told what to do instead of starting itself."""
    body = (
        "from nas.strategies.random import RandomSearch\n"
        "from nas.strategies.testing import STRATEGY_CHECKS\n"
        "class Mine(RandomSearch):\n    pass\n"
    )
    call = "STRATEGY_CHECKS['same in a new process'](Mine)\n"
    (tmp_path / "guarded.py").write_text(f"{body}if __name__ == '__main__':\n    {call}")
    (tmp_path / "bare.py").write_text(body + call)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    runs = {
        name: subprocess.run(
            [sys.executable, str(tmp_path / name)], env=environment, capture_output=True, text=True
        )
        for name in ("guarded.py", "bare.py")
    }
    assert runs["guarded.py"].returncode == 0, runs["guarded.py"].stderr
    assert runs["bare.py"].returncode == 1
    assert "__main__" in runs["bare.py"].stderr
