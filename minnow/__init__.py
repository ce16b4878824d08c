"""Minnow: small, fast image classifiers by architecture search and distillation.

>>> import minnow
>>> run = minnow.search("photos/", limits=["params<=300k"])            # doctest: +SKIP
>>> student = minnow.distill(run, teacher="tf_efficientnet_lite0")     # doctest: +SKIP
>>> student.predict("photo.jpg")[0].label                              # doctest: +SKIP
'glass'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.errors import UserError
    from minnow.api import distill, evaluate, fit, load, profile_target, search, train
    from minnow.doctor import Diagnosis, diagnose
    from minnow.hub_upload import push
    from minnow.listener import Listener
    from minnow.run_directory import Run
    from minnow.student import Evaluation, Student

#: Public name to the module that defines it, which is imported when the name is first used.
_HOMES = {
    **dict.fromkeys(
        ("distill", "evaluate", "fit", "load", "profile_target", "search", "train"), "minnow.api"
    ),
    "Diagnosis": "minnow.doctor",
    "Evaluation": "minnow.student",
    "Listener": "minnow.listener",
    "Run": "minnow.run_directory",
    "Student": "minnow.student",
    "UserError": "core.errors",
    "push": "minnow.hub_upload",
    "diagnose": "minnow.doctor",
}

__all__ = [
    "Diagnosis",
    "Evaluation",
    "Listener",
    "Run",
    "Student",
    "UserError",
    "diagnose",
    "distill",
    "evaluate",
    "fit",
    "load",
    "profile_target",
    "push",
    "search",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'minnow' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
