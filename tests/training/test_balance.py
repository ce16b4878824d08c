"""Classes of unequal size: shares, the even drawing, the adjusted loss, the adjusted network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from core.config import BalanceConfig
from nas.architecture import Architecture
from nas.layers import AvgPool, Conv, ConvClassifier, Flatten, GlobalAvgPool
from nas.networks import build
from training.augment import Augmentation
from training.balance import (
    TAUS,
    adjusted_cross_entropy,
    balanced_draw,
    class_priors,
    log_priors,
    loss_offsets,
    subtract_from_bias,
    tune_tau,
)
from training.batches import Batches
from training.metrics import compute_metrics
from training.preprocess import IMAGENET
from training.signals import Signals

#: 4 classes of 60, 20, 6 and 2 images, whose numbers are not their positions.
LABELS = np.repeat([0, 1, 2, 3], [60, 20, 6, 2])
INDICES = np.arange(len(LABELS)) * 3 + 1


def drawn(epoch: int, indices=INDICES, labels=LABELS) -> np.ndarray:
    return balanced_draw(indices, labels, np.random.default_rng([0, epoch]))


def test_priors_are_the_shares_of_the_training_split_alone(digits):
    assert class_priors(LABELS, 4).tolist() == [60 / 88, 20 / 88, 6 / 88, 2 / 88]
    zeros = digits.splits["train"][digits.labels[digits.splits["train"]] == 0]
    rest = digits.splits["train"][digits.labels[digits.splits["train"]] != 0]
    cut = digits.resplit(train=np.sort(np.append(rest, zeros[:3])))
    assert np.exp(log_priors(cut))[0] == pytest.approx(3 / (len(rest) + 3))
    assert np.exp(log_priors(cut)).sum() == pytest.approx(1)


def test_a_class_without_images_has_no_prior():
    with pytest.raises(ValueError, match="class 2"):
        class_priors(np.array([0, 1, 1, 3]), 4)


def test_every_class_is_drawn_equally_often():
    for epoch in range(5):
        order = drawn(epoch)
        assert len(order) == len(INDICES) and set(order) <= set(INDICES)
        assert np.bincount(LABELS[(order - 1) // 3]).tolist() == [22, 22, 22, 22]


@pytest.mark.parametrize("images", [7, 10, 13])
def test_what_does_not_divide_goes_to_changing_classes(images):
    labels = np.sort(np.arange(images) % 4)
    counts = np.array([np.bincount(labels[drawn(e, np.arange(images), labels)]) for e in range(400)])
    assert (counts.sum(axis=1) == images).all()
    assert (counts.max(axis=1) - counts.min(axis=1) <= 1).all()
    assert counts.mean(axis=0) == pytest.approx(np.full(4, images / 4), abs=0.1)


def test_within_a_class_images_are_drawn_about_equally_often():
    totals = np.zeros(INDICES[-1] + 1)
    for epoch in range(300):
        counts = np.bincount(drawn(epoch), minlength=len(totals))
        for label in range(4):
            mine = counts[INDICES[label == LABELS]]
            assert mine.max() - mine.min() <= 1
        totals += counts
    for label, size in enumerate(np.bincount(LABELS)):
        mean = 300 * 22 / size
        assert totals[INDICES[label == LABELS]] == pytest.approx(np.full(size, mean), rel=0.3)


def marked(data, balanced: bool, seed: int = 0) -> Batches:
    """Teacher logits name the image and the view."""

    def outputs(view: int, indices: np.ndarray, pixels: torch.Tensor) -> Signals:
        rows = torch.zeros(len(indices), data.num_classes)
        rows[:, 0], rows[:, 1] = torch.from_numpy(indices), view
        return Signals(rows)

    plain = Augmentation(operations=0, flip=False, cutout=0.0)
    return Batches(data, 32, IMAGENET, plain, 64, 3, seed, outputs, balanced)


@pytest.fixture
def uneven(digits):
    """Digits with 8 sevens."""
    train = digits.splits["train"]
    sevens = digits.labels[train] == 7
    kept = np.sort(np.append(train[~sevens], train[sevens][:8]))
    return digits.resplit(train=kept)


def test_balanced_batches_bring_the_teachers_rows_of_what_they_show(uneven):
    batches = marked(uneven, balanced=True)
    shown = []
    for batch in batches.epoch(4):
        indices = batch.teacher.logits[:, 0].long().numpy()
        assert batch.labels.tolist() == uneven.labels[indices].tolist()
        assert batch.teacher.logits[:, 1].unique().tolist() == [1]
        shown.extend(indices.tolist())
    counts = np.bincount(uneven.labels[shown])
    assert len(shown) == len(uneven.splits["train"]) and counts.max() - counts.min() <= 1
    assert set(shown) <= set(uneven.splits["train"].tolist())


def test_the_order_is_shuffled_over_classes(uneven):
    batches = marked(uneven, balanced=True)
    firsts = np.concatenate([next(batches.epoch(epoch)).labels for epoch in range(20)])
    assert np.bincount(firsts, minlength=10).min() > 80  # of 128 on average


def test_the_drawing_depends_on_seed_and_epoch_and_nothing_else(uneven):
    def order(batches: Batches, epoch: int) -> list[float]:
        return [row for batch in batches.epoch(epoch) for row in batch.teacher.logits[:, 0].tolist()]

    one = order(marked(uneven, balanced=True), 5)
    np.random.seed(3)
    torch.manual_seed(3)
    again = marked(uneven, balanced=True)
    order(again, 0)
    assert order(again, 5) == one
    assert order(again, 6) != one and order(marked(uneven, True, seed=1), 5) != one


def test_only_logit_adjust_changes_the_loss(uneven):
    assert loss_offsets(BalanceConfig(mode="logit-adjust"), uneven).tolist() == pytest.approx(
        log_priors(uneven).tolist()
    )
    half = loss_offsets(BalanceConfig(mode="logit-adjust", tau=0.5), uneven)
    assert half.tolist() == pytest.approx((0.5 * log_priors(uneven)).tolist())
    for mode in ("none", "sampler", "post-hoc"):
        assert loss_offsets(BalanceConfig(mode=mode), uneven) is None


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_with_equal_classes_the_adjusted_loss_is_cross_entropy(smoothing):
    torch.manual_seed(0)
    logits, labels = torch.randn(9, 4, dtype=torch.double), torch.arange(9) % 4
    offsets = torch.full((4,), 0.25).log() * 1.5
    expected = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    torch.testing.assert_close(adjusted_cross_entropy(logits, labels, offsets, smoothing), expected)


def test_the_adjusted_loss_is_the_pairwise_one_of_the_paper():
    """Menon et al. 2021: log(1 + sum over others of (pi_other / pi_label)^tau exp(f_other - f_label))."""
    torch.manual_seed(1)
    logits, labels, tau = torch.randn(5, 3, dtype=torch.double), torch.tensor([0, 1, 2, 2, 1]), 1.5
    prior = torch.tensor([0.7, 0.25, 0.05], dtype=torch.double)
    total = 0.0
    for row, label in zip(logits, labels.tolist(), strict=True):
        others = [c for c in range(3) if c != label]
        margins = sum((prior[c] / prior[label]) ** tau * (row[c] - row[label]).exp() for c in others)
        total += torch.log1p(margins)
    actual = adjusted_cross_entropy(logits, labels, tau * prior.log())
    torch.testing.assert_close(actual, total / 5)


def minimised(loss, *shape: int) -> torch.Tensor:
    """The logits where ``loss`` is least."""
    logits = torch.zeros(shape, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [logits], max_iter=1000, tolerance_grad=1e-14, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(logits)
        value.backward()
        return value

    optimizer.step(closure)
    return logits.detach()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_its_optimum_on_a_discrete_problem_predicts_as_if_classes_were_equal(smoothing):
    """Three kinds of image, so that the best network is a table: its softmax goes as P(y | x) / pi_y."""
    prior = torch.tensor([0.9, 0.08, 0.02], dtype=torch.double)
    given = torch.tensor([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.1, 0.3, 0.6]], dtype=torch.double)
    joint = prior[:, None] * given  # (class, kind of image)
    pairs = [(kind, label) for kind in range(3) for label in range(3)]

    def risk(table: torch.Tensor) -> torch.Tensor:
        losses = [
            joint[label, kind]
            * adjusted_cross_entropy(table[[kind]], torch.tensor([label]), prior.log(), smoothing)
            for kind, label in pairs
        ]
        return torch.stack(losses).sum()

    found = minimised(risk, 3, 3).softmax(dim=1)
    posterior = (joint / joint.sum(dim=0)).T  # (kind, class)
    best = (1 - smoothing) * posterior / prior + smoothing
    torch.testing.assert_close(found, best / best.sum(dim=1, keepdim=True), rtol=1e-4, atol=0)
    balanced = (given / given.sum(dim=0)).T  # the posterior with equal classes
    assert found.argmax(dim=1).tolist() == balanced.argmax(dim=1).tolist() == [0, 1, 2]
    assert posterior.argmax(dim=1).tolist() == [0, 0, 0]  # what plain cross-entropy would predict


def test_smoothing_does_not_favour_rare_classes():
    """An image that is surely of the frequent class: spread evenly, smoothing would call it rare."""
    prior, labels = torch.tensor([0.998, 0.002], dtype=torch.double), torch.tensor([0])
    best = minimised(lambda logits: adjusted_cross_entropy(logits, labels, prior.log(), 0.1), 1, 2)
    ratio = (best[0, 0] - best[0, 1]).exp().item()
    assert ratio == pytest.approx((0.9 / 0.998 + 0.1) / 0.1, rel=1e-4)
    assert (0.95 / 0.998) / (0.05 / 0.002) < 1  # what it would be


def test_tau_is_the_best_of_the_grid():
    rng = np.random.default_rng(0)
    log_prior = np.log([0.8, 0.15, 0.05])
    labels = rng.choice(3, 600, p=[0.8, 0.15, 0.05])
    logits = rng.normal(size=(600, 3)) + 1.5 * np.eye(3)[labels] + log_prior
    scores = {t: compute_metrics(labels, (logits - t * log_prior).argmax(1), 3).f1 for t in TAUS}
    tau = tune_tau(logits, labels, log_prior)
    assert scores[tau] == max(scores.values()) > scores[0.0]


def test_of_equal_taus_the_smallest_is_taken():
    assert min(TAUS) == 0 and list(TAUS) == sorted(TAUS)
    labels = np.array([0, 0, 1])
    assert tune_tau(100 * np.eye(2)[labels], labels, np.log([2 / 3, 1 / 3])) == 0
    late = np.array([[9.0, 0.0], [9.0, 0.0], [0.4, 0.0]])  # the last is right where tau log 3 > 0.4
    assert tune_tau(late, labels, np.log([0.75, 0.25])) == 0.5


def test_the_bias_carries_the_adjustment_exactly():
    """In whole numbers, where floating point does not round."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    for parameter in model.parameters():
        parameter.data = torch.randint(-5, 5, parameter.shape).float()
    images, offsets = torch.randint(-9, 9, (7, 6)).float(), np.array([1.0, -2.0, 4.0])
    before = model(images)
    subtract_from_bias(model, offsets)
    assert torch.equal(model(images), before - torch.from_numpy(offsets).float())


def test_the_bias_of_a_network_of_the_search_carries_it(tiny):
    torch.manual_seed(0)
    model = build(tiny, 10).eval()
    images, offsets = torch.randn(4, 3, 32, 32), np.linspace(-3, 1, 10)
    before = model(images)
    subtract_from_bias(model, offsets)
    torch.testing.assert_close(model(images), before - torch.from_numpy(offsets).float())


def test_the_batch_norm_of_a_convolutional_classifier_carries_it():
    torch.manual_seed(0)
    layers = (Conv(8, 3, 2), ConvClassifier(), GlobalAvgPool(), Flatten())
    model = build(Architecture(32, 3, layers), 10).eval()
    images, offsets = torch.randn(4, 3, 32, 32), np.linspace(-3, 1, 10)
    before = model(images)
    subtract_from_bias(model, offsets)
    torch.testing.assert_close(model(images), before - torch.from_numpy(offsets).float())
    layers = (Conv(8, 3, 2), ConvClassifier(activation="ReLU"), GlobalAvgPool(), Flatten())
    with pytest.raises(ValueError, match="10 biases"):
        subtract_from_bias(build(Architecture(32, 3, layers), 10), offsets)


def test_an_average_after_the_classifier_passes_it_on_unless_zeros_are_padded():
    torch.manual_seed(0)
    layers = (Conv(8, 3, 2), ConvClassifier(), AvgPool(16, 16), Flatten())
    model = build(Architecture(32, 3, layers), 10).eval()
    images, offsets = torch.randn(4, 3, 32, 32), np.linspace(-3, 1, 10)
    before = model(images)
    subtract_from_bias(model, offsets)
    torch.testing.assert_close(model(images), before - torch.from_numpy(offsets).float())
    padded = nn.Sequential(nn.Linear(2, 10), nn.AvgPool2d(2, padding=1))
    with pytest.raises(ValueError, match="10 biases"):
        subtract_from_bias(padded, offsets)


def test_tau_0_changes_not_a_bit(tiny, uneven):
    torch.manual_seed(0)
    model = build(tiny, 10)
    before = {name: weights.clone() for name, weights in model.state_dict().items()}
    subtract_from_bias(model, 0.0 * log_priors(uneven))
    assert all(torch.equal(weights, before[name]) for name, weights in model.state_dict().items())


@pytest.mark.parametrize(
    "model", [nn.Flatten(), nn.Linear(4, 3, bias=False), nn.Linear(4, 2)], ids=["none", "bias", "size"]
)
def test_a_network_that_cannot_carry_it_is_refused(model):
    with pytest.raises(ValueError, match="3 biases"):
        subtract_from_bias(model, np.zeros(3))
