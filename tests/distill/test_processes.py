"""A student with a teacher's features to match, on several processes and on one."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from core.config import LossConfig, TrainConfig
from distill.student_loss import student_loss
from nas.networks import build
from training.augment import Augmentation
from training.batches import Batches, Look
from training.fit import fit
from training.preprocess import IMAGENET
from training.processes import ALONE, Processes
from training.signals import Signals


class Wide(nn.Module):
    """A network in float64, so that rounding stays far below any other difference."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.double()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images.double())

    def forward_features(self, images: torch.Tensor) -> torch.Tensor:
        return self.network.forward_features(images.double())

    def forward_head(self, features: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        return self.network.forward_head(features, pre_logits)

    def forward_intermediates(self, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return self.network.forward_intermediates(images.double())


def test_losses_and_adapters_are_those_of_one_process(together, some_digits, tiny):
    rng = np.random.default_rng(0)
    logits, pooled = (torch.from_numpy(rng.normal(size=(len(some_digits.images), d))) for d in (10, 7))

    def outputs(view: int, indices: np.ndarray, look: Look) -> Signals:
        return Signals(logits[indices] + view, pooled[indices])

    recipe = TrainConfig(epochs=2, batch_size=50, views=2)

    def run(processes: Processes) -> dict[str, np.ndarray]:
        torch.manual_seed(0)
        student = Wide(build(tiny, 10))
        plain = Augmentation(operations=1, flip=False)
        batches = Batches(
            some_digits, 32, IMAGENET, plain, recipe.batch_size, 2, 0, outputs, processes=processes
        )
        loss = student_loss(LossConfig(features="hint"), 0.1, student, batches)
        fitted = fit(student, batches, loss.double(), recipe)
        weights = {**fitted.model.state_dict(), **loss.state_dict()}
        assert "feature_loss.regressor.weight" in weights
        return {name: value.numpy() for name, value in weights.items()}

    alone = run(ALONE)
    for result in together(run, 3):
        for name, value in alone.items():
            np.testing.assert_allclose(result[name], value, rtol=1e-8, atol=1e-10, err_msg=name)
