"""Distillation losses: one file per paper, a pure function and its plugin class in each."""

from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any

from core.errors import UserError
from core.plugins import Registry
from distill.losses.at import AT, at
from distill.losses.base import DistillationLoss, FeatureLoss
from distill.losses.dist import DIST, dist, pearson_distance
from distill.losses.dkd import DKD, dkd, dkd_terms
from distill.losses.hint import Hint, hint
from distill.losses.kd import KD, kd
from distill.losses.ls import LS, standardize
from distill.losses.rkd import RKD, rkd_angle, rkd_distance

LOGIT_LOSSES = Registry(
    kind="loss",
    group="minnow.losses",
    base=DistillationLoss,
    builtins={
        "kd": "distill.losses.kd:KD",
        "dkd": "distill.losses.dkd:DKD",
        "dist": "distill.losses.dist:DIST",
        "ls": "distill.losses.ls:LS",
    },
)

FEATURE_LOSSES = Registry(
    kind="feature loss",
    group="minnow.feature_losses",
    base=FeatureLoss,
    builtins={
        "hint": "distill.losses.hint:Hint",
        "at": "distill.losses.at:AT",
        "rkd": "distill.losses.rkd:RKD",
    },
)


def make_logit_loss(name: str, options: Mapping[str, Any]) -> DistillationLoss:
    """A loss on logits by name.

    Raises:
        UserError: unknown name or option; lists the known ones.
    """
    kind = LOGIT_LOSSES.load(name)
    _check(f"loss {name!r}", kind, options)
    return kind(**options)  # type: ignore[no-any-return]


def load_feature_loss(name: str, options: Mapping[str, Any]) -> type[FeatureLoss]:
    """The class of a loss on features, by name.

    Raises:
        UserError: unknown name or option; lists the known ones.
    """
    kind: type[FeatureLoss] = FEATURE_LOSSES.load(name)
    _check(f"feature loss {name!r}", kind, options)
    return kind


def options_of(kind: type) -> list[str] | None:
    """Names of a loss's options; ``None`` where it takes any, and hands them to another loss."""
    parameters = signature(kind).parameters.values()
    if any(parameter.kind == Parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [parameter.name for parameter in parameters if parameter.kind == Parameter.KEYWORD_ONLY]


def _check(what: str, kind: type, options: Mapping[str, Any]) -> None:
    known = options_of(kind)
    for name in options:
        if known is not None and name not in known:
            raise UserError(f"{what} has no option {name!r}; it has: {', '.join(known) or 'none'}")


__all__ = [
    "AT",
    "DIST",
    "DKD",
    "FEATURES",
    "KD",
    "LS",
    "REGISTRY",
    "RKD",
    "DistillationLoss",
    "FeatureLoss",
    "Hint",
    "at",
    "dist",
    "dkd",
    "dkd_terms",
    "hint",
    "kd",
    "load_features",
    "make",
    "options_of",
    "pearson_distance",
    "rkd_angle",
    "rkd_distance",
    "standardize",
]
