"""Damaged files and full disks: one line that names the file, and nothing else is lost."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import minnow as minnow_api
from core.errors import UserError
from minnow.ranking import read_rows


@pytest.fixture
def found(here: Path, finished: Path) -> Path:
    """A copy of the finished search under its own name, which is also the name of its study."""
    return Path(shutil.copytree(finished / "runs/found", here / "found"))


@pytest.fixture
def alone(here: Path, finished: Path) -> Path:
    return Path(shutil.copytree(finished / "runs/alone", here / "alone"))


def trials(run: Path) -> list[dict]:
    return json.loads((run / "summary.json").read_text())["trials"]


def test_a_journal_cut_in_its_last_line_goes_on(found, minnow):
    before = trials(found)
    journal = found / "study.journal"
    journal.write_bytes(journal.read_bytes() + b'{"op_code": 4, "work')
    assert minnow("search --resume --out found --trials 4").code == 0
    assert trials(found)[:3] == before and len(trials(found)) == 4


def test_a_journal_damaged_in_the_middle_is_refused(found, minnow):
    journal = found / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[len(lines) // 2] = b"\x00\xff garbage\n"
    journal.write_bytes(b"".join(lines))
    complaint = minnow("search --resume --out found --trials 4").complaint
    assert "study.journal" in complaint and "another run directory" in complaint


def test_a_damaged_summary_harms_nothing_and_is_written_again_by_resuming(found, minnow):
    before = trials(found)
    (found / "summary.json").write_bytes(b"{")
    assert minnow("train --model found --epochs 1 --out new").code == 0
    assert minnow("search --resume --out found").code == 0
    assert trials(found) == before


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a: [", b"[1]", b"colour: red"])
def test_damaged_settings_are_refused(found, minnow, content):
    (found / "config.yaml").write_bytes(content)
    assert "config.yaml" in minnow("search --resume --out found --trials 4").complaint


def test_a_damaged_checkpoint_is_refused(here, minnow, finished):
    (here / "new/student").mkdir(parents=True)
    (here / "new/student/checkpoint.pt").write_bytes(b"half a che")
    command = f"train --model {finished}/runs/found --epochs 1 --out new"
    complaint = minnow(f"{command} --resume").complaint
    assert "checkpoint.pt" in complaint and "delete it" in complaint
    assert "resume it" in minnow(command).complaint
    (here / "new/student/checkpoint.pt").unlink()
    assert minnow(f"{command} --resume").code == 0


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _garble(path: Path) -> None:
    path.write_bytes(b"\x00\xff\xfe: [" * 20)


@pytest.mark.parametrize("damage", [_cut, _garble, Path.unlink])
@pytest.mark.parametrize(
    "name", ["model.safetensors", "architecture.yaml", "labels.txt", "config.yaml", "metrics.json"]
)
def test_a_damaged_student_is_refused(alone, minnow, name, damage):
    damage(alone / "student" / name)
    assert name in minnow("evaluate alone").complaint
    assert (
        name in minnow("search --space toy --trials 1 --epochs 1 --out new --teacher ./alone").complaint
    )


def one_line(command: Any) -> str:
    code, _, notices, *_ = command.end()
    lines = notices.splitlines()
    assert code == 2, notices
    assert [line for line in lines if line.startswith("minnow: error: ")] == lines[-1:]
    assert "Traceback" not in notices
    return lines[-1]


@pytest.mark.slow  # its checkpoint is in training/test_state
def test_a_disk_that_fills_up_while_training(here, finished, minnow, start):
    command = f"train --model {finished}/runs/found --epochs 2 --out new"
    assert "new/student" in one_line(start(command, file_size=5_000))
    assert not (here / "new/student/model.safetensors").exists()
    assert minnow(f"{command} --resume").code == 0


@pytest.mark.slow  # its journal is in test_surroundings
def test_a_disk_that_fills_up_while_searching(here, minnow, start):
    command = "search --space toy --trials 4 --epochs 1 --out"
    one_line(start(f"{command} found", file_size=4_000))
    assert minnow(f"{command} found --resume").code == 0
    assert minnow(f"{command} whole").code == 0
    for one, other in zip(trials(here / "found"), trials(here / "whole"), strict=True):
        assert one["choices"] == other["choices"]
        assert one["metrics"]["f1"] == other["metrics"]["f1"]


@pytest.mark.slow
def test_a_disk_that_is_full_before_the_first_image(here, start, monkeypatch):
    monkeypatch.setenv("MINNOW_CACHE", str(here / "fresh"))
    assert "fresh" in one_line(start("search --space toy --out new", file_size=100_000))


def _other_shape(path: Path) -> None:
    path.write_text("[1, 2]")


def _nested(path: Path) -> None:
    path.write_text("[" * 100_000)


def _change(*keys: str, to: object):
    """Put ``to`` in the place of one entry of a JSON file."""

    def damage(path: Path) -> None:
        content = json.loads(path.read_text())
        *parents, name = keys
        place = content
        for parent in parents:
            place = place[parent]
        place[name] = to
        path.write_text(json.dumps(content))

    damage.__name__ = ".".join(keys) + f"={to}"
    return damage


RETYPED = [
    _change("test", to=[]),
    _change("test", "f1", to="high"),
    _change("test", "f1", to=float("nan")),
    _change("test", "f1_interval", to=[0.1]),
    _change("test", "per_class_f1", to=[0.5]),
    _change("test", "confusion", to=[[1, 2], [3, 4]]),
    _change("val", to=None),
    _change("teacher", to={"name": "big"}),
    _change("latency_ms", to=3),
    _change("history", to=[{"epoch": 1}]),
    _change("seed", to="0"),
    _change("seeds", to={"students": 3}),
    _change("versions", to=["torch"]),
    _change("test_pixels", to=7),
]


@pytest.mark.parametrize(
    "damage", [_cut, _garble, _other_shape, _nested, *RETYPED], ids=lambda d: d.__name__
)
def test_damaged_metrics_are_named_by_the_readers_of_a_student(alone, minnow, damage):
    damage(alone / "student/metrics.json")
    for command in ("report alone", "compare alone alone"):
        complaint = minnow(command).complaint
        assert "alone/student/metrics.json" in complaint and len(complaint) < 400


@pytest.mark.parametrize("damage", [_cut, _garble, _other_shape, _nested], ids=lambda d: d.__name__)
@pytest.mark.parametrize("command", ["report alone", "compare alone alone"])
def test_a_damaged_config_of_a_student_is_named(alone, minnow, command, damage):
    damage(alone / "student/config.yaml")
    if damage is _cut:  # half of a YAML file is YAML
        (alone / "student/config.yaml").write_text("data: {spec: [1, 2\n")
    assert "alone/student/config.yaml" in minnow(command).complaint


@pytest.mark.parametrize("damage", [_garble, _other_shape, _nested], ids=lambda d: d.__name__)
def test_a_damaged_config_of_a_search_is_named(found, minnow, damage):
    damage(found / "config.yaml")
    for command in ("report found", "train --model found --epochs 1 --out new"):
        assert "found/config.yaml" in minnow(command).complaint


@pytest.mark.parametrize("damage", [_garble, _other_shape, Path.unlink], ids=lambda d: d.__name__)
def test_damaged_predictions_are_named(alone, minnow, damage):
    damage(alone / "student/predictions.csv")
    assert "alone/student/predictions.csv" in minnow("compare alone alone").complaint


def test_labels_of_another_student_are_refused(alone, minnow):
    (alone / "student/labels.txt").write_text("a\nb\n")
    assert "labels.txt names 2 classes" in minnow("report alone").complaint


@pytest.mark.parametrize("damage", [_cut, _garble, _other_shape, *RETYPED], ids=lambda d: d.__name__)
def test_damaged_metrics_are_named_by_the_api(alone, damage):
    student = minnow_api.load(alone)
    damage(alone / "student/metrics.json")
    with pytest.raises(UserError, match=r"student/metrics\.json"):
        _ = student.metrics


@pytest.mark.parametrize("name", ["f1", "accuracy", "balanced_accuracy"])
def test_a_score_that_the_confusion_does_not_give_is_named(alone, minnow, name):
    path = alone / "student/metrics.json"
    value = json.loads(path.read_text())["test"][name]
    _change("test", name, to=round(1 - value, 3))(path)
    complaint = minnow("report alone").complaint
    assert "metrics.json is damaged: test" in complaint and f"{name} does not follow" in complaint


@pytest.mark.parametrize("name", ["model.safetensors", "labels.txt", "architecture.yaml", "config.yaml"])
def test_one_flipped_bit_of_a_student_is_named(alone, minnow, name):
    path = alone / "student" / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    assert name in minnow("evaluate alone").complaint
    if name in ("labels.txt", "config.yaml"):
        assert name in minnow("report alone").complaint


def test_weights_that_are_no_numbers_predict_nothing(alone, minnow):
    import torch
    from safetensors.torch import load_file, save_file

    path = alone / "student/model.safetensors"
    (alone / "student/checksums.sha256").unlink()
    weights = load_file(path)
    name = next(name for name, value in weights.items() if value.is_floating_point())
    Image.new("RGB", (32, 32)).save("x.png")
    for value, words in (
        (torch.nan, "NaN or infinite numbers"),
        (3e38, "returns NaN or infinite numbers"),
    ):
        save_file({**weights, name: torch.full_like(weights[name], value)}, path)
        for command in ("predict alone x.png", "evaluate alone"):
            assert words in minnow(command).complaint


@pytest.mark.parametrize("command", ["search --trials 1 --set", "search --trials 1 --strategy-option"])
@pytest.mark.parametrize(
    "text", ["!!int abc", "!!bool x", "1" * 5000, "[" * 3000, "&a [*a]", ".inf", "a: b: c", "*x"]
)
def test_hostile_values_of_options_are_one_line(here, minnow, command, text):
    complaint = minnow(
        *command.split(), f"train.epochs={text}" if "--set" in command else f"x={text}"
    ).complaint
    assert "cannot be read as YAML" in complaint and len(complaint) < 600


@pytest.mark.parametrize(
    "text", ["a: &a [x,x,x,x,x,x,x,x,x,x]", "trials: 2020-13-45", "trials: '" + "x" * 9000 + "'"]
)
def test_hostile_settings_are_one_short_line(here, minnow, text):
    lines = [text]
    for before, name in itertools.pairwise("abcdefghi" if text.startswith("a:") else ""):
        lines.append(f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]")
    Path("bomb.yaml").write_text("\n".join(lines))
    for command in ("search --config bomb.yaml", "model show bomb.yaml", "search --data bomb.yaml"):
        complaint = minnow(command).complaint
        assert "bomb.yaml" in complaint and len(complaint) < 2000


def test_damaged_rankings_are_named(tmp_path):
    row = {
        "network": "a", "whole": "b", "epochs": 1, "seed": 1, "f1": 0.5, "params": 7, "macs": 9,
        "latency_ms": 1.5, "seconds": 0.1, "trained_seconds": 2.0, "val_f1": 0.5, "test_f1": 0.5,
    }  # fmt: skip
    path, whole = tmp_path / "ranking.jsonl", json.dumps(row)
    old = json.dumps({name: row[name] for name in ("network", "f1")})
    path.write_text(f"{old}\n{whole}\n")
    assert read_rows(path) == [row]
    for change in (
        {"f1": "x"},
        {"f1": 2},
        {"latency_ms": -5.0},
        {"seed": None},
        {"test_f1": float("nan")},
    ):
        path.write_text(f"{whole}\n{json.dumps({**row, **change})}\n")
        with pytest.raises(UserError, match=f"ranking.jsonl is damaged: line 2: {next(iter(change))}"):
            read_rows(path)
