"""A network for timm: import this file, then timm.create_model(NAME, pretrained=True).

NAME is MODEL["name"]. The weights are model.safetensors beside this file; checkpoint_path takes them too.
"""

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.efficientnet import EfficientNet, SqueezeExcite
from timm.models.mobilenetv3 import MobileNetV3
from torch import nn

MODEL: dict[str, Any] = {}

_WEIGHTS = str(Path(__file__).with_name("model.safetensors"))
default_cfgs = generate_default_cfgs(
    {
        MODEL["name"]: {
            **MODEL["config"],
            "file": _WEIGHTS,
            "first_conv": "conv_stem",
            "classifier": "classifier",
        }
    }
)


def _activation(name: str | None) -> type[nn.Module]:
    activation: type[nn.Module] = nn.Identity if name is None else getattr(nn, name)
    return activation


def _create(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    network = deepcopy(MODEL["network"])
    family = {"EfficientNet": EfficientNet, "MobileNetV3": MobileNetV3}[network.pop("family")]
    blocks, squeeze = network.pop("blocks"), network.pop("squeeze_activation")
    for block in (block for stage in blocks for block in stage):
        block["act_layer"] = _activation(block["act_layer"])
    gate = partial(
        SqueezeExcite, gate_layer=network.pop("gate"), force_act_layer=squeeze and _activation(squeeze)
    )
    arguments: dict[str, Any] = {
        "block_args": blocks,
        "fix_stem": True,
        "round_chs_fn": int,  # the channels are given as they are
        "norm_layer": partial(nn.BatchNorm2d, eps=network.pop("eps")),
        "act_layer": _activation(network.pop("activation")),
        "se_layer": gate,
        **network,
        **kwargs,
    }
    model: nn.Module = build_model_with_cfg(family, MODEL["name"], pretrained, **arguments)
    return model


_create.__name__ = MODEL["name"]
register_model(_create)
