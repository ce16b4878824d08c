"""Latency of a timm network with its own paddings, and with those fixed for the size of the input.

Usage: python benchmarks/fixed_paddings.py [--model tf_efficientnet_lite0] [--sides 32 64 128]
(prints the latencies of both forms, measured in turns)
"""

from __future__ import annotations

import argparse

import timm
import torch

from deploy.onnx_export import NormalizedNetwork
from deploy.targets import DEFAULT, connect
from deploy.targets.base import ConvertedModel
from deploy.targets.conversion import convert, input_shape
from training.preprocess import IMAGENET


def main() -> None:
    """Measure untrained networks, whose latencies are those of trained ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tf_efficientnet_lite0", help="name of timm")
    parser.add_argument(
        "--sides", type=int, nargs="+", default=[32, 64, 128], help="of the input, pixels"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = timm.create_model(given.model).eval()
    session = connect(DEFAULT)
    whole = NormalizedNetwork.of(model, IMAGENET, 3)
    both = []
    for side in given.sides:
        example = torch.zeros(1, 3, side, side)
        files = session.target.convert(whole, example, example.numpy())
        both.append(ConvertedModel(dict(files), input_shape(session.target, side)))
        both.append(convert(session.target, model, side))
    latencies = iter(session.measure(both))
    print("| input | timm's paddings, ms (IQR) | fixed paddings, ms (IQR) | ratio | n |")
    print("|---|---|---|---|---|")
    for side, own, fixed in zip(given.sides, latencies, latencies, strict=True):
        print(
            f"| {side} px | {own.median_ms:.2f} ({own.iqr_ms:.2f}) | {fixed.median_ms:.2f} "
            f"({fixed.iqr_ms:.2f}) | {own.median_ms / fixed.median_ms:.2f} | {own.n} |"
        )


if __name__ == "__main__":
    main()
