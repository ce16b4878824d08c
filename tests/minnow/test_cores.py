"""Training beside other programs: when waiting threads sleep, and that OpenMP hears of it."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from minnow import cores
from minnow.progress import ConsoleListener

NAMES = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY", "OMP_NUM_THREADS")


@pytest.fixture
def machine(monkeypatch):
    """Four cores, of which others keep a given share busy, and an environment that says nothing."""

    def set_busy(percent: float, own: int = 4) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(own)), raising=False)
        monkeypatch.setattr(psutil, "cpu_count", lambda: 4)
        monkeypatch.setattr(psutil, "cpu_percent", lambda interval: percent)

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    monkeypatch.setattr(os, "environ", environment)
    return set_busy


def test_threads_sleep_where_others_keep_their_cores_busy(machine, capsys):
    machine(50.0)
    cores.share_cores(ConsoleListener())
    assert os.environ["GOMP_SPINCOUNT"] == "1000"
    said = capsys.readouterr().err
    assert "2.0 of 4 cores" in said and "OMP_NUM_THREADS=2" in said


@pytest.mark.parametrize(
    ("busy", "own", "decided"),
    [(10.0, 4, {}), (50.0, 2, {}), (100.0, 1, {}), (100.0, 4, {"OMP_NUM_THREADS": "2"})],
    ids=["quiet", "enough-left", "one-core", "decided"],
)
def test_otherwise_they_wait_as_ever(machine, capsys, busy, own, decided):
    machine(busy, own)
    os.environ.update(decided)
    before = dict(os.environ)
    cores.share_cores(ConsoleListener())
    assert os.environ == before and capsys.readouterr().err == ""


_SCRIPT = """
import os, psutil
os.sched_getaffinity = lambda _: {0, 1}
psutil.cpu_percent = lambda interval: 100.0
from minnow.cores import share_cores
from minnow.listener import Listener
share_cores(Listener())
import torch
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GNU's OpenMP comes with torch on Linux")
def test_openmp_hears_of_it():
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    environment["OMP_DISPLAY_ENV"] = "VERBOSE"
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    assert "GOMP_SPINCOUNT = '1000'" in done.stderr
