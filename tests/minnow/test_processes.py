"""``train`` and ``distill`` on two processes: one student, one set of files, every line once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.numpy import load_file

import cli

CLI = Path(__file__).parents[2] / "cli.py"
# Rounding differs: torch's own batch norm sums channels_last images in float32, which is 2e-6 off in every pass
# (the synced one 5e-8), and every step multiplies that; AdamW most, as it divides by the gradient's size. Hence
# SGD and 1 % here. That nothing but rounding differs is shown in float64, in tests/training and tests/distill.
SGD = "--optimizer sgd --learning-rate 0.001"  # rounding grows with the rate: at 0.005, losses differ by 0.5 %


@pytest.fixture(autouse=True)
def one_thread():
    """How sums are cut into threads is rounding too, which can flip a choice between epochs that are close."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def two(together, tmp_path):
    """``two("train ...")``: exit codes, and what each process said on both streams."""

    def run(command: str) -> tuple[list[int], list[str]]:
        def work(rank: int) -> tuple[int, str]:
            with (tmp_path / f"said-{rank}").open("w+") as said:
                sys.stdout = sys.stderr = said
                with pytest.raises(SystemExit) as ended:
                    cli.main(command.split())
                said.seek(0)
                return ended.value.code or 0, said.read()

        codes, texts = zip(*together(lambda processes: work(processes.rank)), strict=True)
        return list(codes), list(texts)

    return run


def check_same(one: Path, other: Path) -> None:
    """The same settings, choice, scores and weights, but for times and rounding."""
    first, second = (json.loads((place / "metrics.json").read_text()) for place in (one, other))
    assert first.keys() == second.keys()
    for name in ("epoch", "seed", "identity", "params", "test_pixels", "rollbacks"):
        assert first[name] == second[name], name
    for split in ("val", "test"):
        assert second[split]["f1"] == pytest.approx(first[split]["f1"], abs=0.01)
    losses, others = ([epoch["loss"] for epoch in each["history"]] for each in (first, second))
    assert others == pytest.approx(losses, rel=1e-3)
    weights, found = (load_file(place / "model.safetensors") for place in (one, other))
    assert weights.keys() == found.keys()
    for name, value in weights.items():
        error, size = (np.sqrt(np.mean(np.square(each))) for each in (found[name] - value, value))
        # rounding, which epochs make more of; biases begin at 0 and are still small
        assert error <= 5e-2 * size + 1e-3, name


@pytest.mark.system
def test_a_distilled_student_is_that_of_one_process(here, finished, minnow, two, monkeypatch):
    """The main process fine-tunes the teacher, the other reads it; the hint's regressor is trained along."""
    torch.manual_seed(0)
    torch.save(timm.create_model("test_resnet", num_classes=5).state_dict(), here / "resnet.pt")
    command = (
        f"distill --teacher test_resnet:{here}/resnet.pt --teacher-resolution 32 --teacher-epochs 1 "
        f"--student {finished}/runs/found --features hint --epochs 2 {SGD} --out"
    )
    codes, texts = two(f"{command} both")
    assert codes == [0, 0], texts
    assert "fine-tuned in" in texts[0] and "Next:" in texts[0] and texts[1] == ""
    assert not (here / "both/student/checkpoint.pt").exists()
    assert minnow(f"{command} alone").code == 0
    check_same(here / "alone/student", here / "both/student")
    assert minnow("evaluate both").code == 0  # plain layers


@pytest.mark.slow  # one seed is above
def test_several_seeds(here, finished, minnow, two):
    command = f"train --model {finished}/runs/found --epochs 1 --seeds 2 {SGD} --out"
    assert two(f"{command} both")[0] == [0, 0]
    assert minnow(f"{command} alone").code == 0
    kept = json.loads((here / "alone/student/metrics.json").read_text())["seed"]
    for place in ("student", f"seeds/{1 - kept}"):
        check_same(here / "alone" / place, here / "both" / place)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train --model {found} --epochs 1 --out {alone}", "exists already"),
        ("train --model {found} --epochs 1 --batch-size 2 --out new", "too many"),
        ("train --model {found} --nonsense", "No such option"),
        ("distill --student {found} --teacher no_such_network --out new", "no_such_network"),
        ("search --trials 1 --out new", "set workers"),
    ],
)
def test_an_error_ends_both_and_is_said_once(here, finished, two, command, words):
    places = {"found": finished / "runs/found", "alone": finished / "runs/alone"}
    codes, (main, other) = two(command.format(**places))
    assert codes == [2, 2]
    assert main.count("minnow: error: ") == 1 and words in main.splitlines()[-1]
    assert other == "" and "Traceback" not in main


@pytest.mark.slow
def test_launched_by_accelerate(here, finished, minnow):
    """The launcher's own processes, each with its own interpreter."""
    command = f"train --model {finished}/runs/found --epochs 2 {SGD} --out"
    launcher = ["accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--main_process_port=0"]
    ended = subprocess.run(
        [sys.executable, "-m", *launcher, str(CLI), *f"{command} both".split()],
        cwd=here,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("student: epoch 1 of 2") == 1
    assert ended.stdout.count("Next:") == 1
    assert minnow(f"{command} alone").code == 0
    check_same(here / "alone/student", here / "both/student")
