"""ModelOpt's FastNAS and its distillation loss, for benchmarks/peers_pruning.py.

FastNAS finds nothing to prune in timm's ``tf_efficientnet_lite0``: its tracer fails on convolutions that
pad by the size of the input, and it does not know timm's batch norm. The same network of torch's own
layers, with the same weights and outputs, can be pruned.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from contest import Contender, Contest, NoNetworkError, require
from given_network import Input, train_given
from torch import nn
from torch.nn.functional import cross_entropy

from core.errors import one_line
from distill.inherited_weights import inherit_from_base
from training.batches import Batch
from training.evaluate import evaluate
from training.fit import Loss
from training.preprocess import prepare
from training.signals import at_least_fp32
from training.views import stored

_DIVISOR = 8  # of channels; with ModelOpt's own, 32, there is little to choose in such thin layers
_BATCHES, _BATCH_SIZE = 4, 64  # training images that calibrate the batch norms of each candidate


def fastnas(contest: Contest) -> Contender:
    """Prune the teacher with FastNAS to the multiply-adds of Minnow's student, and distil it.

    Validation F1 scores the candidates. The loss is ModelOpt's for logits, half of the whole by default.

    Raises:
        NotInstalledError: ModelOpt is not there.
        NoNetworkError: FastNAS finds no network of so few multiply-adds.
    """
    require("modelopt", "torchprofile")  # the second counts multiply-adds for the first
    import modelopt.torch.distill as mtd
    import modelopt.torch.prune as mtp

    data, base = contest.data, contest.base
    sees = Input(base.resolution, base.normalization)
    student = contest.student(taught=True, inherits=True)
    whole = inherit_from_base(base, data, "magnitude")  # all channels are kept
    model = whole.subnet(whole.base).eval()
    torch.manual_seed(contest.seed)
    try:
        model, _ = mtp.prune(
            model,
            [("fastnas", _rules(mtp.fastnas.FastNASConfig().model_dump()))],
            {"flops": 2.0 * contest.needed["macs"]},  # a multiply-add is two of them
            torch.zeros(1, 3, sees.resolution, sees.resolution),
            config={
                "score_func": lambda candidate: evaluate(candidate, data, "val", **sees.view).f1,
                "data_loader": _batches(contest, sees),
            },
        )
    except ValueError as error:
        if "constraints can be satisfied" not in str(error):
            raise
        raise NoNetworkError(one_line(error)) from None
    loss = _loss(mtd.LogitsDistillationLoss(), mtd.StaticLossBalancer())
    fitted = train_given(model, sees, data, student, contest.teacher.outputs, loss=loss)
    return Contender(fitted.model.to("cpu"), sees, student)


def _rules(rules: Any) -> Any:
    """Return ModelOpt's rules with another divisor of channels."""
    if not isinstance(rules, dict):
        return rules
    divisors = ("channel_divisor", "feature_divisor")
    return {name: _DIVISOR if name in divisors else _rules(value) for name, value in rules.items()}


def _batches(contest: Contest, sees: Input) -> list[tuple[torch.Tensor]]:
    """Return batches as ModelOpt takes them: the images come first."""
    order = np.random.default_rng(contest.seed).permutation(contest.data.splits["train"])
    parts = [order[start : start + _BATCH_SIZE] for start in range(0, len(order), _BATCH_SIZE)]
    device = torch.device("cpu")
    return [
        (prepare(stored(contest.data, np.sort(part), device), sees.resolution, sees.normalization),)
        for part in parts[:_BATCHES]
    ]


def _loss(of_logits: nn.Module, balancer: nn.Module) -> Loss:
    """Return ModelOpt's loss on the cached outputs of the teacher."""

    def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
        logits = at_least_fp32(model(batch.images))
        assert batch.teacher is not None
        parts = {
            "student_loss": cross_entropy(logits, batch.targets),
            "LogitsDistillationLoss_0": of_logits(logits, batch.teacher.logits),
        }
        return balancer(parts)  # type: ignore[no-any-return]

    return loss
