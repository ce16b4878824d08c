"""Contract checks of a strategy in a new process."""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import nas.strategies
from core.contracts import expect
from nas.strategies.base import Strategy
from nas.strategies.testing.strategy_case import SUITE, StrategyCase, case_of, choices_of, run_trials

_SEED, _TRIALS, _TIMEOUT = 3, 30, 600
_INSIDE = "MINNOW_CHECK_PROCESS"  # set in processes started here, so that none starts another


@dataclass(frozen=True)
class _Seen:
    """The outcome in a new process: points, changes of global state, and output."""

    choices: list[tuple[int, ...]]
    changed: list[str]
    written: str


@SUITE.add("same in a new process")
def check_processes(case: StrategyCase) -> None:
    """Check that a new process, with another seed of ``hash``, proposes the same."""
    here = choices_of(run_trials(case.make(seed=_SEED), _TRIALS))
    there = _seen(case).choices
    differ = [i for i, (a, b) in enumerate(zip(here, there, strict=True)) if a != b]
    expect(
        not differ,
        f"a new process (seed {_SEED}) proposes otherwise from trial {min(differ, default=0)} on",
    )


@SUITE.add("leaves the process alone")
def check_leaves_process_alone(case: StrategyCase) -> None:
    """Check that nothing is printed, and that global generators and the root logger stay unchanged."""
    seen = _seen(case)
    expect(not seen.written, f"it wrote {seen.written!r} (seed {_SEED})")
    expect(not seen.changed, f"it changed {', '.join(seen.changed)} (seed {_SEED})")


def _seen(case: StrategyCase) -> _Seen:
    request = {"name": case.name, "options": dict(case.options)}
    registered = case.name != case.kind.__name__
    if not registered:
        qualified = case.kind.__qualname__
        expect("<locals>" not in qualified, "a class inside a function cannot be found by a new process")
        request |= {
            "module": case.kind.__module__,
            "file": str(Path(inspect.getfile(case.kind)).resolve()),
            "class": qualified,
        }
    return _in_new_process(json.dumps(request))


@cache
def _in_new_process(request: str) -> _Seen:
    expect(_INSIDE not in os.environ, 'call check_strategy under if __name__ == "__main__":')
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "answer.json")
        code = f"from {__name__} import answer; answer({request!r}, {str(answer)!r})"
        environment = {
            **os.environ,
            _INSIDE: "1",
            "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1",
            "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        }
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
        )
        expect(answer.exists(), f"a new process failed: {done.stderr.strip()[-2000:]}")
        content = json.loads(answer.read_text(encoding="utf-8"))
    choices = [tuple(point) for point in content["choices"]]
    return _Seen(choices, content["changed"], done.stdout + done.stderr)


def answer(request: str, path: str) -> None:
    """Run the strategy in the new process, and write the outcome."""
    asked = json.loads(request)
    case = case_of(_found(asked), asked["options"])
    random.seed(1)
    np.random.seed(1)
    logging.getLogger().addHandler(logging.NullHandler())
    before = _state()
    choices = choices_of(run_trials(case.make(seed=_SEED), _TRIALS))
    changed = [name for name, value in _state().items() if value != before[name]]
    Path(path).write_text(json.dumps({"choices": choices, "changed": changed}), encoding="utf-8")


def _found(asked: dict[str, Any]) -> type[Strategy] | str:
    if "class" not in asked:
        return str(asked["name"])
    try:
        strategy: type[Strategy] = getattr(importlib.import_module(asked["module"]), asked["class"])
    except (ImportError, AttributeError):  # a script, or a file loaded by its path
        strategy = nas.strategies.load(f"{asked['file']}:{asked['class']}")
    return strategy


def _state() -> dict[str, object]:
    root = logging.getLogger()
    state: Any = np.random.get_state()
    return {
        "Python's global generator": random.getstate(),
        "numpy's global generator": state[1].tolist(),
        "the root logger": (root.handlers[:], root.level),
    }
