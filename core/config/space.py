"""Settings of the space that is searched, and of its supernet."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from core.config.model import MAX_SIDE, MIN_SIDE, Settings
from core.setting import setting


def _sides(value: Any) -> Any:
    """Turn ``96`` and ``64,96,128`` into a tuple."""
    if isinstance(value, int):
        return (value,)
    if not isinstance(value, str):
        return value
    try:
        return tuple(int(side) for side in value.split(","))
    except ValueError:
        raise ValueError("write it as 96 or 64,96,128") from None


#: A rule of :mod:`nas.networks.channel_importance`.
Importance = Literal["taylor", "magnitude"]


class SpaceConfig(Settings):
    """A search space."""

    name: Annotated[str, setting("Search space; 'plugins' lists them.", option="space")] = "mobilenet"
    resolutions: Annotated[
        tuple[Annotated[int, Field(ge=MIN_SIDE, le=MAX_SIDE)], ...] | None,
        BeforeValidator(_sides),
        setting(
            "Input sides to choose from, pixels, as in 64,96,128.",
            auto="five (in the space elastic four), up to the stored side; smaller ones for tight limits",
            form="sides",
            option="resolution",
        ),
    ] = None
    importance: Annotated[
        Importance,
        setting(
            "Criterion for the channels that networks of the space elastic keep.", option="importance"
        ),
    ] = "taylor"


class SupernetConfig(Settings):
    """Training of the elastic space's supernet, see :mod:`distill.supernet`."""

    epochs: Annotated[
        int | None,
        setting(
            "Epochs to train the supernet; one takes as long as two or three epochs of the teacher, less "
            "near limits.",
            auto="10, or 440 steps but at most 40 epochs; with one objective and limits 4, or 110 steps "
            "but at most 20 epochs",
            option="supernet-epochs",
            ge=1,
        ),
    ] = None
    learning_rate: Annotated[float, setting("Peak learning rate, for a batch of 64.", gt=0)] = 2e-3
    views: Annotated[
        int | None,
        setting("Augmented versions of each image.", auto="an eighth of the epochs, 4 to 32", ge=1),
    ] = None
    sizes: Annotated[
        Literal["near", "all"] | None,
        setting(
            "Sizes of the networks that the supernet is trained for: near the limits, or all.",
            auto="near the limits on costs or latency_ms, else all",
        ),
    ] = None
