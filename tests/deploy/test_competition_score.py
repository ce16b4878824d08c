"""The competition's score: published results, a limit, and the reference itself."""

from __future__ import annotations

import pytest

from core.config import ScoreConfig
from deploy.competition_score import competition_score


@pytest.mark.parametrize(("f1", "expected"), [(0.6897, 1.2388), (0.6936, 1.2195)])
def test_results_of_the_competition(f1: float, expected: float) -> None:
    assert competition_score(f1, 59.3327, ScoreConfig()) == pytest.approx(expected, abs=5e-5)


def test_the_reference_is_at_one_and_a_half() -> None:
    for reference in (ScoreConfig(), ScoreConfig(f1=0.2, time=3)):
        assert competition_score(reference.f1, reference.time, reference) == pytest.approx(1.5, abs=1e-12)


def test_time_counts_in_proportion_and_quality_saturates() -> None:
    reference = ScoreConfig(f1=0.5, time=10)
    assert competition_score(0.5, 30, reference) - competition_score(0.5, 10, reference) == pytest.approx(
        2
    )
    assert competition_score(0.0, 0, reference) == pytest.approx(1, abs=1e-4)
    assert competition_score(1.0, 0, reference) == pytest.approx(0, abs=1e-4)
