"""What the shipping tests share: a tiny network whose logits differ from image to image."""

from __future__ import annotations

import torch
from torch import nn

from nas.architecture import Architecture, classifier
from nas.layers import Conv, InvertedResidualv2, InvertedResidualv3

CLASSES = ("glass", "métal", "paper")
NORMALIZATION = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
CONFIG = {"normalization": NORMALIZATION, "data": {"size": 40, "fit": "squash"}}


def tiny_architecture(resolution: int = 32, width: int = 8) -> Architecture:
    """A conv, a residual and a squeeze-excite block: every kind of layer the exporter meets."""
    return classifier(
        resolution,
        (
            Conv(width, 3, 2, activation="Hardswish"),
            InvertedResidualv2(width, 2.0, 1),
            InvertedResidualv3(5, 3.0, 2 * width, True, True, 2),
        ),
    )


def lively(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random batch-norm statistics too, so that folding them wrongly shows in the logits."""
    generator = torch.Generator().manual_seed(seed)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0.0, 0.3, generator=generator)
            part.running_var.uniform_(0.5, 2.0, generator=generator)
            nn.init.uniform_(part.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(part.bias, 0.0, 0.3, generator=generator)
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, 0.0, 10.0, generator=generator)
    return model.eval()
