"""A promotion continues its parent's training, or says why it cannot."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from core.config import DataConfig, SearchConfig, TrainConfig
from minnow.evaluators import Checkpoints, TrainEvaluator
from nas.spaces.toy import Toy
from nas.trial import Proposal
from training.fit import Fitted

RECIPE = TrainConfig(epochs=4, batch_size=20, learning_rate=0.01, views=2, average=0.8)
CONFIG = SearchConfig(data=DataConfig(spec="digits"), train=RECIPE, fidelity="asha")
SHORT = Proposal(0, (1, 1, 1, 0), Toy().decode((1, 1, 1, 0)), seed=5, epochs=1)
LONG = replace(SHORT, number=3, epochs=4, parent=0)
WHOLE = replace(SHORT, number=9, epochs=4)


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def evaluator(some_digits, tmp_path, warnings) -> TrainEvaluator:
    return TrainEvaluator(
        some_digits, CONFIG, checkpoints=Checkpoints(tmp_path / "kept", warnings.append)
    )


def same(one: Fitted, other: Fitted) -> bool:
    """Weights to the bit, and the learning curves."""
    weights = [fitted.model.state_dict() for fitted in (one, other)]
    curves = [[(e["loss"], e["val_f1"]) for e in fitted.history] for fitted in (one, other)]
    return curves[0] == curves[1] and all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


def test_in_two_parts_as_in_one(evaluator, warnings):
    short = evaluator.trained(SHORT)
    torch.manual_seed(777)  # whatever ran in between
    long = evaluator.trained(LONG)
    whole = evaluator.trained(WHOLE)
    assert len(short.history) == 1 and len(long.history) == 4
    assert short.history == long.history[:1], "the first epoch was not trained again"
    assert same(long, whole)
    assert warnings == []


def test_an_interrupted_continuation_goes_on_from_its_own_checkpoint(evaluator, some_digits, warnings):
    class Cut(Exception):
        """Stands for a kill."""

    def cut(progress) -> None:
        if progress.epoch == 3:
            raise Cut

    evaluator.trained(SHORT)
    with pytest.raises(Cut):
        replace(evaluator, report=cut).trained(LONG)
    epochs = set()
    resumed = replace(evaluator, report=lambda p: epochs.add(p.epoch)).trained(LONG)
    assert epochs == {3, 4}
    assert same(resumed, evaluator.trained(WHOLE))


@pytest.mark.parametrize("damage", ["lost", "cut short", "of another network"])
def test_without_its_checkpoint_it_starts_anew_and_says_so(evaluator, warnings, damage):
    evaluator.trained(SHORT)
    path = evaluator.checkpoints.directory / "0000.pt"
    if damage == "lost":
        path.unlink()
    elif damage == "cut short":
        path.write_bytes(path.read_bytes()[:2000])
    else:
        evaluator.trained(replace(SHORT, number=1, seed=6))
        path.with_name("0001.pt").rename(path)
    long = evaluator.trained(LONG)
    assert same(long, evaluator.trained(WHOLE))
    assert warnings == [
        "trial 3: the checkpoint of trial 0 is gone or damaged; training its network from scratch"
    ]


def test_only_what_may_be_continued_is_kept(evaluator):
    for number in range(3):
        evaluator.trained(replace(SHORT, number=number))
    folder = evaluator.checkpoints.directory
    (folder / "notes.txt").write_text("of the user")
    evaluator.checkpoints.keep({1, 7})
    assert sorted(path.name for path in folder.iterdir()) == ["0001.pt", "notes.txt"]


def test_without_halving_nothing_is_written(evaluator, some_digits):
    TrainEvaluator(some_digits, CONFIG).trained(SHORT)
    assert not evaluator.checkpoints.directory.exists()
