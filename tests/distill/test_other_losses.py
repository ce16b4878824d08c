"""dist, ls, hint, at and rkd against invariances and second implementations in NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from core.errors import UserError
from distill.losses import (
    AT,
    LOGIT_LOSSES,
    LS,
    RKD,
    Hint,
    at,
    dist,
    hint,
    kd,
    pearson_distance,
    rkd_angle,
    rkd_distance,
    standardize,
)
from distill.losses.base import DistillationLoss


def logits(rows: int = 8, classes: int = 6, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(rows, classes, generator=generator, dtype=torch.float64)


STUDENT, TEACHER = logits(seed=1), logits(seed=2)
LABELS = torch.arange(8) % 6
DIST = {"temperature": 2.0, "inter": 1.0, "intra": 0.5}


# --- dist


def test_dist_against_numpy() -> None:
    student, teacher = (torch.softmax(z / 2.0, dim=1).numpy() for z in (STUDENT, TEACHER))
    inter = np.mean([1 - np.corrcoef(s, t)[0, 1] for s, t in zip(student, teacher, strict=True)])
    intra = np.mean([1 - np.corrcoef(s, t)[0, 1] for s, t in zip(student.T, teacher.T, strict=True)])
    expected = 2.0**2 * (inter + 0.5 * intra)
    assert float(dist(STUDENT, TEACHER, LABELS, **DIST)) == pytest.approx(expected, rel=1e-12)


def test_correlation_ignores_scale_and_shift_and_sees_the_sign() -> None:
    moved = 0.001 * STUDENT + 7.0
    assert float(pearson_distance(STUDENT, moved)) == pytest.approx(0.0, abs=1e-10)
    assert float(pearson_distance(STUDENT, -moved)) == pytest.approx(2.0, abs=1e-10)
    apart = pearson_distance(STUDENT, TEACHER)
    torch.testing.assert_close(pearson_distance(5 * STUDENT - 1, TEACHER / 9 + 2), apart)


def test_dist_of_equals_is_zero_with_a_finite_gradient() -> None:
    student = TEACHER.clone().requires_grad_()
    value = dist(student, TEACHER, LABELS, **DIST)
    value.backward()
    assert abs(value.item()) < 1e-12 and student.grad.abs().max() < 1e-6


def test_dist_of_uniform_outputs_is_finite() -> None:
    student = torch.zeros(8, 6, requires_grad=True)
    dist(student, TEACHER.float(), LABELS, **DIST).backward()
    assert torch.isfinite(student.grad).all()


# --- ls


def test_standardised_rows_have_mean_0_and_deviation_1() -> None:
    rows = standardize(STUDENT)
    torch.testing.assert_close(rows.mean(dim=1), torch.zeros(8, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(rows.std(dim=1), torch.ones(8, dtype=torch.float64), atol=1e-6, rtol=0)
    assert not standardize(torch.full((2, 5), 3.0)).any()


@pytest.mark.parametrize("of", ["kd", "dkd", "dist"])
def test_ls_ignores_scale_and_shift_of_both_sides(of: str) -> None:
    loss = LS(of=of)
    plain = loss(STUDENT, TEACHER, LABELS)
    torch.testing.assert_close(loss(9 * STUDENT + 4, TEACHER / 5 - 3, LABELS), plain, rtol=1e-5, atol=0)
    assert float(loss(2 * TEACHER - 1, TEACHER, LABELS)) == pytest.approx(0.0, abs=1e-6)


def test_ls_is_the_other_loss_of_standardised_logits() -> None:
    expected = kd(standardize(STUDENT), standardize(TEACHER), LABELS, temperature=3.0)
    torch.testing.assert_close(
        LOGIT_LOSSES.create("ls", options={"of": "kd", "temperature": 3.0})(STUDENT, TEACHER, LABELS),
        expected,
    )


def test_ls_forwards_options_and_refuses_wrong_ones() -> None:
    assert LOGIT_LOSSES.option_names(LS) is None
    for options, complaint in (
        ({"of": "ls"}, "cannot standardise itself"),
        ({"of": "kdd"}, "kdd"),
        ({"beta": 2}, "'kd' has no option 'beta'"),
    ):
        with pytest.raises(UserError, match=complaint):
            LOGIT_LOSSES.create("ls", options=options)


def test_ls_of_what_is_no_name_is_refused() -> None:
    with pytest.raises(UserError, match="of must be the name of a loss"):
        LS(of=5)  # type: ignore[arg-type]


def test_ls_of_a_loss_without_temperature() -> None:
    class Gap(DistillationLoss):
        name = "gap"

        def __call__(self, student_logits, teacher_logits, labels):
            return (student_logits - teacher_logits).square().mean()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(LOGIT_LOSSES), "load", lambda self, name: Gap)
        loss = LS(of="gap")
    assert float(loss(3 * TEACHER, TEACHER, LABELS)) == pytest.approx(0.0, abs=1e-10)


# --- hint


def test_hint_is_the_mean_cosine_distance_and_ignores_scale() -> None:
    student, teacher = logits(5, 12, 3), logits(5, 12, 4)
    cosines = [
        float(s @ t / np.linalg.norm(s) / np.linalg.norm(t))
        for s, t in zip(student.numpy(), teacher.numpy(), strict=True)
    ]
    assert float(hint(student, teacher)) == pytest.approx(1 - np.mean(cosines), rel=1e-12)
    torch.testing.assert_close(hint(4 * student, teacher / 7), hint(student, teacher))
    assert float(hint(teacher, teacher)) == pytest.approx(0.0, abs=1e-12)


def test_a_regressor_finds_features_that_lead_to_the_teachers() -> None:
    torch.manual_seed(0)
    student = torch.randn(64, 6)
    teacher = student @ torch.randn(6, 20) + 0.5
    loss = Hint(torch.Size((1, 6)), torch.Size((1, 20)))
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.05)
    first = loss(student, teacher).item()
    for _ in range(300):
        optimizer.zero_grad()
        value = loss(student, teacher)
        value.backward()
        optimizer.step()
    assert first > 0.5 and value.item() < 1e-3


# --- rkd


def test_rkd_against_loops() -> None:
    student, teacher = logits(5, 4, 5), logits(5, 7, 6)

    def huber(gaps: list[float]) -> float:
        return float(np.mean([0.5 * g * g if abs(g) < 1 else abs(g) - 0.5 for g in gaps]))

    def distances(rows: np.ndarray) -> np.ndarray:
        gaps = [np.linalg.norm(rows[i] - rows[j]) for i, j in itertools.combinations(range(5), 2)]
        return np.array(gaps) / np.mean(gaps)

    def cosine(rows: np.ndarray, i: int, j: int, k: int) -> float:
        one, other = rows[j] - rows[i], rows[k] - rows[i]
        norms = np.linalg.norm(one) * np.linalg.norm(other)
        return float(one @ other / norms) if norms else 0.0

    s, t = student.numpy(), teacher.numpy()
    assert float(rkd_distance(student, teacher)) == pytest.approx(
        huber(list(distances(s) - distances(t)))
    )
    triples = list(itertools.product(range(5), repeat=3))
    gaps = [cosine(s, *triple) - cosine(t, *triple) for triple in triples]
    assert float(rkd_angle(student, teacher)) == pytest.approx(huber(gaps))


def test_rkd_ignores_rotation_and_scale() -> None:
    teacher = logits(6, 9, 7)
    rotation = torch.linalg.qr(logits(9, 9, 8)).Q
    turned = 3 * teacher @ rotation + 5
    loss = RKD(torch.Size((1, 9)), torch.Size((1, 9)))
    assert float(loss(turned, teacher)) == pytest.approx(0.0, abs=1e-9)
    assert float(loss(logits(6, 9, 9), teacher)) > 0.1


def test_rkd_of_equal_images_is_finite() -> None:
    student = torch.ones(4, 3, requires_grad=True)
    RKD(torch.Size((1, 3)), torch.Size((1, 5)))(student, logits(4, 5).float()).backward()
    assert torch.isfinite(student.grad).all()


# --- at


def maps(levels: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(3, levels, 8, 8, generator=generator, dtype=torch.float64)


def test_at_against_numpy_and_its_bounds() -> None:
    student, teacher = maps(2, 1), maps(2, 2)
    expected = 0.0
    for level in range(2):
        gaps = []
        for s, t in zip(student[:, level].numpy(), teacher[:, level].numpy(), strict=True):
            gaps.append(np.sum((s / np.linalg.norm(s) - t / np.linalg.norm(t)) ** 2))
        expected += np.mean(gaps)
    assert float(at(student, teacher)) == pytest.approx(expected)
    left, right = maps(1, 3), maps(1, 4)
    left[..., :4], right[..., 4:] = 0, 0  # they look at different halves
    assert float(at(left, right)) == pytest.approx(2.0)


def test_at_ignores_brightness_and_matches_the_deepest_levels() -> None:
    teacher = maps(3, 5)
    loss = AT(torch.Size((1, 1, 8, 8)), torch.Size((1, 3, 8, 8)))
    assert float(loss(0.01 * teacher[:, -1:], teacher)) == pytest.approx(0.0, abs=1e-12)
    assert float(loss(teacher[:, :1], teacher)) > 0.1
    assert not list(loss.parameters())


# --- what all feature losses share


@pytest.mark.parametrize("function", [hint, rkd_distance, rkd_angle, at])
def test_wrong_shapes_are_named(function) -> None:
    with pytest.raises(ValueError, match=r"3, 4.*2, 4"):
        function(torch.zeros(3, 4), torch.zeros(2, 4))


@pytest.mark.parametrize("kind", [Hint, RKD])
def test_gradients_reach_the_student_and_not_the_teacher(kind) -> None:
    student, teacher = logits(4, 6).requires_grad_(), logits(4, 9, 3).requires_grad_()
    loss: nn.Module = kind(torch.Size((1, 6)), torch.Size((1, 9))).double()
    loss(student, teacher).backward()
    assert student.grad.abs().sum() > 0 and teacher.grad is None
