"""The elastic space on the command line: search, distil, rank; and what can be wrong."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch

import cli
from distill import inherited_weights as inheritance
from distill.inherited_weights import channel_orders
from nas.architecture import Architecture
from training.bundle import load_bundle

TEACHER = "mobilenetv3_small_050:teacher.pth"
SMALL = f"--teacher {TEACHER} --teacher-epochs 1 --resolution 32,40 --image-size 40"


def fill(folder: Path, write_classes: Callable[..., Path]) -> None:
    """Write photos of two classes, and a network of timm with random weights."""
    write_classes(folder / "photos")
    torch.manual_seed(0)
    model = timm.create_model("mobilenetv3_small_050", num_classes=2)
    torch.save(model.state_dict(), folder / "teacher.pth")


@pytest.fixture
def folder(here: Path, write_classes) -> Path:
    fill(here, write_classes)
    return here


@pytest.fixture(scope="module")
def searched(finished: Path, write_classes, tmp_path_factory) -> tuple[Path, list[str]]:
    """A folder with a search of three trials in its supernet, and what the command said."""
    folder, said = tmp_path_factory.mktemp("searched"), io.StringIO()
    fill(folder, write_classes)
    search = f"search --space elastic --data photos --trials 3 {SMALL} --supernet-epochs 1"
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        patch.chdir(folder)
        patch.setenv("MINNOW_CACHE", str(finished / "cache"))
        patch.setattr("sys.argv", ["cli.py"])
        with pytest.raises(SystemExit) as ended:
            cli.main([*search.split(), "--out", "runs/found", "--limit", "macs<=2M"])
    assert not ended.value.code, said.getvalue()
    return folder, said.getvalue().splitlines()


@pytest.fixture
def notices(here: Path, searched: tuple[Path, list[str]]) -> list[str]:
    """What that search said, which is in the working directory."""
    folder, said = searched
    shutil.copytree(folder, here, symlinks=True, dirs_exist_ok=True)
    return said


@pytest.fixture
def search(folder: Path, minnow):
    def run(*more: str):
        return minnow(f"search --space elastic --data photos --trials 3 {SMALL}", *more)

    return run


def test_search_and_distil(notices: list[str], minnow):
    assert any("with the supernet's weights" in line for line in notices)
    (spent,) = (line for line in notices if line.startswith("spent "))
    assert all(f"{stage} " in spent for stage in ("teacher", "supernet", "3 trials"))
    summary = json.loads(Path("runs/found/summary.json").read_text())
    assert len(summary["trials"]) == 3
    for trial in summary["trials"]:
        assert trial["metrics"]["macs"] <= 2e6 and 0 <= trial["metrics"]["f1"] <= 1
    found = Architecture.from_yaml("runs/found/architecture.yaml")
    assert found.base == "mobilenetv3_small_050"

    said = minnow(f"distill --teacher {TEACHER} --student runs/found --epochs 1")
    assert said.code == 0, said.notices
    assert not any("fine-tuning" in line for line in said.notices)  # it is the search's
    assert any("starts from its weights in the supernet" in line for line in said.notices)
    assert not any("another test split" in line for line in said.notices)
    bundle = load_bundle(Path("runs/found"))
    assert bundle.metrics["inherited"] == "mobilenetv3_small_050"
    assert bundle.config["train"]["learning_rate"] == 0.002
    assert bundle.config["teacher"]["epochs"] == 1

    said = minnow("train --model runs/found --epochs 1 --from-scratch --out runs/scratch")
    assert said.code == 0 and load_bundle(Path("runs/scratch")).metrics["inherited"] is None
    assert load_bundle(Path("runs/scratch")).config["train"]["learning_rate"] == 0.006

    assert minnow("export runs/found").code == 0
    said = minnow("evaluate runs/found --json")
    assert json.loads(said.output)["f1"] == pytest.approx(bundle.metrics["test"]["f1"])


@pytest.mark.usefixtures("notices")
def test_a_supernet_ranks_networks(minnow):
    said = minnow("bench ranking runs/found --networks 3 --epochs 1 --limit latency_ms<=1")
    assert "known: params, macs" in said.complaint
    said = minnow("bench ranking runs/found --networks 3 --epochs 1 --limit params<=8690")
    assert "only 2 networks of the space are within params<=8690; loosen the limit" in said.complaint
    said = minnow("bench ranking runs/found --networks 3 --epochs 1")
    assert said.code == 0, said.notices
    assert (
        "Kendall" in said.output and len(Path("runs/found/ranking.jsonl").read_text().splitlines()) == 3
    )


@pytest.mark.slow
@pytest.mark.usefixtures("notices")
def test_networks_that_were_ranked_are_not_trained_again(minnow):
    assert minnow("bench ranking runs/found --networks 3 --epochs 1").code == 0
    again = minnow("bench ranking runs/found --networks 3 --epochs 1 --trainings 2")
    assert again.code == 0 and "another training's validation F1" in again.output
    rows = [json.loads(line) for line in Path("runs/found/ranking.jsonl").read_text().splitlines()]
    assert [row["seed"] for row in rows] == [1, 1, 1, 2, 2, 2]  # those that were trained are not again
    assert [row["f1"] for row in rows[:3]] == [row["f1"] for row in rows[3:]]

    others = minnow("bench ranking runs/found --networks 3 --epochs 1 --seed 1")
    assert others.code == 0 and "of 3 networks" in " ".join(others.output.split())


@pytest.mark.slow
@pytest.mark.usefixtures("notices")
def test_networks_are_ranked_on_a_cluster(ray_cluster, minnow):
    ray_cluster.two_nodes()
    assert minnow("bench ranking runs/found --networks 3 --epochs 1 --executor ray").code == 0
    rows = [json.loads(line) for line in Path("runs/found/ranking.jsonl").read_text().splitlines()]
    there = {row["network"]: row for row in rows}
    Path("runs/found/ranking.jsonl").unlink()
    shutil.rmtree("runs/found/ranking")
    assert minnow("bench ranking runs/found --networks 3 --epochs 1").code == 0
    rows = [json.loads(line) for line in Path("runs/found/ranking.jsonl").read_text().splitlines()]
    assert sorted(there) == sorted(row["network"] for row in rows)
    for row in rows:
        assert there[row["network"]]["f1"] == row["f1"]
        assert there[row["network"]]["test_f1"] == pytest.approx(row["test_f1"], abs=0.1)


@pytest.mark.usefixtures("notices")
def test_a_search_goes_on_with_its_supernet(minnow):
    weights = Path("runs/found/supernet/weights.safetensors").read_bytes()
    said = minnow("search --resume --out runs/found --trials 4 --strategy random")
    assert said.code == 0, said.notices
    assert not any("adapting" in line for line in said.notices)
    assert Path("runs/found/supernet/weights.safetensors").read_bytes() == weights
    said = minnow("search --resume --out runs/found --trials 5 --supernet-epochs 2")
    assert "supernet" in said.complaint


@pytest.mark.slow
def test_a_supernet_for_limits_says_so_and_warns_of_others(notices: list[str], minnow):
    assert any(
        line.endswith("runs/found/supernet, for networks near macs<=2,000,000") for line in notices
    )
    said = minnow("search --resume --out runs/found --trials 4 --limit macs<=500k")
    assert said.code == 0, said.notices
    assert any("others get too low an F1" in line for line in said.notices)


def test_the_sizes_of_a_supernet_can_be_chosen(folder: Path, search):
    more = ("--supernet-epochs", "1", "--trials", "1", "--set")
    said = search(*more, "supernet.sizes=all", "--limit", "macs<=1M", "--out", "runs/all")
    assert any(line.endswith("supernet, for networks of all sizes") for line in said.notices)
    said = search(*more, "supernet.sizes=near", "--out", "runs/near")
    assert "supernet.sizes near needs a limit" in said.complaint


@pytest.mark.slow
def test_a_data_file_does_not_raise_the_rate_of_what_inherits(folder: Path, search, minnow):
    """It says other things about training."""
    Path("photos.yaml").write_text("DATA_PATH: photos\nBATCH_SIZE: 16\n")
    more = ("--data", "photos.yaml", "--evaluator", "inherit", "--trials", "1", "--out", "runs/found")
    assert search(*more).code == 0
    distil = f"distill --teacher {TEACHER} --teacher-epochs 1 --student runs/found --epochs 1"
    assert minnow(distil).code == 0
    train = load_bundle(Path("runs/found")).config["train"]
    assert (train["batch_size"], train["learning_rate"]) == (16, 0.002)


def test_a_resumed_search_cuts_the_same_channels(folder: Path, search, minnow, monkeypatch):
    """Rounding ranks equal channels otherwise with another number of threads."""
    said = search("--evaluator", "inherit", "--trials", "2", "--out", "runs/whole")
    assert said.code == 0
    assert search("--evaluator", "inherit", "--trials", "1", "--out", "runs/found").code == 0

    def reversed_orders(*arguments):
        return {name: order.flip(0) for name, order in channel_orders(*arguments).items()}

    monkeypatch.setattr(inheritance, "channel_orders", reversed_orders)
    assert minnow("search --resume --trials 2 --out runs/found").code == 0
    again, whole = (
        json.loads((folder / f"runs/{name}/summary.json").read_text())["trials"]
        for name in ("found", "whole")
    )
    assert [trial["metrics"]["f1"] for trial in again] == [trial["metrics"]["f1"] for trial in whole]


def test_a_supernet_outlives_an_error_in_the_first_trial(folder: Path, search, minnow, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")

    options = ("--supernet-epochs", "1", "--trials", "1", "--out", "runs/found")
    with monkeypatch.context() as patched:
        patched.setattr("minnow.search_run.run_study", full)
        assert "somewhere" in search(*options).complaint
    saved = folder / "runs/found/supernet"
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    assert before
    assert minnow("search --resume --out runs/found").code == 0
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_inheriting_with_a_short_training(folder: Path, search):
    said = search("--evaluator", "inherit", "--epochs", "1", "--trials", "2", "--out", "runs/short")
    assert said.code == 0, said.notices
    assert any("with the teacher's weights and 1 epoch on" in line for line in said.notices)
    assert not Path("runs/short/supernet").exists()


def test_students_inherit_by_the_rule_of_their_search(folder: Path, search, minnow, monkeypatch):
    asked = []

    def orders(teacher, data, importance):
        asked.append(importance)
        return channel_orders(teacher, data, importance)

    monkeypatch.setattr(inheritance, "channel_orders", orders)
    rule = ("--limit", "macs<=2M", "--importance", "magnitude", "--trials", "1")
    said = search(*rule, "--out", "runs/found")
    assert said.code == 0, said.notices
    assert any("judged as they are cut out of the teacher" in line for line in said.notices)
    assert not Path("runs/found/supernet").exists()
    assert "before training: val F1" in Path("runs/found/report.html").read_text()
    distil = f"distill --teacher {TEACHER} --teacher-epochs 1 --student runs/found --epochs 1"
    assert minnow(distil).code == 0
    assert asked == ["magnitude", "magnitude"]


@pytest.mark.slow  # imports and trains for a quarter of a minute
def test_more_seeds_inherit_the_same_channels(folder: Path, search, minnow, monkeypatch):
    """Rounding, and with it the number of threads, decides between channels that matter alike."""
    assert search("--evaluator", "inherit", "--trials", "1", "--out", "runs/found").code == 0
    distil = f"distill --teacher {TEACHER} --teacher-epochs 1 --student runs/found --epochs 1"
    assert minnow(f"{distil} --seeds 2").code == 0

    def others(teacher, data, importance):
        return {
            group: order.flip(0) for group, order in channel_orders(teacher, data, importance).items()
        }

    monkeypatch.setattr(inheritance, "channel_orders", others)
    said = minnow(f"{distil} --seeds 3 --resume")
    assert said.code == 0, said.notices
    assert len(load_bundle(Path("runs/found")).metrics["seeds"]["students"]) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("notices")
def test_a_supernet_that_saw_the_test_images(minnow):
    for name in ("dark", "light"):
        first = min(Path("photos", name).iterdir())
        first.with_stem("0" + first.stem).write_bytes(first.read_bytes())
    said = minnow(f"distill --teacher {TEACHER} --teacher-epochs 1 --student runs/found --epochs 1")
    assert said.code == 0, said.notices
    warned = " ".join(said.notices)
    assert "the search in runs/found had another test split" in warned


def test_without_a_teacher(folder: Path, minnow):
    complaint = minnow("search --space elastic --data photos --trials 2").complaint
    assert "needs a teacher, to learn from and to cut networks out of: give one" in complaint


def test_a_base_that_is_not_known(folder: Path, minnow):
    torch.save(timm.create_model("resnet18", num_classes=2).state_dict(), "resnet.pth")
    said = minnow("search --space elastic --data photos --teacher resnet18:resnet.pth --trials 2")
    assert said.complaint.startswith(
        "--base (base.spec): resnet18 is no base for the space elastic: a ResNet is not built of"
    )
    assert not Path("runs").exists()


def test_a_broken_teacher(folder: Path, minnow):
    Path("teacher.pth").write_bytes(b"no weights")
    said = minnow(f"search --space elastic --data photos --trials 2 {SMALL}")
    assert "teacher.pth cannot be read as weights" in said.complaint
    torch.save(timm.create_model("mobilenetv3_small_075", num_classes=2).state_dict(), "teacher.pth")
    assert "does not fit the network" in minnow(f"search --space elastic --data photos {SMALL}").complaint


def test_a_limit_below_the_smallest(folder: Path, search):
    complaint = search("--limit", "params<=1k").complaint
    assert ("params<=1" in complaint and "smallest" in complaint) or "cheapest" in complaint


def test_evaluators_belong_to_the_space(folder: Path, minnow):
    complaint = minnow("search --data photos --evaluator supernet --trials 2").complaint
    assert "choose the space elastic, or the evaluator train" in complaint
    complaint = minnow("search --data photos --importance magnitude --trials 2").complaint
    assert "space.importance" in complaint and "no network inherits channels" in complaint
    assert "train" in minnow("search --data photos --evaluator guess --trials 2").complaint
    said = minnow(f"search --space elastic --data photos --fidelity asha --trials 2 {SMALL}")
    assert "fidelity asha needs the evaluator train" in said.complaint
    said = minnow(f"search --space elastic --data photos --balance sampler --trials 2 {SMALL}")
    assert "supernet does not train" in said.complaint


@pytest.mark.slow
def test_a_student_of_another_base(folder: Path, search, minnow):
    """It needs the weights of its own, unless it starts from scratch."""
    assert search("--evaluator", "inherit", "--trials", "1", "--out", "runs/found").code == 0
    torch.save(timm.create_model("mobilenetv3_small_075", num_classes=2).state_dict(), "other.pth")
    other = "--teacher mobilenetv3_small_075:other.pth --teacher-epochs 1 --epochs 1"
    complaint = minnow(f"distill {other} --student runs/found --base {other.split()[1]}").complaint
    assert "is cut out of mobilenetv3_small_050" in complaint and "set from_scratch" in complaint
    said = minnow(f"distill {other} --student runs/found --from-scratch --features none")
    assert said.code == 0, said.notices


@pytest.mark.usefixtures("notices")
def test_other_classes(here: Path, minnow, write_classes):
    (write_classes(here / "more") / "dark").rename("more/black")
    Path("more/grey").mkdir()
    for image in Path("more/black").glob("1*.jpg"):
        (Path("more/grey") / image.name).write_bytes(image.read_bytes())
    said = minnow(
        f"distill --teacher {TEACHER} --teacher-epochs 1 --student runs/found --data more --epochs 1"
    )
    assert "has 2 classes, the data has 3" in said.complaint
