"""Distillation losses against closed forms, limits and a second implementation in NumPy."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from core.errors import UserError
from distill.losses import DKD, KD, LOGIT_LOSSES, DistillationLoss, dkd, dkd_terms, kd

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def batch(
    rows: int = 8, classes: int = 6, scale: float = 3.0, dtype: torch.dtype = torch.float64
) -> Batch:
    """Student logits, teacher logits and labels, always the same."""
    generator = torch.Generator().manual_seed(rows * 1000 + classes)
    student = scale * torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    teacher = scale * torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    labels = torch.randint(classes, (rows,), generator=generator)
    return student.to(dtype), teacher.to(dtype), labels


def dkd_default(student, teacher, labels, *, temperature):
    return dkd(student, teacher, labels, temperature=temperature, alpha=1.0, beta=2.0)


both = pytest.mark.parametrize("loss", [kd, dkd_default])
temperatures = pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@both
@temperatures
def test_equals_give_zero_loss_and_gradient(loss, temperature: float) -> None:
    _, teacher, labels = batch()
    student = teacher.clone().requires_grad_()
    value = loss(student, teacher, labels, temperature=temperature)
    value.backward()
    assert abs(value.item()) < 1e-12
    assert student.grad.abs().max() < 1e-12


@both
def test_unequal_give_a_positive_loss(loss) -> None:
    assert float(loss(*batch(), temperature=4.0)) > 0.1


@temperatures
def test_kd_against_numpy(temperature: float) -> None:
    student, teacher, labels = batch()
    p, q = (softmax(z.numpy() / temperature) for z in (teacher, student))
    expected = temperature**2 * (p * (np.log(p) - np.log(q))).sum(axis=1).mean()
    assert float(kd(student, teacher, labels, temperature=temperature)) == pytest.approx(
        expected, rel=1e-12
    )


@temperatures
def test_kd_gradient_is_that_of_soft_cross_entropy(temperature: float) -> None:
    """Hinton et al., equation 2: dC/dz = (q - p) / T, here times T^2 and the batch's mean."""
    student, teacher, labels = batch()
    student.requires_grad_()
    kd(student, teacher, labels, temperature=temperature).backward()
    p = torch.softmax(teacher / temperature, dim=1)
    q = torch.softmax(student.detach() / temperature, dim=1)
    torch.testing.assert_close(student.grad, temperature * (q - p) / len(labels))


def test_kd_limit_of_large_temperature() -> None:
    """T^2 KL tends to half the class mean of the squared gap between centred logits.

    With softened probabilities p_i = (1 + v_i/T) / C + O(1/T^2) and likewise q from z, both
    centred, KL = 1/2 sum_i (p_i - q_i)^2 / q_i + O(1/T^3) = 1/(2 C T^2) sum_i (v_i - z_i)^2 + ...,
    so the error must fall as 1/T.
    """
    student, teacher, labels = batch()
    z, v = (logits - logits.mean(dim=1, keepdim=True) for logits in (student, teacher))
    limit = float(((z - v) ** 2).mean(dim=1).mean() / 2)
    errors = [abs(float(kd(student, teacher, labels, temperature=t)) - limit) for t in (1e2, 1e3, 1e4)]
    assert errors[-1] < 1e-3 * limit
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(10, rel=0.05)


@temperatures
def test_dkd_terms_against_numpy(temperature: float) -> None:
    student, teacher, labels = batch()
    tckd, nckd = dkd_terms(student, teacher, labels, temperature=temperature)
    for row, label in enumerate(labels.tolist()):
        p, q = (softmax(z.numpy()[row : row + 1] / temperature)[0] for z in (teacher, student))
        b_p, b_q = (np.array([r[label], 1 - r[label]]) for r in (p, q))
        hat_p, hat_q = (np.delete(r, label) / (1 - r[label]) for r in (p, q))
        assert float(tckd[row]) == pytest.approx((b_p * np.log(b_p / b_q)).sum(), rel=1e-9)
        assert float(nckd[row]) == pytest.approx((hat_p * np.log(hat_p / hat_q)).sum(), rel=1e-9)


@temperatures
def test_dkd_recovers_kd(temperature: float) -> None:
    """Zhao et al., equation 6: KL = TCKD + (1 - p_t) NCKD."""
    student, teacher, labels = batch()
    p_t = torch.softmax(teacher / temperature, dim=1)[torch.arange(len(labels)), labels]
    weighted = dkd(student, teacher, labels, temperature=temperature, alpha=1.0, beta=1 - p_t)
    torch.testing.assert_close(weighted, kd(student, teacher, labels, temperature=temperature))


def test_dkd_is_linear_in_its_weights() -> None:
    inputs = batch()
    target = dkd(*inputs, temperature=4.0, alpha=1.0, beta=0.0)
    others = dkd(*inputs, temperature=4.0, alpha=0.0, beta=1.0)
    mixed = dkd(*inputs, temperature=4.0, alpha=3.0, beta=0.5)
    torch.testing.assert_close(mixed, 3 * target + 0.5 * others)
    assert target > 0.01 and others > 0.01


def test_dkd_of_two_classes_is_kd() -> None:
    inputs = batch(classes=2)
    _, nckd = dkd_terms(*inputs, temperature=2.0)
    assert nckd.abs().max() == 0
    torch.testing.assert_close(
        dkd(*inputs, temperature=2.0, alpha=1.0, beta=8.0), kd(*inputs, temperature=2.0)
    )


@both
def test_shifting_a_row_of_logits_changes_nothing(loss) -> None:
    student, teacher, labels = batch()
    shift = torch.arange(len(labels), dtype=torch.float64)[:, None]
    torch.testing.assert_close(
        loss(student + 5 * shift, teacher - 3 * shift, labels, temperature=4.0),
        loss(student, teacher, labels, temperature=4.0),
    )


@both
def test_renaming_the_classes_changes_nothing(loss) -> None:
    student, teacher, labels = batch()
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    renamed = torch.argsort(order)[labels]
    torch.testing.assert_close(
        loss(student[:, order], teacher[:, order], renamed, temperature=4.0),
        loss(student, teacher, labels, temperature=4.0),
    )


def test_nckd_ignores_the_label_and_tckd_the_others_order() -> None:
    student, teacher, labels = batch()
    tckd, nckd = dkd_terms(student, teacher, labels, temperature=4.0)
    raised = student.clone()
    raised[torch.arange(len(labels)), labels] += 7
    new_tckd, same_nckd = dkd_terms(raised, teacher, labels, temperature=4.0)
    torch.testing.assert_close(same_nckd, nckd)
    assert (new_tckd - tckd).abs().min() > 1e-3

    # Reversing the student's other logits keeps its probability of the label.
    mixed = student.clone()
    for row, label in enumerate(labels.tolist()):
        others = [c for c in range(student.shape[1]) if c != label]
        mixed[row, others] = student[row, others[::-1]]
    same_tckd, new_nckd = dkd_terms(mixed, teacher, labels, temperature=4.0)
    torch.testing.assert_close(same_tckd, tckd)
    assert (new_nckd - nckd).abs().min() > 1e-3


@both
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_fp32(loss, dtype: torch.dtype) -> None:
    student, teacher, labels = batch(dtype=dtype)
    value = loss(student, teacher, labels, temperature=4.0)
    assert value.dtype == torch.float32
    wide = loss(student.double(), teacher.double(), labels, temperature=4.0)
    torch.testing.assert_close(value.double(), wide, rtol=1e-5, atol=0)


@both
@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_extreme_logits_stay_finite(loss, temperature: float, dtype: torch.dtype) -> None:
    # The student is sure of the label, sure of another class, torn between two, and undecided.
    signs = torch.tensor([[1, -1, -1, -1], [1, -1, 1, 1], [-1, 1, 1, -1], [1, 1, 1, 1]])
    student = (1e4 * signs).to(dtype).requires_grad_()
    teacher = (-1e4 * signs).to(dtype)
    value = loss(student, teacher, torch.tensor([0, 1, 2, 3]), temperature=temperature)
    value.backward()
    assert torch.isfinite(value) and value > 1000
    assert torch.isfinite(student.grad).all()
    assert student.grad.abs().max() > 0


@both
def test_gradients_are_right_and_do_not_reach_the_teacher(loss) -> None:
    student, teacher, labels = batch(rows=3, classes=4)
    student.requires_grad_()
    teacher.requires_grad_()
    loss(student, teacher, labels, temperature=2.0).backward()
    assert teacher.grad is None
    assert torch.autograd.gradcheck(
        lambda z: loss(z, teacher.detach(), labels, temperature=2.0), (student,)
    )


@both
@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_invalid_temperature(loss, temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must be finite and above 0"):
        loss(*batch(), temperature=temperature)


@both
def test_shapes_that_do_not_fit(loss) -> None:
    student, teacher, labels = batch()
    with pytest.raises(ValueError, match="differ in shape"):
        loss(student[:, :5], teacher, labels, temperature=1.0)
    with pytest.raises(ValueError, match=r"must be \(B, C\)"):
        loss(student[:, :1], teacher[:, :1], labels, temperature=1.0)
    with pytest.raises(ValueError, match=r"must be \(B, C\)"):
        loss(student[0], teacher[0], labels, temperature=1.0)


def test_dkd_labels_that_do_not_fit() -> None:
    student, teacher, labels = batch()
    with pytest.raises(ValueError, match="labels must be"):
        dkd_default(student, teacher, labels[:3], temperature=1.0)


@pytest.mark.parametrize("name", LOGIT_LOSSES.names())
def test_plugins(name: str) -> None:
    plugin = LOGIT_LOSSES.load(name)
    assert issubclass(plugin, DistillationLoss)
    assert plugin.name == name
    assert plugin.__doc__
    for parameter in list(inspect.signature(plugin.__init__).parameters.values())[1:]:
        assert parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD)
        assert parameter.kind is parameter.VAR_KEYWORD or parameter.default is not parameter.empty
    _, teacher, labels = batch()
    assert abs(float(plugin()(teacher.clone(), teacher, labels))) < 1e-12


def test_plugins_hand_their_options_on() -> None:
    inputs = batch()
    assert KD(temperature=2.5)(*inputs) == kd(*inputs, temperature=2.5)
    options = {"temperature": 2.5, "alpha": 0.3, "beta": 5.0}
    assert DKD(**options)(*inputs) == dkd(*inputs, **options)


@pytest.mark.parametrize(
    ("plugin", "options"),
    [
        (KD, {"temperature": 0}),
        (KD, {"temperature": "hot"}),
        (DKD, {"temperature": -4.0}),
        (DKD, {"alpha": -1.0}),
        (DKD, {"beta": float("nan")}),
    ],
)
def test_options_that_make_no_sense(plugin, options) -> None:
    with pytest.raises(UserError, match=f"loss '{plugin.name}': {next(iter(options))} must be"):
        plugin(**options)
