"""Names of activations in model files: those of ``torch.nn``, without importing torch."""

from __future__ import annotations

from typing import Any

#: Modules of ``torch.nn`` that need no arguments and keep the shape.
ACTIVATIONS = (
    "CELU",
    "ELU",
    "GELU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Identity",
    "LeakyReLU",
    "LogSigmoid",
    "Mish",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SELU",
    "SiLU",
    "Sigmoid",
    "Softmax2d",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
)
_ALIASES = {"HardSwish": "Hardswish", "HardSigmoid": "Hardsigmoid", "Swish": "SiLU"}


def activation_named(name: Any) -> str | None:
    """The name in ``torch.nn`` of what a model file calls ``name``; ``None``: no activation.

    Raises:
        ValueError: unknown; lists the known ones.
    """
    name = _ALIASES.get(name, name) if isinstance(name, str) else name
    check_activation(name)
    return None if name is None else str(name)


def check_activation(name: Any) -> None:
    """Refuse what is no activation.

    Raises:
        ValueError: unknown; lists the known ones.
    """
    if name is not None and name not in ACTIVATIONS:
        known = ", ".join((*ACTIVATIONS, *_ALIASES))
        raise ValueError(f"unknown activation {name!r}; known: {known}, null")


def weights_of(activation: str | None) -> int:
    """Trainable parameters of an activation."""
    return 1 if activation == "PReLU" else 0
