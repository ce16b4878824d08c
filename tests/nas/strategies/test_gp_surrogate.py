"""The Gaussian process against scikit-learn's, its gradient, its encoding, and its bookkeeping."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import ndtri
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

import nas.spaces
from nas.spaces import Decision
from nas.strategies.gp.acquisition import Estimate, FlooredImprovement, expected_improvement
from nas.strategies.gp.encoding import Encoding
from nas.strategies.gp.learner import Learner, Scale, fitted_size, thinned
from nas.strategies.gp.surrogate import (
    Hyperparameters,
    Posterior,
    Trend,
    fit_hyperparameters,
    negative_log_posterior,
)

NAMED = tuple(Decision(f"layer{i}", ("a", "b", "c")) for i in range(4))
CONSTANT = Trend(np.empty(0), np.empty(0))


def observed(count: int = 25, seed: int = 0) -> tuple[Encoding, np.ndarray, np.ndarray]:
    """Random points of four named decisions, some more than once, and noisy additive targets."""
    rng = np.random.default_rng(seed)
    encoding = Encoding.of(NAMED)
    codes = encoding(rng.integers(3, size=(count, 4)))
    return encoding, codes, codes @ rng.normal(size=12) + 0.1 * rng.normal(size=count)


def test_agrees_with_scikit_learn() -> None:
    """The exponential Hamming kernel is scikit-learn's RBF on one-hot codes with length scale 1/sqrt(w)."""
    encoding, codes, targets = observed()
    hyperparameters = Hyperparameters(np.array([0.2, 0.5, 1.0, 2.0]), 1.7, 0.09)
    lengths = np.repeat(1 / np.sqrt(hyperparameters.weights), 3)
    kernel = ConstantKernel(1.7) * RBF(lengths) + ConstantKernel(1.0)
    oracle = GaussianProcessRegressor(kernel, alpha=0.09 + 1e-8, optimizer=None).fit(codes, targets)
    everything = encoding(np.array(np.meshgrid(*[range(3)] * 4)).reshape(4, -1).T)
    mean, deviation = Posterior.of(encoding, hyperparameters, CONSTANT, codes, targets).predict(
        everything
    )
    expected_mean, expected_deviation = oracle.predict(everything, return_std=True)
    np.testing.assert_allclose(mean, expected_mean, atol=1e-8)
    np.testing.assert_allclose(deviation, expected_deviation, atol=1e-8)

    def loss(hyperparameters: Hyperparameters) -> float:
        prior = Hyperparameters.prior(4).logs
        penalty = 0.5 * np.sum((hyperparameters.logs - prior) ** 2)
        constant = np.ones((len(codes), len(codes)))
        distances = encoding.distances(codes)[:, *np.triu_indices(len(codes), 1)]
        return negative_log_posterior(hyperparameters, distances, constant, targets)[0] - penalty

    noisy = GaussianProcessRegressor(kernel + WhiteKernel(0.09), alpha=1e-8, optimizer=None)
    likelihood = noisy.fit(codes, targets).log_marginal_likelihood_value_
    assert loss(hyperparameters) == pytest.approx(-likelihood - len(targets) / 2 * np.log(2 * np.pi))


def test_gradient() -> None:
    encoding, codes, targets = observed()
    distances = encoding.distances(codes)[:, *np.triu_indices(len(codes), 1)]
    mean = np.ones((len(codes), len(codes)))
    logs = np.log([0.2, 0.5, 1.0, 2.0, 1.7, 0.09])

    def value(logs: np.ndarray) -> float:
        return negative_log_posterior(Hyperparameters.of_logs(logs), distances, mean, targets)[0]

    gradient = negative_log_posterior(Hyperparameters.of_logs(logs), distances, mean, targets)[1]
    np.testing.assert_allclose(gradient, approx_fprime(logs, value, 1e-7), rtol=1e-4, atol=1e-4)


def test_fit_finds_what_matters() -> None:
    """Of four decisions only the first has an effect; its weight comes out largest, the noise about right."""
    rng = np.random.default_rng(1)
    points = rng.integers(3, size=(80, 4))
    targets = np.array([-1.2, 0.0, 1.2])[points[:, 0]] + 0.3 * rng.normal(size=80)
    encoding = Encoding.of(NAMED)
    found = fit_hyperparameters(encoding, encoding(points), targets)
    assert found.weights[0] > 3 * found.weights[1:].max()
    assert 0.05 < found.noise < 0.16


def test_a_hallucinated_point_shrinks_deviations_and_changes_no_mean() -> None:
    encoding, codes, targets = observed()
    posterior = Posterior.of(encoding, Hyperparameters.prior(4), CONSTANT, codes, targets)
    everything = encoding(np.array(np.meshgrid(*[range(3)] * 4)).reshape(4, -1).T)
    point = encoding([(0, 1, 2, 1)])
    mean, deviation = posterior.predict(everything)
    hallucinated_mean, hallucinated_deviation = posterior.hallucinated(point).predict(everything)
    np.testing.assert_allclose(hallucinated_mean, mean, atol=1e-12)
    assert np.all(hallucinated_deviation <= deviation + 1e-12)
    there = np.all(everything == point, axis=1)
    assert hallucinated_deviation[there] < 0.8 * deviation[there]


def test_hallucinating_is_observing_the_means() -> None:
    """Block by block, pending points give the process that was conditioned on everything at once."""
    encoding, codes, targets = observed()
    posterior = Posterior.of(encoding, Hyperparameters.prior(4), CONSTANT, codes, targets)
    pending = encoding([(0, 1, 2, 1), (0, 1, 2, 1), (2, 2, 0, 0)])
    together = np.concatenate([codes, pending])
    means = np.concatenate([targets, posterior.mean(pending)])
    expected = Posterior.of(encoding, Hyperparameters.prior(4), CONSTANT, together, means)
    everything = encoding(np.array(np.meshgrid(*[range(3)] * 4)).reshape(4, -1).T)
    in_turn = posterior.hallucinated(pending[:1]).hallucinated(pending[1:])
    for grown in (posterior.hallucinated(pending), in_turn):
        np.testing.assert_allclose(grown.predict(everything), expected.predict(everything), atol=1e-9)
        np.testing.assert_allclose(grown.mean(everything), expected.mean(everything), atol=1e-9)


def test_more_observations_of_a_point_count_for_more() -> None:
    encoding = Encoding.of(NAMED)
    once, often = (
        Posterior.of(
            encoding, Hyperparameters.prior(4), CONSTANT, encoding([(0, 0, 0, 0)] * n), np.ones(n)
        )
        for n in (1, 10)
    )
    point = encoding([(0, 0, 0, 0)])
    assert once.predict(point)[0] < often.predict(point)[0] < 1.0
    assert often.predict(point)[1] < once.predict(point)[1]


def test_distances_of_names_and_numbers() -> None:
    decisions = (
        Decision("op", ("x", "y", "z")),
        Decision("kernel", (5, 3, 7)),
        Decision("se", (False, True)),
    )
    encoding = Encoding.of(decisions)
    points = encoding([(0, 1, 0), (2, 0, 1), (0, 2, 0)])  # x 3 no, z 5 yes, x 7 no
    op, kernel, se = encoding.distances(points)
    np.testing.assert_allclose(op, [[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    np.testing.assert_allclose(kernel, [[0, 0.75, 1], [0.75, 0, 0.75], [1, 0.75, 0]])
    np.testing.assert_allclose(se, [[0, 1, 0], [1, 0, 1], [0, 1, 0]])


@pytest.mark.parametrize("name", ["toy", "macro", "mobilenet"])
def test_every_space_is_encoded_with_distances_up_to_one(name: str) -> None:
    space, rng = nas.spaces.load(name)(), np.random.default_rng(0)
    encoding = Encoding.of(space.decisions)
    distances = encoding.distances(encoding([space.sample(rng) for _ in range(50)]))
    assert distances.min() == 0.0
    assert distances.max() == pytest.approx(1.0)


def test_expected_improvement_against_sampling() -> None:
    samples = np.random.default_rng(0).normal(0.3, 0.7, size=400_000)
    expected = np.mean(np.maximum(samples - 0.5, 0))
    assert expected_improvement(np.array(0.3), np.array(0.7), 0.5) == pytest.approx(expected, rel=0.01)


def test_improvement_over_evenly_spread_floors_is_the_gain_of_hypervolume() -> None:
    """Two known points; a candidate whose score and cost are certain adds a rectangle."""
    floors = (np.arange(1000)[:, None] + 0.5) / 1000
    known, others = np.array([0.9, 0.2]), np.array([[0.1], [0.8]])
    improvement = FlooredImprovement.over(known, others, floors)
    exact = [Estimate(np.array([0.6]), np.zeros(1)), Estimate(np.array([0.5]), np.zeros(1))]
    assert improvement(exact[0], exact[1:])[0] == pytest.approx((0.5 - 0.1) * (0.6 - 0.2), rel=0.01)


def test_scale_goes_by_ranks() -> None:
    """A network that trained to chance is as far from the next as it would be from any other."""
    scores = np.array([0.1, 0.80, 0.82, 0.84, 0.84])
    scale = Scale.of(scores)
    np.testing.assert_allclose(scale(scores), ndtri([0.1, 0.3, 0.5, 0.8, 0.8]))
    assert scale(0.81) == pytest.approx((scale(0.80) + scale(0.82)) / 2)
    assert (scale(0.0), scale(1.0)) == (scale(0.1), scale(0.84))
    np.testing.assert_allclose(Scale.of(np.full(5, 0.5))(np.full(5, 0.5)), 0.0)


def test_fits_happen_at_fixed_sizes() -> None:
    sizes = [fitted_size(count) for count in range(4, 2000)]
    assert sizes == sorted(sizes)
    assert all(size <= count <= size * 1.15 + 1 for count, size in enumerate(sizes, start=4))
    assert len(set(sizes)) < 50


def test_thinning_keeps_the_best_and_the_latest() -> None:
    scores = np.random.default_rng(0).permutation(10_000).astype(float)
    kept = thinned(scores, 400)
    assert len(kept) == len(set(kept)) == 400
    assert {*np.argsort(-scores)[:200]} | {*range(9900, 10_000)} <= {*kept}
    assert kept[kept < 5000].size > 50


def test_the_work_is_bounded() -> None:
    """At 10,000 observations the process holds 256."""
    learner, rng = Learner(Encoding.of(NAMED), maximize=True), np.random.default_rng(0)
    for point in rng.integers(3, size=(10_000, 4)).tolist():
        learner.add(tuple(point), float(point[0] + rng.normal()))
    posterior, _ = learner.posterior()
    assert len(posterior.codes) == len(learner.active) == 256
