"""The minnow on finished runs, and what they take from one another."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

ANNEALING = Path(__file__).parents[2] / "examples/strategy_plugin/minnow_strategy_plugin.py"


def summary(run: Path) -> dict:
    return json.loads((run / "summary.json").read_text())


def test_two_goals_make_a_front(there):
    found = summary(there / "runs/found")
    points = {t["number"]: (-t["metrics"]["f1"], t["metrics"]["macs"]) for t in found["trials"]}
    assert found["best"] == found["front"][0] and found["knee"] in found["front"]
    for number, (loss, macs) in points.items():
        beaten = any(
            other[0] <= loss and other[1] <= macs and other != (loss, macs) for other in points.values()
        )
        assert (number in found["front"]) != beaten


@pytest.mark.parametrize("split", ["train", "val", "test", "all"])
def test_evaluate(there, minnow, split):
    said = minnow(f"evaluate runs/alone --split {split} --json")
    scores = json.loads(said.output)
    counts = {"train": 1259, "val": 179, "test": 359, "all": 1797}
    assert scores["n"] == counts[split] == np.sum(scores["confusion"])
    recorded = json.loads((there / "runs/alone/student/metrics.json").read_text())
    if split in recorded:
        assert scores["f1"] == pytest.approx(recorded[split]["f1"], abs=1e-9)
    table = minnow(f"evaluate runs/alone --split {split}").output
    assert f"F1 {scores['f1']:.4f}" in table and f"on {counts[split]} images" in " ".join(table.split())


def test_onnx_runtime_gives_the_labels_that_predict_gives(there, minnow, tmp_path):
    import onnxruntime

    rng = np.random.default_rng(1)
    (tmp_path / "photos").mkdir()
    images = rng.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    for index, pixels in enumerate(images):
        Image.fromarray(pixels).save(tmp_path / f"photos/{index}.png")
    assert minnow(f"export runs/alone --out {tmp_path}/model.onnx").code == 0
    assert minnow(f"predict runs/alone {tmp_path}/photos --out {tmp_path}/all.csv").code == 0
    rows = list(csv.DictReader((tmp_path / "all.csv").open(encoding="utf-8")))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    batch = images.transpose(0, 3, 1, 2).astype(np.float32) / 255
    (logits,) = session.run(None, {session.get_inputs()[0].name: batch})
    labels = (there / "runs/alone/student/labels.txt").read_text().split()
    assert [row["label"] for row in rows] == [labels[index] for index in logits.argmax(axis=1)]


def test_predict_prints_what_it_could_read(there, minnow, tmp_path):
    Image.new("L", (20, 30), 90).save(tmp_path / "good.png")
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8 not a photo")
    said = minnow(f"predict runs/alone {tmp_path}")
    assert said.code == 0
    assert "good.png" in said.output and "bad.jpg" not in said.output
    assert any("bad.jpg" in line for line in said.notices)
    assert "1 of 2 images" in said.notices[-1]


def test_latency_of_a_search_without_a_student(there, minnow):
    said = minnow("latency runs/found")
    assert said.code == 0 and "10 classes" in said.output and "n=" in said.output


def test_plugins_lists_everything(here, minnow):
    said = minnow("plugins").output
    for name in (
        "mobilenet",
        "toy",
        "random",
        "tpe",
        "nni-evolution",
        "kd",
        "dkd",
        "path",
        "pypi",
        "timm",
    ):
        assert f" {name} " in said
    for group in ("spaces", "strategies", "losses", "teachers"):
        assert f"minnow.{group}" in said


def test_data_check(here, minnow, write_classes):
    photos = write_classes(here / "photos", 20)
    assert "nothing to complain about" in minnow("data check photos").output
    shutil.copy(photos / "dark/0.jpg", photos / "light/same.jpg")
    (photos / "light/broken.jpg").write_bytes(b"no photo")
    said = minnow("data check photos")
    assert said.code == 0
    assert "broken.jpg" in said.output
    assert "duplicate" in said.output and "dark/0.jpg" in said.output
    for file in (photos / "dark").iterdir():
        file.write_bytes(b"no photo")
    said = minnow("data check photos")
    assert said.code == 1 and "problem" in said.output


def test_a_broken_photo_is_named_and_counted(here, minnow, write_classes):
    photos = write_classes(here / "photos")
    for index in range(20):
        shutil.copy(photos / "dark/0.jpg", photos / f"dark/more{index}.jpg")
    (photos / "light/broken.jpg").write_bytes(b"no photo")
    said = minnow("search --data photos --space toy --trials 1 --epochs 1 --out new")
    assert said.code == 0
    assert any("skipped" in line and "broken.jpg" in line for line in said.notices)
    assert any("1 broken file" in line for line in said.notices)


@pytest.mark.usefixtures("photos")
def test_a_study_in_a_database(here, minnow):
    command = (
        "search --data photos --space toy --epochs 1 --out new --storage sqlite:///study.db --trials"
    )
    assert minnow(f"{command} 2").code == 0
    before = summary(here / "new")["trials"]
    assert minnow(f"{command} 3 --resume").code == 0
    after = summary(here / "new")["trials"]
    assert after[:2] == before and len(after) == 3
    with sqlite3.connect(here / "study.db") as database:
        assert database.execute("select count(*) from trials").fetchone() == (3,)
    assert not (here / "new/study.journal").exists()


def test_optuna_reads_the_study(there):
    import optuna
    from optuna.storages.journal import JournalFileBackend

    storage = optuna.storages.JournalStorage(JournalFileBackend(str(there / "runs/found/study.journal")))
    study = optuna.load_study(study_name="found", storage=storage)
    assert len(study.trials) == 3 and study.metric_names == ["f1", "macs"]
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert {trial.number for trial in study.best_trials} == set(summary(there / "runs/found")["front"])


def test_a_strategy_from_a_file(here, minnow):
    shutil.copy(ANNEALING, here / "mine.py")
    command = "search --space toy --trials 3 --epochs 1 --strategy ./mine.py:Annealing"
    assert minnow(command).code == 0
    assert len(summary(here / "runs/digits-toy-mine")["trials"]) == 3


def test_swapping_the_strategy_keeps_the_trials(here, finished, minnow):
    shutil.copytree(finished / "runs/found", here / "found")
    before = summary(here / "found")["trials"]
    for trials, strategy in enumerate(("random", "nni-evolution", "tpe"), start=4):
        assert minnow(f"search --resume --out found --strategy {strategy} --trials {trials}").code == 0
    after = summary(here / "found")["trials"]
    assert after[:3] == before and len(after) == 6
    assert len({json.dumps(trial["choices"]) for trial in after}) == 6


def test_a_resumed_search_keeps_what_a_file_does_not_say(here, minnow):
    search = "search --space toy --epochs 1 --trials 1 --limit params<=8k --seed 3 --out new"
    assert minnow(f"{search} --strategy gp --strategy-option trend=false").code == 0
    (here / "more.yaml").write_text("trials: 2\n")
    assert minnow("search --resume --out new --config more.yaml").code == 0
    settings = yaml.safe_load((here / "new/config.yaml").read_text())
    assert (settings["trials"], settings["seed"], settings["limits"]) == (2, 3, ["params<=8k"])
    assert settings["strategy"] == {"name": "gp", "options": {"trend": False}}
    assert minnow("search --resume --out new --strategy random --trials 3").code == 0
    settings = yaml.safe_load((here / "new/config.yaml").read_text())
    assert settings["strategy"] == {"name": "random", "options": {}}


def test_settings_of_a_file_without_a_use_are_pointed_out(here, minnow):
    """Given as options they would be errors; a file may serve several commands."""
    (here / "shared.yaml").write_text("loss: {name: dkd, weight: 0.9}\nsupernet: {epochs: 3}\n")
    said = minnow("search --space toy --epochs 1 --trials 1 --out new --config shared.yaml")
    assert said.code == 0
    warned = [line for line in said.notices if line.startswith("warning: shared.yaml: ")]
    assert [line.split()[2] for line in warned] == ["loss.name", "supernet.epochs"]
    assert all("has no effect" in line for line in warned)
    assert not any("no effect" in line for line in minnow("search --resume --out new").notices)
    again = minnow("search --config new/config.yaml --out again --trials 1 --set loss.weight=0.5")
    assert "--loss-weight (loss.weight): has no effect" in again.complaint


def test_an_exhausted_space_ends_the_search(here, minnow):
    said = minnow("search --space toy --trials 9 --epochs 1 --limit params<=1500 --out new")
    assert said.code == 0
    count = len(summary(here / "new")["trials"])
    assert 0 < count < 9
    assert any("no further network" in line for line in said.notices)


def test_a_timeout_ends_the_search(here, minnow):
    said = minnow("search --space toy --trials 12 --epochs 1 --timeout 1s --out new")
    assert said.code == 0
    assert 0 < len(summary(here / "new")["trials"]) < 12
    assert any("the time is over" in line for line in said.notices)


def test_a_recipe_file_does_not_change_the_data(here, minnow, write_classes):
    """A student trains on the search's images unless its settings say otherwise."""
    write_classes(here / "photos")
    (here / "own.yaml").write_text("augment: {operations: 1}\n")
    search = "search --data photos --space toy --trials 1 --epochs 1 --config own.yaml --out new"
    assert minnow(search).code == 0
    (here / "recipe.yaml").write_text(
        "train: {epochs: 2, batch_size: 8}\ndata: {fit: crop}\naugment: {mixup: 0.2}\n"
    )
    said = minnow("train --model new --config recipe.yaml --out trained")
    assert said.code == 0
    assert any("using the search's data, photos" in line for line in said.notices)
    settings = yaml.safe_load((here / "trained/student/config.yaml").read_text())
    assert settings["data"]["spec"] == "photos" and settings["train"]["batch_size"] == 8
    assert settings["data"]["fit"] == "crop"
    assert (settings["augment"]["operations"], settings["augment"]["mixup"]) == (1, 0.2)
    assert (here / "trained/student/labels.txt").read_text() == "dark\nlight\n"


def test_a_trained_student_passes_its_data_on(here, finished, photos, minnow):
    recipe = "data: {size: 16}\naugment: {operations: 1}\nbalance: {mode: logit-adjust, tau: 0.5}\n"
    (here / "recipe.yaml").write_text(recipe)
    train, network = "train --epochs 1 --model", f"{finished}/runs/found/architecture.yaml"
    assert minnow(f"{train} {network} --data photos --config recipe.yaml --seed 3 --out first").code == 0
    said = minnow(f"{train} first --seed 4 --out second")
    assert said.code == 0
    assert "no data given: using the earlier student's data, photos" in said.notices
    first, second = (
        yaml.safe_load((here / run / "student/config.yaml").read_text()) for run in ("first", "second")
    )
    assert first.pop("seed") == 3 and second.pop("seed") == 4 and first == second
    said = minnow("distill --student first --epochs 1 --out third")
    assert "(teacher.spec): missing" in said.complaint


def test_settings_of_a_file_say_what_was_not_in_it(here, minnow):
    (here / "recipe.yaml").write_text("trials: 1\ntrain: {epochs: 1}\n")
    said = minnow("search --space toy --config recipe.yaml --out new")
    assert said.code == 0
    assert said.notices[0].startswith("no data given")


def test_every_piece_of_output_is_plain_text_where_it_is_not_a_terminal(there, minnow):
    for command in ("evaluate runs/alone", "plugins", "latency runs/found"):
        said = minnow(command)
        assert "\x1b" not in said.output + "".join(said.notices)


def test_balance_on_the_command_line_replaces_that_of_a_file(here, finished, minnow):
    (here / "recipe.yaml").write_text("balance: {mode: logit-adjust, tau: 0.5}\n")
    train = f"train --model {finished}/runs/found --epochs 1 --config recipe.yaml --out"
    said = minnow(f"{train} file")
    assert said.code == 0
    assert any("logit-adjust with tau 0.5" in line for line in said.notices)
    said = minnow(f"{train} given --balance post-hoc")
    assert said.code == 0
    settings = yaml.safe_load((here / "given/student/config.yaml").read_text())
    metrics = json.loads((here / "given/student/metrics.json").read_text())
    assert settings["balance"] == metrics["balance"] and metrics["balance"]["mode"] == "post-hoc"
    tau = metrics["balance"]["tau"]  # 0 where validation wants none, which is not worth a word
    assert any(f"post-hoc with tau {tau:g})" in line for line in said.notices) == (tau > 0)
    scores = json.loads(minnow("evaluate given --split val --json").output)
    assert scores["f1"] == pytest.approx(metrics["val"]["f1"], abs=1e-9)
    assert minnow("export given").code == 0


def test_a_student_is_balanced_as_its_search_was_unless_told_otherwise(here, minnow):
    assert minnow("search --space toy --trials 1 --epochs 1 --balance sampler --out new").code == 0
    for more, mode in (("", "sampler"), (" --balance none", "none")):
        assert minnow(f"train --model new --epochs 1 --out trained-{mode}{more}").code == 0
        settings = yaml.safe_load((here / f"trained-{mode}/student/config.yaml").read_text())
        assert settings["balance"] == {"mode": mode, "tau": None}
