"""Kills and Ctrl-C at any moment: nothing finished is lost, and going on gives the same result."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CLI = Path(__file__).parents[2] / "cli.py"


_started: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def nothing_left_running():
    """A child that outlives a failed test would take the cores from the tests after it."""
    yield
    while _started:
        child = _started.pop()
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        child.stderr.close()


def heeds_interrupts() -> None:
    """As under a terminal: a shell makes its background jobs, and all they start, ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(folder: Path, command: str) -> subprocess.Popen[str]:
    """In a process group of its own, as a terminal would: Ctrl-C reaches the workers too."""
    child = subprocess.Popen(
        [sys.executable, str(CLI), *command.split()],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heeds_interrupts,
    )
    _started.append(child)
    return child


def wait_for(child: subprocess.Popen[str], words: str) -> None:
    for line in child.stderr:
        if words in line:
            return
    pytest.fail(f"{words!r} was never said")


def rest_after(child: subprocess.Popen[str], number: int) -> str:
    os.killpg(child.pid, number)
    _, rest = child.communicate(timeout=60)
    return rest


def trials(run: Path) -> list[tuple]:
    content = json.loads((run / "summary.json").read_text())["trials"]
    return [(trial["choices"], trial["metrics"]["f1"]) for trial in content]


def student(run: Path) -> dict:
    content = json.loads((run / "student/metrics.json").read_text())
    return {name: content[name] for name in ("test", "val", "epoch")}


def test_a_killed_training_goes_on_to_the_same_student(here, finished, minnow):
    command = f"train --model {finished}/runs/found --epochs 5 --out"
    child = start(here, f"{command} killed")
    wait_for(child, "epoch 1 of")
    rest_after(child, signal.SIGKILL)
    assert not (here / "killed/student/model.safetensors").exists()
    assert minnow(f"{command} killed --resume").code == 0
    assert minnow(f"{command} whole").code == 0
    assert student(here / "killed") == student(here / "whole")
    assert not (here / "killed/student/checkpoint.pt").exists()


def test_killed_seeds_go_on_and_finished_ones_are_not_trained_again(here, finished, minnow):
    command = f"train --model {finished}/runs/found --epochs 4 --seeds 2 --out"
    child = start(here, f"{command} killed")
    wait_for(child, "seed 1 (2 of 2): epoch 1 of")
    rest_after(child, signal.SIGKILL)
    first = (here / "killed/seeds/0/model.safetensors").stat()
    assert (here / "killed/seeds/1/checkpoint.pt").exists() and not (here / "killed/student").exists()
    for other in (command, command.replace("--seeds 2", "--resume")):
        assert "--resume" in minnow(f"{other} killed").complaint
    for reader in ("compare killed killed", "export killed"):
        assert "killed" in minnow(reader).complaint
    said = minnow(f"{command} killed --resume")
    assert said.code == 0 and "seed 0 (1 of 2) is finished" in said.notices
    assert not any("epoch 1 of" in line for line in said.notices)
    assert minnow(f"{command} whole").code == 0
    kept = json.loads((here / "whole/student/metrics.json").read_text())
    other = f"seeds/{1 - kept['seed']}"
    assert student(here / "killed") == student(here / "whole")
    assert json.loads((here / "killed/student/metrics.json").read_text())["seeds"] == kept["seeds"]
    for place in ("student", other):
        files = [here / run / place / "model.safetensors" for run in ("killed", "whole")]
        assert files[0].read_bytes() == files[1].read_bytes()
    again = here / "killed" / ("student" if kept["seed"] == 0 else "seeds/0") / "model.safetensors"
    assert again.stat().st_mtime_ns == first.st_mtime_ns


def test_ctrl_c_in_a_training_says_how_to_go_on(here, finished, minnow):
    command = f"train --model {finished}/runs/found --epochs 50 --out new"
    child = start(here, command)
    wait_for(child, "epoch 1 of")
    rest = rest_after(child, signal.SIGINT)
    assert child.returncode == 130
    assert "Traceback" not in rest
    said = rest.splitlines()[-1].strip()
    assert said.endswith(f"{command} --resume")


def test_ctrl_c_in_a_search_keeps_what_is_finished(here):
    child = start(here, "search --space toy --trials 12 --epochs 2 --out stopped")
    wait_for(child, "trial 0 ")
    rest = rest_after(child, signal.SIGINT)
    assert child.returncode == 130
    assert "search --resume --out stopped" in rest
    page = (here / "stopped/report.html").read_text()
    assert "report stopped" in page and page.endswith("</html>\n")
    assert "Traceback" not in rest
    assert len(trials(here / "stopped")) >= 1


def test_ctrl_c_while_the_teacher_learns_can_be_resumed(here, minnow, monkeypatch):
    """The search has no trial yet; the command that it names must still work."""
    monkeypatch.setenv("MINNOW_CACHE", str(here / "cache"))
    command = "search --space toy --trials 1 --epochs 1 --out new"
    weights = here / "resnet.pt"
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import timm, torch, sys; torch.manual_seed(0);"
            "torch.save(timm.create_model('test_resnet', num_classes=5).state_dict(), sys.argv[1])",
            str(weights),
        ],
        check=True,
    )
    teacher = f"--teacher test_resnet:{weights} --teacher-resolution 32 --teacher-epochs"
    child = start(here, f"{command} {teacher} 500")
    wait_for(child, "fine-tuning")
    rest = rest_after(child, signal.SIGINT)
    assert child.returncode == 130
    assert "search --resume --out new" in rest
    assert minnow(f"search --resume --out new {teacher.split()[-1]} 1").code == 0


@pytest.mark.parametrize(
    ("moment", "later"),
    [("search: gp", 0.2), pytest.param("trial 0 ", 0.5, marks=pytest.mark.slow)],
)
def test_ctrl_c_with_workers_leaves_no_traceback(here, moment, later):
    """Also while the workers still import."""
    child = start(here, "search --space toy --trials 12 --epochs 2 --workers 2 --out new")
    wait_for(child, moment)
    time.sleep(later)
    rest = rest_after(child, signal.SIGINT)
    assert child.returncode == 130
    assert "Traceback" not in rest
    assert "search --resume --out new" in rest


@pytest.mark.slow
@pytest.mark.parametrize("length", ["--trials 8 --epochs 2", "--trials 3 --fidelity asha --epochs 9"])
def test_a_search_killed_at_random_moments_is_the_uninterrupted_one(here, minnow, length):
    options = f"search --space toy --strategy tpe {length} --seed 3 --out"
    assert minnow(f"{options} whole").code == 0
    rng = random.Random(0)
    finished: list[tuple] = []
    for attempt in range(8):
        child = start(here, f"{options} killed" + (" --resume" if attempt else ""))
        wait_for(child, "search: tpe")
        time.sleep(rng.uniform(0, 2))
        rest_after(child, signal.SIGKILL)
        if (here / "killed/summary.json").exists():
            now = trials(here / "killed")
            assert now[: len(finished)] == finished
            finished = now
    assert minnow(f"{options} killed --resume").code == 0
    assert trials(here / "killed") == trials(here / "whole")
