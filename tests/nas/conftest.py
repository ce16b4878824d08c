"""Searching processes that are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHILD = """
import importlib.util, time
from pathlib import Path
spec = importlib.util.spec_from_file_location("suite", {suite!r})
suite = importlib.util.module_from_spec(spec); spec.loader.exec_module(suite)
def slow(proposal):
    print(proposal.number, flush=True)
    time.sleep(0.04)
    return suite.{evaluate}(proposal)
suite.{search}
"""


@pytest.fixture
def kill_search(request: pytest.FixtureRequest) -> Callable[[str, str, random.Random], None]:
    """Start a search in a process of its own, and SIGKILL it within its first trainings.

    Args of the function: a call of a function of the test's file, in which ``slow`` is an evaluator that
    takes 0.04 s; the file's evaluator behind it; the source of the moment.
    """

    def kill(search: str, evaluate: str, moments: random.Random) -> None:
        code = CHILD.format(suite=str(request.path), search=search, evaluate=evaluate)
        command = [sys.executable, "-c", code]
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        for _ in range(moments.randint(1, 3)):
            assert child.stdout.readline().strip().isdigit()
        time.sleep(moments.uniform(0.0, 0.05))
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        child.stdout.close()

    return kill
