"""``distill`` with a teacher to fine-tune, killed at twenty moments: the same weights, and nothing left over."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
KILLS = 20
MOST_EVENTS = 16  # between two kills; an epoch has eight: five steps, two flushes and a rename
EPOCHS = {"teacher": 10, "student": 24}  # more than so many kills can let through

#: Forks a process per command line, so that twenty of them import torch once. A process tells of every
#: training step, flush, rename and removal of a file before it does it.
_SERVER = """
import json, os, sys
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook
torch.set_num_threads(1)  # before any work, so that a fork inherits no threads
import cli, minnow.student_run, timm

def told(name, real):
    def call(*arguments, **options):
        os.write(events, f"{name}\\n".encode())
        return real(*arguments, **options)
    return call

for line in sys.stdin:
    folder, arguments = json.loads(line)
    child = os.fork()
    if child == 0:
        events = os.dup(1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.chdir(folder)
        os.environ["MINNOW_CACHE"] = f"{folder}/cache"
        for name in ("fsync", "replace", "unlink"):
            setattr(os, name, told(name, getattr(os, name)))
        register_optimizer_step_pre_hook(told("step", lambda *_: None))
        sys.argv = ["cli.py", *arguments]
        code = 1
        try:
            cli.main(arguments)
        except SystemExit as ended:
            code = ended.code or 0
        finally:
            os._exit(code)
    print(child, flush=True)
    status = os.waitpid(child, 0)[1]
    print("end", os.waitstatus_to_exitcode(status), flush=True)
"""


@pytest.fixture
def server() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _SERVER]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:
        yield process
        process.stdin.close()


def run(
    server: subprocess.Popen[str], folder: Path, command: str, killed_at: tuple[int, float] | None = None
) -> tuple[int, list[str]]:
    """The exit code and the events; ``killed_at`` so many events and then so many seconds."""
    server.stdin.write(json.dumps([str(folder), command.split()]) + "\n")
    server.stdin.flush()
    child = int(server.stdout.readline())
    events: list[str] = []
    while not (line := server.stdout.readline()).startswith("end"):
        events.append(line.strip())
        if killed_at is not None and len(events) == killed_at[0]:
            time.sleep(killed_at[1])
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
    return int(line.split()[1]), events


def prepare(folder: Path) -> str:
    """Some of the digits as a folder of images, a student, a teacher of fixed weights; the command line."""
    import timm
    import torch
    from sklearn.datasets import load_digits

    from nas.spaces.toy import Toy

    digits = load_digits()
    for label in range(10):
        (folder / f"images/{label}").mkdir(parents=True)
        for index in np.flatnonzero(digits.target == label)[:20]:
            pixels = np.rint(digits.images[index] * (255 / 16)).astype(np.uint8)
            Image.fromarray(pixels).resize((32, 32)).save(folder / f"images/{label}/{index}.png")
    Toy().decode((0, 0, 0, 0)).to_yaml(folder / "model.yaml", num_classes=10)
    torch.manual_seed(0)
    torch.save(timm.create_model("test_efficientnet", num_classes=5).state_dict(), folder / "teacher.pt")
    return (
        "distill --student model.yaml --data images --out run --batch-size 28 --clip-grad 5 "
        f"--epochs {EPOCHS['student']} --teacher test_efficientnet:{folder / 'teacher.pt'} "
        f"--teacher-resolution 32 --teacher-epochs {EPOCHS['teacher']}"
    )


def files(folder: Path) -> dict[str, bytes]:
    """What training leaves: in the run, and in the cache the teacher and its outputs."""
    roots = (folder / name for name in ("run", "cache/teachers", "cache/teacher-outputs"))
    paths = (path for root in roots for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def untimed(content: bytes) -> Any:
    """JSON without seconds, rates, latencies, and the checksum of what holds them."""
    timed = ("seconds", "images_per_second", "latency_ms", "checksum")
    return json.loads(content, object_hook=lambda d: {k: v for k, v in d.items() if k not in timed})


@pytest.mark.slow
def test_a_distillation_killed_twenty_times_ends_with_the_same_weights(server, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    command = prepare(whole)
    cut.mkdir()
    for name in ("images", "model.yaml"):
        (cut / name).symlink_to(whole / name)
    code, events = run(server, whole, command)
    assert code == 0
    assert events.count("step") == EPOCHS["teacher"] * 2 + EPOCHS["student"] * 5

    rng = random.Random(0)
    last: list[str] = []
    during: list[str] = []
    for attempt in range(KILLS):
        moment = rng.randint(1, MOST_EVENTS), rng.choice([0.0, rng.uniform(0.0, 0.02)])
        code, events = run(server, cut, command + (" --resume" if attempt else ""), moment)
        assert code == -signal.SIGKILL
        last.append(events[-1])
        taught = any((cut / "cache/teachers").glob("*/teacher.json"))
        during.append("student" if taught else "teacher")
    assert {"step", "fsync", "replace"} <= set(last)  # it died everywhere
    assert min(during.count(stage) for stage in EPOCHS) > 4
    assert run(server, cut, f"{command} --resume")[0] == 0

    expected, found = files(whole), files(cut)
    assert expected.keys() == found.keys()
    different = [name for name in expected if expected[name] != found[name]]
    assert all(name.endswith((".json", ".lock", "report.html")) for name in different), different
    pages = [of["run/report.html"].replace(bytes(whole), bytes(cut)) for of in (expected, found)]
    digits = re.compile(rb"\d+")  # of seconds and latencies that metrics.json holds
    assert digits.sub(b"0", pages[0]) == digits.sub(b"0", pages[1])
    for name in ("run/student/metrics.json", *(n for n in different if n.endswith("teacher.json"))):
        assert untimed(expected[name]) == untimed(found[name])
    assert len([name for name in expected if name.endswith("model.safetensors")]) == 2
    losses = [epoch["loss"] for epoch in untimed(found["run/student/metrics.json"])["history"]]
    assert losses[-1] < 0.95 * losses[0]  # the weights have moved
