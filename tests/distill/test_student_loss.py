"""The loss of a student, for every weight, loss and option."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core.config import LossConfig
from core.errors import UserError
from distill.losses import LOGIT_LOSSES, dkd, kd
from distill.student_loss import StudentLoss, student_loss
from nas.networks import build
from training.augment import Augmentation
from training.balance import adjusted_cross_entropy
from training.batches import Batch, Batches
from training.preprocess import IMAGENET
from training.signals import Signals, signals_of

torch.manual_seed(0)
LOGITS = torch.randn(6, 5)
TEACHER = torch.randn(6, 5)
BATCH = Batch(torch.zeros(6, 3, 8, 8), torch.tensor([0, 1, 2, 3, 4, 0]), Signals(TEACHER))
CE = F.cross_entropy(LOGITS, BATCH.labels)
PURE = {
    "kd": kd(LOGITS, TEACHER, BATCH.labels, temperature=4.0),
    "dkd": dkd(LOGITS, TEACHER, BATCH.labels, temperature=4.0, alpha=1.0, beta=8.0),
}


class Fixed(nn.Module):
    """A network with the same logits for all images."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits


STUDENT = Fixed(LOGITS)


def value(**config) -> torch.Tensor:
    return StudentLoss(LossConfig(**config))(STUDENT, BATCH)


def complaint(**config) -> str:
    with pytest.raises(UserError) as error:
        StudentLoss(LossConfig(**config))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", PURE)
def test_weight_1_is_the_pure_loss_and_weight_0_cross_entropy(name):
    options = {"temperature": 4.0, **({"alpha": 1.0, "beta": 8.0} if name == "dkd" else {})}
    torch.testing.assert_close(value(name=name, options=options, weight=1), PURE[name])
    torch.testing.assert_close(value(name=name, options=options, weight=0), CE)


@pytest.mark.parametrize("weight", [0.1, 0.5, 0.9])
def test_in_between_they_are_mixed(weight):
    torch.testing.assert_close(
        value(options={"temperature": 4.0}, weight=weight), weight * PURE["kd"] + (1 - weight) * CE
    )


def test_options_reach_the_loss():
    expected = kd(LOGITS, TEACHER, BATCH.labels, temperature=2.0)
    torch.testing.assert_close(value(options={"temperature": 2.0}, weight=1), expected)


@pytest.mark.parametrize("name", LOGIT_LOSSES.builtins)
def test_every_loss_trains_a_student(name):
    student = LOGITS.clone().requires_grad_()
    StudentLoss(LossConfig(name=name))(Fixed(student), BATCH).backward()
    assert torch.isfinite(student.grad).all() and student.grad.abs().sum() > 0


def batches_of(data, outputs) -> Batches:
    return Batches(data, 32, IMAGENET, Augmentation(flip=False), 64, 2, 0, outputs)


def test_without_a_teacher_it_is_smoothed_cross_entropy(some_digits):
    batches = batches_of(some_digits, None)
    expected = F.cross_entropy(LOGITS, BATCH.labels, label_smoothing=0.1)
    for config in (LossConfig(), LossConfig(name="dkd", weight=1)):
        loss = student_loss(config, 0.1, STUDENT, batches)
        torch.testing.assert_close(loss(STUDENT, BATCH), expected)


def test_labels_beside_a_teacher_are_not_smoothed(some_digits):
    batches = batches_of(some_digits, lambda *view: BATCH.teacher)
    losses = [student_loss(LossConfig(weight=0.3), s, STUDENT, batches) for s in (0.0, 0.4)]
    torch.testing.assert_close(losses[0](STUDENT, BATCH), losses[1](STUDENT, BATCH))


OFFSETS = torch.tensor([0.5, 0.3, 0.1, 0.08, 0.02]).log()


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("name", LOGIT_LOSSES.builtins)
def test_offsets_adjust_the_cross_entropy_and_leave_the_teacher_alone(name, weight):
    adjusted = adjusted_cross_entropy(LOGITS, BATCH.labels, OFFSETS)
    mixed = StudentLoss(LossConfig(name=name, weight=weight), OFFSETS)(STUDENT, BATCH)
    pure = value(name=name, weight=1)
    torch.testing.assert_close(mixed, weight * pure + (1 - weight) * adjusted)


def test_offsets_without_a_teacher_adjust_the_smoothed_cross_entropy(some_digits):
    expected = adjusted_cross_entropy(LOGITS, BATCH.labels, OFFSETS, 0.1)
    loss = student_loss(LossConfig(), 0.1, STUDENT, batches_of(some_digits, None), OFFSETS)
    torch.testing.assert_close(loss(STUDENT, BATCH), expected)


def test_gradients_reach_the_student_only():
    student, teacher = LOGITS.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    batch = Batch(BATCH.images, BATCH.labels, Signals(teacher))
    StudentLoss(LossConfig())(Fixed(student), batch).backward()
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
    with pytest.raises(ValueError, match="no signals of a teacher"):
        StudentLoss(LossConfig())(STUDENT, Batch(BATCH.images, BATCH.labels, None))


@pytest.mark.parametrize("name, kind", [("hint", "pooled"), ("at", "attention"), ("rkd", "pooled")])
def test_a_loss_on_features_is_added_with_its_weight(tiny, name, kind):
    """A network that is its own teacher differs from itself only through the adapter."""
    torch.manual_seed(1)
    network = build(tiny, 5).eval()
    images = torch.randn(6, 3, 32, 32)
    with torch.no_grad():
        signals = signals_of(network, images, (kind,))
    batch = Batch(images, BATCH.labels, signals)
    losses = [
        StudentLoss(LossConfig(features=name, feature_weight=weight)).adapt(network, batch)
        for weight in (0.0, 2.0)
    ]
    plain, added = (loss(network, batch).item() for loss in losses)
    own = losses[1].feature_loss(signals.get(kind), signals.get(kind)).item()
    assert added - plain == pytest.approx(2 * own, abs=1e-5)
    assert (own < 1e-6) == (name != "hint")  # the others have no adapter
    assert any(True for _ in losses[1].parameters()) == (name == "hint")


def test_an_unknown_loss_on_features_lists_the_known():
    text = complaint(features="hints")
    assert "'hints'" in text and "hint, at, rkd" in text
    assert "distance, angle" in complaint(features="rkd", feature_options={"dist": 2})


def test_features_of_a_network_without_any_are_refused():
    with pytest.raises(UserError, match=r"Fixed has no forward_features\(\).*loss.features to none"):
        signals_of(STUDENT, BATCH.images, ("pooled",))


SOME = torch.tensor([0, -1, 2, -1, -1, 0])  # three of six images have a label


def some_labels(label_share: float = 0.5) -> Batch:
    shares = torch.zeros(6, 5)
    shares[[0, 2, 5], [0, 2, 0]] = 1
    return Batch(BATCH.images, SOME, Signals(TEACHER), shares=shares, label_share=label_share)


@pytest.mark.parametrize("offsets", [None, OFFSETS])
def test_images_without_a_label_count_in_the_distillation_alone(offsets):
    rows = [0, 2, 5]
    adjusted = LOGITS if offsets is None else LOGITS + offsets
    by_hand = -sum(adjusted[row].log_softmax(0)[SOME[row]] for row in rows) / 3
    soft = kd(LOGITS, TEACHER, BATCH.labels, temperature=1.0)
    total = StudentLoss(LossConfig(weight=0.7), offsets)(STUDENT, some_labels())
    torch.testing.assert_close(total, 0.7 * soft + 0.3 * by_hand)


def test_over_an_epoch_cross_entropy_is_the_mean_over_labelled_images():
    """Batches have the labels that they happen to have: here three, none and six of six."""
    none = Batch(BATCH.images, torch.full((6,), -1), Signals(TEACHER), shares=torch.zeros(6, 5))
    full = Batch(BATCH.images, BATCH.labels, Signals(TEACHER), shares=F.one_hot(BATCH.labels, 5).float())
    loss = StudentLoss(LossConfig(weight=0.0))
    values = [loss(STUDENT, replace(batch, label_share=0.5)) for batch in (some_labels(), none, full)]
    labelled = [F.cross_entropy(LOGITS[[0, 2, 5]], SOME[[0, 2, 5]], reduction="sum"), 6 * CE]
    torch.testing.assert_close(torch.stack(values).mean(), sum(labelled) / 9)
    assert values[1] == 0


def test_a_loss_that_asks_for_a_label_gets_the_teachers_class():
    labels = torch.where(SOME < 0, TEACHER.argmax(dim=1), SOME)
    expected = dkd(LOGITS, TEACHER, labels, temperature=4.0, alpha=1.0, beta=8.0)
    options = {"temperature": 4.0, "alpha": 1.0, "beta": 8.0}
    loss = StudentLoss(LossConfig(name="dkd", options=options, weight=1.0))
    torch.testing.assert_close(loss(STUDENT, some_labels()), expected)
