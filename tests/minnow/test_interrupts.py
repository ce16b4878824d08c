"""Kills and Ctrl-C at any moment: nothing finished is lost, and going on gives the same result."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path

import pytest
import timm
import torch

from minnow.run_directory import Run


def trials(run: Path) -> list[tuple]:
    content = json.loads((run / "summary.json").read_text())["trials"]
    return [(trial["choices"], trial["metrics"]["f1"]) for trial in content]


def student(run: Path) -> dict:
    content = json.loads((run / "student/metrics.json").read_text())
    return {name: content[name] for name in ("test", "val", "epoch")}


@pytest.mark.system
def test_a_killed_training_goes_on_to_the_same_student(here, finished, minnow, start):
    command = f"train --model {finished}/runs/found --epochs 3 --out"
    child = start(f"{command} killed")
    child.wait_for("epoch 1 of")
    child.signal(signal.SIGKILL)
    assert not (here / "killed/student/model.safetensors").exists()
    assert minnow(f"{command} killed --resume").code == 0
    assert minnow(f"{command} whole").code == 0
    assert student(here / "killed") == student(here / "whole")
    assert not (here / "killed/student/checkpoint.pt").exists()


@pytest.mark.slow  # a training of one seed is below
def test_killed_seeds_go_on_and_finished_ones_are_not_trained_again(here, finished, minnow, start):
    command = f"train --model {finished}/runs/found --epochs 4 --seeds 2 --out"
    child = start(f"{command} killed")
    child.wait_for("seed 1 (2 of 2): epoch 1 of")
    child.signal(signal.SIGKILL)
    first = (here / "killed/seeds/0/model.safetensors").stat()
    assert (here / "killed/seeds/1/checkpoint.pt").exists() and not (here / "killed/student").exists()
    for other in (command, command.replace("--seeds 2", "--resume")):
        assert "resume" in minnow(f"{other} killed").complaint
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


def test_ctrl_c_in_a_training_says_how_to_go_on(finished, here, start):
    command = f"train --model {finished}/runs/found --epochs 50 --out new"
    child = start(command)
    child.wait_for("epoch 1 of")
    code, _, rest, *_ = child.signal(signal.SIGINT)
    assert code == 130
    assert "Traceback" not in rest
    said = rest.splitlines()[-1].strip()
    assert said.endswith(f"{command} --resume")


def test_a_training_in_a_directory_that_minnow_chose_is_resumed_there(finished, here, minnow, start):
    command = f"train --model {finished}/runs/found --epochs"
    complaint = minnow(f"{command} 2 --resume").complaint
    assert complaint == "there is no runs/train-found to resume; give --out"
    for _ in range(2):
        child = start(f"{command} 50")
        child.wait_for("epoch 1 of")
        rest = child.signal(signal.SIGINT).stderr
    assert rest.splitlines()[-1].strip().endswith(f"{command} 50 --out runs/train-found-2 --resume")
    assert minnow(f"{command} 50 --patience 1 --resume").code == 2  # other settings than it began with
    assert minnow(f"{command} 50 --resume").code == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["train-found", "train-found-2"]
    assert (here / "runs/train-found-2/student/model.safetensors").exists()


def test_ctrl_c_in_a_search_keeps_what_is_finished(here, start):
    child = start("search --space toy --trials 12 --epochs 2 --out stopped")
    child.wait_for("trial 0 ")
    code, _, rest, *_ = child.signal(signal.SIGINT)
    assert code == 130
    assert "search --resume --out stopped" in rest
    page = (here / "stopped/report.html").read_text()
    assert "report stopped" in page and page.endswith("</html>\n")
    assert "Traceback" not in rest
    assert len(trials(here / "stopped")) >= 1


@pytest.mark.slow  # other moments are below
def test_ctrl_c_while_the_teacher_learns_can_be_resumed(here, minnow, start, monkeypatch):
    """The search has no trial yet; the command that it names must still work."""
    monkeypatch.setenv("MINNOW_CACHE", str(here / "cache"))
    command = "search --space toy --trials 1 --epochs 1 --out new"
    weights = here / "resnet.pt"
    torch.manual_seed(0)
    torch.save(timm.create_model("test_resnet", num_classes=5).state_dict(), weights)
    teacher = f"--teacher test_resnet:{weights} --teacher-resolution 32 --teacher-epochs"
    child = start(f"{command} {teacher} 500")
    child.wait_for("fine-tuning")
    code, _, rest, *_ = child.signal(signal.SIGINT)
    assert code == 130
    assert "search --resume --out new" in rest
    assert minnow(f"search --resume --out new {teacher.split()[-1]} 1").code == 0


@pytest.mark.parametrize(
    ("moment", "later"),
    [("search: gp", 0.2), pytest.param("trial 0 ", 0.5, marks=pytest.mark.slow)],
)
def test_ctrl_c_with_workers_leaves_no_traceback(here, start, moment, later):
    """Also while the workers still import."""
    child = start("search --space toy --trials 12 --epochs 2 --workers 2 --out new")
    child.wait_for(moment)
    time.sleep(later)
    code, _, rest, *_ = child.signal(signal.SIGINT)
    assert code == 130
    assert "Traceback" not in rest
    assert "search --resume --out new" in rest


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        "--strategy tpe --trials 16 --epochs 2",
        "--strategy gp --trials 16 --epochs 2 --confirm 4",
        "--strategy evolution --trials 16 --epochs 2",
        "--strategy tpe --trials 6 --fidelity asha --epochs 9",
        "--strategy tpe --trials 16 --epochs 2 --storage sqlite:///{name}.db",
        "--strategy random --trials 16 --epochs 2 --workers 2",
    ],
)
def test_a_search_killed_at_random_moments_is_the_uninterrupted_one(here, minnow, start, options):
    """17 times, so a hundred in all. With workers the order of results, and so the study, is another each time."""
    options = f"search --space toy --seed 3 {options}"
    assert minnow(f"{options} --out whole".format(name="whole")).code == 0
    command = f"{options} --out killed".format(name="killed")
    rng = random.Random(0)
    finished: dict[int, tuple] = {}
    for attempt in range(17):
        child = start(command + (" --resume" if attempt else ""))
        child.wait_for("search: ")
        time.sleep(rng.uniform(0, 1.5))
        assert child.signal(signal.SIGKILL).returncode == -signal.SIGKILL
        known = Run(here / "killed").trials
        now = {trial.number: (trial.proposal.choices, trial.metrics) for trial in known}
        assert {number: now[number] for number in finished} == finished
        finished = now
    assert minnow(f"{command} --resume").code == 0
    ended = {t.number: (t.proposal.choices, t.metrics) for t in Run(here / "killed").trials}
    assert {number: ended[number] for number in finished} == finished
    if "--workers" not in options:
        assert trials(here / "killed") == trials(here / "whole")
