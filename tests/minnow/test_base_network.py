"""Students that are cut out of one network and learn from others."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import yaml

from core.config import BaseConfig, SearchConfig, TeacherConfig
from minnow.base_settings import base_fine_tuning, base_of_run, base_of_student
from minnow.run_directory import Run
from training.bundle import load_bundle

BASE, OTHER = "mobilenetv3_small_050:base.pth", "resnet10t:other.pth"
INHERIT = "--evaluator inherit --trials 1"
EPOCH = "--teacher-epochs 1 --set base.epochs=1"


@pytest.fixture
def folder(here: Path, write_classes) -> Path:
    """Photos of two classes, and two networks of timm with random weights."""
    write_classes(here / "photos")
    torch.manual_seed(0)
    for spec in (BASE, OTHER):
        name, _, file = spec.partition(":")
        torch.save(timm.create_model(name, num_classes=2).state_dict(), file)
    return here


@pytest.fixture
def search(folder: Path, minnow):
    def run(teacher: str, more: str):
        small = f"--teacher-epochs 1 --resolution 32,40 --image-size 40 --teacher {teacher} {more}"
        return minnow(f"search --space elastic --data photos {small}")

    return run


def lines(said, *words: str) -> list[str]:
    return [line for line in said.notices if all(word in line for word in words)]


@pytest.mark.system
def test_a_teacher_of_another_family(folder: Path, search, minnow):
    given = f"--base {BASE} --set base.epochs=2 --supernet-epochs 1 --trials 1 --out runs/found"
    said = search(OTHER, given)
    assert said.code == 0, said.notices
    assert lines(said, "teacher: resnet10t at 64 px") and lines(
        said, "base: mobilenetv3_small_050 at 64 px"
    )
    settings = yaml.safe_load(Path("runs/found/config.yaml").read_text())
    assert (settings["teacher"]["spec"], settings["base"]["spec"]) == (OTHER, BASE)
    study = Run("runs/found").study
    assert study.identity["teacher"].startswith("resnet10t (")
    assert study.identity["base"].startswith("mobilenetv3_small_050 (")
    assert study.trials[0].architecture.base == "mobilenetv3_small_050"
    assert BASE in Path("runs/found/report.html").read_text()

    said = minnow("search --resume --out runs/found --trials 2")
    assert said.code == 0 and not lines(said, "fine-tuned in") and not lines(said, "adapting")
    said = minnow("search --resume --out runs/found --trials 3 --set base.epochs=1")
    assert "base" in said.complaint

    said = minnow("distill --student runs/found --epochs 1")
    assert said.code == 0, said.notices
    assert lines(said, "starts from its weights in the supernet") and not lines(said, "fine-tuned in")
    bundle = load_bundle(Path("runs/found"))
    assert bundle.metrics["inherited"] == "mobilenetv3_small_050"
    assert bundle.metrics["teacher"]["name"] == "resnet10t"
    said = minnow(f"distill --student runs/found --epochs 1 --base {OTHER} --out runs/more")
    assert "starts from the supernet" in said.complaint


@pytest.mark.slow
def test_of_several_teachers_the_first_that_can_be_cut_is_the_base(folder: Path, search, minnow):
    said = search(f"{OTHER}@48,{BASE}", f"{INHERIT} --teacher-epochs 3 --out runs/found")
    assert said.code == 0, said.notices
    assert lines(said, "no base given", BASE, "the first teacher that can be cut")
    assert lines(said, "with the base's weights") and lines(said, "teacher: resnet10t at 48 px")
    assert len(lines(said, "teacher: ", "fine-tuned in")) == 2
    assert lines(said, "base: mobilenetv3_small_050", "from the cache")
    assert yaml.safe_load(Path("runs/found/config.yaml").read_text())["base"]["spec"] == BASE
    said = minnow("distill --student runs/found --epochs 1 --features none")
    assert said.code == 0, said.notices
    assert lines(said, "starts from its weights in mobilenetv3_small_050")
    assert not lines(said, "fine-tuned in")
    assert load_bundle(Path("runs/found")).metrics["teacher"]["name"].startswith("resnet10t*0.5,")


@pytest.mark.slow
def test_a_student_keeps_its_base_under_another_teacher(folder: Path, search, minnow):
    said = search(BASE, f"{INHERIT} --out runs/found")
    assert said.code == 0 and not lines(said, "base: ")
    assert "base" not in Run("runs/found").study.identity  # as before there was one
    said = minnow(f"distill --student runs/found --teacher {OTHER} --teacher-epochs 1 --epochs 1")
    assert said.code == 0, said.notices
    assert lines(said, "base: mobilenetv3_small_050", "from the cache")  # fine-tuned as in the search
    assert load_bundle(Path("runs/found")).metrics["inherited"] == "mobilenetv3_small_050"

    file = "--student runs/found/architecture.yaml --data photos --image-size 40 --epochs 1"
    said = minnow(f"distill {file} --teacher {OTHER} --base {BASE} {EPOCH} --out runs/file")
    assert said.code == 0, said.notices
    assert load_bundle(Path("runs/file")).metrics["inherited"] == "mobilenetv3_small_050"
    said = minnow(f"distill {file} --teacher {BASE} --base {OTHER} {EPOCH} --out runs/other")
    assert "is cut out of mobilenetv3_small_050, so it cannot inherit from resnet10t" in said.complaint

    alone = "--model runs/found/architecture.yaml --data photos --image-size 40 --epochs 1"
    said = minnow(f"train {alone} --base {BASE} --set base.epochs=1 --out runs/alone")
    assert said.code == 0, said.notices
    bundle = load_bundle(Path("runs/alone"))
    assert bundle.metrics["inherited"] == "mobilenetv3_small_050" and bundle.metrics["teacher"] is None


def test_without_a_network_to_cut(folder: Path, search, minnow):
    for teacher in (OTHER, f"{OTHER},{OTHER}"):
        complaint = search(teacher, INHERIT).complaint
        assert complaint.startswith("--base (base.spec): resnet10t is no base for the space elastic")
        assert "tf_efficientnet_lite0" in complaint
    assert "name one" in search(OTHER, f"--base {BASE},{BASE}").complaint
    assert "no_such_network" in search(OTHER, "--base no_such_network").complaint
    assert not Path("runs").exists()


def test_a_base_without_effect(folder: Path, minnow):
    said = minnow(f"search --data photos --base {BASE} --trials 1")
    assert "choose the space elastic" in said.complaint
    Path("runs").mkdir()
    said = minnow("search --space toy --data photos --image-size 40 --epochs 1 --trials 1 --out runs/toy")
    assert said.code == 0, said.notices
    said = minnow(f"train --model runs/toy --base {BASE}")
    assert "cut out of no other" in said.complaint
    said = minnow(f"train --model runs/toy --base {BASE} --from-scratch")
    assert "from_scratch starts from random weights" in said.complaint


def test_the_fine_tuning_of_a_base():
    teacher = TeacherConfig(spec="a*0.7,b*0.3", resolution=96, epochs=3)
    whole = {"spec": "b", "tune": "all"}  # whatever the teacher's: its weights are inherited
    assert base_fine_tuning(BaseConfig(spec="b"), teacher) == teacher.model_copy(update=whole)
    assert base_fine_tuning(BaseConfig(spec="b", epochs=5), teacher).epochs == 5
    assert base_fine_tuning(BaseConfig(spec="c"), teacher) == TeacherConfig(spec="c", tune="all")
    alone = SearchConfig(teacher=TeacherConfig(spec="b", epochs=3))
    assert base_of_student(alone, "b") is None
    assert base_of_student(alone, "c") == BaseConfig(spec="b", epochs=3, learning_rate=2e-3)
    assert base_of_run(SearchConfig()) is None


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ("resnet10t:gone.pth", ("gone.pth",)),
        ("resnet99", ("'resnet99' is no run directory",)),
        ("resnet10t@abc", ("'resnet10t@abc'", "after @ stands the side")),
    ],
)
def test_all_teachers_are_found_before_the_first_is_fine_tuned(
    folder: Path, search, second: str, words: tuple[str, ...]
):
    said = search(f"{OTHER},{second}", f"{INHERIT} --base {BASE}")
    assert said.code == 2 and all(word in said.complaint for word in words), said.notices
    assert not lines(said, "fine-tuned in")
