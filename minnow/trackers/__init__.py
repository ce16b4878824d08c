"""Trackers, by name: services that record a run beside its directory."""

from __future__ import annotations

from core.errors import UserError
from core.plugins import Registry
from minnow.trackers.tracker import Tracker
from nas.storage_url import has_password, masked

REGISTRY = Registry(
    kind="tracker",
    group="minnow.trackers",
    base=Tracker,
    builtins={
        "mlflow": "minnow.trackers.mlflow_run:MlflowRun",
        "tensorboard": "minnow.trackers.tensorboard_events:TensorboardEvents",
        "wandb": "minnow.trackers.wandb_run:WandbRun",
    },
)


def parse(spec: str) -> tuple[type[Tracker], str | None]:
    """Return class and place of ``NAME``, ``NAME:PLACE``, ``module:Class`` or ``./file.py:Class``.

    Raises:
        UserError: unknown, which lists the known names; its package is missing; no place behind the
            colon, or one with a password, which would be stored.
    """
    name, colon, place = spec.partition(":")
    named = name in REGISTRY.names()
    kind: type[Tracker] = REGISTRY.load(name if named else spec)
    if named and colon:
        if not place:
            raise UserError(f"tracker {spec!r} lacks its place: write {name} or {name}:PLACE")
        if has_password(place):
            raise UserError(
                f"tracker {masked(spec)!r}: the password would be stored in config.yaml; give it in an "
                f"environment variable ({kind.password_variable})"
            )
    kind.check()
    return kind, place if named and colon else None


def names_place(spec: str) -> bool:
    """Tell if a tracker names a place that would be written to, or code that would be run."""
    return ":" in spec


__all__ = ["REGISTRY", "Tracker", "names_place", "parse"]
