"""timm networks as teachers: descriptions, strict loading of weights, new heads.

timm is imported inside the functions, because its import takes seconds that a list of plugins or a
teacher from a run directory should not cost.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from core.errors import UserError, short
from teachers.base import PretrainedNetwork, weights_digest

if TYPE_CHECKING:
    from torch import Tensor, nn


def is_timm_name(name: str) -> bool:
    """Return whether timm knows the network, with or without a pretrained tag (``name.tag``)."""
    import timm

    return timm.is_model(name)


def close_matches(name: str, *, pretrained: bool = False, n: int = 5) -> list[str]:
    """Return up to ``n`` timm names that resemble ``name``, closest first.

    Args:
        name: any text.
        pretrained: leave out networks without pretrained weights.
        n: largest number of names.
    """
    import timm

    names = list(dict.fromkeys(full.split(".")[0] for full in timm.list_models(pretrained=pretrained)))
    return difflib.get_close_matches(name.split(".")[0], names, n=n, cutoff=0.6)


def pretrained_from_timm(name: str, model: nn.Module, source: str) -> PretrainedNetwork:
    """Describe a loaded timm model; resolution, mean and std come from its configuration."""
    from timm.data import resolve_model_data_config

    from training.preprocess import Normalization

    data, patch = resolve_model_data_config(model), _patch_side(model)
    return PretrainedNetwork(
        name=name,
        model=model.eval(),
        resolution=int(data["input_size"][-1]),
        normalization=Normalization(mean=_triple(data["mean"]), std=_triple(data["std"])),
        digest=weights_digest(name, model),
        classes=None,
        source=source,
        fixed=bool(cast("dict[str, Any]", model.pretrained_cfg).get("fixed_input_size", False))
        and patch is None,
        patch=patch,
    )


def _patch_side(model: Any) -> int | None:
    """Return the side of the patches of a plain vision transformer; ``None`` for other networks."""
    if not hasattr(model, "set_input_size") or not hasattr(model, "num_prefix_tokens"):
        return None  # windows of Swin and others depend on the resolution, too
    height, width = model.patch_embed.patch_size
    return int(height) if height == width else None


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return float(red), float(green), float(blue)


def load_strictly(model: nn.Module, state: Mapping[str, Tensor], *, where: str | Path) -> None:
    """Load a state dictionary that has the model's keys and shapes.

    Raises:
        UserError: a key is missing, unexpected or of another shape; names ``where`` and the first one.
    """
    expected = model.state_dict()
    faults = [f"{short(key)} is missing" for key in expected if key not in state]
    faults += [f"{short(key)} is unexpected" for key in state if key not in expected]
    faults += [
        f"{short(key)} has shape {tuple(state[key].shape)}, not {tuple(tensor.shape)}"
        for key, tensor in expected.items()
        if key in state and state[key].shape != tensor.shape
    ]
    if faults:
        more = f" (and {len(faults) - 1} more differences)" if len(faults) > 1 else ""
        raise UserError(
            f"{where} does not fit the network ({type(model).__name__}): {faults[0]}{more}; "
            "give the name of the network that the weights belong to"
        )
    model.load_state_dict(dict(state), strict=True)


def head_weight_key(model: nn.Module) -> str | None:
    """Return the key of a timm model's classifier weight ``(classes, ...)``, if it states one."""
    names = cast("dict[str, Any]", model.pretrained_cfg).get("classifier")
    if not names:
        return None
    # A distilled transformer lists two heads; both have one row per class.
    return (names if isinstance(names, str) else names[0]) + ".weight"


def replace_head(model: nn.Module, num_classes: int) -> nn.Module:
    """Give a classifier a fresh head for ``num_classes`` classes, in place, and return it.

    The new weights are drawn from torch's global generator.

    Args:
        model: a timm model of any family, or a network whose last ``nn.Linear`` is its head.
        num_classes: classes of the new head, at least 1.

    Raises:
        ValueError: ``num_classes`` is below 1, or the model has no head.
    """
    from torch import nn

    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    if callable(reset := getattr(model, "reset_classifier", None)):
        reset(num_classes)
        return model
    linears = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.Linear)]
    if not linears:
        raise ValueError(f"{type(model).__name__} has no nn.Linear that could be its head")
    name, old = linears[-1]
    fresh = nn.Linear(old.in_features, num_classes, bias=old.bias is not None)
    model.set_submodule(name, fresh.to(old.weight.device, old.weight.dtype))
    return model
