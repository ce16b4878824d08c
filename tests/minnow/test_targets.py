"""Targets on the command line: what a search limits, what is measured where, what is exported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import minnow as api
from core.config import SearchConfig, StudentConfig
from core.errors import UserError
from deploy.quantization import Attempt
from deploy.shipping import Shipped
from deploy.targets import costs_on
from deploy.targets.base import Quantization
from deploy.targets.session import Latency
from minnow.commands.export import warnings_of
from minnow.permission import code_settings
from minnow.run_directory import Run
from training.bootstrap import Comparison, Interval

pytestmark = pytest.mark.system

Said = Any  # of conftest.py
INT8 = "onnxruntime-int8"


@pytest.fixture(scope="module")
def searched(
    tmp_path_factory: pytest.TempPathFactory, finished: Path, write_classes: Callable[..., Path]
) -> Path:
    """A search of three trials for int8 within limits on flash and RAM, on a few photos of two classes."""
    folder = tmp_path_factory.mktemp("searched")
    photos = write_classes(folder / "photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MINNOW_CACHE", str(finished / "cache"))
        limits = ["flash_kb<=60", "ram_kb<=80"]
        settings = {"trials": 3, "limits": limits, "target": INT8, "epochs": 1, "seed": 1}
        api.search(str(photos), out=folder / "run", image_size=32, **settings)
    return folder / "run"


def test_limits_are_those_of_the_target(searched: Path) -> None:
    run = Run(searched)
    assert len(run.trials) == 3
    for trial in run.trials:
        expected = costs_on(INT8, trial.architecture, 2)
        assert {name: trial.metrics[name] for name in expected} == expected
        assert expected["flash_kb"] <= 60 and expected["ram_kb"] <= 80
        floats = costs_on("onnxruntime", trial.architecture, 2)
        assert floats["ram_kb"] == pytest.approx(4 * expected["ram_kb"])
        assert 1.5 < floats["flash_kb"] / expected["flash_kb"] < 4
    assert yaml.safe_load((searched / "config.yaml").read_text())["target"] == INT8


def test_a_study_keeps_its_target(searched: Path, minnow: Callable[..., Said], here: Path) -> None:
    said = minnow(
        "search", "--resume", "--out", str(searched), "--target", "onnxruntime", "--trials", "4"
    )
    assert "target" in said.complaint


def test_latency_is_that_of_the_run(searched: Path, minnow: Callable[..., Said], here: Path) -> None:
    assert ", int8, 1 thread" in minnow("latency", str(searched)).output
    assert "int8" not in minnow("latency", str(searched), "--target", "onnxruntime").output


@pytest.mark.parametrize(
    ("target", "words"),
    [("nonsense", "known: onnxruntime"), ("onnxruntime@usb", "no device"), ("./gone.py:Mine", "exist")],
)
def test_wrong_targets(minnow: Callable[..., Said], here: Path, target: str, words: str) -> None:
    said = minnow("search", "--target", target, "--trials", "1")
    assert words in said.complaint
    assert not (here / "runs").exists()


def test_a_file_names_no_program_of_a_device() -> None:
    for config in (SearchConfig, StudentConfig):
        named = config(target="onnxruntime@ssh:pi@host:22/bin/reboot")
        assert [*code_settings(named)] == [("target", named.target)]
        assert [*code_settings(config(target="onnxruntime@ssh:pi@host:22"))] == []
        assert [*code_settings(config(target="./mine.py:Mine"))] == [("target", "./mine.py:Mine")]


def test_exports_a_folder(there: Path, minnow: Callable[..., Said], tmp_path: Path) -> None:
    said = minnow("export", "runs/alone", "--target", "onnxruntime", "--out", str(tmp_path / "out"))
    assert said.code == 0, said.notices
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["agreement"] >= 0.995
    assert "100.0%" in said.output and str(tmp_path / "out") in said.notices[-1]
    evaluated = minnow("evaluate", "runs/alone", "--target", "onnxruntime", "--json")
    assert json.loads(evaluated.output)["f1"] == pytest.approx(report["test_f1"])


def test_an_export_that_lacks_a_target_fails(
    there: Path, minnow: Callable[..., Said], tmp_path: Path
) -> None:
    said = minnow(
        "export", "runs/alone", "--target", "onnxruntime", "--target", "onnxruntime@ssh:no.invalid"
    )
    assert (
        "nothing was written for onnxruntime@ssh:no.invalid; the warnings above say why" in said.complaint
    )
    assert any("cannot be reached" in line for line in said.notices)
    assert Path("runs/alone/student/export/onnxruntime/model.onnx").exists()


def test_an_export_replaces_no_files_of_others(
    there: Path, minnow: Callable[..., Said], tmp_path: Path
) -> None:
    (tmp_path / "predict.py").write_text("mine")
    command = ("export", "runs/alone", "--target", "onnxruntime", "--out", str(tmp_path))
    assert "holds predict.py, but no export: choose another folder" in minnow(*command).complaint
    assert [path.name for path in tmp_path.iterdir()] == ["predict.py"]
    (tmp_path / "predict.py").unlink()
    assert minnow(*command).code == 0 and minnow(*command).code == 0
    student = api.load("runs/alone")
    with pytest.raises(UserError, match="but no export"):  # the student's own weights
        student.write_timm(student.path)
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(UserError, match=r"holds index\.html, but no export"):
        student.write_page(tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--target", "onnxruntime", "--opset", "18"], "--opset"),
        (["--data", "digits"], "--data is for --target"),
        (["--licence", "mit", "--out", "x.onnx"], "--licence is for the model card"),
        (["--target", "onnxruntime", "--target", INT8, "--out", "x"], "there are 2"),
        (["--target", "tensorrt"], "unknown target"),
    ],
)
def test_export_refuses(there: Path, minnow: Callable[..., Said], options: list[str], words: str) -> None:
    assert words in minnow("export", "runs/alone", *options).complaint


@pytest.mark.parametrize(
    "int8, whole, lost, qat, expected",
    [
        (1.0, 2.0, 0.001, None, []),
        (2.0, 1.0, 0.001, None, ["slower than float here (2.00 against 1.00 ms)"]),
        (1.0, 2.0, 0.02, None, ["loses 2.0 points of test F1 by its quantisation; distill --student"]),
        (1.0, 2.0, 0.02, {"val_f1": 0.8}, ["loses 2.0 points of test F1 by its quantisation"]),
    ],
)
def test_an_export_says_what_speaks_against_int8(int8, whole, lost, qat, expected):
    def latency(ms):
        return Latency(ms, 0.1, 100, "onnxruntime")

    scores = Comparison(
        Interval(0.8, 0.7, 0.9), Interval(0.8 - lost, 0.7, 0.9), Interval(-lost, -1, 1), 1.0
    )
    attempt = Attempt(Quantization(), 0.8, 0.1, None)
    shipped = Shipped(
        Path("x"), INT8, {}, 1.0, 0.1, scores, latency(int8), latency(whole), [attempt], attempt
    )
    student = SimpleNamespace(path=Path("runs/a/student"), metrics={"qat": qat})
    refit = SimpleNamespace(path=Path("runs/a/refit"), metrics={})
    said = warnings_of(shipped, student)
    assert len(said) == len(expected)
    for words, wanted in zip(said, expected, strict=True):
        assert wanted in words
    assert ("--qat" in "".join(said)) is (lost > 0.005 and qat is None)
    assert "--qat" not in "".join(warnings_of(shipped, refit))  # which it would not train on
