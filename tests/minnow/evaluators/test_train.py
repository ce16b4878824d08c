"""Proposals become trained, measured networks."""

from __future__ import annotations

import pickle
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.config import BalanceConfig, DataConfig, ScoreConfig, SearchConfig, TrainConfig
from deploy.competition_score import competition_score
from minnow.evaluators import TrainEvaluator, TrainEvaluatorFactory
from minnow.evaluators import train as measured
from nas.cost import cost
from nas.objectives import METRICS, TIMED
from nas.search import EvaluationError
from nas.spaces.toy import Toy
from nas.trial import Proposal
from training.batches import Look
from training.signals import Signals

RECIPE = TrainConfig(epochs=5, batch_size=20, learning_rate=0.01, views=2, average=0.8)
CONFIG = SearchConfig(data=DataConfig(spec="digits"), train=RECIPE)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path))


@pytest.fixture
def proposal() -> Proposal:
    return Proposal(0, (1, 1, 1, 0), Toy().decode((1, 1, 1, 0)), seed=5)


def scores(metrics) -> dict[str, float]:
    return {name: metrics[name] for name in ("f1", "accuracy", "balanced_accuracy")}


def test_it_returns_every_metric_that_can_be_a_goal(some_digits, proposal):
    metrics = TrainEvaluator(some_digits, CONFIG)(proposal)
    assert set(METRICS) - set(TIMED) <= set(metrics)
    total = cost(proposal.architecture, 10)
    assert (metrics["params"], metrics["macs"]) == (total.params, total.macs)
    assert 0 < metrics["f1"] <= metrics["accuracy"] <= 1
    assert metrics["latency_ms"] > 0 and metrics["train_seconds"] > 0
    assert all(np.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize(
    "wish", [{"objectives": ("score:min",)}, {"limits": ("total_seconds<=9",)}, {}], ids=str
)
def test_all_images_are_timed_only_where_a_goal_or_limit_says_so(
    some_digits, proposal, wish, monkeypatch
):
    timed = []
    real = measured.total_seconds
    monkeypatch.setattr(measured, "total_seconds", lambda *a, **k: timed.append(a[2]) or real(*a, **k))
    config = CONFIG.model_copy(
        update={"score": ScoreConfig(f1=0.3, time=2), "train": TrainConfig(epochs=1), **wish}
    )
    metrics = TrainEvaluator(some_digits, config)(proposal)
    assert ({*TIMED} <= metrics.keys()) == bool(wish) == bool(timed)
    if wish:
        assert np.array_equal(timed[0], some_digits.splits["val"])
        assert 0 < metrics["total_seconds"] < 30
        assert metrics["score"] == competition_score(
            metrics["f1"], metrics["total_seconds"], config.score
        )


def test_its_scores_depend_on_the_seed_of_the_proposal_alone(some_digits, proposal):
    evaluator = TrainEvaluator(some_digits, CONFIG)
    once = evaluator(proposal)
    assert once["f1"] > 0.15  # has learned something that a seed can change
    assert scores(evaluator(replace(proposal, number=7))) == scores(once)
    assert scores(evaluator(replace(proposal, seed=6))) != scores(once)


def test_a_proposal_may_say_how_long(some_digits, proposal):
    epochs = set()
    evaluator = TrainEvaluator(some_digits, CONFIG, report=lambda p: epochs.add(p.epochs))
    evaluator(replace(proposal, epochs=1))
    assert epochs == {1}


def test_a_teacher_changes_the_result(some_digits, proposal):
    def outputs(view: int, indices: np.ndarray, look: Look) -> Signals:
        wrong = (some_digits.labels[indices] + 1) % 10
        return Signals(torch.from_numpy(np.eye(10, dtype=np.float32)[wrong] * 20))

    alone, taught = TrainEvaluator(some_digits, CONFIG), TrainEvaluator(some_digits, CONFIG, outputs)
    assert taught(proposal)["f1"] < 0.1 < alone(proposal)["f1"]


@pytest.mark.parametrize("mode", ["sampler", "logit-adjust"])
def test_balance_reaches_the_trials(some_digits, proposal, mode):
    config = CONFIG.model_copy(update={"balance": BalanceConfig(mode=mode)})
    plain, balanced = (TrainEvaluator(some_digits, c).trained(proposal) for c in (CONFIG, config))
    assert balanced.history[0]["loss"] != plain.history[0]["loss"]


def test_scores_are_of_validation_and_test_is_not_read(some_digits, proposal):
    images = np.array(some_digits.images)
    images[some_digits.splits["test"]] = 0
    labels = some_digits.labels.copy()
    labels[some_digits.splits["test"]] = 0
    other = replace(some_digits, images=images, labels=labels)
    evaluated = [TrainEvaluator(data, CONFIG)(proposal) for data in (some_digits, other)]
    assert scores(evaluated[0]) == scores(evaluated[1])


def too_large() -> None:
    torch.zeros(10**14)


def too_many() -> None:
    torch.zeros(2**40, 2**40)


def too_large_for_numpy() -> None:
    np.zeros(10**15)


def too_large_for_the_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


@pytest.mark.parametrize("allocate", [too_large, too_many, too_large_for_numpy, too_large_for_the_gpu])
def test_a_network_that_does_not_fit_in_memory_fails_its_trial(
    some_digits, proposal, monkeypatch, allocate
):
    taken: list[weakref.ref[torch.Tensor]] = []

    def trained(*_: object) -> None:
        activations = torch.zeros(1)
        taken.append(weakref.ref(activations))
        allocate()

    monkeypatch.setattr(TrainEvaluator, "trained", trained)
    with pytest.raises(EvaluationError, match="not enough memory for this network at") as error:
        TrainEvaluator(some_digits, CONFIG)(proposal)
    assert "\n" not in str(error.value)
    assert taken[0]() is None  # what it took is free again, though the error is still there


def test_a_bug_is_no_lack_of_memory(some_digits, proposal, monkeypatch):
    monkeypatch.setattr(TrainEvaluator, "trained", lambda *_: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        TrainEvaluator(some_digits, CONFIG)(proposal)


def test_a_training_that_diverges_fails_its_trial(some_digits, proposal):
    config = CONFIG.model_copy(update={"train": TrainConfig(epochs=2, learning_rate=1e30)})
    with pytest.raises(EvaluationError, match="epoch 1") as error:
        TrainEvaluator(some_digits, config)(proposal)
    assert "\n" not in str(error.value)


def test_a_worker_makes_the_same_evaluator(digits, proposal):
    short = CONFIG.model_copy(update={"train": TrainConfig(epochs=1), "limits": ("total_seconds<=9",)})
    factory = pickle.loads(pickle.dumps(TrainEvaluatorFactory(short, np.array([], np.int64))))
    metrics = factory()(proposal)
    assert scores(metrics) == scores(TrainEvaluator(digits, short)(proposal))
    assert {*TIMED} <= metrics.keys()
