"""When a search says that its choice is luck: against simulated guessers and real differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nas.objectives import Objectives
from nas.selection import chance_bound, insignificance
from nas.spaces.toy import Toy
from nas.trial import Proposal, Trial

GOALS = Objectives.parse(["f1"])
NETWORK = Toy().decode((0, 0, 0, 0))


def trials(*scores: float) -> list[Trial]:
    return [
        Proposal(n, (), replace(NETWORK, resolution=32 + n), n).complete(
            {"f1": score, "balanced_accuracy": score}
        )
        for n, score in enumerate(scores)
    ]


def test_24_images_in_four_classes_at_chance() -> None:
    reason = insignificance(trials(0.10, 0.15, 0.18, 0.21), GOALS, [6, 6, 6, 6])
    assert reason is not None and "guessing" in reason
    assert "24 validation images, chance 0.25" in reason and "more epochs" in reason


def test_networks_that_learned_and_differ_raise_no_doubt() -> None:
    assert insignificance(trials(0.5, 0.7, 0.8, 0.95), GOALS, [18] * 10) is None


def test_a_difference_below_the_standard_error() -> None:
    close = trials(0.70, 0.71, 0.72, 0.73)
    reason = insignificance(close, GOALS, [10] * 4)
    assert reason is not None and "standard error (0.070)" in reason and "confirmations" in reason
    untrained = insignificance(close, GOALS, [10] * 4, trained=False)
    assert untrained is not None and "confirmations" not in untrained and "some epochs may" in untrained
    assert insignificance(close, GOALS, [10_000] * 4) is None, "enough images tell them apart"
    assert insignificance(close[:2], GOALS, [10] * 4) is None, "of two, the median says nothing"


def test_rare_classes_count_for_few_images() -> None:
    even, uneven = trials(0.3, 0.35, 0.43), [97, 97, 3, 3]
    assert insignificance(even, GOALS, [50] * 4) is None
    assert insignificance(even, GOALS, uneven) is not None


def test_where_only_size_counts_equal_quality_is_no_doubt() -> None:
    equal = trials(0.7, 0.7, 0.7)
    for trial in equal:
        trial.metrics["params"] = 1.0
    assert insignificance(equal, Objectives.parse(["params"]), [10] * 4) is None
    assert insignificance(equal, Objectives.parse(["f1"]), [10] * 4) is not None


def test_without_networks_or_their_recall_there_is_nothing_to_say() -> None:
    assert insignificance([], GOALS, [6, 6]) is None
    other = [Proposal(0, (), NETWORK, 0).complete({"f1": 0.1})]
    assert insignificance(other, GOALS, [6, 6]) is None


@pytest.mark.parametrize("networks", [1, 16])
@pytest.mark.parametrize("counts", [[6] * 4, [18] * 10, [40, 20, 10, 5]])
def test_guessers_pass_the_bound_as_often_as_it_says(counts: list[int], networks: int) -> None:
    """Uniform guesses on the same images, 3,000 studies: at most 5 % have one above the bound."""
    rng, classes = np.random.default_rng(0), len(counts)
    recalls = [rng.binomial(n, 1 / classes, (3_000, networks)) / n for n in counts]
    best = np.mean(recalls, axis=0).max(axis=1)
    effective = classes**2 / sum(1 / count for count in counts)
    passed = float(np.mean(best > chance_bound(classes, effective, networks)))
    assert passed < 0.06
