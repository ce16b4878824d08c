"""Training speed with and without keeping freed memory, in two processes by turns.

Usage: python benchmarks/allocator.py [--model tf_efficientnet_lite0] [--side 128] [--rounds 5]

Prints the median images/s of forward, backward and step on one batch of 64, and the ratio with its
quartiles.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

import torch

_STEPS = 6


def main() -> None:
    """Measure both, or with ``--keep`` or ``--plain`` one of the two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tf_efficientnet_lite0", help="timm name")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=("keep", "plain"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only:
        print(rate(given.model, given.side, given.threads, keep=given.only == "keep"))
        return
    rates: dict[str, list[float]] = {"plain": [], "keep": []}
    for _ in range(given.rounds):
        for only in rates:
            command = [sys.executable, __file__, *sys.argv[1:], "--only", only]
            rates[only].append(float(subprocess.check_output(command, text=True)))
    ratios = [keep / plain for keep, plain in zip(rates["keep"], rates["plain"], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    for only, found in rates.items():
        print(f"{only:6} {statistics.median(found):7.1f} images/s")
    print(f"ratio  {middle:7.2f} ({low:.2f} to {high:.2f}, n = {len(ratios)})")


def rate(name: str, side: int, threads: int, *, keep: bool) -> float:
    """Return images per second: the median of six steps after a first one."""
    import timm

    from training.device import keep_freed_memory

    if keep and not keep_freed_memory():
        raise SystemExit("this is not glibc: nothing to measure")
    torch.set_num_threads(threads)
    model = timm.create_model(name, num_classes=6).train().to(memory_format=torch.channels_last)
    images = torch.randn(64, 3, side, side).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters())
    times = []
    for _ in range(1 + _STEPS):
        started = time.perf_counter()
        loss = model(images).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - started)
    return len(images) / statistics.median(times[1:])


if __name__ == "__main__":
    main()
