"""Cached teacher outputs: equal to a direct forward pass, complete, and shared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from teachers.finetune import Teacher
from teachers.output_cache import LiveOutputs, StoredOutputs, cache_outputs
from training.augment import Augmentation
from training.batches import Batches
from training.preprocess import IMAGENET, Normalization, prepare
from training.views import augmented

NORMALIZATION = Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
AUGMENTATION = Augmentation(flip=False)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path))
    return tmp_path


def at_40(teacher: Teacher) -> Teacher:
    return replace(teacher, resolution=40, normalization=NORMALIZATION)


@pytest.fixture(scope="module")
def teacher(teacher_of, tiny) -> Teacher:
    return at_40(teacher_of(tiny))


def test_they_are_those_of_a_direct_forward_pass(teacher, some_digits):
    outputs = cache_outputs(teacher, some_digits, AUGMENTATION, 2)
    train = some_digits.splits["train"]
    for view in range(2):
        pixels = augmented(some_digits, train, view, AUGMENTATION, CPU)
        with torch.no_grad():
            expected = teacher.model(prepare(pixels, 40, NORMALIZATION)).numpy()
        stored = outputs.rows(view, "logits")
        assert stored.dtype == np.float16 and stored.shape == (1797, 10)
        np.testing.assert_allclose(stored[train], expected, rtol=2**-10, atol=1e-4)
        rest = np.setdiff1d(np.arange(1797), train)
        assert not stored[rest].any()
    assert not np.array_equal(outputs.rows(0, "logits"), outputs.rows(1, "logits"))


def test_a_student_is_shown_the_row_of_the_pixels_it_sees(teacher, some_digits):
    outputs = cache_outputs(teacher, some_digits, AUGMENTATION, 2)
    batches = Batches(some_digits, 40, NORMALIZATION, AUGMENTATION, 50, 2, 7, outputs)
    for epoch in (0, 3):
        for batch in batches.epoch(epoch):
            with torch.no_grad():
                expected = teacher.model(batch.images)
            torch.testing.assert_close(batch.teacher.logits, expected, rtol=2**-10, atol=1e-4)


@pytest.mark.parametrize("kinds", [("pooled",), ("attention",), ("pooled", "attention")])
def test_stored_and_live_say_the_same(teacher, some_digits, kinds):
    stored = cache_outputs(teacher, some_digits, AUGMENTATION, 2, kinds=kinds)
    live = LiveOutputs(teacher, kinds)
    train = some_digits.splits["train"][:70]
    pixels = augmented(some_digits, train, 1, AUGMENTATION, CPU)
    one, other = (outputs(1, train, lambda: pixels) for outputs in (stored, live))
    for kind in ("logits", *kinds):
        torch.testing.assert_close(one.get(kind), other.get(kind), rtol=2**-9, atol=1e-4)


def test_features_are_added_to_views_that_have_only_logits(teacher, some_digits):
    progress = []
    logits = cache_outputs(teacher, some_digits, AUGMENTATION, 2).rows(1, "logits").copy()
    outputs = cache_outputs(
        teacher, some_digits, AUGMENTATION, 2, kinds=("pooled",), report=lambda *at: progress.append(at)
    )
    assert progress[-1] == (400, 400)
    assert np.array_equal(outputs.rows(1, "logits"), logits)
    assert outputs.rows(1, "pooled").shape[0] == 1797


def test_a_second_call_computes_nothing(teacher, some_digits):
    cache_outputs(teacher, some_digits, AUGMENTATION, 2)
    progress = []
    cache_outputs(teacher, some_digits, AUGMENTATION, 2, report=lambda *at: progress.append(at))
    assert progress == []
    cache_outputs(teacher, some_digits, AUGMENTATION, 3, report=lambda *at: progress.append(at))
    assert progress[-1] == (200, 200)


def test_progress_ends_with_all_images_of_all_views(teacher, some_digits):
    progress = []
    cache_outputs(teacher, some_digits, AUGMENTATION, 3, report=lambda *at: progress.append(at))
    assert progress[-1] == (600, 600)
    assert progress == sorted(progress)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-10]),
        lambda path: path.write_bytes(b"not an array" * 100),
        lambda path: np.save(path, np.zeros((5, 10), np.float16)),
        lambda path: np.save(path, np.zeros((1797, 10), np.float32)),
        lambda path: np.save(path, np.zeros(1797, np.float16)),
        Path.unlink,
    ],
    ids=["empty", "cut", "text", "shape", "dtype", "flat", "gone"],
)
def test_a_damaged_view_is_computed_again(teacher, some_digits, damage):
    outputs = cache_outputs(teacher, some_digits, AUGMENTATION, 2)
    whole = [outputs.rows(view, "logits").copy() for view in range(2)]
    damage(outputs.path(1, "logits"))
    assert not outputs.has(1)
    with pytest.raises(FileNotFoundError, match="view-001"):
        outputs.rows(1, "logits")
    progress = []
    cache_outputs(teacher, some_digits, AUGMENTATION, 2, report=lambda *at: progress.append(at))
    assert progress[-1] == (200, 200)  # one view, not two
    assert all(np.array_equal(outputs.rows(view, "logits"), whole[view]) for view in range(2))


@pytest.mark.parametrize("change", ["teacher", "resolution", "data", "augmentation", "normalisation"])
def test_whatever_changes_the_logits_changes_the_folder(teacher, teacher_of, tiny, some_digits, change):
    cache_outputs(teacher, some_digits, AUGMENTATION, 1)
    other, data, augmentation = {
        "teacher": (at_40(teacher_of(tiny, seed=1)), some_digits, AUGMENTATION),
        "resolution": (replace(teacher, resolution=32), some_digits, AUGMENTATION),
        "data": (teacher, replace(some_digits, digest="other"), AUGMENTATION),
        "augmentation": (teacher, some_digits, Augmentation(magnitude=3, flip=False)),
        "normalisation": (replace(teacher, normalization=IMAGENET), some_digits, AUGMENTATION),
    }[change]
    progress = []
    cache_outputs(other, data, augmentation, 1, report=lambda *at: progress.append(at))
    assert progress


def test_another_process_sees_them(teacher, some_digits, own_cache, together):
    outputs = cache_outputs(teacher, some_digits, AUGMENTATION, 2)

    def total(_: object) -> float:
        return float(StoredOutputs(outputs.folder, 1797).rows(1, "logits").astype("f8").sum())

    assert together(total, 1) == [float(outputs.rows(1, "logits").astype("f8").sum())]
    assert outputs.folder.is_relative_to(own_cache)


def test_they_are_cheap_to_pickle(teacher, some_digits):
    import pickle

    outputs = cache_outputs(teacher, some_digits, AUGMENTATION, 1)
    content = pickle.dumps(outputs)
    assert len(content) < 1000
    again = pickle.loads(content)
    assert isinstance(again, StoredOutputs)
    assert np.array_equal(again.rows(0, "logits"), outputs.rows(0, "logits"))


@pytest.mark.parametrize("place", [0.1, 0.5, 0.999])
def test_a_flipped_bit_is_computed_again(teacher, some_digits, place):
    outputs = cache_outputs(teacher, some_digits, AUGMENTATION, 1)
    whole, path = outputs.rows(0, "logits").copy(), outputs.path(0, "logits")
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << 6
    path.write_bytes(content)
    assert not outputs.has(0)
    cache_outputs(teacher, some_digits, AUGMENTATION, 1)
    assert outputs.has(0) and np.array_equal(outputs.rows(0, "logits"), whole)
