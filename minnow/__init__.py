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

#: Minnow's packages beside this one, which Python looks for by these names.
_PACKAGES = ("core", "nas", "training", "teachers", "distill", "deploy")

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

    _check_packages()
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def _check_packages() -> None:
    """Refuse a file or folder of the user, such as ``training.py``, that hides a package of Minnow.

    Raises:
        ImportError: names it.
    """
    from importlib.util import find_spec
    from pathlib import Path

    root = Path(__file__).resolve().parents[1]
    for name in _PACKAGES:
        found = find_spec(name)
        place = None if found is None else found.origin
        if place is not None and Path(place).resolve().parents[1] != root:
            raise ImportError(
                f"{place} hides Minnow's package {name!r}: rename it, or start Python in another folder"
            )


def __dir__() -> list[str]:
    return sorted(__all__)
