"""Base class, ranges and text forms of all settings."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from core.setting import setting

MAX_SEED = 2**32 - 1  # numpy's older generators take no more
MIN_SIDE, MAX_SIDE = 8, 4096  # of stored images and of the input of networks, pixels
MIN_TEACHER_SIDE, MAX_TEACHER_SIDE = 32, 1024  # of the input of teachers and bases, pixels

Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Trackers = Annotated[
    tuple[str, ...],
    setting(
        "Service that records the run, too: mlflow[:URI], tensorboard[:FOLDER] or wandb[:PROJECT].",
        option="tracker",
    ),
]


def _seconds(value: Any) -> Any:
    """Turn ``10m``, ``1h30m``, ``45s`` or ``600`` into seconds."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", value.strip())
    hours, minutes, rest = (float(number or 0) for number in match.groups()) if match else (0, 0, 0)
    if (total := hours * 3600 + minutes * 60 + rest) <= 0:
        raise ValueError("write it as 90s, 10m or 1h30m")
    return total


#: A time in seconds, or as in ``1h30m``; ``None``: no limit.
Time = Annotated[Annotated[float, Field(gt=0)] | None, BeforeValidator(_seconds)]


class Settings(BaseModel):
    """Base of all settings: immutable, and closed to unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)
