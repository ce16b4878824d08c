"""Paddings of timm's networks, fixed for one size of input.

timm's ``tf_`` networks compute the paddings of their strided convolutions from the input. Exported like
that, they are operations of their own, which take time (``docs/log.md``). Here they become a part of the
convolutions, as in Minnow's networks.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from timm.layers import Conv2dSame
from timm.layers.padding import get_same_padding
from torch import nn

from nas.networks.blocks import UnevenConv


def fix_paddings(model: nn.Module, resolution: int, *, input_channels: int = 3) -> nn.Module:
    """Return a network with the same outputs, in eval mode, with the paddings of one size of input.

    Args:
        model: on the CPU; it is not changed, and returned as it is where it computes no paddings.
        resolution: side of the square input, pixels.
        input_channels: channels of the input.
    """
    if not any(isinstance(layer, Conv2dSame) for layer in model.modules()):
        return model
    model = copy.deepcopy(model).eval()
    sides: dict[str, int] = {}

    def note(name: str) -> Any:
        return lambda _, inputs: sides.update({name: inputs[0].shape[-1]})

    padded = {name: layer for name, layer in model.named_modules() if isinstance(layer, Conv2dSame)}
    hooks = [layer.register_forward_pre_hook(note(name)) for name, layer in padded.items()]
    with torch.no_grad():
        model(torch.zeros(1, input_channels, resolution, resolution))
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
            dilation=layer.dilation,
            groups=layer.groups,
            bias=layer.bias is not None,
        )
        fixed.load_state_dict(layer.state_dict())
        model.set_submodule(name, fixed.eval())
    return model
