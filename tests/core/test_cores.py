"""Training beside other programs: real busy processes, real settings, and OpenMP's own report of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from core.runtime import SLEEPY, cpu_count, fitting_threads

ROOT = Path(__file__).parents[2]
NAMES = {*SLEEPY, "OMP_WAIT_POLICY", "OMP_NUM_THREADS"}

#: Loading the OpenMP library of torch makes it report its settings, as importing torch does in ten times the time.
_SCRIPT = """
import ctypes, os, sys
from core.runtime import share_cores
if sys.argv[1] == "one core":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
share_cores(print)
ctypes.CDLL(sys.argv[2])
"""


@pytest.mark.parametrize(
    ("cores", "own", "busy", "fitting"),
    [
        (4, 4, 0.4, None),  # a quiet machine
        (4, 2, 2.0, None),  # two cores are left for two threads
        (4, 1, 4.0, None),  # a single thread waits for no other
        (4, 4, 2.0, 2),
        (4, 3, 2.0, 2),
        (4, 2, 4.0, 1),  # never none
        (8, 2, 6.6, 1),
    ],
)
def test_as_many_threads_as_find_a_core(cores, own, busy, fitting):
    assert fitting_threads(cores, own, busy) == fitting


@pytest.fixture(scope="module")
def busy_machine() -> Iterator[None]:
    """As many busy processes as there are cores."""
    command = [sys.executable, "-S", "-c", "while True: pass"]
    programs = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    time.sleep(0.2)
    yield
    for program in programs:
        program.kill()
        program.wait()


def report(case: str = "all cores", **decided: str) -> tuple[str, str]:
    """What ``share_cores`` notes, and the settings that OpenMP reports."""
    libraries = list((Path(find_spec("torch").origin).parent / "lib").glob("libgomp*"))
    if not libraries or cpu_count() == 1:
        pytest.skip("needs GNU's OpenMP, which comes with torch on Linux, and two cores")
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    ended = subprocess.run(
        [sys.executable, "-c", _SCRIPT, case, str(libraries[0])],
        cwd=ROOT,
        env={**environment, "OMP_DISPLAY_ENV": "VERBOSE", **decided},
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout, ended.stderr


def test_threads_sleep_where_others_keep_their_cores_busy(busy_machine):
    note, settings = report()
    assert "cores busy, so waiting threads sleep; OMP_NUM_THREADS=" in note
    assert "GOMP_SPINCOUNT = '1000'" in settings


@pytest.mark.parametrize(("case", "decided"), [("one core", {}), ("all cores", {"OMP_NUM_THREADS": "2"})])
def test_a_single_core_or_a_setting_of_the_user_s_changes_nothing(busy_machine, case, decided):
    note, settings = report(case, **decided)
    assert note == ""
    assert "GOMP_SPINCOUNT" in settings and "GOMP_SPINCOUNT = '1000'" not in settings
