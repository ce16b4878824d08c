"""The settings of a run: every one is a field of these models, and ``config.yaml`` is their text.

``None`` means "decide for me": ``training.budget`` resolves it once, before work begins.
"""

from core.config.data import USUAL_TABLE, DataConfig, Refit, TableConfig
from core.config.model import MAX_SEED, MAX_SIDE, MAX_TEACHER_SIDE, MIN_SIDE, MIN_TEACHER_SIDE
from core.config.search import FIT_DEFAULTS, ScoreConfig, SearchConfig, StrategyConfig
from core.config.space import Importance, SpaceConfig, SupernetConfig
from core.config.student import StudentConfig
from core.config.teacher import BaseConfig, TeacherConfig
from core.config.training import (
    INHERITED_RATE,
    SCRATCH_RATE,
    AugmentConfig,
    BalanceConfig,
    LossConfig,
    TrainConfig,
)

__all__ = [
    "FIT_DEFAULTS",
    "INHERITED_RATE",
    "MAX_SEED",
    "MAX_SIDE",
    "MAX_TEACHER_SIDE",
    "MIN_SIDE",
    "MIN_TEACHER_SIDE",
    "SCRATCH_RATE",
    "USUAL_TABLE",
    "AugmentConfig",
    "BalanceConfig",
    "BaseConfig",
    "DataConfig",
    "Importance",
    "LossConfig",
    "Refit",
    "ScoreConfig",
    "SearchConfig",
    "SpaceConfig",
    "StrategyConfig",
    "StudentConfig",
    "SupernetConfig",
    "TableConfig",
    "TeacherConfig",
    "TrainConfig",
]
