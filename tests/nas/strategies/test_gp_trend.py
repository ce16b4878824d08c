"""The curved mean of the Gaussian process against scikit-learn's, and what it changes for a search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct

import nas.spaces
from core.errors import UserError
from nas.objectives import Objectives
from nas.spaces import Decision
from nas.strategies.gp.encoding import Encoding
from nas.strategies.gp.learner import Learner
from nas.strategies.gp.strategy import Gp
from nas.strategies.gp.surrogate import Hyperparameters, Posterior, Trend

DECISIONS = tuple(Decision(f"layer{i}", ("a", "b", "c")) for i in range(4))


def total(point: Sequence[int]) -> float:
    return 10.0 + sum(point)


def product(point: Sequence[int]) -> float:
    return float(np.prod([1 + choice for choice in point]))


def test_agrees_with_scikit_learn() -> None:
    """Unknown slopes are its dot product of standardised features, an unknown constant is its sigma, and
    terms of second order are the dot product's square.

    One-hot codes and length scales shrink together, so that only features count in the dot product.
    """
    rng = np.random.default_rng(0)
    encoding = Encoding.of(DECISIONS, (total, product))
    codes, targets = encoding(rng.integers(3, size=(25, 4))), rng.normal(size=25)
    everything = encoding(np.array(np.meshgrid(*[range(3)] * 4)).reshape(4, -1).T)
    seen = codes[:, 12:]

    def inputs(codes: np.ndarray) -> np.ndarray:
        return np.hstack([1e-5 * codes[:, :12], (codes[:, 12:] - seen.mean(axis=0)) / seen.std(axis=0)])

    lengths = np.array([1e-5 * np.sqrt(2.0)] * 12 + [1e9] * 2)
    kernel = ConstantKernel(1.7) * RBF(lengths) + DotProduct(1.0)
    kernel += ConstantKernel(0.25) * DotProduct(1e-9) ** 2
    oracle = GaussianProcessRegressor(kernel, alpha=0.09 + 1e-8, optimizer=None)
    expected = oracle.fit(inputs(codes), targets).predict(inputs(everything), return_std=True)
    hyperparameters = Hyperparameters(np.full(4, 0.5), 1.7, 0.09)
    found = Posterior.of(encoding, hyperparameters, Trend.of(seen), codes, targets).predict(everything)
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_features_do_not_count_towards_distances() -> None:
    points = np.random.default_rng(0).integers(3, size=(20, 4))
    plain, extended = Encoding.of(DECISIONS), Encoding.of(DECISIONS, (total,))
    codes = extended(points)
    np.testing.assert_array_equal(extended.features(codes)[:, 0], [total(point) for point in points])
    np.testing.assert_array_equal(extended.distances(codes), plain.distances(plain(points)))
    assert extended([]).shape == (0, codes.shape[1])


def test_goes_on_beyond_what_was_observed() -> None:
    """Option c was never seen; only the trend knows that the scores grow with it."""
    means = []
    for extra in ((), (total,)):
        encoding = Encoding.of(DECISIONS, extra)
        learner = Learner(encoding, maximize=True)
        for point in np.ndindex(2, 2, 2, 2):
            learner.add(point, total(point))
        means.append(learner.posterior()[0].mean(encoding([(1, 1, 1, 1), (2, 2, 2, 2)])))
    (seen, unseen), (trend_seen, trend_unseen) = means
    assert seen > unseen
    assert trend_unseen > trend_seen


def test_bends_with_the_scores() -> None:
    """The best are of middling size; what is larger than any observed is expected to be worse yet."""
    encoding = Encoding.of(DECISIONS, (total,))
    learner = Learner(encoding, maximize=True)
    for point in np.ndindex(3, 3, 3, 1):
        learner.add(point, -((total(point) - 13.0) ** 2))
    best, large, beyond = learner.posterior()[0].mean(
        encoding([(1, 1, 1, 0), (2, 2, 2, 0), (2, 2, 2, 2)])
    )
    assert best > large > beyond + 0.1


def test_a_feature_that_never_changes_says_nothing() -> None:
    """Such as params in a space where only the resolution is searched."""
    points = np.random.default_rng(0).integers(3, size=(20, 4)).tolist()
    found = []
    for extra in ((), (lambda point: 3.0,)):
        learner = Learner(Encoding.of(DECISIONS, extra), maximize=True)
        for point in points:
            learner.add(tuple(point), total(point))
        posterior = learner.posterior()[0]
        found.append(posterior.predict(posterior.codes))
    np.testing.assert_allclose(found[0], found[1])


def test_a_hallucinated_point_keeps_the_mean() -> None:
    rng, encoding = np.random.default_rng(0), Encoding.of(DECISIONS, (total,))
    learner = Learner(encoding, maximize=True)
    for point in rng.integers(2, size=(15, 4)).tolist():
        learner.add(tuple(point), total(point) + rng.normal())
    posterior, _ = learner.posterior()
    point = encoding([(2, 2, 2, 2)])
    assert posterior.hallucinated(point).mean(point) == pytest.approx(posterior.mean(point))


@pytest.mark.parametrize("trend", [True, False])
@pytest.mark.parametrize("space", ["macro", "mobilenet"])
def test_a_resumed_search_goes_on_as_it_would_have(space: str, trend: bool) -> None:
    objectives = Objectives.parse(["f1:max"], ["params<=200k"] if space == "mobilenet" else [])

    def made() -> Gp:
        return Gp(nas.spaces.load(space)(), objectives, num_classes=10, startup=4, trend=trend)

    first, again = made(), made()
    for _ in range(8):
        proposal = first.ask()
        first.tell(proposal.complete({"f1": float(np.sin(sum(proposal.choices)))}))
    for trial in first.trials:
        again.tell(trial)
    assert again.ask() == first.ask()


def test_a_wrong_value_is_refused() -> None:
    with pytest.raises(UserError, match="'gp': trend is true or false, got 1"):
        Gp(nas.spaces.load("toy")(), Objectives.parse(["f1"]), num_classes=10, trend=1)  # type: ignore[arg-type]
