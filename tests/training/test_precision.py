"""Mixed precision and compilation change how fast a step is, and its result by rounding alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.config import LossConfig, StudentConfig, TeacherConfig, TrainConfig
from core.config_io import parse_config
from core.errors import UserError
from training.augment import Augmentation
from training.batches import Batches
from training.device import forward_dtype
from training.fit import Fitted, cross_entropy, fit
from training.preprocess import IMAGENET

CPU = torch.device("cpu")
RECIPE = TrainConfig(epochs=2, learning_rate=0.01, views=2)


class Watched(nn.Sequential):
    """Says what its forward pass computes with."""

    seen: torch.dtype

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = super().forward(images)
        if self.training:
            self.seen = logits.dtype
        return logits


def network() -> Watched:
    torch.manual_seed(0)
    return Watched(nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(1800, 10))


def trained(data, model: nn.Module, **changes: object) -> Fitted:
    recipe = RECIPE.model_copy(update=changes)
    batches = Batches(data, 32, IMAGENET, Augmentation(operations=0), 50, recipe.view_count, 0)
    return fit(model, batches, cross_entropy(0.1), recipe)


def test_bfloat16_is_for_the_forward_pass_alone(some_digits) -> None:
    half, whole = network(), network()
    fitted = trained(some_digits, half, precision="bfloat16")
    other = trained(some_digits, whole, precision="float32")
    assert half.seen is torch.bfloat16 and whole.seen is torch.float32
    assert {weight.dtype for weight in half.parameters()} == {torch.float32}
    losses = [[epoch["loss"] for epoch in each.history] for each in (fitted, other)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_auto_is_float32_on_a_cpu() -> None:
    assert forward_dtype("auto", CPU) is torch.float32
    assert forward_dtype("bfloat16", CPU) is torch.bfloat16


@pytest.mark.slow
def test_a_compiled_network_learns_the_same(some_digits) -> None:
    plain = trained(some_digits, network())
    compiled = trained(some_digits, network(), compile=True)
    assert compiled.model.state_dict().keys() == plain.model.state_dict().keys()
    for one, other in zip(compiled.history, plain.history, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)


def test_compilation_is_refused_where_it_would_change_nothing() -> None:
    with pytest.raises(ValueError, match="does not reach a loss on features"):
        StudentConfig(
            teacher=TeacherConfig(spec="any"),
            loss=LossConfig(features="hint"),
            train=TrainConfig(compile=True),
        )
    StudentConfig(loss=LossConfig(features="hint"), train=TrainConfig(compile=True))  # used by none


def test_an_unknown_scheduler_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="cosine"):
        parse_config(StudentConfig, {"train": {"scheduler": "cosinus"}}, "here")
