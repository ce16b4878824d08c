"""Distillation losses: one file per paper, with a pure function and its plugin class."""

from distill.losses.at import AT, at
from distill.losses.base import FEATURE_LOSSES, LOGIT_LOSSES, DistillationLoss, FeatureLoss
from distill.losses.dist import DIST, dist, pearson_distance
from distill.losses.dkd import DKD, dkd, dkd_terms
from distill.losses.hint import Hint, hint
from distill.losses.kd import KD, kd
from distill.losses.ls import LS, standardize
from distill.losses.rkd import RKD, rkd_angle, rkd_distance

__all__ = [
    "AT",
    "DIST",
    "DKD",
    "FEATURE_LOSSES",
    "KD",
    "LOGIT_LOSSES",
    "LS",
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
    "pearson_distance",
    "rkd_angle",
    "rkd_distance",
    "standardize",
]
