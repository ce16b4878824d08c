"""What a student minimises, for every weight, loss and option."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from distill.losses import REGISTRY, dkd, kd
from distill.objective import objective
from nas.config import LossConfig
from nas.errors import UserError
from training.balance import adjusted_cross_entropy
from training.batches import Batch

torch.manual_seed(0)
LOGITS = torch.randn(6, 5)
BATCH = Batch(torch.zeros(6, 3, 8, 8), torch.tensor([0, 1, 2, 3, 4, 0]), torch.randn(6, 5))
CE = F.cross_entropy(LOGITS, BATCH.labels)
PURE = {
    "kd": kd(LOGITS, BATCH.teacher, BATCH.labels, temperature=4.0),
    "dkd": dkd(LOGITS, BATCH.teacher, BATCH.labels, temperature=4.0, alpha=1.0, beta=8.0),
}


def value(smoothing: float = 0.1, teacher: bool = True, **config) -> torch.Tensor:
    return objective(LossConfig(**config), smoothing, teacher=teacher)(LOGITS, BATCH)


def complaint(**config) -> str:
    with pytest.raises(UserError) as error:
        objective(LossConfig(**config), 0.1, teacher=True)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", REGISTRY.builtins)
def test_weight_1_is_the_pure_loss_and_weight_0_cross_entropy(name):
    options = {"alpha": 1.0, "beta": 8.0, "temperature": 4.0} if name == "dkd" else {}
    torch.testing.assert_close(value(name=name, options=options, weight=1), PURE[name])
    torch.testing.assert_close(value(name=name, options=options, weight=0), CE)


@pytest.mark.parametrize("weight", [0.1, 0.5, 0.9])
def test_in_between_they_are_mixed(weight):
    torch.testing.assert_close(value(weight=weight), weight * PURE["kd"] + (1 - weight) * CE)


def test_options_reach_the_loss():
    expected = kd(LOGITS, BATCH.teacher, BATCH.labels, temperature=2.0)
    torch.testing.assert_close(value(options={"temperature": 2.0}, weight=1), expected)


def test_without_a_teacher_it_is_smoothed_cross_entropy():
    expected = F.cross_entropy(LOGITS, BATCH.labels, label_smoothing=0.1)
    torch.testing.assert_close(value(teacher=False), expected)
    torch.testing.assert_close(value(teacher=False, name="dkd", weight=1), expected)


def test_labels_beside_a_teacher_are_not_smoothed():
    torch.testing.assert_close(value(smoothing=0.4, weight=0.3), value(smoothing=0.0, weight=0.3))


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("name", REGISTRY.builtins)
def test_offsets_adjust_the_cross_entropy_and_leave_the_teacher_alone(name, weight):
    offsets = torch.tensor([0.5, 0.3, 0.1, 0.08, 0.02]).log()
    adjusted = adjusted_cross_entropy(LOGITS, BATCH.labels, offsets)
    config = LossConfig(name=name, weight=weight)
    mixed = objective(config, 0.3, teacher=True, offsets=offsets)(LOGITS, BATCH)
    pure = value(name=name, weight=1)
    torch.testing.assert_close(mixed, weight * pure + (1 - weight) * adjusted)


def test_offsets_without_a_teacher_adjust_the_smoothed_cross_entropy():
    offsets = torch.tensor([0.5, 0.3, 0.1, 0.08, 0.02]).log()
    expected = adjusted_cross_entropy(LOGITS, BATCH.labels, offsets, 0.1)
    alone = objective(LossConfig(), 0.1, teacher=False, offsets=offsets)(LOGITS, BATCH)
    torch.testing.assert_close(alone, expected)


def test_gradients_reach_the_student_only():
    student, teacher = LOGITS.clone().requires_grad_(), BATCH.teacher.clone().requires_grad_()
    batch = Batch(BATCH.images, BATCH.labels, teacher)
    objective(LossConfig(), 0.1, teacher=True)(student, batch).backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_an_unknown_loss_lists_the_known():
    text = complaint(name="kdd")
    assert "'kdd'" in text and "kd, dkd" in text


def test_an_unknown_option_lists_the_known():
    assert "'temprature'" in complaint(options={"temprature": 2})
    assert "temperature" in complaint(options={"temprature": 2}).partition("it has")[2]
    text = complaint(name="dkd", options={"gamma": 2}).partition("it has")[2]
    assert "alpha" in text and "beta" in text


@pytest.mark.parametrize("bad", [0, -1, "hot", None, [4], float("nan")])
def test_an_option_out_of_range_is_one_line(bad):
    assert "temperature" in complaint(options={"temperature": bad})


def test_a_batch_without_a_teacher_is_a_bug():
    with pytest.raises(ValueError, match="no teacher"):
        objective(LossConfig(), 0.1, teacher=True)(LOGITS, Batch(BATCH.images, BATCH.labels, None))
