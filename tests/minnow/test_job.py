"""The main job, command by command."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
CLI = ROOT / "cli.py"


@pytest.fixture(scope="module")
def call(start_in) -> Callable[..., Any]:
    """Run a command in a folder, with a cache there."""

    def run(folder: Path, *arguments: str) -> Any:
        return start_in(folder, *arguments, MINNOW_CACHE=str(folder / "cache")).end()

    return run


def interpreter(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same in an interpreter of its own, as a user does."""
    return subprocess.run(
        [sys.executable, str(CLI), *arguments],
        cwd=folder,
        env={**os.environ, "MINNOW_CACHE": str(folder / "cache"), "COLUMNS": "110", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, call) -> Path:
    """A directory in which the whole job was done once, with a small trained network as the teacher."""
    from nas.spaces.toy import Toy

    folder = tmp_path_factory.mktemp("job")
    Toy().decode((1, 1, 0, 0)).to_yaml(folder / "teacher.yaml", num_classes=10)
    for arguments in (
        "train --model teacher.yaml --data digits --epochs 3 --out runs/teacher",
        "search --strategy tpe --space toy --trials 4 --epochs 1 --objective f1 --objective macs",
        "distill --teacher runs/teacher --epochs 2",
    ):
        done = call(folder, *arguments.split())
        assert done.returncode == 0, done.stderr
        (folder / f"{arguments.split()[0]}.txt").write_text(done.stdout + done.stderr)
    return folder


def test_help_is_quick_and_complete() -> None:
    imported = subprocess.run(
        [sys.executable, "-X", "importtime", str(CLI), "--help"], capture_output=True, text=True
    )
    assert imported.returncode == 0
    loaded = {line.split("|")[-1].strip() for line in imported.stderr.splitlines()}
    assert not loaded & {"torch", "timm", "optuna", "nni", "numpy", "sklearn", "onnxruntime"}
    for name in (
        "search",
        "distill",
        "train",
        "evaluate",
        "compare",
        "predict",
        "export",
        "latency",
        "plugins",
        "demo",
    ):
        assert name in imported.stdout


def test_search_leaves_what_the_next_stage_needs(job: Path) -> None:
    said = (job / "search.txt").read_text()
    assert "using the embedded digits" in said
    assert "Pareto front" in said
    assert "chosen" in said
    assert "distill --teacher tf_efficientnet_lite0 --student" in said
    run = (job / "runs" / "latest").resolve()
    assert run.name == "digits-toy-tpe"
    assert {"config.yaml", "study.journal", "architecture.yaml", "summary.json"} <= set(os.listdir(run))
    summary = json.loads((run / "summary.json").read_text())
    assert len(summary["trials"]) == 4
    assert set(summary["trials"][0]["metrics"]) >= {
        "f1", "accuracy", "params", "macs", "latency_ms", "train_seconds"
    }  # fmt: skip


def test_distill_says_what_it_took_and_leaves_a_student(job: Path) -> None:
    said = (job / "distill.txt").read_text()
    assert "no student given: using the last search" in said
    assert "validation F1" in said
    student = job / "runs" / "digits-toy-tpe" / "student"
    names = {"model.safetensors", "architecture.yaml", "labels.txt", "config.yaml", "metrics.json"}
    assert names | {"predictions.csv"} <= set(os.listdir(student))
    metrics = json.loads((student / "metrics.json").read_text())
    assert set(metrics) >= {
        "test", "val", "teacher", "params", "macs", "latency_ms", "seconds", "seed", "versions"
    }  # fmt: skip
    assert set(metrics["test"]) == {
        "f1", "f1_interval", "accuracy", "balanced_accuracy", "per_class_f1", "confusion"
    }  # fmt: skip
    assert set(metrics["latency_ms"]) == {"median", "iqr", "n", "runtime"}
    assert 0 < metrics["teacher"]["f1"] <= 1


def test_evaluate_repeats_the_recorded_scores(job: Path, call) -> None:
    done = call(job, "evaluate", "runs/latest", "--json")
    recorded = json.loads((job / "runs/latest/student/metrics.json").read_text())
    scores = json.loads(done.stdout)
    assert scores["f1"] == pytest.approx(recorded["test"]["f1"], abs=1e-12)
    assert scores["n"] == 359


def test_export_predict_and_load_agree(job: Path, call) -> None:
    import deploy

    assert call(job, "export", "runs/latest").returncode == 0
    rng = np.random.default_rng(0)
    photos = job / "photos"
    photos.mkdir()
    for index in range(3):
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(photos / f"{index}.png")
    (photos / "broken.png").write_bytes(b"not an image")
    done = call(job, "predict", "runs/latest", "photos", "--out", "predictions.csv")
    assert done.returncode == 0
    assert "broken.png" in done.stderr
    rows = list(csv.DictReader((job / "predictions.csv").open(encoding="utf-8")))
    classifier = deploy.load(job / "runs/latest")
    readable = [row for row in rows if row["label"]]
    assert len(rows) == 4
    assert len(readable) == 3
    for row in readable:
        prediction = classifier.predict(job / row["file"])[0]
        assert prediction.label == row["label"]
        assert prediction.probability == pytest.approx(float(row["probability"]), abs=1e-5)


@pytest.mark.parametrize(
    "what", ["runs/latest", pytest.param("runs/latest/architecture.yaml", marks=pytest.mark.slow)]
)
def test_latency_of_a_run_and_of_a_file(job: Path, what: str, call) -> None:
    done = call(job, "latency", what)
    assert "ms median" in done.stdout
    assert "1 thread" in done.stdout


@pytest.mark.slow  # test_picks has the rules
def test_pick_and_the_alone_student(job: Path, call) -> None:
    for pick in ("knee", "1"):
        out = f"runs/{pick}"
        done = call(job, "train", "--model", "runs/latest", "--pick", pick, "--epochs", "1", "--out", out)
        assert done.returncode == 0, done.stderr
        assert (job / out / "student" / "model.safetensors").exists()
    assert json.loads((job / "runs/1/student/metrics.json").read_text())["teacher"] is None


@pytest.mark.slow  # one is in test_stages
@pytest.mark.parametrize("strategy", ["random", "nni-evolution"])
def test_swapping_the_strategy_of_a_study(job: Path, strategy: str, call) -> None:
    copy = job / f"runs/{strategy}"
    shutil.copytree(job / "runs/digits-toy-tpe", copy)
    done = call(job, "search", "--resume", "--out", str(copy), "--strategy", strategy, "--trials", "6")
    # The study is named after its directory, so a copied one starts anew under the copied settings.
    assert done.returncode == 0, done.stderr
    assert len(json.loads((copy / "summary.json").read_text())["trials"]) == 6


@pytest.mark.slow  # executors and their evaluators have tests of their own
def test_workers(job: Path, call) -> None:
    arguments = "search --space toy --trials 3 --epochs 1 --workers 2 --out runs/workers"
    done = call(job, *arguments.split())
    assert done.returncode == 0, done.stderr
    trials = json.loads((job / "runs/workers/summary.json").read_text())["trials"]
    assert all(trial["metrics"] for trial in trials)


@pytest.mark.slow  # faster with a study alone, see tests/nas/test_search_loop.py
def test_killed_and_resumed_search_is_the_uninterrupted_one(job: Path, call, start_in) -> None:
    arguments = "search --space toy --strategy tpe --trials 6 --epochs 1 --seed 3 --out".split()
    assert call(job, *arguments, "runs/whole").returncode == 0
    for moment in (1, 3):
        more = ["--resume"] if moment > 1 else []
        child = start_in(job, *arguments, "runs/killed", *more, MINNOW_CACHE=str(job / "cache"))
        child.wait_for(f"trial {moment} ")
        time.sleep(0.2)
        child.signal(signal.SIGKILL)
    assert call(job, *arguments, "runs/killed", "--resume").returncode == 0
    whole, killed = (
        json.loads((job / "runs" / name / "summary.json").read_text())["trials"]
        for name in ("whole", "killed")
    )
    assert [trial["choices"] for trial in whole] == [trial["choices"] for trial in killed]
    assert [trial["metrics"]["f1"] for trial in whole] == [trial["metrics"]["f1"] for trial in killed]


@pytest.mark.slow  # the contract suite checks its strategy
def test_the_example_package(tmp_path: Path) -> None:
    target = tmp_path / "site"
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"),
            *("--target", str(target), str(ROOT / "examples" / "strategy_plugin")),
        ],
        check=True,
    )
    shutil.rmtree(ROOT / "examples" / "strategy_plugin" / "build", ignore_errors=True)
    shutil.rmtree(
        ROOT / "examples" / "strategy_plugin" / "minnow_strategy_plugin.egg-info", ignore_errors=True
    )
    arguments = "search --space toy --strategy annealing --trials 3 --epochs 1".split()
    done = interpreter(tmp_path, *arguments, PYTHONPATH=str(target))
    assert done.returncode == 0, done.stderr
    shown = interpreter(tmp_path, "plugins", PYTHONPATH=str(target)).stdout
    assert "annealing" in shown
    assert "minnow-strategy-plugin" in shown
