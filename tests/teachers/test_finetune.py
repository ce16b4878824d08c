"""Fine-tuning of a teacher: once, and then from the cache."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

import teachers.finetune
from core.config import AugmentConfig, TeacherConfig
from core.errors import UserError
from nas.networks import build
from teachers.base import PretrainedNetwork, TeacherSource, weights_digest
from teachers.finetune import Teacher, finetune_teacher, tuned_before
from training.bundle import save_bundle
from training.evaluate import evaluate, logits_of
from training.preprocess import IMAGENET, Normalization, prepare
from training.views import stored

NORMALIZATION = Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
AUGMENT = AugmentConfig()
CONFIG = TeacherConfig(spec="small", resolution=32, epochs=2)


class Small(TeacherSource):
    """A timm network of 100,000 parameters with weights drawn from a fixed seed."""

    name = "small"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def find(self, spec: str) -> PretrainedNetwork | None:
        if spec != "small":
            return None
        torch.manual_seed(self._seed)
        model = timm.create_model("test_efficientnet", num_classes=7).eval()
        return PretrainedNetwork(
            spec, model, 160, NORMALIZATION, weights_digest(spec, model), None, "a fixed seed"
        )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("teachers")


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def shared_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with the teacher of ``CONFIG``, from the first test that needs it."""
    monkeypatch.setenv("MINNOW_CACHE", str(cache))
    return cache


def make(data, config: TeacherConfig = CONFIG, augment=AUGMENT, seed=0, report=None) -> Teacher:
    return finetune_teacher(config, data, augment, sources=[Small(seed)], report=report)


def logits(teacher: Teacher, data) -> np.ndarray:
    how = {"resolution": teacher.resolution, "normalization": teacher.normalization}
    return logits_of(teacher.model, data, data.splits["val"], **how)


def folders(cache: Path) -> set[str]:
    return {path.name for path in (cache / "teachers").iterdir()}


def test_the_second_call_trains_nothing_and_gives_the_same_teacher(some_digits, own_cache):
    first = make(some_digits)
    steps = []
    torch.manual_seed(4321)
    again = make(some_digits, report=steps.append)
    assert steps == []
    assert (first.cached, again.cached) == (False, True)
    assert np.array_equal(logits(first, some_digits), logits(again, some_digits))
    assert replace(again, model=first.model, cached=False) == first
    assert again.digest == first.digest == weights_digest("small", again.model)


def test_a_cached_teacher_is_known_before_it_is_loaded(some_digits, own_cache):
    def known(**changes) -> bool:
        config = CONFIG.model_copy(update=changes)
        return tuned_before(config, some_digits, AUGMENT, sources=[Small()])

    assert not known()
    make(some_digits)
    assert known() and not known(epochs=5) and not known(resolution=64) and not known(tune="head")
    make(some_digits, CONFIG.model_copy(update={"tune": "head", "epochs": None}))
    assert known(tune="head") and known()


def test_it_is_frozen_and_tells_the_classes_apart(some_digits, shared_cache):
    teacher = make(some_digits)
    assert not any(part.training for part in teacher.model.modules())
    assert not any(weight.requires_grad for weight in teacher.model.parameters())
    assert logits(teacher, some_digits).shape == (60, 10)
    pixels = stored(some_digits, some_digits.splits["val"][:4], torch.device("cpu"))
    assert not teacher.model(prepare(pixels, 32, NORMALIZATION)).requires_grad


def test_it_keeps_its_own_resolution_and_normalisation(some_digits, shared_cache):
    teacher = make(some_digits)
    assert (teacher.resolution, teacher.normalization) == (32, NORMALIZATION)
    how = {"resolution": 32, "normalization": NORMALIZATION}
    assert teacher.val == evaluate(teacher.model, some_digits, "val", **how)
    assert teacher.evaluate(some_digits, "test") == evaluate(teacher.model, some_digits, "test", **how)


def test_a_resolution_in_its_name_wins(some_digits, shared_cache):
    named = CONFIG.model_copy(update={"spec": "small@32", "resolution": 64})
    teacher = make(some_digits, named)
    assert teacher.resolution == 32 and teacher.digest == make(some_digits).digest


def test_it_was_trained(some_digits, shared_cache):
    start = Small().find("small")
    teacher = make(some_digits)
    moved = teacher.model.state_dict()
    body = [key for key in moved if "classifier" not in key and moved[key].is_floating_point()]
    assert any(not torch.equal(start.model.state_dict()[key], moved[key]) for key in body)


@pytest.mark.parametrize(
    "change",
    ["data", "resolution", "epochs", "learning rate", "augmentation", "weights"],
)
def test_whatever_changes_the_result_changes_the_key(some_digits, shared_cache, change):
    make(some_digits)
    before = folders(shared_cache)
    other = {
        "data": lambda: make(replace(some_digits, digest="other")),
        "resolution": lambda: make(some_digits, CONFIG.model_copy(update={"resolution": 40})),
        "epochs": lambda: make(some_digits, CONFIG.model_copy(update={"epochs": 1})),
        "learning rate": lambda: make(some_digits, CONFIG.model_copy(update={"learning_rate": 0.01})),
        "augmentation": lambda: make(some_digits, augment=AugmentConfig(operations=0)),
        "weights": lambda: make(some_digits, seed=1),
    }[change]()
    assert not other.cached
    assert len(folders(shared_cache) - before) == 1


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-50] ^= 0xFF
    path.write_bytes(content)


def _replace_by_other_network(path: Path) -> None:
    from safetensors.torch import load_file, save_file

    content = {key: torch.zeros_like(value) for key, value in load_file(path).items()}
    save_file(dict(list(content.items())[:-1]), path)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.safetensors", _cut),
        ("model.safetensors", _flip),
        ("model.safetensors", _replace_by_other_network),
        ("model.safetensors", Path.unlink),
        ("teacher.json", _cut),
        ("teacher.json", Path.unlink),
        ("teacher.json", lambda path: path.write_text("[]")),
        ("teacher.json", lambda path: path.write_text(path.read_text().replace('"f1": 0', '"f1": 1', 1))),
        ("teacher.json", lambda path: path.write_text('{"val": {}, "seconds": 1}')),
    ],
)
def test_a_damaged_cache_is_made_again(some_digits, own_cache, name, damage):
    config = CONFIG.model_copy(update={"epochs": 1})
    once = make(some_digits, config)
    (folder,) = (own_cache / "teachers").iterdir()
    damage(folder / name)
    again = make(some_digits, config)
    assert not again.cached
    assert again.digest == once.digest  # no damaged weight leaked into the new start
    assert make(some_digits, config).cached


class Cut(Exception):
    pass


def test_an_interrupted_fine_tuning_goes_on(some_digits, own_cache):
    def cut(progress) -> None:
        if (progress.epoch, progress.step) == (1, 2):
            raise Cut

    with pytest.raises(Cut):
        make(some_digits, report=cut)
    epochs = []
    resumed = make(some_digits, report=lambda progress: epochs.append(progress.epoch))
    assert min(epochs) == 1
    (folder,) = (own_cache / "teachers").iterdir()
    assert sorted(file.name for file in folder.iterdir()) == ["model.safetensors", "teacher.json"]
    for file in folder.iterdir():
        file.unlink()
    assert make(some_digits).digest == resumed.digest


def test_a_fine_tuning_that_diverges_once_goes_on_slower(some_digits, own_cache, diverging):
    diverging(teachers.finetune, "cross_entropy", 5)  # three steps an epoch
    with pytest.warns(UserWarning, match="epoch 2, step 2.*half the learning rate"):
        first = make(some_digits)
    (rollback,) = first.rollbacks
    assert (rollback["epoch"], rollback["learning_rate"]) == (2, CONFIG.learning_rate / 2)
    assert make(some_digits).rollbacks == first.rollbacks  # the cache remembers


@pytest.mark.filterwarnings("ignore:the loss became")
def test_a_fine_tuning_that_diverges_twice_is_one_line(some_digits, own_cache, diverging):
    diverging(teachers.finetune, "cross_entropy", 5, 7)
    with pytest.raises(
        UserError, match=r"epoch 2, step 2.*halved.*lower teacher\.learning_rate"
    ) as error:
        make(some_digits)
    assert "\n" not in str(error.value)


def test_a_kill_right_after_the_teacher_was_saved_leaves_no_checkpoint(some_digits, own_cache):
    make(some_digits)
    (folder,) = (own_cache / "teachers").iterdir()
    (folder / "checkpoint.pt").write_bytes(b"left over")
    assert make(some_digits).cached
    assert not (folder / "checkpoint.pt").exists()


def test_the_cache_says_what_its_weights_are(some_digits, shared_cache):
    make(some_digits)
    for folder in (shared_cache / "teachers").iterdir():
        record = json.loads((folder / "teacher.json").read_text())
        weights = (folder / "model.safetensors").read_bytes()
        assert record["sha256"] == hashlib.sha256(weights).hexdigest()


def of_size(side: int, name: str = "test_efficientnet") -> PretrainedNetwork:
    model = timm.create_model(name)
    fixed = model.pretrained_cfg["fixed_input_size"]
    return PretrainedNetwork(name, model, side, NORMALIZATION, "", None, "no weights", fixed=fixed)


@pytest.mark.parametrize(
    ("pretrained", "stored_side", "expected"),
    [(224, 32, 64), (224, 96, 96), (224, 256, 224), (48, 32, 48), (32, 512, 32)],
)
def test_small_images_are_not_blown_up(pretrained, stored_side, expected):
    assert of_size(pretrained).default_resolution(stored_side) == expected


def test_networks_of_one_size_get_it():
    assert of_size(224, "levit_128s").default_resolution(32) == 224


def test_a_size_that_the_network_does_not_take_is_one_line(some_digits, own_cache):
    class Fixed(Small):
        def find(self, spec: str) -> PretrainedNetwork:
            return of_size(224, "levit_128s")

    with pytest.raises(UserError, match=r"takes no images of 32 px .*or set it to 224") as error:
        finetune_teacher(CONFIG, some_digits, AUGMENT, sources=[Fixed()])
    assert "\n" not in str(error.value)


@pytest.fixture
def run(tmp_path: Path, tiny) -> Path:
    torch.manual_seed(5)
    classes = tuple(str(digit) for digit in range(10))
    settings = {"normalization": {"mean": list(IMAGENET.mean), "std": list(IMAGENET.std)}}
    network = build(tiny, 10)
    save_bundle(tmp_path / "run/student", network, tiny, classes, config=settings, metrics={})
    return tmp_path / "run"


def test_a_network_that_minnow_trained_is_taken_as_it_is(some_digits, own_cache, run):
    steps = []
    config, warned = TeacherConfig(spec=str(run), epochs=3), []
    teacher = finetune_teacher(config, some_digits, AUGMENT, report=steps.append, warn=warned.append)
    assert warned == ["teacher 'run' is already trained and used unchanged: teacher.epochs has no effect"]
    assert steps == [] and teacher.cached and teacher.seconds == 0
    assert not (own_cache / "teachers").exists()
    assert (teacher.name, teacher.resolution) == ("run", 32)
    assert not any(weight.requires_grad for weight in teacher.model.parameters())
    assert not any(part.training for part in teacher.model.modules())
    assert teacher.val == teacher.evaluate(some_digits, "val")


def test_a_run_that_may_have_seen_the_test_images(some_digits, own_cache, run):
    path = run / "student/metrics.json"
    for split, expected in ((some_digits.test_digest, 0), ("another", 1)):
        path.write_text(json.dumps({"test_files": split}))
        warned = []
        finetune_teacher(TeacherConfig(spec=str(run)), some_digits, AUGMENT, warn=warned.append)
        assert len(warned) == expected
    assert "its test F1 is then too high" in warned[0]


def test_a_run_of_other_classes_is_refused(some_digits, own_cache, run):
    other = replace(some_digits, classes=tuple("abcdefghij"))
    with pytest.raises(UserError) as error:
        finetune_teacher(TeacherConfig(spec=str(run)), other, AUGMENT)
    text = str(error.value)
    assert "\n" not in text and "0, 1, 2" in text and "a, b, c" in text


def test_a_cache_that_cannot_be_written_is_one_line(some_digits, own_cache):
    (own_cache / "teachers").write_text("a file where a directory should be")
    with pytest.raises(UserError) as error:
        make(some_digits, CONFIG.model_copy(update={"epochs": 1}))
    assert "\n" not in str(error.value) and "teachers" in str(error.value)
