"""Distillation losses: one file per paper, a pure function and its plugin class in each."""

from distill.losses.base import DistillationLoss
from distill.losses.dkd import DKD, dkd, dkd_terms
from distill.losses.kd import KD, kd
from nas.plugins import Registry

REGISTRY = Registry(
    kind="loss",
    group="minnow.losses",
    base=DistillationLoss,
    builtins={"kd": "distill.losses.kd:KD", "dkd": "distill.losses.dkd:DKD"},
)

__all__ = ["DKD", "KD", "REGISTRY", "DistillationLoss", "dkd", "dkd_terms", "kd"]
