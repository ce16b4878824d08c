"""Training speed with waiting threads that spin or sleep, beside other programs and alone.

Usage: python benchmarks/cores.py [--turns 5] [--seconds 4]

Steps of the student of student_trashnet.yaml on one batch in memory, in a process of its own per setting
and turn: with as many threads as there are cores, spinning as OpenMP does by default or going to sleep as
`minnow/cores.py` has them, and with one thread. First beside as many other busy processes as there are
cores, then alone. Run it on an idle machine. Medians and quartiles of images per second.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from core.runtime import SLEEPY, cpu_count

ROOT = Path(__file__).parents[1]
SETTINGS = {
    "spinning": {},
    "sleeping": SLEEPY,
    "one thread": {"OMP_NUM_THREADS": "1"},
}


def main() -> None:
    """Measure all settings in turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="seconds of steps per turn")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(images_per_second(given.seconds))
        return
    cores = cpu_count()
    for what, count in ((f"beside {cores} busy processes", cores), ("alone", 0)):
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
        try:
            rates: dict[str, list[float]] = {name: [] for name in SETTINGS}
            for _ in range(given.turns):
                for name, setting in SETTINGS.items():
                    rates[name].append(measured(setting, given.seconds))
        finally:
            for other in others:
                other.kill()
        for name, found in rates.items():
            low, middle, high = np.percentile(found, [25, 50, 75])
            print(f"{what}, {name}: {middle:.0f} images/s ({low:.0f} to {high:.0f}, n {len(found)})")


def measured(setting: dict[str, str], seconds: float) -> float:
    """Return images per second of a process with ``setting``."""
    command = [sys.executable, __file__, "--measure", "--seconds", str(seconds)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    done = subprocess.run(command, env=environment | setting, capture_output=True, text=True, check=True)
    return float(done.stdout)


def images_per_second(seconds: float, batch: int = 64) -> float:
    """Return images per second of training steps, from the second on."""
    import torch

    from nas.architecture import Architecture
    from nas.networks.build import build

    architecture = Architecture.from_yaml(ROOT / "benchmarks" / "student_trashnet.yaml")
    network = build(architecture, 6).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters())
    side = architecture.resolution
    images = torch.randn(batch, 3, side, side).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(6, (batch,))

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()

    step()
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        step()
        steps += 1
    return steps * batch / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
