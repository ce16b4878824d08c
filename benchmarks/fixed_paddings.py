"""timm networks for one size of input, as ONNX Runtime runs them fastest.

Usage: python benchmarks/fixed_paddings.py [--model tf_efficientnet_lite0] [--sides 32 64 128]
(prints the latencies of both forms, measured in turns)

timm's ``tf_`` networks compute the paddings of their strided convolutions from the input. Exported like
that, they are operations of their own, which take time (``docs/log.md``). Here they become a part of the
convolutions, as in Minnow's networks.
"""

from __future__ import annotations

import argparse
import copy
from typing import Any

import timm
import torch
from timm.layers import Conv2dSame
from timm.layers.padding import get_same_padding
from torch import nn

from deploy.latency_measurement import measure_in_turns
from nas.networks.blocks import UnevenConv


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
    both = [(form, side) for side in given.sides for form in (model, fix_paddings(model, side))]
    latencies = iter(measure_in_turns(both))
    print("| input | timm's paddings, ms (IQR) | fixed paddings, ms (IQR) | ratio | n |")
    print("|---|---|---|---|---|")
    for side, own, fixed in zip(given.sides, latencies, latencies, strict=True):
        print(
            f"| {side} px | {own.median_ms:.2f} ({own.iqr_ms:.2f}) | {fixed.median_ms:.2f} "
            f"({fixed.iqr_ms:.2f}) | {own.median_ms / fixed.median_ms:.2f} | {own.n} |"
        )


def fix_paddings(model: nn.Module, resolution: int) -> nn.Module:
    """Return a network with the same outputs, in eval mode, with the paddings of one size of input.

    Args:
        model: on the CPU; it is not changed.
        resolution: side of the square RGB input, pixels.
    """
    model = copy.deepcopy(model).eval()
    sides: dict[str, int] = {}

    def note(name: str) -> Any:
        return lambda _, inputs: sides.update({name: inputs[0].shape[-1]})

    padded = {name: layer for name, layer in model.named_modules() if isinstance(layer, Conv2dSame)}
    hooks = [layer.register_forward_pre_hook(note(name)) for name, layer in padded.items()]
    with torch.no_grad():
        model(torch.zeros(1, 3, resolution, resolution))
    for hook in hooks:
        hook.remove()
    for name, layer in padded.items():
        kernel, stride = layer.kernel_size[0], layer.stride[0]
        total = get_same_padding(sides[name], kernel, stride, layer.dilation[0])
        fixed = UnevenConv(
            layer.in_channels,
            layer.out_channels,
            kernel,
            stride,
            pads=(total // 2, total - total // 2),
            groups=layer.groups,
            bias=layer.bias is not None,
        )
        fixed.load_state_dict(layer.state_dict())
        model.set_submodule(name, fixed.eval())
    return model


if __name__ == "__main__":
    main()
